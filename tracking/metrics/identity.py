"""IDF1: for how much of their lives targets and tracks go together, one track a target."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from tracking.metrics.pairs import SIMILARITY, ClipPairs, Similarity, at_least
from tracking.metrics.sums import Additive, ratio


@dataclass(frozen=True, slots=True)
class Identity:
    """The figures, 0..1; None where undefined."""

    idf1: float | None
    """The harmonic mean of the two below."""
    idp: float | None
    """Share of the tracks' frames in which they follow their own target."""
    idr: float | None
    """Share of the targets' frames in which their own track follows them."""


@dataclass(frozen=True, slots=True)
class IdentityTally(Additive):
    """What was counted."""

    labelled: int = 0
    """Pairs of a target and a frame."""
    estimated: int = 0
    """Pairs of a track and a frame."""
    kept: int = 0
    """Pairs of a target and its own track in a frame."""

    def figures(self) -> Identity:
        """What follows from the counts."""
        return Identity(
            idf1=ratio(2 * self.kept, self.labelled + self.estimated),
            idp=ratio(self.kept, self.estimated),
            idr=ratio(self.kept, self.labelled),
        )


def measure_identity(clip: ClipPairs, similarity: Similarity = SIMILARITY) -> IdentityTally:
    """Count a clip: every target gets at most one track for all of it, so that most pairs count.

    Source: Ristani et al., "Performance Measures and a Data Set for Multi-Target, Multi-Camera
    Tracking" (2016). To give a target a track of its own saves a miss and a false positive for each
    frame that they share, so the fewest of both is the most shared frames.
    """
    shared = np.zeros((len(clip.target_lengths), len(clip.track_lengths)), dtype=np.int64)
    for frame in clip.frames:
        possible = at_least(similarity.of(frame.distance), similarity.threshold)
        shared[np.ix_(frame.targets, frame.tracks)] += possible
    own = linear_sum_assignment(shared, maximize=True)
    return IdentityTally(clip.labelled, clip.estimated, int(shared[own].sum()))
