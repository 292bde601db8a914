"""Ours, with the settings that the product has where the parameters say nothing else."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from benchmarks.peers.exchange import Parameter, Reported, Stream
from configs.schema import TrackerSettings
from streamer.types import Detections
from tracking import build_tracker


class OurTracker:
    """The product's tracker, before a black picture: only its size is known."""

    def __init__(self, stream: Stream, settings: TrackerSettings, threshold: float) -> None:
        self._tracker = build_tracker(settings, threshold)
        self._picture = np.zeros((stream.height, stream.width), dtype=np.uint8)

    def step(self, detections: Detections) -> Reported:
        """Confirmed and coasting tracks."""
        tracks = self._tracker.step(detections, self._picture)
        return Reported(tracks.track_id[tracks.reported], tracks.boxes_xyxy[tracks.reported])


def build(name: str, stream: Stream, parameters: Mapping[str, Parameter]) -> OurTracker:
    """``threshold`` is the detector's; all others are fields of ``TrackerSettings``."""
    del name
    settings = {key: value for key, value in parameters.items() if key != "threshold"}
    threshold = float(parameters["threshold"])
    return OurTracker(stream, TrackerSettings.model_validate(settings), threshold)
