"""The shapes of the overlay as polylines: brackets, dashes and ellipses. Pure geometry."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]

CHI2_95 = 5.991
"""95 % quantile of the chi-squared distribution of two degrees of freedom."""
_CIRCLE: Points = np.stack(
    [np.cos(np.linspace(0, 2 * np.pi, 33)), np.sin(np.linspace(0, 2 * np.pi, 33))], axis=1
)


def brackets(rect: Points, arm: float) -> list[Points]:
    """The four corners of the rectangle x0, y0, x1, y1 with arms at most ``arm`` long."""
    x0, y0, x1, y1 = rect.tolist()
    ax, ay = min(arm, (x1 - x0) / 3), min(arm, (y1 - y0) / 3)
    corners = np.array(
        [
            [(x0, y0 + ay), (x0, y0), (x0 + ax, y0)],
            [(x1 - ax, y0), (x1, y0), (x1, y0 + ay)],
            [(x1, y1 - ay), (x1, y1), (x1 - ax, y1)],
            [(x0 + ax, y1), (x0, y1), (x0, y1 - ay)],
        ]
    )
    return list(corners)


def dashed_rectangle(rect: Points, dash: float) -> list[Points]:
    """The rectangle's sides as dashes about ``dash`` long, one on every corner."""
    x0, y0, x1, y1 = rect.tolist()
    pieces: list[Points] = []
    for a, b in (((x0, y0), (x1, y0)), ((x1, y0), (x1, y1)), ((x1, y1), (x0, y1)),
                 ((x0, y1), (x0, y0))):  # fmt: skip
        periods = min(max(round(math.dist(a, b) / (2 * dash)), 2), 64)
        # Half a dash at each end joins its neighbour's at the corner.
        middles = (np.arange(periods + 1) / periods)[:, None]
        cuts = np.clip(middles + np.array([[-0.25, 0.25]]) / periods, 0.0, 1.0)
        start, along = np.array(a), np.array(b) - a
        pieces.extend(start + cuts[:, :, None] * along)
    return pieces


def ellipses(centers: Points, covariances: Points) -> Points:
    """(N, 33, 2) outlines of the 95 % regions of N normal distributions.

    Args:
        centers: (N, 2).
        covariances: (N, 2, 2), finite.
    """
    values, vectors = np.linalg.eigh(covariances)
    axes = vectors * np.sqrt(CHI2_95 * np.maximum(values, 0.0))[:, None, :]
    outlines: Points = centers[:, None, :] + _CIRCLE @ np.swapaxes(axes, 1, 2)
    return outlines


def rounded_up_even(value: float) -> int:
    """The smallest even integer that is not smaller."""
    return 2 * math.ceil(value / 2)
