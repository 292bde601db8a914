"""Where each target was during the last seconds."""

from __future__ import annotations

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

from streamer.types import Tracks


class Trails:
    """A short history of every live track, forgotten with the track.

    Tentative tracks are remembered too, so that the trail is there when one is confirmed.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._points: dict[int, deque[tuple[float, float, float]]] = {}

    def update(self, tracks: Tracks, pts_seconds: float, min_step_px: float) -> None:
        """Remember the positions at this time, where they moved by ``min_step_px`` or more."""
        live: dict[int, deque[tuple[float, float, float]]] = {}
        if self._seconds > 0:
            for track_id, (x, y) in zip(tracks.track_id.tolist(), tracks.xy.tolist(), strict=True):
                points = self._points.get(track_id) or deque()
                if points and pts_seconds < points[-1][0]:
                    points.clear()  # the clock jumped back: what was, was another time
                if not points or math.dist(points[-1][1:], (x, y)) >= min_step_px:
                    points.append((pts_seconds, x, y))
                while points and points[0][0] < pts_seconds - self._seconds:
                    points.popleft()
                live[track_id] = points
        self._points = live

    def of(self, track_id: int, pts_seconds: float) -> tuple[NDArray[np.float64], ...]:
        """The track's past positions (N, 2) px, oldest first, and their age (N,) seconds."""
        points = np.array(self._points.get(track_id, ()), dtype=np.float64).reshape(-1, 3)
        return points[:, 1:], pts_seconds - points[:, 0]

    def clear(self) -> None:
        """Forget everything: the picture changed its size."""
        self._points = {}
