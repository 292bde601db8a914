"""From detections to tracks: motion, association and life of point targets."""

from __future__ import annotations

from collections.abc import Callable

from configs.schema import TrackerSettings
from tracking.smoother import RtsSmoother
from tracking.tracker import KalmanTracker

__all__ = ["TRACKERS", "RtsSmoother", "build_tracker"]

TRACKERS: dict[str, Callable[[TrackerSettings, float], KalmanTracker]] = {
    "kalman": lambda settings, threshold: KalmanTracker(settings, threshold=threshold),
}
"""Every tracker by its ``tracker.kind``."""


def build_tracker(settings: TrackerSettings, threshold: float) -> KalmanTracker:
    """A fresh tracker for one source.

    Args:
        settings: ``settings.kind`` says which tracker.
        threshold: score, 0..1, that a detection must reach to be more than a continuation.
    """
    return TRACKERS[settings.kind](settings, threshold)
