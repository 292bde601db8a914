"""A target that was lost and is found again keeps its id.

A confirmed track that ended is *lost* for a while: it is predicted on, claims no detection and is
not reported. A track that is confirmed meanwhile may be the same target. Whether it is, is decided
by the ratio of two likelihoods of what is known of the new track: its position, its velocity and
how it looks, if it goes on where the lost one was expected, and if it is a target of its own, which
may be anywhere.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.stats import chi2

from configs.schema import TrackerSettings
from streamer.types import BoolArray, FloatArray, IntArray
from tracking.amplitude import DRIFT_VARIANCE
from tracking.motion import STATE_SIZE, VELOCITY
from tracking.table import TrackTable

USUAL_AREA_PX = 640.0 * 512.0
"""New targets appear anywhere in a picture of so many pixels."""
LOOK_RANGE = math.log(20.0)
"""And their SNR and area anywhere in a range of this ratio."""


def recaptured(
    tracks: TrackTable, fresh: BoolArray, settings: TrackerSettings
) -> tuple[IntArray, IntArray]:
    """Which lost tracks are found again.

    Args:
        tracks: all of them.
        fresh: (M,) True for tracks that were confirmed in this frame.
        settings: the gate's probability, and how fast new targets are.

    Returns:
        Rows of lost and of fresh tracks, both (J,): the same targets.
    """
    lost, found = np.flatnonzero(tracks.lost), np.flatnonzero(fresh)
    none = np.empty(0, dtype=np.int64)
    if not len(lost) or not len(found):
        return none, none
    row, column = (each.ravel() for each in np.meshgrid(lost, found, indexing="ij"))
    distance, cost = _same(tracks, row, column)
    # A new track that began before the other was last seen was another one then.
    possible = tracks.first_seen[column] > tracks.last_seen[row]
    possible &= distance <= chi2.ppf(settings.gate_probability, STATE_SIZE)
    worth = _new(tracks, column, settings) - cost
    possible &= worth > 0
    if not possible.any():
        return none, none
    matrix = np.where(possible, -worth, 0.0).reshape(len(lost), len(found))
    one, other = linear_sum_assignment(matrix)
    made = matrix[one, other] < 0
    return lost[one[made]], found[other[made]]


def _same(tracks: TrackTable, lost: IntArray, found: IntArray) -> tuple[FloatArray, FloatArray]:
    """(K,) squared Mahalanobis distances of states, and minus twice the log-likelihoods, by pair,
    that the found ones are the lost ones."""
    apart = tracks.mean[found] - tracks.mean[lost]
    cov = tracks.cov[found] + tracks.cov[lost]
    distance = np.einsum("ki,ki->k", apart, np.linalg.solve(cov, apart[..., None])[..., 0])
    cost = distance + np.linalg.slogdet(cov)[1] + STATE_SIZE * math.log(math.tau)
    variance = DRIFT_VARIANCE + sum(
        tracks.look_variance[each] / np.maximum(tracks.look_count[each], 1)
        for each in (lost, found)
    )
    known = (tracks.look_count[lost] > 0) & (tracks.look_count[found] > 0)
    looks = np.square(tracks.look[found] - tracks.look[lost]) / variance
    looks += np.log(variance) + math.log(math.tau)
    return distance, cost + np.where(known, looks - 2 * math.log(LOOK_RANGE), 0.0).sum(axis=1)


def _new(tracks: TrackTable, found: IntArray, settings: TrackerSettings) -> FloatArray:
    """(K,) minus twice the log-likelihood that they are new targets, but for their looks."""
    variance = settings.initial_speed_sigma**2
    speed = np.square(tracks.mean[found, VELOCITY]).sum(axis=1)
    return np.asarray(
        2 * math.log(USUAL_AREA_PX) + speed / variance + 2 * math.log(math.tau * variance)
    )
