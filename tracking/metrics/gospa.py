"""GOSPA: how far a frame's tracks are from its targets, as one distance with three parts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tracking.metrics.pairs import ClipPairs, closest
from tracking.metrics.sums import Additive, ratio

ALPHA = 2
"""The only choice for which localisation, missed and false are parts of the whole."""


@dataclass(frozen=True, slots=True)
class Gospa:
    """Means over all frames, those in which nothing is included; None without frames.

    The three parts are in px to the ``power``, before the root that makes a distance of their sum.
    """

    gospa_px: float | None
    localisation: float | None
    """Of pairs."""
    missed: float | None
    """Of targets without a track."""
    false: float | None
    """Of tracks without a target."""


@dataclass(frozen=True, slots=True)
class GospaTally(Additive):
    """Sums over frames."""

    frames: int = 0
    gospa_px: float = 0.0
    localisation: float = 0.0
    missed: float = 0.0
    false: float = 0.0

    def figures(self) -> Gospa:
        """The means."""
        sums = (self.gospa_px, self.localisation, self.missed, self.false)
        return Gospa(*(ratio(each, self.frames) for each in sums))


def measure_gospa(
    clip: ClipPairs, frames: int, *, cutoff_px: float = 5.0, power: float = 2.0
) -> GospaTally:
    """Sum over a clip.

    Source: Rahmathullah, Garcia-Fernandez and Svensson, "Generalized Optimal Sub-Pattern Assignment
    Metric" (2017), with alpha = 2.

    Args:
        clip: the targets and tracks.
        frames: the clip's length.
        cutoff_px: a track from here on is not its target's; a target missed and a track without one
            cost half of its ``power`` each.
        power: 1 or more.
    """
    alone = cutoff_px**power / ALPHA
    parts = np.zeros((len(clip.frames), 3))
    for part, frame in zip(parts, clip.frames, strict=True):
        near = closest(frame.distance, cutoff_px, power)
        unpaired = np.array(frame.distance.shape) - len(near[0])
        part[:] = (frame.distance[near] ** power).sum(), *(unpaired * alone)
    return GospaTally(
        frames,
        float((parts.sum(axis=1) ** (1 / power)).sum()),
        *parts.sum(axis=0).tolist(),
    )
