import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sink_results import result_of, some_detections, tracks_at

from streamer.sinks.files import number
from streamer.sinks.frames_jsonl import FramesLog
from streamer.sinks.tracks_txt import TracksText
from streamer.types import StreamError, TrackState

MIXED = [TrackState.CONFIRMED, TrackState.TENTATIVE, TrackState.COASTING]


def test_tracks_are_motchallenge_lines_of_reported_tracks(tmp_path: Path) -> None:
    sink = TracksText(tmp_path / "tracks.txt")
    tracks = tracks_at([(10, 20), (3, 4), (-0.001, 7.126)], ids=[9, 2, 5], state=MIXED)
    sink.write(result_of(4, tracks=tracks))
    sink.write(result_of(6))
    sink.close()
    assert (tmp_path / "tracks.txt").read_text() == (
        "5,5,-0.50,6.63,1.00,1.00,0.9000,-1,-1,-1\n5,9,9.50,19.50,1.00,1.00,0.9000,-1,-1,-1\n"
    )


def test_a_box_at_zero_has_no_minus_sign(tmp_path: Path) -> None:
    sink = TracksText(tmp_path / "tracks.txt")
    sink.write(result_of(0, tracks=tracks_at([(0.4999, 0.4999)])))
    sink.close()
    assert (tmp_path / "tracks.txt").read_text().startswith("1,1,0.00,0.00,")


def test_tracks_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    sink = TracksText(tmp_path / "tracks.txt")
    with pytest.raises(ValueError, match=r"frame 1: .*\[1\]"):
        sink.write(result_of(0, tracks=tracks_at([(math.nan, 1)])))
    sink.close()


def write_frames(path: Path, detail: str) -> list[dict]:  # type: ignore[type-arg]
    sink = FramesLog(path, detail)  # type: ignore[arg-type]
    tracks = tracks_at([(10, 20), (3, 4), (5, 7)], ids=[9, 2, 5], state=MIXED)
    sink.write(result_of(4, 0.25, tracks=tracks, detections=some_detections(4, 0.25)))
    sink.write(result_of(6, 0.5))
    sink.close()

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return [json.loads(line, parse_constant=refuse) for line in path.read_text().splitlines()]


def test_the_full_frame_log_holds_everything(tmp_path: Path) -> None:
    first, second = write_frames(tmp_path / "frames.jsonl", "full")
    assert (first["index"], first["pts"], first["utc"]) == (4, 0.25, 1_770_000_000.25)
    assert first["counts"] == {"detections": 2, "tentative": 1, "confirmed": 1, "coasting": 1}
    strong, weak = first["detections"]
    assert strong["xy"] == [10.25, 20.5]
    assert strong["box_xyxy"] == [9.5, 19.5, 11.5, 21.5]
    assert strong["peak_snr"] is None  # infinite: JSON has no word for it
    assert weak == {
        "xy": [3.0, 4.0], "box_xyxy": [2.5, 3.5, 3.5, 4.5], "score": 0.2, "area_px": 1.0,
        "peak_snr": 7.5, "extended": True,
    }  # fmt: skip
    assert [track["id"] for track in first["tracks"]] == [9, 2, 5]
    assert [track["state"] for track in first["tracks"]] == ["confirmed", "tentative", "coasting"]
    assert first["tracks"][0]["position_cov"] == [[0.36, 0.0], [0.0, 0.36]]
    assert first["tracks"][2]["detection_index"] == -1
    assert second["tracks"] == second["detections"] == []


def test_detail_makes_the_frame_log_shorter(tmp_path: Path) -> None:
    tracks_only = write_frames(tmp_path / "a.jsonl", "tracks")[0]
    counts_only = write_frames(tmp_path / "b.jsonl", "counts")[0]
    assert "detections" not in tracks_only
    assert len(tracks_only["tracks"]) == 3
    assert counts_only.keys() == {"index", "pts", "utc", "frozen", "damaged", "counts"}
    assert counts_only["counts"]["detections"] == 2


@given(st.floats(), st.integers(0, 6))
def test_numbers_are_json_or_null(value: float, digits: int) -> None:
    text = json.dumps(number(value, digits), allow_nan=False)
    assert (json.loads(text) is None) == (not math.isfinite(value))
    assert text not in ("-0.0", "-0")


@pytest.mark.parametrize("kind", [TracksText, lambda path: FramesLog(path, "full")])
def test_files_are_never_overwritten_and_say_why_they_cannot_be_made(tmp_path, kind) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "used").write_text("precious")
    for path in (tmp_path / "used", tmp_path / "missing" / "file"):
        with pytest.raises(StreamError, match=path.name):
            kind(path)
    assert (tmp_path / "used").read_text() == "precious"


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, "tests/sinks")
from sink_results import result_of, tracks_at
from streamer.sinks.frames_jsonl import FramesLog
from streamer.sinks.tracks_txt import TracksText
folder = Path(sys.argv[1])
sinks = [TracksText(folder / "tracks.txt"), FramesLog(folder / "frames.jsonl", "full")]
for index in range(50):
    for sink in sinks:
        sink.write(result_of(index, tracks=tracks_at([(9, 9)] * 20)))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_kill_leaves_every_line_whole(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)], cwd=Path(__file__).parents[2], check=False
    )
    frames = (tmp_path / "frames.jsonl").read_text()
    assert [json.loads(line)["index"] for line in frames.splitlines()] == list(range(50))
    table = np.loadtxt(tmp_path / "tracks.txt", delimiter=",")
    assert table.shape == (1000, 10)
