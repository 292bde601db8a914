"""A source whose pictures change their size and depth in mid-stream, through to its files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from pipeline_fakes import settings
from quick_detector import Ticket

from streamer.pipeline import Pipeline, Stream
from streamer.sinks.factory import build_sinks
from streamer.sources.factory import open_source
from streamer.types import Detections, Frame
from tracking import build_tracker


class BrightestPixel:
    """A detector that needs no network."""

    max_batch = 2
    max_in_flight = 1

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


def test_buffers_follow_and_nothing_stale_is_drawn_or_logged(tmp_path: Path) -> None:
    """80x60 of 8 bit, then 161x101 (odd) of 16 bit, then 80x60 again; a target in each."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "frames"
    folder.mkdir()
    for k in range(60):
        deep = 20 <= k < 40
        height, width = (101, 161) if deep else (60, 80)
        image = rng.integers(90, 110, (height, width)) * (100 if deep else 1)
        image[20, 10 + k % 20 * 2] = 20_000 if deep else 200
        cv2.imwrite(str(folder / f"{k:03}.png"), image.astype(np.uint16 if deep else np.uint8))
    chosen = settings(output={"record": {"preset": "ultrafast"}})
    output = tmp_path / "out"
    output.mkdir()
    source = open_source(str(folder), chosen.source, "cam")
    sinks = build_sinks(output, chosen, source="cam", window=None, live=False)
    tracker = build_tracker(chosen.tracker, 0.5)
    pipeline = Pipeline([Stream(source, tracker, tuple(sinks))], BrightestPixel(), chosen)
    assert not pipeline.run(tick_seconds=0.02).failed

    lines = [json.loads(line) for line in (output / "frames.jsonl").read_text().splitlines()]
    assert len(lines) == 60
    ids = [{track["id"] for track in line["tracks"]} for line in lines]
    parts = [set().union(*ids[start : start + 20]) for start in (0, 20, 40)]
    assert [len(part) for part in parts] == [1, 1, 1]
    assert not parts[0] & parts[1] and not parts[1] & parts[2]
    for start in (20, 40):  # the first frame of each size shows what is in it, and no more
        (track,) = lines[start]["tracks"]
        assert track["xy"] == pytest.approx([10, 20])
    counts = []
    for path in sorted(output.glob("annotated*.mp4")):
        with av.open(str(path)) as video:
            counts.append(sum(1 for _ in video.decode(video=0)))
    assert counts == [20, 20, 20]
