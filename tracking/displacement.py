"""Whether a track has moved, or only jitters where it began.

What stands still from the first frame on is a lamp post, a hot stone or a dead pixel far more often
than a target. What the picture's border cuts off has not moved because more of it shows.

How much a track's positions jitter is told by their differences, and what moves must not be taken
to jitter because of that. So there are two estimates of it, of which the smaller one counts: from
successive differences, to which a slow drift hardly adds (von Neumann's mean square successive
difference, Ann. Math. Statist. 12, 1941), and from differences of these, to which steady flight
adds nothing, however fast it is. Neither tells of jitter that stays for several frames.
"""

from __future__ import annotations

import math

import numpy as np

from configs.schema import TrackerSettings
from streamer.types import BoolArray, FloatArray, IntArray
from tracking.motion import POSITION
from tracking.table import TrackTable

# What stands still is rarely this far, in its jitter's standard deviations, from where it began:
# where the jitter is new in every frame. What sways slowly does move.
STILL_SIGMAS = 5.0
# So many of the last N frames must show it away from there.
AWAY_HITS = 2
# Where a track began is the mean of so many detections.
ORIGIN_HITS = 2
# As long as nobody knows whether it moves, it is forgotten so slowly: over hours, all that stands
# creeps by more than a target must move.
ORIGIN_SECONDS = 10.0
# A track must be away by so many of its longest steps: now the one lamp of a mast is seen and now
# the other, and one jump between them is no flight.
STEPS_AWAY = 1.25
# Before that is known a track is taken to jitter so much, px, as lamp posts and treetops do, more
# than targets;
USUAL_JITTER_PX = 0.7
# and less, in proportion, where it is brighter than this SNR, but at least this share.
USUAL_SNR = 20.0
LEAST_JITTER_SHARE = 0.25
# Its jitter is that of about so many of its last detections.
JITTER_HITS = 30
# The smaller of two estimates is too small where detections are few, and the one by the differences
# of differences is the less certain one.
BEND_CAUTION = 2.0


def forget_origins(table: TrackTable) -> None:
    """Where tracks began says nothing any more: the next detections are where they begin."""
    table.updates = np.zeros_like(table.updates)


def note_cut_off(table: TrackTable, rows: BoolArray, cut_off: BoolArray) -> None:
    """Tracks at the picture's border have not moved towards it or from it: more or less of them
    shows. Where they began is where they are first seen whole.

    Args:
        table: the tracks, changed in place.
        rows: (M,) True where a track has a new detection.
        cut_off: (K, 2) along which axes these are cut off, in the order of the rows.
    """
    asked = ~table.confirmed[rows][:, None]
    whole = table.cut_off[rows].any(axis=1, keepdims=True) & ~cut_off.any(axis=1, keepdims=True)
    origin = np.where(whole & asked, table.last_xy[rows], table.origin[rows])
    table.origin[rows] = np.where(cut_off & asked, table.mean[rows][:, POSITION], origin)
    table.cut_off[rows] = cut_off


def usual_jitter(log_snr: FloatArray) -> FloatArray:
    """(M,) px that tracks are taken to jitter by before it is known, from their first detections'
    log SNR, (M,); NaN is not known.

    Source: the error of a point's centroid goes with 1 / SNR (Winick, "Cramer-Rao lower bounds on
    the performance of charge-coupled-device optical position estimators", J. Opt. Soc. Am. A 3,
    1986).
    """
    brighter = np.where(np.isfinite(log_snr), log_snr - math.log(USUAL_SNR), 0.0)
    share = np.maximum(np.exp(-np.maximum(brighter, 0.0)), LEAST_JITTER_SHARE)
    return np.asarray(USUAL_JITTER_PX * share)


