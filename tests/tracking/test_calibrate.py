"""``python -m tracking.calibrate``: what a recorded run tells of its detector."""

import json
from pathlib import Path

import numpy as np
import pytest
from shown_targets import THRESHOLD, seen

from configs.load import load_settings
from streamer.sinks.frames_jsonl import FramesLog
from streamer.types import Detections, Frame, FrameResult
from tracking import build_tracker, calibrate

FPS = 30
FRAMES = 600
DETECTED, FALSE = 0.8, 0.3


def frame(number: int, *, frozen: bool = False) -> Frame:
    return Frame(
        image=np.zeros((256, 320), dtype=np.uint8),
        bit_depth=8,
        index=number,
        pts_seconds=number / FPS,
        utc=0.0,
        captured_seconds=0.0,
        source="made",
        frozen=frozen,
    )


def record(folder: Path, detail: str = "full") -> Path:
    """A target that flies there and back, seen in 4 frames of 5, and false detections; frozen for a
    second. Weak detections everywhere. The run's own files, written by its own sink."""
    rng = np.random.default_rng(1)
    path, truth = folder / "frames.jsonl", []
    tracker = build_tracker(load_settings(None, []).tracker, THRESHOLD)
    log = FramesLog(path, detail)  # type: ignore[arg-type]
    for n in range(FRAMES):
        place = np.array([40 + 200 * abs((n / 150) % 2 - 1), 100.0])
        truth.append(f"{n + 1},1,{place[0] - 5},{place[1] - 5},10,10,1,drone,1\n")
        frozen = 300 <= n < 330
        if frozen:
            found = Detections.empty(n, n / FPS)
        else:
            strong = np.vstack(
                (
                    place + rng.normal(0, 0.4, (int(rng.random() < DETECTED), 2)),
                    rng.uniform((0, 150), (320, 256), (rng.poisson(FALSE), 2)),
                )
            )
            weak = rng.uniform((0, 0), (320, 256), (3, 2))
            score = np.concatenate((np.full(len(strong), 0.9), np.full(3, 0.2)))
            found = seen(np.vstack((strong, weak)), n / FPS, score)
        tracks = tracker.step(found)
        log.write(FrameResult(frame(n, frozen=frozen), found, tracks, {}))
    log.close()
    (folder / "gt.txt").write_text("".join(truth))
    (folder / "summary.json").write_text(json.dumps({"threshold": str(THRESHOLD)}))
    return path


def report(path: Path, *options: str) -> dict[str, object]:
    out = path.parent / "report.json"
    assert calibrate.main([str(path), "--json", str(out), *options]) == 0
    return json.loads(out.read_text())


def test_truth_tells_what_the_detector_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = record(tmp_path)
    made = report(path, "--truth", str(tmp_path / "gt.txt"))
    assert made["frames"] == made["shown"] == FRAMES - 30
    for name, true in (("detection_probability", DETECTED), ("false_alarms_per_frame", FALSE)):
        low, high = made[f"{name}_interval"]  # type: ignore[misc]
        assert low < true < high
        assert low < made[name] < high  # type: ignore[operator]
    said = capsys.readouterr().out
    assert said.splitlines()[-1] == " ".join(f"--set {each}" for each in made["set"])  # type: ignore[attr-defined]
    tuned = load_settings(None, list(made["set"])).tracker  # type: ignore[call-overload]
    assert tuned.detection_probability == pytest.approx(DETECTED, abs=0.05)
    assert tuned.false_alarms_per_frame == pytest.approx(FALSE, abs=0.08)


def test_confirmed_tracks_tell_nearly_the_same(tmp_path: Path) -> None:
    path = record(tmp_path)
    by_truth, by_tracks = report(path, "--truth", str(tmp_path / "gt.txt")), report(path)
    for name in ("detection_probability", "false_alarms_per_frame"):
        assert by_tracks[name] == pytest.approx(by_truth[name], rel=0.1)
    assert by_tracks["truth"] is False


def test_a_higher_threshold_sees_less(tmp_path: Path) -> None:
    path, truth = record(tmp_path), str(tmp_path / "gt.txt")
    all_strong = report(path, "--truth", truth, "--threshold", "0.1")
    assert all_strong["false_alarms_per_frame"] == pytest.approx(3 + FALSE, rel=0.1)
    none = report(path, "--truth", truth, "--threshold", "0.95")
    assert (none["detected"], none["false_alarms"]) == (0, 0)
    tuned = load_settings(None, list(none["set"])).tracker  # type: ignore[call-overload]
    assert 0 < tuned.false_alarms_per_frame < 0.01
    assert 0 < tuned.detection_probability < 0.01


@pytest.mark.parametrize("frames", [1, 10**6, 10**9])
def test_what_it_says_to_set_can_be_set(frames: int) -> None:
    for shown, detected in ((0, 0), (frames, frames), (frames, 0)):
        found = calibrate.Counts(frames, false_alarms=0, shown=shown, detected=detected)
        load_settings(None, found.settings())


def test_what_truth_marks_as_nobodys_is_neither(tmp_path: Path) -> None:
    path, truth = record(tmp_path), tmp_path / "gt.txt"
    ignored = truth.read_text().replace(",10,10,1,drone", ",10,10,0,drone")
    truth.write_text(ignored)
    made = report(path, "--truth", str(truth))
    assert made["shown"] == 0
    assert made["detection_probability"] is None
    assert made["false_alarms_per_frame"] == pytest.approx(FALSE, rel=0.2)
    assert len(made["set"]) == 1  # type: ignore[arg-type]


def test_errors_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(*arguments: str) -> str:
        assert calibrate.main(list(arguments)) == 1
        said = capsys.readouterr().err
        assert said.startswith("error: ")
        assert said.count("\n") == 1
        return said

    short = tmp_path / "counts"
    short.mkdir()
    assert "frames.jsonl:1: no detections: record with logs.detail=full" in refused(
        str(record(short, "tracks"))
    )
    path = record(tmp_path)
    assert "cannot read" in refused(str(tmp_path / "none.jsonl"), "--threshold", "0.5")
    assert "cannot read" in refused(str(path), "--truth", str(tmp_path / "none.txt"))
    (tmp_path / "summary.json").unlink()
    assert "give --threshold" in refused(str(path))
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:4], lines[4][:-20]]))
    assert "frames.jsonl:5: not a frame's line" in refused(str(path), "--threshold", "0.5")
    path.write_text("")
    assert "no frames" in refused(str(path), "--threshold", "0.5")
    with pytest.raises(SystemExit) as ended:
        calibrate.main([str(path), "--threshold", "1.5"])
    assert ended.value.code == 2


@pytest.mark.parametrize(
    "line",
    [
        "[]",
        "7",
        '{"index": 0, "detections": 3, "tracks": []}',
        '{"index": "x", "detections": [], "tracks": []}',
        '{"index": 0, "detections": [{"xy": [1], "score": 1}], "tracks": []}',
        '{"index": 0, "detections": [{"xy": [1, 2], "score": "a"}], "tracks": []}',
        '{"index": 0, "detections": [{"xy": [1, 2], "score": null}], "tracks": []}',
        '{"index": 0, "detections": [], "tracks": [{"id": 1, "state": "confirmed",'
        ' "detection_index": 5}]}',
    ],
)
def test_what_is_no_frame_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    path = tmp_path / "frames.jsonl"
    path.write_text(line + "\n")
    assert calibrate.main([str(path), "--threshold", "0.5"]) == 1
    assert "frames.jsonl:1: not a frame's line" in capsys.readouterr().err
