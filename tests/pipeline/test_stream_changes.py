"""A source whose pictures change their size and depth in mid-stream, through to its files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from pipeline_fakes import settings
from quick_detector import Ticket

from streamer.overlay import Overlay
from streamer.pipeline import Pipeline, Stream
from streamer.sinks.factory import build_sinks
from streamer.sinks.record import Recorder
from streamer.sources.factory import open_source
from streamer.types import Detections, Frame, FrameResult
from tracking import build_tracker


class BrightestPixel:
    """A detector that needs no network."""

    max_batch = 2
    max_in_flight = 1
    begins_ahead = False

    def begin(self, frames: Sequence[Frame]) -> Ticket:
        return Ticket([self._found(frame) for frame in frames])

    def _found(self, frame: Frame) -> Detections:
        y, x = np.unravel_index(np.argmax(frame.image), frame.image.shape)
        one = np.ones(1)
        return Detections(
            xy=np.array([[x, y]]),
            boxes_xyxy=np.array([[x - 0.5, y - 0.5, x + 0.5, y + 0.5]]),
            score=0.9 * one,
            area_px=one,
            peak_snr=9 * one,
            extended=np.zeros(1, dtype=np.bool_),
            frame_index=frame.index,
            pts_seconds=frame.pts_seconds,
        )

    def describe(self) -> dict[str, str]:
        return {"weights": "none"}

    def close(self) -> None:
        pass


class Notes:
    """A sink that keeps what it was given."""

    name = "notes"

    def __init__(self) -> None:
        self.results: list[FrameResult] = []

    def write(self, result: FrameResult) -> None:
        self.results.append(result)

    def close(self) -> None:
        pass


SMALL, LARGE = (60, 80), (101, 161)  # odd sides, too


@pytest.mark.parametrize(
    ("size", "depth"), [(LARGE, 16), (LARGE, 8), (SMALL, 16)], ids=["both", "size", "depth"]
)
def test_buffers_follow_and_nothing_stale_is_drawn_or_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], depth: int
) -> None:
    """80x60 of 8 bit, then another size or depth or both, then as at first; a target in each."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "frames"
    folder.mkdir()
    for k in range(60):
        other = 20 <= k < 40
        deep = other and depth == 16
        levels = (60, 160) if other else (90, 110)
        image = rng.integers(*levels, size if other else SMALL) * (100 if deep else 1)
        image[20, 10 + k % 20 * 2] = 20_000 if deep else 200
        cv2.imwrite(str(folder / f"{k:03}.png"), image.astype(np.uint16 if deep else np.uint8))
    record = {"preset": "ultrafast", "original": True}
    chosen = settings(output={"record": record, "overlay": {"min_width": 64}})
    output = tmp_path / "out"
    output.mkdir()
    source = open_source(str(folder), chosen.source, "cam")
    sinks = build_sinks(output, chosen, source="cam", window=None, live=False)
    drawn: list[np.ndarray] = []
    real = Recorder.write

    def write(self: Recorder, picture: np.ndarray, *arguments: Any) -> None:
        drawn.append(picture)
        real(self, picture, *arguments)

    monkeypatch.setattr(Recorder, "write", write)
    notes = Notes()
    stream = Stream(source, build_tracker(chosen.tracker, 0.5), (*sinks, notes))
    assert not Pipeline([stream], BrightestPixel(), chosen).run(tick_seconds=0.02).failed

    lines = [json.loads(line) for line in (output / "frames.jsonl").read_text().splitlines()]
    assert len(lines) == 60
    ids = [{track["id"] for track in line["tracks"]} for line in lines]
    parts = [set().union(*ids[start : start + 20]) for start in (0, 20, 40)]
    assert [len(part) for part in parts] == [1, 1, 1]
    assert not parts[0] & parts[1] and not parts[1] & parts[2]
    for start in (20, 40):  # the first frame of each kind shows what is in it, and no more
        (track,) = lines[start]["tracks"]
        assert track["xy"] == pytest.approx([10, 20])
    # From each change on it is drawn as if nothing had been before.
    assert len(drawn) == 60
    for start in (0, 20, 40):
        fresh = Overlay(chosen.output.overlay)
        for result, picture in zip(notes.results[start:], drawn[start : start + 20], strict=False):
            np.testing.assert_array_equal(fresh.draw(result), picture)
    for pattern in ("annotated*.mp4", "original*.mkv"):
        counts = []
        for path in sorted(output.glob(pattern)):
            with av.open(str(path)) as video:
                counts.append(sum(1 for _ in video.decode(video=0)))
        assert counts == [20, 20, 20], pattern
