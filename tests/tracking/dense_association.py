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
    handicap: FloatArray,
    gate: float,
    allowed: BoolArray,
) -> tuple[IntArray, IntArray]:
    """Rows and columns of the cheapest set of pairs; ``allowed`` (M, N) says which are possible,
    ``handicap`` (M,) what those of a track cost more."""
    possible = allowed & (distance <= gate)
    if not possible.any():
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    cost = distance + log_det + handicap[:, None]
    left_out = gate + log_det[possible].max()
    left_out += np.broadcast_to(handicap[:, None], cost.shape)[possible].max()
    rows, columns = linear_sum_assignment(np.where(possible, cost, left_out))
    real = possible[rows, columns]
    return rows[real], columns[real]


def dense_associate(
    distance: FloatArray,
    log_det: FloatArray,
    *,
    gate: float,
    confirmed: BoolArray,
    strong: BoolArray,
) -> IntArray:
    """(M,) each track's detection, -1 where it has none, strong ones first."""
    matched = np.full(len(confirmed), -1, dtype=np.int64)
    handicap = np.where(confirmed, 0.0, HANDICAP)
    for wanted in (strong, ~strong):
        allowed = (matched < 0)[:, None] & wanted[None, :]
        rows, columns = dense_assign(distance, log_det, handicap, gate, allowed)
        matched[rows] = columns
    return matched
