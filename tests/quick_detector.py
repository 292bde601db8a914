"""A detector that needs no network, so that whole runs of the command take a second."""

from __future__ import annotations

import numpy as np

from streamer.types import Detections, Frame


class Ticket:
    def __init__(self, found: list[Detections]) -> None:
        self._found = found
        self.stage_seconds = {"network": 0.0}

    def look(self, hints: object) -> None:
        """Nothing depends on hints."""

    def result(self) -> list[Detections]:
        return self._found


class QuickDetector:
    """Sees one target, which moves by a pixel a frame."""

    max_batch = max_in_flight = 1
    begins_ahead = False
    threshold = 0.5

    def begin(self, frames: list[Frame]) -> Ticket:
        return Ticket([self._found(frame) for frame in frames])

    def _found(self, frame: Frame) -> Detections:
        xy = np.array([[8.0 + frame.index % 48, 20.0]])
        return Detections(
            xy=xy,
            boxes_xyxy=np.hstack([xy - 1, xy + 1]),
            score=np.array([0.9]),
            area_px=np.array([4.0]),
            peak_snr=np.array([9.0]),
            extended=np.array([False]),
            frame_index=frame.index,
            pts_seconds=frame.pts_seconds,
        )

    def describe(self) -> dict[str, str]:
        return {"weights": "none", "device": "cpu", "engine": "none"}

    def close(self) -> None:
        pass
