"""``python -m tracking.evaluate`` and ``python -m tracking.run``, and the text they share."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from streamer.types import StreamError
from tracking import evaluate, run
from tracking.mot import read_mot


def lines(folder: Path, name: str, *rows: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{row}\n" for row in rows))
    return path


def score(tmp_path: Path, *options: str) -> dict[str, dict[str, float]]:
    report = tmp_path / "report.json"
    arguments = [str(tmp_path / "gt"), str(tmp_path / "pred"), "--json", str(report), *options]
    assert evaluate.main(arguments) == 0
    return json.loads(report.read_text())


# -- text --------------------------------------------------------------------------------------


def test_reads_truth_tracks_and_detections(tmp_path: Path) -> None:
    table = read_mot(
        lines(
            tmp_path,
            "all.txt",
            "1,1,138.00,81.00,24.00,15.00,1,airplane,1",
            "",
            "2,3,10.5,20.5,1,1,0.75,-1,-1,-1",
            "7, -1, 4, 5, 2, 4, -1",
            "8,-1,4,5,2,4",
        )
    )
    assert table.frame.tolist() == [1, 2, 7, 8]
    assert table.object_id.tolist() == [1, 3, -1, -1]
    assert table.boxes_xyxy[0].tolist() == [138, 81, 162, 96]
    assert table.centres[1].tolist() == [11, 21]
    assert table.confidence.tolist() == [1, 0.75, 1, 1]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("1,1,2,3,4", "5 values"),
        ("1,1,2,x,4,5", "y is 'x'"),
        ("1,1,2,nan,4,5", "y is 'nan'"),
        ("0,1,2,3,4,5", "frame is 0"),
        ("1.5,1,2,3,4,5", "frame is 1.5"),
        ("1e30,1,2,3,4,5", "frame is 1e30"),
        ("1,2.5,2,3,4,5", "id is 2.5"),
        ("1,1,2,3,-4,5", "the box is -4 by 5"),
        ("1,1,2,3,4,5,7", "confidence is 7"),
        ("1,1,2,3,4,5,-0.5", "confidence is -0.5"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, row: str, says: str) -> None:
    path = lines(tmp_path, "bad.txt", "1,1,2,3,4,5", row)
    with pytest.raises(StreamError, match=rf"bad\.txt:2: {says}"):
        read_mot(path)


def test_what_is_no_text_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StreamError, match="cannot read"):
        read_mot(tmp_path / "missing.txt")
    (tmp_path / "film.mp4").write_bytes(b"\x00\xff\xfe\x81" * 9)
    with pytest.raises(StreamError, match="not a text file"):
        read_mot(tmp_path / "film.mp4")


# -- evaluate ----------------------------------------------------------------------------------


def test_evaluate_counts_by_clip_by_group_and_together(tmp_path: Path) -> None:
    truth = [f"{frame},1,45,45,10,10,1,drone,1" for frame in range(1, 11)]
    lines(tmp_path, "gt/IR_DRONE_001.gt.txt", *truth)
    lines(tmp_path, "gt/IR_DRONE_002.txt", *truth)
    lines(tmp_path, "gt/IR_BIRD_001.gt.txt", *truth[:4])
    lines(tmp_path, "gt/IR_BIRD_009.gt.txt", *truth)  # no tracks of it: not asked for
    good = [f"{frame},5,48,48,4,4,0.9,-1,-1,-1" for frame in range(3, 11)]
    lines(tmp_path, "pred/IR_DRONE_001/tracks.txt", *good)
    lines(tmp_path, "pred/IR_DRONE_002.txt", *good, "4,6,0,0,2,2,0.4,-1,-1,-1")
    lines(tmp_path, "pred/IR_BIRD_001.txt")
    report = score(tmp_path, "--fps", "20", "--markdown", str(tmp_path / "table.md"))

    assert set(report["clips"]) == {"IR_DRONE_001", "IR_DRONE_002", "IR_BIRD_001"}
    drones, everything = report["groups"]["IR_DRONE"], report["pooled"]
    assert (drones["labelled"], drones["tracked"], drones["false_tracks"]) == (20, 16, 1)
    assert (everything["labelled"], everything["tracked"]) == (24, 16)
    assert everything["tracked_share"] == pytest.approx(16 / 24)
    assert everything["minutes"] == pytest.approx(24 / 20 / 60)
    assert everything["false_tracks_per_minute"] == pytest.approx(50)
    tables = (tmp_path / "table.md").read_text().split("\n\n")
    assert len(tables) == 3
    for text in tables:
        rows = text.splitlines()
        assert [row.split("|")[1].strip() for row in rows[2:]] == ["IR_BIRD", "IR_DRONE", "all"]
        assert len({row.count("|") for row in rows}) == 1
    boxes, centres, frames = (text.splitlines()[-1] for text in tables)
    assert "66.67 %" in boxes
    assert "| 78.05 % | 94.12 % | 66.67 % |" in centres  # IDF1, IDP, IDR: 16 of 17 and of 24
    assert "| 0.10 | 0.10 | - | - |" in frames  # both drones are found in their third frame


def test_evaluate_measures_by_centres(tmp_path: Path) -> None:
    truth = [f"{frame},1,45,45,10,10,1,drone,1" for frame in range(1, 11)]
    lines(tmp_path, "gt/a.txt", *truth)
    tracks = [f"{frame},{5 + frame // 6},49,46,6,8,0.9,-1,-1,-1" for frame in range(1, 11)]
    lines(tmp_path, "pred/a.txt", *tracks)  # 2 px off, a new id from frame 6 on
    report = score(tmp_path)
    assert report["similarity"] == {"distance_px": 6.0, "threshold": 0.5}
    figures = report["clips"]["a"]
    assert figures["hota"]["det_a"] == pytest.approx(13 / 19)  # two thirds alike
    assert figures["hota"]["ass_a"] == pytest.approx(13 / 19 / 2)
    assert figures["identity"]["idf1"] == pytest.approx(0.5)
    assert (figures["clear"]["mota"], figures["clear"]["identity_switches"]) == (0.9, 1)
    assert figures["clear"]["motp"] == pytest.approx(2 / 3)
    assert figures["gospa"] == {
        "gospa_px": pytest.approx(2), "localisation": pytest.approx(4), "missed": 0, "false": 0,
    }  # fmt: skip
    assert figures["confirmation_seconds_median"] == 0
    assert figures["consistency"] == {"pairs": 0, "nees": None, "within_95": None}
    assert report["groups"]["a"] == report["pooled"] == figures

    assert score(tmp_path, "--distance", "3.9")["pooled"]["identity"]["idf1"] == 0
    stricter = score(tmp_path, "--threshold", "0.7")
    assert stricter["similarity"]["threshold"] == 0.7
    assert stricter["pooled"]["clear"]["misses"] == 10


def test_covariances_of_a_run_give_nees(tmp_path: Path) -> None:
    lines(tmp_path, "gt/a.txt", *(f"{frame},1,46,46,10,10,1,drone,1" for frame in (1, 2)))
    lines(tmp_path, "pred/a/tracks.txt", *(f"{k},4,48,50,2,2,0.9,-1,-1,-1" for k in (1, 2)))
    track = {"id": 4, "state": "confirmed", "xy": [49, 51], "position_cov": [[2, 0], [0, 1]]}
    frames = [json.dumps({"index": index, "tracks": [track]}) for index in (0, 1)]
    lines(tmp_path, "pred/a/frames.jsonl", *frames)
    off = score(tmp_path)["pooled"]["consistency"]  # by 2 px along x
    assert off == {"pairs": 2, "nees": pytest.approx(4 / 2), "within_95": 1}
    moved = score(tmp_path, "--matlab-pixels")["pooled"]["consistency"]  # by 1 px along both
    assert moved["nees"] == pytest.approx(1 / 2 + 1)


@pytest.mark.parametrize("option", [["--distance", "0"], ["--threshold", "1.5"], ["--fps", "x"]])
def test_evaluate_refuses_what_is_out_of_range(tmp_path: Path, option: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        evaluate.main([str(tmp_path), str(tmp_path), "--json", "x.json", *option])
    assert ended.value.code == 2


def test_truth_drawn_in_matlab_is_moved_by_a_pixel(tmp_path: Path) -> None:
    lines(tmp_path, "gt/a.txt", "1,1,11,11,4,4,1,drone,1")  # ours: 10 to 14
    lines(tmp_path, "pred/a.txt", "1,1,9.5,9.5,1,1,1,-1,-1,-1")  # centre 10
    assert score(tmp_path)["pooled"]["tracked"] == 0
    assert score(tmp_path, "--matlab-pixels")["pooled"]["tracked"] == 1


def test_truth_that_is_marked_as_hidden_is_not_scored(tmp_path: Path) -> None:
    lines(tmp_path / "gt", "A_1.gt.txt", "1,1,8,18,5,5,1,1,1", "2,1,8,18,5,5,0,1,0")
    lines(tmp_path / "pred", "A_1.txt", "1,1,8,18,5,5,1,-1,-1,-1")
    assert score(tmp_path)["pooled"]["labelled"] == 1
    assert score(tmp_path)["pooled"]["tracked_share"] == 1.0


def test_lengths_give_the_minutes_and_cut_labels_beyond_the_end(tmp_path: Path) -> None:
    truth = [f"{frame},1,45,45,10,10,1,drone,1" for frame in (1, 2, 301)]
    lines(tmp_path, "gt/a.txt", *truth)
    lines(tmp_path, "pred/a.txt")
    lengths = lines(tmp_path, "lengths.csv", "a,300", "")
    pooled = score(tmp_path, "--lengths", str(lengths))["pooled"]
    assert (pooled["frames"], pooled["labelled"]) == (300, 2)


def test_clips_without_labels_count_only_if_asked(tmp_path: Path) -> None:
    lines(tmp_path, "gt/a.txt", "1,1,45,45,10,10,1,drone,1")
    lines(tmp_path, "gt/b.gt.txt")
    for name in "abc":
        lines(tmp_path, f"pred/{name}.txt", "9,1,0,0,1,1,1,-1,-1,-1")
    assert set(score(tmp_path)["clips"]) == {"a"}
    asked = score(tmp_path, "--count-unlabelled")
    assert set(asked["clips"]) == {"a", "b", "c"}
    assert asked["pooled"]["false_tracks"] == 3


def test_a_listed_clip_without_tracks_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in "ab":
        lines(tmp_path, f"gt/{name}.txt", "1,1,45,45,10,10,1,drone,1")
    lines(tmp_path, "pred/a.txt", "1,1,48,48,4,4,1,-1,-1,-1")
    listed = lines(tmp_path, "val.txt", "# the validation part", "a", "b")
    code = evaluate.main(
        [
            str(tmp_path / "gt"),
            str(tmp_path / "pred"),
            "--json",
            str(tmp_path / "x.json"),
            "--clips",
            str(listed),
        ]
    )
    message = capsys.readouterr().err
    assert code == 1
    assert message.startswith("error: no tracks of b")
    assert message.count("\n") == 1


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("no folder", "is not a folder"),
        ("nothing", "nothing to score"),
        ("bad lengths", "lengths.csv:1"),
        ("no length", "has no length of a"),
        ("unwritable", "cannot write"),
        ("twice", "a: track 1 in frame 1 has more than one line"),
        ("bad log", "frames.jsonl:1: not a frame's line"),
    ],
)
def test_evaluate_says_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str, says: str
) -> None:
    lines(tmp_path, "gt/a.txt", "1,1,45,45,10,10,1,drone,1")
    lines(tmp_path, "pred/a.txt", "1,1,48,48,4,4,1,-1,-1,-1")
    arguments = [str(tmp_path / "gt"), str(tmp_path / "pred"), "--json", str(tmp_path / "x.json")]
    if damage == "no folder":
        arguments[0] = str(tmp_path / "elsewhere")
    elif damage == "nothing":
        (tmp_path / "pred/a.txt").unlink()
    elif damage == "twice":
        lines(tmp_path, "pred/a.txt", *["1,1,48,48,4,4,1,-1,-1,-1"] * 2)
    elif damage == "bad log":
        lines(tmp_path, "pred/a/frames.jsonl", "no JSON")
    elif damage == "unwritable":
        arguments[3] = str(tmp_path / "no/such/x.json")
    else:
        content = "a 300" if damage == "bad lengths" else "b,300"
        arguments += ["--lengths", str(lines(tmp_path, "lengths.csv", content))]
    assert evaluate.main(arguments) == 1
    message = capsys.readouterr().err
    assert says in message
    assert message.count("\n") == 1


# -- run ---------------------------------------------------------------------------------------


def straight_flight(folder: Path) -> Path:
    rng = np.random.default_rng(8)
    rows = []
    for frame in range(1, 61):
        x, y = 20 + 2 * frame + rng.normal(0, 0.4), 100 + rng.normal(0, 0.4)
        rows.append(f"{frame},-1,{x - 1.5:.2f},{y - 1.5:.2f},3,3,0.9")
        if frame % 5 == 0:
            rows.append(f"{frame},-1,{rng.uniform(0, 300):.2f},{rng.uniform(0, 60):.2f},2,2,0.6")
    return lines(folder, "detections.txt", *rows)


def test_run_writes_the_confirmed_track(tmp_path: Path) -> None:
    output = tmp_path / "tracks.txt"
    arguments = [str(straight_flight(tmp_path)), "--fps", "30", "--output", str(output)]
    assert run.main(arguments) == 0
    table = read_mot(output)
    assert set(table.object_id) == {1}
    assert table.frame.tolist() == list(range(5, 61))
    assert table.centres[-1] == pytest.approx([140, 100], abs=1.5)
    assert output.read_text().splitlines()[0].endswith(",-1,-1,-1")

    again = tmp_path / "again.txt"
    assert run.main([*arguments[:-1], str(again)]) == 0
    assert again.read_bytes() == output.read_bytes()

    counted = ["--set", "tracker.life=m_of_n", "--set", "tracker.confirm_hits=6"]
    assert run.main([*arguments, *counted]) == 0
    assert read_mot(output).frame.min() == 6
    assert run.main([*arguments, "--set", "detector.threshold=0.95"]) == 0
    assert len(read_mot(output)) == 0


@pytest.mark.parametrize(
    ("extra", "code", "says"),
    [
        (["--set", "tracker.gate=3"], 2, "unknown setting tracker.gate"),
        (["--set", "tracker.coast_seconds=-1"], 2, "tracker.coast_seconds=-1"),
        (["--fps", "0"], 2, "is not a number above 0"),
        (["--output", "no/such/folder/tracks.txt"], 1, "cannot write"),
    ],
)
def test_run_says_what_is_wrong(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    extra: list[str],
    code: int,
    says: str,
) -> None:
    output = tmp_path / "tracks.txt"
    base = [str(straight_flight(tmp_path)), "--fps", "30", "--output", str(output)]
    with pytest.raises(SystemExit) as ended:
        run.main([*base, *extra])
    assert ended.value.code == code
    assert says in capsys.readouterr().err


def test_bad_detections_leave_no_output_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad, output = lines(tmp_path, "bad.txt", "1,-1,2"), tmp_path / "tracks.txt"
    with pytest.raises(SystemExit) as ended:
        run.main([str(bad), "--fps", "30", "--output", str(output)])
    assert ended.value.code == 1
    assert "bad.txt:1" in capsys.readouterr().err
    assert not output.exists()


def test_both_commands_from_a_shell(tmp_path: Path) -> None:
    """Detections to tracks to a score, as a user does it."""
    found = straight_flight(tmp_path)
    truth = [f"{frame},1,{15 + 2 * frame},95,10,10,1,drone,1" for frame in range(1, 61)]
    lines(tmp_path, "gt/flight.gt.txt", *truth)
    (tmp_path / "pred").mkdir()
    root = Path(__file__).resolve().parents[2]
    for arguments in (
        ["tracking.run", found, "--fps", "30", "--output", tmp_path / "pred/flight.txt"],
        ["tracking.evaluate", tmp_path / "gt", tmp_path / "pred", "--json", tmp_path / "x.json"],
    ):
        command = [sys.executable, "-m", *map(str, arguments)]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
    pooled = json.loads((tmp_path / "x.json").read_text())["pooled"]
    assert (pooled["tracked"], pooled["false_tracks"], pooled["identity_switches"]) == (56, 0, 0)
    assert "| flight |" in done.stdout
