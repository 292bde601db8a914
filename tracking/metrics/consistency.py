"""NEES: whether tracks are as far from the truth as their covariances say.

It says something where truth is exact, as in simulations. Boxes drawn by hand are off by a pixel or
more themselves. NIS is not there: a run does not record what it expected before each detection.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tracking.estimates import Estimates
from tracking.metrics.pairs import SIMILARITY, closest, pair_up
from tracking.metrics.sums import Additive, ratio
from tracking.mot import MotTable

# The 95 % quantile of chi-squared with two degrees of freedom, -2 ln 0.05.
WITHIN_95 = 5.991464547107981


@dataclass(frozen=True, slots=True)
class Consistency:
    """The figures; None without pairs."""

    nees: float | None
    """Mean normalised estimation error squared: 2 where covariances are right, more where they
    promise too much."""
    within_95: float | None
    """Share of pairs in the ellipse that should hold 95 %."""


@dataclass(frozen=True, slots=True)
class ConsistencyTally(Additive):
    """What was counted."""

    pairs: int = 0
    nees: float = 0.0
    """Their sum."""
    within_95: int = 0

    def figures(self) -> Consistency:
        """What follows from the counts."""
        return Consistency(ratio(self.nees, self.pairs), ratio(self.within_95, self.pairs))


def measure_consistency(
    truth: MotTable, estimates: Estimates, limit_px: float = SIMILARITY.distance_px
) -> ConsistencyTally:
    """Count a clip: in each frame the closest pairs of a target and a track, one to one.

    A pair whose covariance is unknown or cannot be inverted does not count.

    Source: Bar-Shalom, Li and Kirubarajan, "Estimation with Applications to Tracking and
    Navigation" (2001), section 5.4.

    Args:
        truth: the targets.
        estimates: in the same pixel coordinates.
        limit_px: from here on a track is not the target's.

    Raises:
        StreamError: an id is there twice in a frame.
    """
    frames = pair_up(truth, estimates.table).frames
    near = [closest(frame.distance, limit_px, 2.0) for frame in frames]
    rows = [frame.target_lines[pairs[0]] for frame, pairs in zip(frames, near, strict=True)]
    columns = [frame.track_lines[pairs[1]] for frame, pairs in zip(frames, near, strict=True)]
    if not frames:
        return ConsistencyTally()
    target, estimate = np.concatenate(rows), np.concatenate(columns)
    error = truth.centres[target] - estimates.xy[estimate]
    cov = estimates.position_cov[estimate]
    # By hand: NumPy's determinant warns of what is not known.
    usable = cov[:, 0, 0] * cov[:, 1, 1] > cov[:, 0, 1] * cov[:, 1, 0]
    error, cov = error[usable], cov[usable]
    nees = np.einsum("ni,nij,nj->n", error, np.linalg.inv(cov), error)
    return ConsistencyTally(len(nees), float(nees.sum()), int(np.count_nonzero(nees <= WITHIN_95)))
