"""``python -m benchmarks.clips``: with a stand-in for run_stream.py, and with itself once."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "sources"))
from media import write_video

import run_stream
from benchmarks import clips, runs
from configs.schema import SyntheticSettings
from model.checkpoint import NetworkInfo, save_network
from model.mpcnet import MPCNet
from streamer.scene import Scene

ROOT = Path(__file__).resolve().parents[2]

DETECTOR = dict.fromkeys(runs.SAME_DETECTOR, "none")


class StandIn:
    """In place of a process of run_stream.py: does what the clip, JSON instead of video, says."""

    def __init__(self, command: list[str], *, stderr: BinaryIO, **_streams: int) -> None:
        assert command[1] == str(ROOT / "run_stream.py")
        options = run_stream.parser().parse_args(command[2:])
        settings = run_stream.settings_of(options)
        assert not settings.output.record.enabled
        assert settings.logs.dashboard == "off"
        clip, folder = Path(options.sources[0]), settings.output.directory
        with (clip.parent / "ran.txt").open("a") as ran:
            ran.write(f"{clip.stem}\n")
        what = json.loads(clip.read_text())
        self.returncode = int("fails" in what)
        if self.returncode:
            stderr.write(f"INFO a log line\nrun_stream: {what['fails']}\nINFO another\n".encode())
            if "summary" in what:
                folder.mkdir()
                (folder / "summary.json").write_text(json.dumps(what["summary"]))
            return
        frames = min(what["frames"], settings.run.max_frames or what["frames"])
        folder.mkdir()
        lines(folder / "tracks.txt", *(r for r in what["tracks"] if int(r.split(",")[0]) <= frames))
        shown = ({"index": k, "pts": 5 + k / 25} for k in range(frames))
        lines(folder / "frames.jsonl", *map(json.dumps, shown))
        summary = {
            "exit_reason": "finished",
            "address": str(clip),
            "frames": {"captured": frames},
            "settings": settings.model_dump(mode="json"),
            **what["detector"],
        }
        (folder / "summary.json").write_text(json.dumps(summary))

    def poll(self) -> int:
        return self.returncode

    def wait(self, _timeout: float) -> int:
        return self.returncode


def lines(path: Path, *rows: str) -> Path:
    path.write_text("".join(f"{row}\n" for row in rows))
    return path


def truth(folder: Path, name: str, last: int) -> None:
    """A target at rest in frames 1 to ``last``: the box 10 to 20 on both axes."""
    rows = [f"{k},1,10,10,10,10,1,drone,1" for k in range(1, last + 1)]
    lines(folder / f"{name}.gt.txt", *rows)


def plan(folder: Path, name: str, **what: Any) -> None:
    content = {"frames": 100, "tracks": [], "detector": DETECTOR, **what}
    (folder / f"{name}.mp4").write_text(json.dumps(content))


def track(number: int, first: int, last: int, at: float) -> list[str]:
    return [f"{k},{number},{at - 1},{at - 1},2,2,0.9,-1,-1,-1" for k in range(first, last + 1)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three clips: one well tracked, one badly and with a false track, one without labels."""
    monkeypatch.setattr(runs.subprocess, "Popen", StandIn)
    monkeypatch.setattr(clips, "_describe", lambda settings: DETECTOR)
    made = tmp_path / "clips"
    made.mkdir()
    truth(made, "IR_BIRD_001", 100)
    plan(made, "IR_BIRD_001", tracks=[*track(1, 6, 50, 15), *track(2, 51, 100, 15)])
    truth(made, "IR_DRONE_001", 50)
    plan(made, "IR_DRONE_001", tracks=[*track(1, 31, 60, 12), *track(7, 1, 90, 40)])
    truth(made, "IR_DRONE_002", 0)
    plan(made, "IR_DRONE_002")
    return made


def measure(folder: Path, *options: str, code: int = 0) -> dict[str, Any]:
    output = folder.parent / "out"
    assert clips.main([str(folder), "--output", str(output), *options]) == code
    report: dict[str, Any] = json.loads((output / "report.json").read_text())
    return report


def ran(folder: Path) -> list[str]:
    path = folder / "ran.txt"
    return sorted(path.read_text().split()) if path.exists() else []


def cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_the_tables_say_what_the_tracks_are_worth(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = measure(folder)
    everything = report["pooled"]
    assert (everything["clips"], everything["frames"], everything["labelled"]) == (2, 200, 150)
    assert (everything["tracked"], everything["false_tracks"]) == (95 + 20, 1)
    assert everything["identity_switches"] == 1
    assert everything["minutes"] == pytest.approx(200 / 25 / 60)  # 25 a second, by the clips' clock
    assert everything["false_tracks_per_minute"] == pytest.approx(60 * 25 / 200)
    assert report["groups"]["IR_DRONE"]["tracked_share"] == pytest.approx(0.4)
    assert report["to_look_at"] == ["IR_DRONE_001"]
    assert report["unlabelled"] == ["IR_DRONE_002"]
    assert report["ran"] == DETECTOR

    text = (folder.parent / "out/report.md").read_text()
    rows = [cells(row) for row in text.splitlines() if row.startswith("| ")]
    pools = ["---", "IR_BIRD", "IR_DRONE", "all"]
    titles = ["clips", *pools, "by centres", *pools, "by frames", *pools]
    assert [row[0] for row in rows] == [*titles, "clips", "---", "IR_DRONE_001"]
    assert rows[2][1:5] == ["1", "0.07", "100", "95.00 %"]
    assert rows[4][6:9] == ["4", "1", "7.50"]
    assert rows[7][5:8] == ["51.28 %", "52.63 %", "50.00 %"]  # 50 of 95 and of 100
    assert rows[12][5:7] == ["0.20", "0.20"]  # in the sixth frame, at 25 a second
    assert report["groups"]["IR_BIRD"]["clear"]["identity_switches"] == 1
    assert "Without labels, not run: IR_DRONE_002" in text
    said = capsys.readouterr()
    assert said.out == text
    assert "[1/2] IR_BIRD_001: 95 of 100 tracked, 0 of 2 tracks false;" in said.err


def test_what_is_finished_is_not_run_again(folder: Path) -> None:
    first = measure(folder)
    assert ran(folder) == ["IR_BIRD_001", "IR_DRONE_001"]
    assert measure(folder, "--jobs", "2") == first  # threads do not matter
    assert ran(folder) == ["IR_BIRD_001", "IR_DRONE_001"]

    summary = folder.parent / "out/IR_BIRD_001/summary.json"
    summary.write_text(summary.read_text().replace('"finished"', '"SIGTERM"'))
    assert measure(folder) == first
    assert ran(folder) == ["IR_BIRD_001", "IR_BIRD_001", "IR_DRONE_001"]
    assert not list(summary.parents[1].glob(".*"))


def test_other_weights_or_settings_are_run_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = lines(folder.parent / "list.txt", "# one", "IR_DRONE_001", "IR_DRONE_001")
    only = ["--list", str(listed)]
    measure(folder, *only)
    changed = measure(folder, *only, "--set", "tracker.confirm_hits=3")
    assert changed["settings"]["tracker"]["confirm_hits"] == 3
    assert len(ran(folder)) == 2
    monkeypatch.setattr(clips, "_describe", lambda settings: {**DETECTOR, "weights_sha256": "cd"})
    measure(folder, *only)
    assert ran(folder) == ["IR_DRONE_001"] * 3


def test_fewer_frames_cut_the_truth_too(folder: Path) -> None:
    report = measure(folder, "--max-frames", "40")
    drone = report["clips"]["IR_DRONE_001"]
    assert (drone["frames"], drone["labelled"], drone["tracked"]) == (40, 40, 10)


def test_truth_from_matlab_is_moved_by_a_pixel(folder: Path) -> None:
    plan(folder, "IR_BIRD_001", tracks=track(1, 1, 100, 19.5))
    assert measure(folder)["clips"]["IR_BIRD_001"]["tracked"] == 100
    assert measure(folder, "--matlab-pixels")["clips"]["IR_BIRD_001"]["tracked"] == 0


def test_one_clip_fails_and_the_others_go_on(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan(folder, "IR_BIRD_001", fails="the file is cut off")
    report = measure(folder, code=1)
    assert report["failed"] == {"IR_BIRD_001": "run_stream: the file is cut off"}
    assert list(report["clips"]) == ["IR_DRONE_001"]
    said = capsys.readouterr()
    assert "* failed: IR_BIRD_001: run_stream: the file is cut off" in said.out
    assert "[1/2] IR_BIRD_001: failed: run_stream: the file is cut off;" in said.err
    assert not (folder.parent / "out/IR_BIRD_001").exists()


def test_a_clip_that_fails_midway_is_told_in_the_words_of_its_summary(folder: Path) -> None:
    summary = {"exit_reason": "failed", "error": "clip.mp4 ends early: 30 of 60 frames"}
    plan(folder, "IR_BIRD_001", fails="a line of the log", summary=summary)
    report = measure(folder, code=1)
    assert report["failed"] == {"IR_BIRD_001": "clip.mp4 ends early: 30 of 60 frames"}


@pytest.mark.parametrize(
    ("mistake", "code", "says"),
    [
        ("no folder", 1, "is not a folder"),
        ("no clips", 1, "nothing to run"),
        ("missing clip", 1, "has no IR_BIRD_002.mp4"),
        ("no list", 1, "cannot read"),
        ("bad truth", 1, "IR_BIRD_001.gt.txt:1"),
        ("in the way", 1, "is in the way"),
        ("report nowhere", 1, "cannot write"),
        ("unknown setting", 2, "unknown setting tracker.gate"),
        ("no frames", 2, "run.max_frames=0"),
        ("later start", 2, "source.start_seconds"),
    ],
)
def test_a_mistake_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], mistake: str, code: int, says: str
) -> None:
    output = folder.parent / "out"
    arguments = [str(folder), "--output", str(output)]
    if mistake == "no folder":
        arguments[0] += "-elsewhere"
    elif mistake == "no clips":
        arguments[0] = str(folder.parent)
    elif mistake == "missing clip":
        listed = lines(folder.parent / "list.txt", "IR_BIRD_001", "IR_BIRD_002")
        arguments += ["--list", str(listed)]
    elif mistake == "bad truth":
        lines(folder / "IR_BIRD_001.gt.txt", "1,1,2")
    elif mistake == "in the way":
        (output / "IR_BIRD_001").mkdir(parents=True)
    else:
        arguments += {
            "no list": ["--list", "no/such/list.txt"],
            "report nowhere": ["--json", str(folder / "no/such/x.json")],
            "unknown setting": ["--set", "tracker.gate=3"],
            "no frames": ["--max-frames", "0"],
            "later start": ["--set", "source.start_seconds=1"],
        }[mistake]
    assert clips.main(arguments) == code
    message = capsys.readouterr().err
    assert message.startswith("error: ")
    assert says in message
    assert message.count("\n") == 1
    assert ran(folder) == []


