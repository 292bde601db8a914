"""How the scene's targets fly: smooth paths in closed form, so that any moment can be asked for.

Along each axis a target goes to and fro between two limits at an almost even speed and turns
gently: position = middle + half * sway(phase). A target that manoeuvres also weaves and changes
its speed. Every path has an anchor, a place and a moment at which it is there: two targets that
share an anchor meet, which is how a crossing is made.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from streamer.types import FloatArray

_ROUND = 0.97
"""How sharp the turns at the limits are: 1 is a bounce, small values a sine."""
_SPAN = math.asin(_ROUND)
_SPEED_X, _SPEED_Y = (20.0, 45.0), (8.0, 18.0)
"""Cruising speed along each axis, px/s."""
_TEMPO = 0.3
"""A manoeuvring target flies up to this share faster and slower."""
_WEAVE_PX = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class Bounds:
    """Where targets may be, px."""

    low: FloatArray
    """(2,) left and top."""
    high: FloatArray
    """(2,) right and bottom."""


@dataclass(frozen=True, slots=True, eq=False)
class Paths:
    """The paths of K targets. Arrays (K, 2) hold x and y."""

    middle: FloatArray
    """(K, 2) px."""
    half: FloatArray
    """(K, 2) half the distance between the limits, px."""
    rate: FloatArray
    """(K, 2) of the sway's phase, rad/s."""
    phase: FloatArray
    """(K, 2) at the anchor, rad."""
    anchor_seconds: FloatArray
    """(K,) when a target is at its anchor."""
    tempo: FloatArray
    """(K, 3) of the speed's changes: share, rad/s, rad."""
    weave: FloatArray
    """(K, 2) amplitude, px."""
    weave_rate: FloatArray
    """(K, 2) rad/s."""

    def xy(self, seconds: float) -> FloatArray:
        """(K, 2) positions at a moment, px."""
        since = seconds - self.anchor_seconds
        share, rate, offset = self.tempo.T
        # The integral of the speed's factor 1 + share * cos(rate * t + offset).
        flown = since + share * (np.sin(rate * since + offset) - np.sin(offset)) / rate
        phase = self.phase + self.rate * flown[:, None]
        sway = np.arcsin(_ROUND * np.sin(phase)) / _SPAN
        weave = self.weave * np.sin(self.weave_rate * since[:, None])
        return np.asarray(self.middle + self.half * sway + weave)


def plan_paths(
    count: int,
    bounds: Bounds,
    rng: np.random.Generator,
    *,
    manoeuvres: bool,
    crossing_seconds: float | None,
) -> Paths:
    """Random paths that never leave the bounds; the last one leads close above the horizon.

    Args:
        count: how many targets, K.
        bounds: where they stay.
        rng: what decides.
        manoeuvres: whether they weave and change their speed.
        crossing_seconds: when the first two are at the same place; None: they need not be.
    """
    size = bounds.high - bounds.low
    weave = np.minimum(_WEAVE_PX, size / 10) * rng.uniform(0.5, 1.0, (count, 2))
    weave *= manoeuvres
    # Across, everybody flies the whole width; in height, each has a part of the sky to itself.
    height, place = rng.uniform(0.22, 0.45, count), rng.random(count)
    height[-1:], place[-1:] = 0.2, 1.0  # the last one flies low
    extent = np.column_stack([np.full(count, 0.5), height]) * size
    half = extent - weave
    middle = bounds.low + extent + place[:, None] * (size - 2 * extent)
    where = rng.uniform(-0.8, 0.8, (count, 2))  # of the way from the middle to the limit
    heading = rng.choice([-1.0, 1.0], (count, 2))
    anchor = np.zeros(count)
    if crossing_seconds is not None:
        # Both cross the same half of the sky, meet near its middle, one from either side.
        extent[:2, 1] = 0.4 * size[1]
        half[:2] = extent[:2] - weave[:2]
        middle[:2, 1] = bounds.low[1] + 0.5 * size[1]
        meeting = middle[0] + rng.uniform(-0.25, 0.25, 2) * size
        where[:2] = (meeting - middle[:2]) / half[:2]
        heading[0], heading[1] = (1, 1), (-1, 1)
        anchor[:2] = crossing_seconds
    speed = np.column_stack([rng.uniform(*_SPEED_X, count), rng.uniform(*_SPEED_Y, count)])
    speed = np.minimum(speed, size / 3)  # in small pictures
    phase = np.arcsin(np.clip(np.sin(where * _SPAN) / _ROUND, -1, 1))
    return Paths(
        middle=middle,
        half=half,
        rate=speed / half * (_SPAN / _ROUND),  # sway's slope in the middle is its inverse
        phase=np.where(heading > 0, phase, math.pi - phase),
        anchor_seconds=anchor,
        tempo=np.column_stack(
            [
                np.full(count, _TEMPO * manoeuvres),
                2 * math.pi / rng.uniform(3, 8, count),
                rng.uniform(0, 2 * math.pi, count),
            ]
        ),
        weave=weave,
        weave_rate=2 * math.pi / rng.uniform(2.5, 5.0, (count, 2)),
    )
