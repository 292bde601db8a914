"""How bright and how large each target has looked: what tells neighbours apart beside their places.

The features of a detection are the logarithms of its SNR and of its area, which differ by about as
much for bright as for faint targets. Each track keeps their running mean and variance.
"""

from __future__ import annotations

import numpy as np

from streamer.types import BoolArray, FloatArray
from tracking.gating import Pairs
from tracking.table import TrackTable

MEMORY_HITS = 30
"""Means and variances are those of about so many of the last detections."""
PRIOR_HITS = 6
"""The spread of a target's features that is expected counts like so many detections."""
LEAST_VARIANCE = 0.1**2
"""No target looks more alike from frame to frame than this."""
LARGEST_SNR = 1e4
"""Above, it is infinite for all that is told by it."""
MOST_UNLIKE = 9.0
"""A feature counts against a pair no more than if it were three standard deviations off."""
DRIFT_VARIANCE = np.square((0.3, 0.25))
"""What a target's features gain while it is not seen."""


def features(snr: FloatArray, area_px: FloatArray) -> FloatArray:
    """(N, 2) of detections; NaN where the SNR is not known.

    Args:
        snr: (N,) NaN or not positive: not known.
        area_px: (N,) from 1.
    """
    known = np.where(snr > 0.0, np.minimum(snr, LARGEST_SNR), np.nan)
    return np.asarray(np.log(np.stack((known, area_px), axis=1)))


def note(tracks: TrackTable, hit: BoolArray, seen: FloatArray) -> None:
    """Learn from new detections.

    Args:
        tracks: changed in place.
        hit: (M,) True where a track has a detection.
        seen: (K, 2) their features, in the order of the tracks.
    """
    mean, variance, count = (
        tracks.look[hit],
        tracks.look_variance[hit],
        tracks.look_count[hit],
    )
    known = np.isfinite(seen)
    first = count == 0
    apart = np.where(known & ~first, seen - mean, 0.0)
    gain = known / np.minimum(count + 1.0, MEMORY_HITS)
    tracks.look[hit] = np.where(known & first, seen, mean + gain * apart)
    gain = known / (np.minimum(count, MEMORY_HITS) + PRIOR_HITS)
    news = np.square(apart) * count / (count + 1.0)  # a mean of few is near to each of them
    tracks.look_variance[hit] = np.where(
        first, variance, np.maximum(variance + gain * (news - variance), LEAST_VARIANCE)
    )
    tracks.look_count[hit] = np.minimum(count + known, MEMORY_HITS)


def unlikeness(tracks: TrackTable, pairs: Pairs, seen: FloatArray) -> FloatArray:
    """(K,) minus twice the log-likelihoods of pairs' features, up to a constant.

    What is not known is as likely as it is on average.

    Args:
        tracks: all of them.
        pairs: rows of ``tracks`` and of ``seen``.
        seen: (N, 2) features of detections.
    """
    mean, count = tracks.look[pairs.track], tracks.look_count[pairs.track]
    variance = tracks.look_variance[pairs.track] * (1.0 + 1.0 / np.maximum(count, 1.0))
    square = np.square(seen[pairs.detection] - mean) / variance
    square = np.where(np.isfinite(square) & (count > 0), square, 1.0)
    # A target may fade or break up: no pair is out of the question for how it looks.
    square = np.minimum(square, MOST_UNLIKE)
    return np.asarray((square + np.log(variance)).sum(axis=1))