@pytest.mark.parametrize("jobs", ["0", "-1", "two"])
def test_jobs_are_counted_from_one(folder: Path, jobs: str) -> None:
    with pytest.raises(SystemExit) as ended:
        clips.main([str(folder), "--output", str(folder.parent / "out"), "--jobs", jobs])
    assert ended.value.code == 2


SLEEPER = """\
import json, os, sys, time
from pathlib import Path

clip, folder = Path(sys.argv[1]), Path(sys.argv[3])
writing = clip.with_suffix(".writing")
writing.write_text(str(os.getpid()))
writing.rename(clip.with_suffix(".pid"))
if clip.stem == "IR_DRONE_001":
    time.sleep(60)
folder.mkdir()
(folder / "tracks.txt").touch()
(folder / "frames.jsonl").write_text(json.dumps({"index": 0, "pts": 0}))
summary = {"exit_reason": "finished", "frames": {"captured": 1}}
(folder / "summary.json").write_text(json.dumps(summary))
"""
"""In place of run_stream.py, too: does not come to an end with one of the clips."""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_clips_and_keeps_what_is_finished(
    folder: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: int
) -> None:
    monkeypatch.undo()
    sleeper = lines(folder.parent / "sleeper.py", SLEEPER)
    script = (
        "import sys; from pathlib import Path; from benchmarks import clips, runs\n"
        f"runs.RUN_STREAM = Path({str(sleeper)!r})\n"
        f"clips._describe = lambda settings: {DETECTOR!r}\n"
        "sys.exit(clips.main(sys.argv[1:]))\n"
    )
    output = folder.parent / "out"
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(folder), "--output", str(output)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 30
    while not (folder / "IR_DRONE_001.pid").exists() and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(number)
    message = process.communicate(timeout=30)[1]
    assert process.returncode == code
    assert "[1/2] IR_BIRD_001: 0 of 1 tracked" in message
    assert message.splitlines()[-1].startswith(f"stopped by {signal.Signals(number).name}")
    assert "Traceback" not in message
    assert [path.name for path in output.iterdir()] == ["IR_BIRD_001"]
    with pytest.raises(ProcessLookupError):
        os.kill(int((folder / "IR_DRONE_001.pid").read_text()), 0)


def test_through_the_real_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clip of the synthetic scene, with a network that was never trained."""
    torch.manual_seed(0)
    info = NetworkInfo(
        name="tiny", width=8, mean=100.0, std=40.0, picture_size=64, threshold=0.5, recipe={}
    )
    save_network(tmp_path / "tiny.safetensors", MPCNet(8), info)
    folder, output = tmp_path / "clips", tmp_path / "out"
    folder.mkdir()
    scene = Scene(SyntheticSettings(width=64, height=48, seconds=0.4, targets=1, occlusion=False))
    images = [scene.render(k).image for k in range(scene.frames)]
    write_video(folder / "SKY_1.mp4", images)
    scene.write_truth(folder / "SKY_1.gt.txt")

    options = ["--weights", str(tmp_path / "tiny.safetensors"), "--max-frames", "9"]
    options += ["--set", "detector.engine=torch", "--set", "detector.mode=full"]  # starts sooner
    report = measure(folder, *options)
    assert (report["pooled"]["frames"], report["pooled"]["labelled"]) == (9, 9)
    assert report["pooled"]["minutes"] == pytest.approx(9 / 30 / 60, rel=1e-3)
    assert report["ran"]["weights"] == "tiny"
    assert {path.name for path in output.iterdir()} == {"SKY_1", "report.json", "report.md"}
    names = {path.name for path in (output / "SKY_1").iterdir()}
    assert {"tracks.txt", "summary.json", "frames.jsonl"} <= names
    assert "annotated.mp4" not in names

    # A real summary is recognised: a second run starts no process.
    monkeypatch.setattr(clips, "_describe", lambda settings: report["ran"])
    monkeypatch.setattr(runs.subprocess, "Popen", None)
    assert measure(folder, *options) == report
