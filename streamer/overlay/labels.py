"""Where labels go: beside their target, inside the picture, off the targets and off each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Rects = NDArray[np.float64]
"""(N, 4) x0, y0, x1, y1, px."""

_GAP = 6.0
_RINGS = (0.0, 16.0, 36.0)
"""How far beyond the gap a label may stand, px at most."""
_LOYALTY_PX2 = 8.0
"""A label stays while it covers no more than this."""
_SIDES = (
    (1, -1), (-1, -1), (1, 1), (-1, 1), (0, -1), (0, 1), (1, 0), (-1, 0),
)  # fmt: skip
"""In order of preference; right and above first."""


def overlap(rects: Rects, others: Rects) -> NDArray[np.float64]:
    """(N,) area that each of ``rects`` shares with all ``others`` together, px^2."""
    if not len(others):
        return np.zeros(len(rects))
    ax0, ay0, ax1, ay1 = rects.T[:, :, None]
    bx0, by0, bx1, by1 = others.T
    width = np.minimum(ax1, bx1) - np.maximum(ax0, bx0)
    height = np.minimum(ay1, by1) - np.maximum(ay0, by0)
    areas: NDArray[np.float64] = (np.maximum(width, 0.0) * np.maximum(height, 0.0)).sum(axis=1)
    return areas


class LabelPlacer:
    """Chooses a place for every label, and keeps to it while it is good.

    A target's number that jumps from side to side cannot be read, so the last choice has an
    advantage over the others.
    """

    def __init__(self) -> None:
        self._choice: dict[int, int] = {}

    def place(
        self,
        ids: list[int],
        frames: Rects,
        sizes: NDArray[np.float64],
        obstacles: Rects,
        bounds: tuple[float, float],
    ) -> Rects:
        """A rectangle for each label.

        Args:
            ids: the (N,) tracks.
            frames: (N, 4) what is drawn around each target: labels stay off these.
            sizes: (N, 2) width and height of each label, px.
            obstacles: (K, 4) further rectangles to stay off.
            bounds: width and height of the picture; no label leaves it.

        Returns:
            (N, 4); all NaN where a label is larger than the picture.
        """
        placed = np.full((len(ids), 4), np.nan)
        choice: dict[int, int] = {}
        options = _options(frames, sizes, np.array(bounds, dtype=np.float64))
        avoid = np.concatenate([frames, obstacles])
        standing = overlap(options.reshape(-1, 4), avoid).reshape(options.shape[:2]) + _PREFERENCE
        done: list[int] = []
        for row, track_id in enumerate(ids):
            if (sizes[row] > bounds).any():
                continue
            cost = standing[row] + 3.0 * overlap(options[row], placed[done])
            if track_id in self._choice:
                last = self._choice[track_id]
                cost[last] -= _PREFERENCE[last] + _LOYALTY_PX2
            best = int(np.argmin(cost))
            choice[track_id] = best
            placed[row] = options[row, best]
            done.append(row)
        self._choice = choice
        return placed


_PREFERENCE = np.array(
    [8.0 * ring + 1.0 * side for ring in range(len(_RINGS)) for side in range(len(_SIDES))]
)


def _options(frames: Rects, sizes: Rects, bounds: Rects) -> Rects:
    """(N, R * S, 4) places around the N frames, moved into the picture."""
    x0, y0, x1, y1 = frames.T
    width, height = sizes.T
    lefts, tops = [], []
    for ring in _RINGS:
        away = _GAP + ring
        left = {-1: x0 - away - width, 0: (x0 + x1 - width) / 2, 1: x1 + away}
        for dx, dy in _SIDES:
            if dx == 0:
                top = y0 - away - height if dy < 0 else y1 + away
            elif dy == 0:
                top = (y0 + y1 - height) / 2
            else:
                # Beside the frame, level with its upper or lower edge.
                top = y0 - ring if dy < 0 else y1 - height + ring
            lefts.append(left[dx])
            tops.append(top)
    top_left = np.stack([np.stack(lefts, 1), np.stack(tops, 1)], axis=2)
    room = np.maximum(bounds - sizes, 0.0)[:, None, :]
    top_left = np.clip(top_left, 0.0, room)
    return np.concatenate([top_left, top_left + sizes[:, None, :]], axis=2)
