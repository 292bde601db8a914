"""Which pairs of a track and a detection are possible, found without looking at all of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from streamer.types import BoolArray, FloatArray, IntArray
from tracking import kalman
from tracking.motion import POSITION

# Bounds are rounded: a pair on the very edge of its gate must not be overlooked for it.
_SLACK = 1.0 + 1e-9
# Of so few pairs it is quicker to look at every one.
_FEW_PAIRS = 8192


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Pairs of tracks and detections, by track and then by detection: a struct of arrays."""

    track: IntArray
    """(K,) rows of tracks."""
    detection: IntArray
    """(K,) rows of detections."""
    distance: FloatArray
    """(K,) squared Mahalanobis distances ``d^2 = y' S^-1 y``."""
    log_det: FloatArray
    """(K,) ``ln |S|``."""
    more: FloatArray
    """(K,) what else counts for or against a pair, on the scale of ``d^2``."""

    @property
    def cost(self) -> FloatArray:
        """(K,) minus twice the log-likelihoods, up to a constant."""
        return self.distance + self.log_det + self.more

    def __len__(self) -> int:
        return len(self.track)

    def keep(self, which: BoolArray | IntArray) -> Pairs:
        """The pairs where ``which`` (K,) is True, or those with its numbers."""
        return Pairs(
            self.track[which],
            self.detection[which],
            self.distance[which],
            self.log_det[which],
            self.more[which],
        )


def gate_threshold(probability: float) -> float:
    """The ``d^2`` below which a share ``probability`` of true detections falls.

    It is the quantile of the chi-square distribution with two degrees of freedom, which has this
    closed form.
    """
    return -2.0 * math.log1p(-probability)


def gated_pairs(
    mean: FloatArray, cov: FloatArray, xy: FloatArray, noise: FloatArray, gate: float
) -> Pairs:
    """The pairs in which the detection lies in the track's gate.

    Args:
        mean: (M, 4) predicted states.
        cov: (M, 4, 4) their covariances.
        xy: (N, 2) measured positions, px.
        noise: (N, 2, 2) covariances of the measurements, px^2.
        gate: the largest ``d^2`` of a pair.
    """
    place, place_cov = mean[:, POSITION], cov[:, POSITION, POSITION]
    # d^2 is at least dx^2 / S_xx, and the root of a sum at most the sum of the roots.
    track, detection = overlapping(place, _extent(place_cov, gate), xy, _extent(noise, gate))
    distance, log_det = kalman.innovation_statistics(
        xy[detection] - place[track], place_cov[track] + noise[detection]
    )
    inside = distance <= gate
    nothing = np.zeros(len(distance))
    return Pairs(track, detection, distance, log_det, nothing).keep(inside)


def overlapping(
    centres: FloatArray, reach: FloatArray, others: FloatArray, others_reach: FloatArray
) -> tuple[IntArray, IntArray]:
    """Which upright boxes of one kind touch which of another, by sorting and sweeping.

    Args:
        centres: (M, 2) of the one kind.
        reach: (M, 2) half their width and height.
        others: (N, 2) centres of the other kind.
        others_reach: (N, 2) half their width and height.

    Returns:
        Rows of the first and of the second kind, both (K,), sorted by the first and the second.
    """
    if len(centres) * len(others) <= _FEW_PAIRS:
        near = [
            np.abs(others[:, axis] - centres[:, axis, None])
            <= reach[:, axis, None] + others_reach[:, axis]
            for axis in (0, 1)
        ]
        rows, columns = np.nonzero(near[0] & near[1])
        return rows, columns
    along = int(np.ptp(others, axis=0).argmax())
    place, half = centres[:, along], reach[:, along]
    found = []
    # Boxes of about one size at a time: a single large one would make the search wide for all.
    octave = np.frexp(others_reach[:, along])[1]
    for size in np.unique(octave):
        alike = np.flatnonzero(octave == size)
        alike = alike[np.argsort(others[alike, along], kind="stable")]
        line = others[alike, along]
        widest = half + others_reach[alike, along].max()
        first = np.searchsorted(line, place - widest, side="left")
        count = np.searchsorted(line, place + widest, side="right") - first
        row = np.repeat(np.arange(len(centres)), count)
        skipped = np.cumsum(count) - count
        column = alike[np.arange(len(row)) + np.repeat(first - skipped, count)]
        found.append(_touching(centres, reach, others, others_reach, row, column))
    row, column = (np.concatenate(each) for each in zip(*found, strict=True))
    order = np.lexsort((column, row))
    return row[order], column[order]


def _touching(
    centres: FloatArray,
    reach: FloatArray,
    others: FloatArray,
    others_reach: FloatArray,
    row: IntArray,
    column: IntArray,
) -> tuple[IntArray, IntArray]:
    """Those of the pairs of ``row`` and ``column``, both (K,), whose boxes touch."""
    for axis in (0, 1):
        apart = np.abs(others[:, axis][column] - centres[:, axis][row])
        near = apart <= reach[:, axis][row] + others_reach[:, axis][column]
        row, column = row[near], column[near]
    return row, column


def _extent(cov: FloatArray, gate: float) -> FloatArray:
    """(K, 2) half the width and height of the gates' ellipses for covariances (K, 2, 2), px."""
    variance = np.diagonal(cov, axis1=1, axis2=2)
    return np.asarray(np.sqrt(gate * variance) * _SLACK, dtype=np.float64)
