"""Which detection belongs to which track.

A pair is possible when the detection lies in the track's gate. Of the possible pairs the cheapest
set is chosen, at cost ``d^2 + ln |S|``: minus twice the log-likelihood of the detection under the
track's prediction, up to a constant. The ``ln |S|`` matters: by ``d^2`` alone a track that has
coasted for long, to which everything is near, would steal the detections of its neighbours. Where
there is a choice the likelihood is that of all models of motion together, and of how the detection
looks (:mod:`tracking.amplitude`).

Detections are given out in rounds, and each round sees only what the earlier ones left over:

1. strong detections to confirmed tracks;
2. strong detections to tentative tracks, so that a newcomer made by clutter never takes the
   detection of a track that has proven itself;
3. weak detections to confirmed tracks;
4. weak detections to tentative tracks.

The last two follow Zhang et al., "ByteTrack: Multi-Object Tracking by Associating Every Detection
Box" (2022): a weak detection is worthless as news and valuable where a target is expected.

Settled tracks, tentative ones that were detected often enough and wait until they have moved, take
part with the confirmed ones, at a handicap: a confirmed track that has coasted may reach far, and
what was seen at one place ever since it appeared there is not the target that was lost elsewhere.

Only possible pairs are looked at (:mod:`tracking.gating`), and tracks that compete for no common
detection, not even through others, are assigned apart: what it costs grows with the number of
tracks.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from streamer.types import BoolArray, FloatArray, IntArray
from tracking.gating import Pairs

HANDICAP = -2.0 * math.log(0.01)
"""Of a settled track: as if of a hundred one were a target."""
# A matrix of so few entries is solved at once: to look for groups in it would take longer.
_SMALL_MATRIX = 1024


def assign(pairs: Pairs, gate: float, handicap: FloatArray | float = 0.0) -> IntArray:
    """The cheapest set of pairs of one round.

    A track that is left without a detection costs as much as the worst pair the gate could admit.
    So a pair inside its gate is always better than none, but two good matches are not broken up
    to make three poor ones.

    Args:
        pairs: those that are possible; the same pair at most once.
        gate: the largest ``distance`` of a possible pair.
        handicap: (K,) what pairs cost besides. To be left out costs no more because of it, so a
            pair may be worse than none.

    Returns:
        (J,) which pairs are chosen, in no order.
    """
    if not len(pairs):
        return np.empty(0, dtype=np.int64)
    left_out = gate + float(pairs.log_det.max()) + float(pairs.more.max())
    cost = pairs.cost + handicap
    worth = np.flatnonzero(cost <= left_out)
    track, detection, cost = pairs.track[worth], pairs.detection[worth], cost[worth]
    alone = (np.bincount(track)[track] == 1) & (np.bincount(detection)[detection] == 1)
    if alone.all():
        return worth
    contested = np.flatnonzero(~alone)
    won = _settle(track[contested], detection[contested], cost[contested], left_out)
    return worth[np.concatenate((np.flatnonzero(alone), contested[won]))]


def _settle(track: IntArray, detection: IntArray, cost: FloatArray, left_out: float) -> IntArray:
    """The cheapest set of pairs, each group of tracks that compete with one another on its own.

    A matching that leaves nobody out needlessly differs from every other by its pairs' ``cost``
    less ``left_out`` alone, which is negative: so the cheapest of all is made of the groups'
    cheapest.

    Args:
        track: (K,)
        detection: (K,)
        cost: (K,) of the pairs, ``left_out`` at most.
        left_out: the cost of a track or a detection that has none.

    Returns:
        (J,) which pairs are chosen.
    """
    tracks, row = np.unique(track, return_inverse=True)
    detections, column = np.unique(detection, return_inverse=True)
    if len(tracks) * len(detections) <= _SMALL_MATRIX:
        return _solve(row, column, cost, (len(tracks), len(detections)), left_out)
    nodes = len(tracks) + len(detections)
    edges = (np.ones(len(row), dtype=np.bool_), (row, len(tracks) + column))
    groups, group = connected_components(coo_array(edges, shape=(nodes, nodes)), directed=False)
    of_track, of_detection = np.split(group.astype(np.int64), [len(tracks)])
    height = np.bincount(of_track, minlength=groups)
    width = np.bincount(of_detection, minlength=groups)

    order = np.lexsort((cost, of_track[row]))
    ends = np.cumsum(np.bincount(of_track[row], minlength=groups))
    begins = np.concatenate(([0], ends[:-1]))
    # One track, or one detection, that all the others want: the cheapest pair is all there is.
    single = np.minimum(height, width) == 1
    chosen = [order[begins[single]]]
    place_of_track, place_of_detection = _places(of_track, height), _places(of_detection, width)
    for each in np.flatnonzero(~single):
        members = order[begins[each] : ends[each]]
        made = _solve(
            place_of_track[row[members]],
            place_of_detection[column[members]],
            cost[members],
            (height[each], width[each]),
            left_out,
        )
        chosen.append(members[made])
    return np.concatenate(chosen)


def _solve(
    row: IntArray, column: IntArray, cost: FloatArray, shape: tuple[int, int], left_out: float
) -> IntArray:
    """Which pairs of ``row`` and ``column``, both (K,), are the cheapest set, by one matrix."""
    matrix = np.full(shape, left_out)
    matrix[row, column] = cost
    number = np.full(shape, -1)
    number[row, column] = np.arange(len(row))
    made = number[linear_sum_assignment(matrix)]
    return made[made >= 0]


def _places(group: IntArray, sizes: IntArray) -> IntArray:
    """(K,) the how manieth of its own group each member is, from 0."""
    order = np.argsort(group, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(group)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return place


def associate(
    pairs: Pairs, *, gate: float, confirmed: BoolArray, settled: BoolArray, strong: BoolArray
) -> IntArray:
    """Give out detections to tracks, in the module's four rounds.

    Args:
        pairs: those in which the detection lies in the track's gate.
        gate: the largest ``distance`` of a pair.
        confirmed: (M,) True for confirmed tracks, which choose before tentative ones.
        settled: (M,) True for settled ones.
        strong: (N,) True for detections that reach the threshold.

    Returns:
        (M,) each track's detection, -1 where it has none.
    """
    matched = np.full(len(confirmed), -1, dtype=np.int64)
    free = np.ones(len(strong), dtype=np.bool_)
    rounds = (
        (confirmed | settled, np.where(settled, HANDICAP, 0.0)),
        (~confirmed, np.zeros(len(confirmed))),
    )
    for wanted in (strong, ~strong):
        for choosing, handicap in rounds:
            open_tracks = choosing & (matched < 0)
            possible = pairs.keep(open_tracks[pairs.track] & (wanted & free)[pairs.detection])
            made = assign(possible, gate, handicap[possible.track])
            matched[possible.track[made]] = possible.detection[made]
            free[possible.detection[made]] = False
    return matched