def note_positions(table: TrackTable, rows: BoolArray, xy: FloatArray, seconds: FloatArray) -> None:
    """Learn from new detections where tracks began and how much their positions jitter.

    Args:
        table: the tracks, changed in place.
        rows: (M,) True where a track has a new detection.
        xy: (K, 2) their positions, px, in the order of the rows.
        seconds: (K,) since the tracks' last detections.
    """
    before = table.updates[rows]
    step = xy - table.last_xy[rows]
    # A difference has twice the variance of a position, and two coordinates.
    _learn(table.step_variance, rows, np.square(step).sum(axis=1) / 4, before)

    timed = seconds > 0
    steady = (before > 1) & timed & (table.last_seconds[rows] > 0)
    ratio = np.where(steady, seconds / np.where(steady, table.last_seconds[rows], 1.0), 1.0)
    bend = step - table.last_step[rows] * ratio[:, None]
    share = 1 + np.square(1 + ratio) + np.square(ratio)
    variance = np.square(bend).sum(axis=1) / (2 * share)
    table.bends[rows] += steady
    _learn(table.bend_variance, rows, variance, np.where(steady, table.bends[rows], 0))
    table.last_step[rows] = step
    table.last_seconds[rows] = np.where((before > 0) & timed, seconds, 0.0)

    asked = ~table.confirmed[rows]
    forgotten = np.where(asked, -np.expm1(-seconds / ORIGIN_SECONDS), 0.0)
    length = np.hypot(*step.T) / np.maximum(ratio, 1.0)
    longest = np.maximum(table.longest_step[rows] * (1 - forgotten), length)
    table.longest_step[rows] = np.where(before > 0, longest, 0.0)
    weight = np.where(before < ORIGIN_HITS, 1 / (before + 1), forgotten)[:, None]
    table.origin[rows] += weight * (xy - table.origin[rows])
    table.last_xy[rows] = xy
    table.updates[rows] += 1


def _learn(mean: FloatArray, rows: BoolArray, news: FloatArray, count: IntArray) -> None:
    """Running means (M,), in place, of which the first value is what is usual: ``news`` (K,) of the
    rows, where ``count`` (K,) says how many there are with them; where it is 0 they say nothing."""
    share = np.where(count > 0, 1 / (np.minimum(count, JITTER_HITS) + 1), 0.0)
    mean[rows] += share * (news - mean[rows])


def jitter_variance(table: TrackTable) -> FloatArray:
    """(M,) px^2 of the detections' positions from frame to frame, along an axis."""
    by_bends = np.where(table.bends > 0, BEND_CAUTION * table.bend_variance, np.inf)
    return np.asarray(np.minimum(table.step_variance, by_bends))


def has_moved(table: TrackTable, settings: TrackerSettings) -> BoolArray:
    """(M,) True where the last N frames show a track away from its origin, or nobody asks."""
    if settings.confirm_displacement_px <= 0:
        return np.ones(len(table), dtype=np.bool_)
    wanted = min(AWAY_HITS, settings.confirm_hits)
    return np.asarray(table.away.sum(axis=1) >= wanted, dtype=np.bool_)


def note_displacement(table: TrackTable, strong: BoolArray, settings: TrackerSettings) -> None:
    """Note for this frame which tracks with a strong detection, (M,) True, are away."""
    table.away[:, 1:] = table.away[:, :-1]
    table.away[:, 0] = strong & is_away(table, settings)


def is_away(table: TrackTable, settings: TrackerSettings) -> BoolArray:
    """(M,) True where a track is farther from its origin than jitter takes what stands still."""
    distance = np.hypot(*(table.mean[:, POSITION] - table.origin).T)
    still = np.maximum(
        settings.confirm_displacement_px, STILL_SIGMAS * np.sqrt(jitter_variance(table))
    )
    still = np.maximum(still, STEPS_AWAY * table.longest_step)
    # Of what is cut off another part may show than at first.
    still += np.where(table.cut_off.any(axis=1), table.size.max(axis=1) / 2, 0.0)
    return np.asarray(distance > still, dtype=np.bool_)
