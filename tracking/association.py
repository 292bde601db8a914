"""Which detection belongs to which track.

A pair is possible when the detection lies in the track's gate. Of the possible pairs the cheapest
set is chosen, at cost ``d^2 + ln |S|``: minus twice the log-likelihood of the detection under the
track's prediction, up to a constant. The ``ln |S|`` matters: by ``d^2`` alone a track that has
coasted for long, to which everything is near, would steal the detections of its neighbours.

Detections are given out in rounds, and each round sees only what the earlier ones left over:

1. strong detections to confirmed tracks;
2. strong detections to tentative tracks, so that a newcomer made by clutter never takes the
   detection of a track that has proven itself;
3. weak detections to confirmed tracks;
4. weak detections to tentative tracks.

The last two follow Zhang et al., "ByteTrack: Multi-Object Tracking by Associating Every Detection
Box" (2022): a weak detection is worthless as news and valuable where a target is expected.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import linear_sum_assignment

from streamer.types import BoolArray, FloatArray, IntArray


def gate_threshold(probability: float) -> float:
    """The ``d^2`` below which a share ``probability`` of true detections falls.

    It is the quantile of the chi-square distribution with two degrees of freedom, which has this
    closed form.
    """
    return -2.0 * math.log1p(-probability)


def assign(
    distance: FloatArray, log_det: FloatArray, gate: float, allowed: BoolArray
) -> tuple[IntArray, IntArray]:
    """The cheapest set of pairs of one round.

    A track that is left without a detection costs as much as the worst pair the gate could admit.
    So a pair inside its gate is always better than none, but two good matches are not broken up
    to make three poor ones.

    Args:
        distance: (M, N) squared Mahalanobis distances.
        log_det: (M, N) ``ln |S|``.
        gate: the largest ``distance`` of a possible pair.
        allowed: (M, N) False where a pair is out of the question, whatever its distance.

    Returns:
        Rows and columns of the pairs, both (K,).
    """
    gated = allowed & (distance <= gate)
    # Rows and columns without a possible pair would only make the matrix larger.
    rows, columns = np.flatnonzero(gated.any(axis=1)), np.flatnonzero(gated.any(axis=0))
    if not len(rows):
        return rows, columns
    possible = gated[np.ix_(rows, columns)]
    cost = (distance + log_det)[np.ix_(rows, columns)]
    cost[~possible] = gate + log_det[gated].max()
    row, column = linear_sum_assignment(cost)
    real = possible[row, column]
    return rows[row[real]], columns[column[real]]


def associate(
    distance: FloatArray,
    log_det: FloatArray,
    *,
    gate: float,
    confirmed: BoolArray,
    strong: BoolArray,
) -> IntArray:
    """Give out detections to tracks, in the module's four rounds.

    Args:
        distance: (M, N) squared Mahalanobis distances.
        log_det: (M, N) ``ln |S|``.
        gate: the largest ``distance`` of a possible pair.
        confirmed: (M,) True for confirmed tracks, which choose before tentative ones.
        strong: (N,) True for detections that reach the threshold.

    Returns:
        (M,) each track's detection, -1 where it has none.
    """
    matched = np.full(len(confirmed), -1, dtype=np.int64)
    free = np.ones(len(strong), dtype=np.bool_)
    for wanted in (strong, ~strong):
        for first in (confirmed, ~confirmed):
            open_tracks = first & (matched < 0)
            allowed = open_tracks[:, None] & (wanted & free)[None, :]
            rows, columns = assign(distance, log_det, gate, allowed)
            matched[rows] = columns
            free[columns] = False
    return matched
