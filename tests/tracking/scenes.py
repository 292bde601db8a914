"""Detections made up for the tracker's tests."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from streamer.types import Detections


def detections(
    xy: ArrayLike,
    pts_seconds: float,
    *,
    score: ArrayLike = 0.9,
    size: ArrayLike = 3.0,
    snr: float = 8.0,
    extended: bool = False,
) -> Detections:
    """Detections at ``xy`` (N, 2), square boxes of ``size`` px; the index is of no account."""
    centres = np.asarray(xy, dtype=np.float64).reshape(-1, 2)
    count = len(centres)
    sizes = np.broadcast_to(size, count).astype(np.float64)[:, None]
    return Detections(
        xy=centres,
        boxes_xyxy=np.hstack((centres - sizes / 2, centres + sizes / 2)),
        score=np.broadcast_to(score, count),
        area_px=sizes[:, 0] ** 2,
        peak_snr=np.full(count, snr),
        extended=np.full(count, extended),
        frame_index=0,
        pts_seconds=pts_seconds,
    )
