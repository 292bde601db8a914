"""The oracle: every track against every detection, by one matrix a round."""

import numpy as np
from scipy.optimize import linear_sum_assignment

from streamer.types import BoolArray, FloatArray, IntArray
from tracking.association import HANDICAP


def dense_statistics(
    mean: FloatArray, cov: FloatArray, xy: FloatArray, noise: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """(M, N) ``d^2`` and ``ln |S|`` of every pair, by linear algebra."""
    innovation = xy[None] - mean[:, None, :2]
    innovation_cov = cov[:, None, :2, :2] + noise[None]
    solved = np.linalg.solve(innovation_cov, innovation[..., None])[..., 0]
    return (innovation * solved).sum(axis=-1), np.linalg.slogdet(innovation_cov)[1]


def dense_assign(
    distance: FloatArray,
    log_det: FloatArray,
    gate: float,
    allowed: BoolArray,
    handicap: FloatArray | float = 0.0,
) -> tuple[IntArray, IntArray]:
    """Rows and columns of the cheapest set of pairs; ``allowed`` (M, N) says which are possible,
    ``handicap`` (M, 1) what those of a track cost more."""
    possible = allowed & (distance <= gate)
    if not possible.any():
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    left_out = gate + log_det[possible].max()
    cost = np.where(possible, np.minimum(distance + log_det + handicap, left_out), left_out)
    rows, columns = linear_sum_assignment(cost)
    real = cost[rows, columns] < left_out
    return rows[real], columns[real]


def dense_associate(
    distance: FloatArray,
    log_det: FloatArray,
    *,
    gate: float,
    confirmed: BoolArray,
    settled: BoolArray,
    strong: BoolArray,
) -> IntArray:
    """(M,) each track's detection, -1 where it has none, in the four rounds."""
    matched = np.full(len(confirmed), -1, dtype=np.int64)
    free = np.ones(len(strong), dtype=np.bool_)
    handicap = np.where(settled, HANDICAP, 0.0)[:, None]
    for wanted in (strong, ~strong):
        for first, more in ((confirmed | settled, handicap), (~confirmed, 0.0)):
            open_tracks = first & (matched < 0)
            allowed = open_tracks[:, None] & (wanted & free)[None, :]
            rows, columns = dense_assign(distance, log_det, gate, allowed, more)
            matched[rows] = columns
            free[columns] = False
    return matched
