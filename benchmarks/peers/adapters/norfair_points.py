"""norfair, by its own Euclidean distance of points."""

from __future__ import annotations

from collections.abc import Mapping

import norfair
import numpy as np
from norfair.filter import OptimizedKalmanFilterFactory

from benchmarks.peers.exchange import Parameter, Reported, Stream, strong
from streamer.types import Detections


class PointTracker:
    """norfair counts frames: of those that did not arrive it is told as of frames that a detector
    skips, by updates without detections and ``period``.
    """

    def __init__(self, parameters: Mapping[str, Parameter]) -> None:
        hits = int(parameters["hit_counter_max"])
        self._tracker = norfair.Tracker(
            distance_function="euclidean",
            distance_threshold=float(parameters["distance_threshold"]),
            hit_counter_max=hits,
            initialization_delay=min(int(parameters["initialization_delay"]), hits - 1),
            pointwise_hit_counter_max=int(parameters["pointwise_hit_counter_max"]),
            filter_factory=OptimizedKalmanFilterFactory(
                R=float(parameters["r"]),
                Q=float(parameters["q"]),
                pos_variance=float(parameters["pos_variance"]),
                vel_variance=float(parameters["vel_variance"]),
            ),
            past_detections_length=0,
        )
        self._least_score = float(parameters["least_score"])
        self._live_only = parameters["shown"] == "live"
        self._last_index: int | None = None

    def step(self, detections: Detections) -> Reported:
        """Active objects, or those of them whose points norfair calls live."""
        rows = strong(detections, self._least_score)
        last = self._last_index
        period = 1 if last is None else detections.frame_index - last
        self._last_index = detections.frame_index
        for _ in range(period - 1):
            self._tracker.update(period=period)
        seen = [norfair.Detection(points=xy[None, :]) for xy in detections.xy[rows]]
        active = self._tracker.update(seen, period=period)
        shown = [each for each in active if each.live_points.any() or not self._live_only]
        positions = [each.estimate[0] for each in shown]
        return Reported.points([each.id for each in shown], np.array(positions))


def build(name: str, stream: Stream, parameters: Mapping[str, Parameter]) -> PointTracker:
    """Nothing of the stream is needed: norfair knows no time."""
    del name, stream
    return PointTracker(parameters)
