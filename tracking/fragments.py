"""Which detections are pieces of a target that is already accounted for: a blob that broke up."""

from __future__ import annotations

import numpy as np

from streamer.types import BoolArray, FloatArray, IntArray
from tracking.gating import gated_pairs, overlapping
from tracking.measurements import Measurements
from tracking.motion import POSITION, ConstantVelocity

GAP_PX = 1.0
"""Boxes of a broken blob's pieces are no farther apart than this."""


def stand_alone(
    states: tuple[FloatArray, FloatArray, FloatArray],
    measured: Measurements,
    candidates: IntArray,
    motion: ConstantVelocity,
    gate: float,
) -> BoolArray:
    """Which candidates for a new track are no mere fragment of a target already accounted for.

    A blob that breaks up gives two detections for one target. The one that is left over lies in
    the gate of the track that took the other, or their boxes all but touch; when both are new, of
    the better one. Two targets that begin as close as that are one until they part.

    Args:
        states: of the tracks that have a detection in this frame, mean (M, 4), covariance
            (M, 4, 4) and size (M, 2), px.
        measured: the frame's detections, N of them, the best first.
        candidates: (C,) those of them that no track has, rising.
        motion: of new tracks.
        gate: the largest squared Mahalanobis distance.

    Returns:
        (C,) True for those.
    """
    xy, noise = measured.xy[candidates], measured.noise[candidates]
    size = measured.size[candidates]
    alone = np.ones(len(candidates), dtype=np.bool_)
    alone[_fragments(*states, xy, noise, size, gate)[1]] = False

    rest = np.flatnonzero(alone)
    if len(rest) < 2:
        return alone
    mean, cov = motion.initial(xy[rest], noise[rest])
    better, worse = _fragments(mean, cov, size[rest], xy[rest], noise[rest], size[rest], gate)
    later = worse > better
    for one, other in zip(rest[better[later]], rest[worse[later]], strict=True):
        if alone[one]:
            alone[other] = False
    return alone


def _fragments(
    mean: FloatArray,
    cov: FloatArray,
    size: FloatArray,
    xy: FloatArray,
    noise: FloatArray,
    piece: FloatArray,
    gate: float,
) -> tuple[IntArray, IntArray]:
    """Which detections (N,) lie in the gates or at the boxes of which states (M,), both (K,).

    Args:
        mean: (M, 4)
        cov: (M, 4, 4)
        size: (M, 2) width and height of the states' targets, px.
        xy: (N, 2)
        noise: (N, 2, 2)
        piece: (N, 2) width and height of the detections, px.
        gate: the largest squared Mahalanobis distance.
    """
    gated = gated_pairs(mean, cov, xy, noise, gate)
    boxed = overlapping(mean[:, POSITION], (size + GAP_PX) / 2, xy, piece / 2)
    state = np.concatenate((gated.track, boxed[0]))
    order = np.argsort(state, kind="stable")
    return state[order], np.concatenate((gated.detection, boxed[1]))[order]
