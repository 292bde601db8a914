"""Targets to show a tracker: detections made of positions and times."""

import numpy as np
from numpy.typing import ArrayLike

from configs.schema import TrackerSettings
from streamer.protocols import Tracker
from streamer.types import Detections, Tracks
from tracking import build_tracker
from tracking.table import TrackTable

SIGMA = 0.5
SIZE = 3.0
THRESHOLD = 0.5
DISPLACEMENT = TrackerSettings().confirm_displacement_px


def tracker(**changes: object) -> Tracker:
    """A tracker that also confirms what stands still, which is the simplest target to write."""
    settings = {"confirm_displacement_px": 0, **changes}
    return build_tracker(TrackerSettings.model_validate(settings), THRESHOLD)


def seen(
    xy: ArrayLike,
    seconds: float,
    score: ArrayLike = 0.9,
    *,
    extended: bool = False,
    area: float = SIZE**2,
    snr: float = 8.0,
) -> Detections:
    """Detections at ``xy`` (N, 2), each a square of ``SIZE`` px, at ``seconds``."""
    centres = np.asarray(xy, dtype=np.float64).reshape(-1, 2)
    count = len(centres)
    return Detections(
        xy=centres,
        boxes_xyxy=np.hstack((centres - SIZE / 2, centres + SIZE / 2)),
        score=np.broadcast_to(score, count),
        area_px=np.full(count, area),
        peak_snr=np.full(count, snr),
        extended=np.full(count, extended),
        frame_index=0,
        pts_seconds=seconds,
    )


def follow(subject: Tracker, xy: ArrayLike, times: ArrayLike, noise: float = 0.0) -> list[Tracks]:
    """Show ``subject`` one target at ``xy`` (T, 2) at ``times`` (T,)."""
    rng = np.random.default_rng(5)
    places = np.asarray(xy) + rng.normal(0, noise, np.shape(xy)) if noise else np.asarray(xy)
    return [
        subject.step(seen(place, time))
        for place, time in zip(places, np.asarray(times).tolist(), strict=True)
    ]


def line(times: ArrayLike, start: ArrayLike, velocity: ArrayLike) -> np.ndarray:
    """Positions (T, 2) of a target in straight flight."""
    return np.asarray(start) + np.asarray(times)[:, None] * np.asarray(velocity)


def one_track(variance: float) -> TrackTable:
    """A tentative track of one detection, of that variance, px^2, at (50, 50)."""
    cov = np.zeros((1, 4, 4))
    cov[0, :2, :2] = variance * np.eye(2)
    return TrackTable.born(
        track_id=np.array([1]),
        mean=np.array([[50.0, 50.0, 0.0, 0.0]]),
        cov=cov,
        size=np.full((1, 2), 3.0),
        score=np.array([0.9]),
        strong=np.array([True]),
        jitter_px=np.array([0.7]),
        cut_off=np.zeros((1, 2), dtype=np.bool_),
        window=6,
        clock=0.0,
        detection=np.array([0]),
    )
