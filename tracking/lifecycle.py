"""The life of tracks: how one is stored, when it is confirmed and when it ends.

A track begins *tentative*. Enough strong detections in its last few frames (M of N) confirm it,
once and for all, if they show that it moved, and stands out from its surroundings: what stands
still from the first frame on is a lamp post, a hot stone or a dead pixel far more often than a
target, and what is as bright as its surroundings is a cloud's edge. What the picture's border cuts
off has not moved because more of it shows. From then on it is reported, as *coasting* in the frames
that have no detection for it. It ends when it went without a detection for too long, by the
stream's clock and not by a count of frames, when its position has become too uncertain to mean
anything, or when it left the picture. Pictures that show nothing new (a thermal camera calibrates)
count for neither: only time goes on, and makes the position less certain. For a while the id of a
track that ended is kept for one that goes on from it (:mod:`tracking.recapture`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np

from configs.schema import TrackerSettings
from streamer.types import BoolArray, FloatArray, IntArray
from tracking.motion import POSITION, Manoeuvres

# Sums of frame times round: a track must not live a frame longer at 60 fps than at 10 for it.
TIME_TOLERANCE_SECONDS = 1e-6
# What stands still is rarely this far, in its jitter's standard deviations, from where it began:
# where the jitter is new in every frame. What sways slowly does move.
STILL_SIGMAS = 5.0
# So many of the last N frames must show it away from there.
AWAY_HITS = 2
# Where a track began is the mean of so many detections.
ORIGIN_HITS = 2
# How much a target's log SNR and log area are expected to vary.
PRIOR_LOOK_VARIANCE = np.square((0.3, 0.35))
# Before that is known a track is taken to jitter so much, px, as lamp posts and treetops do, more
# than targets;
USUAL_JITTER_PX = 0.7
# and less, in proportion, where it is brighter than this SNR, but at least this share.
USUAL_SNR = 20.0
LEAST_JITTER_SHARE = 0.25
# Its jitter is that of about so many of its last detections.
JITTER_HITS = 30


@dataclass(slots=True)
class TrackTable:
    """All live tracks of one tracker, one row each, oldest first: a struct of arrays."""

    track_id: IntArray
    """(M,)"""
    mean: FloatArray
    """(M, 4) state: x, y, vx, vy."""
    cov: FloatArray
    """(M, 4, 4) covariance of ``mean``."""
    model_mean: FloatArray
    """(M, K, 4) the same of each model of motion."""
    model_cov: FloatArray
    """(M, K, 4, 4)"""
    model_share: FloatArray
    """(M, K) the models' probabilities."""
    predicted_share: FloatArray
    """(M, K) these before the frame's detections were known."""
    size: FloatArray
    """(M, 2) smoothed width and height of the target, px."""
    look: FloatArray
    """(M, 2) running means of the detections' features: see :mod:`tracking.amplitude`."""
    look_variance: FloatArray
    """(M, 2) their running variances."""
    look_count: FloatArray
    """(M, 2) of so many detections, at most those that are remembered."""
    score: FloatArray
    """(M,) running confidence, 0..1."""
    confirmed: BoolArray
    """(M,) True once confirmed, for good."""
    lost: BoolArray
    """(M,) True for confirmed tracks that ended, while they are still waited for."""
    hits: BoolArray
    """(M, N) the last N frames, newest first: True where a strong detection updated the track."""
    away: BoolArray
    """(M, N) the same frames: True where the detection was strong and the track farther from its
    origin than jitter takes what stands still."""
    updates: IntArray
    """(M,) how many detections it had since its origin is known."""
    last_xy: FloatArray
    """(M, 2) where the last one was, px."""
    origin: FloatArray
    """(M, 2) where the first ones were on average, px."""
    cut_off: BoolArray
    """(M, 2) along which axes the picture's border cut the last one off."""
    jitter_variance: FloatArray
    """(M,) variance of the detections' positions from frame to frame, and a quarter of the squared
    step that the target itself makes, px^2."""
    first_seen: FloatArray
    """(M,) the tracker's clock at the first detection, s."""
    last_seen: FloatArray
    """(M,) the tracker's clock at the last detection, s."""
    frozen: FloatArray
    """(M,) for how long of the time since then nobody could have seen it, s: pictures that show
    nothing new."""
    detection: IntArray
    """(M,) the detection that updated it in this frame; -1 where none did."""
    llr: FloatArray
    """(M,) log-likelihood ratio, target to chance, of all since the first detection; 0 unless
    ``tracker.life`` is ``likelihood``, as are the next three."""
    llr_peak: FloatArray
    """(M,) the highest it was, since it was confirmed anew if it was."""
    llr_low: FloatArray
    """(M,) the lowest it was since that peak."""
    strong_hits: FloatArray
    """(M,) its strong detections, forgotten as a clutter map forgets."""

    def __len__(self) -> int:
        return len(self.track_id)

    @classmethod
    def empty(cls, window: int) -> TrackTable:
        """No tracks; ``window`` is the N of M of N."""
        none = np.empty(0)
        whole = np.empty(0, dtype=np.int64)
        return cls.born(
            track_id=whole,
            mean=np.empty((0, 4)),
            cov=np.empty((0, 4, 4)),
            size=np.empty((0, 2)),
            score=none,
            strong=np.empty(0, dtype=np.bool_),
            jitter_px=none,
            cut_off=np.empty((0, 2), dtype=np.bool_),
            window=window,
            clock=0.0,
            detection=whole,
        )

    @classmethod
    def born(
        cls,
        *,
        track_id: IntArray,
        mean: FloatArray,
        cov: FloatArray,
        size: FloatArray,
        score: FloatArray,
        strong: BoolArray,
        jitter_px: FloatArray,
        cut_off: BoolArray,
        window: int,
        clock: float,
        detection: IntArray,
    ) -> TrackTable:
        """Tentative tracks of one detection each.

        Args:
            track_id: (M,)
            mean: (M, 4) their first states, at the detections.
            cov: (M, 4, 4) covariances, those of the detections in the position.
            size: (M, 2) width and height of the detections, px.
            score: (M,) the detections'.
            strong: (M,) whether that is a strong one's.
            jitter_px: (M,) how much they are taken to jitter: see :func:`usual_jitter`.
            cut_off: (M, 2) along which axes the picture's border cuts the detections off.
            window: the N of M of N.
            clock: the tracker's, s.
            detection: (M,) the detections' rows.
        """
        count = len(track_id)
        shares = np.tile(Manoeuvres().shares, (count, 1))
        hits = np.zeros((count, window), dtype=np.bool_)
        hits[:, 0] = strong
        return cls(
            track_id=track_id,
            mean=mean,
            cov=cov,
            model_mean=np.repeat(mean[:, None], shares.shape[1], axis=1),
            model_cov=np.repeat(cov[:, None], shares.shape[1], axis=1),
            model_share=shares,
            predicted_share=shares.copy(),
            size=size,
            look=np.zeros((count, 2)),
            look_variance=np.tile(PRIOR_LOOK_VARIANCE, (count, 1)),
            look_count=np.zeros((count, 2)),
            score=score,
            confirmed=np.zeros(count, dtype=np.bool_),
            lost=np.zeros(count, dtype=np.bool_),
            hits=hits,
            away=np.zeros_like(hits),
            updates=np.ones(count, dtype=np.int64),
            last_xy=mean[:, POSITION].copy(),
            origin=mean[:, POSITION].copy(),
            cut_off=cut_off,
            jitter_variance=np.maximum(
                np.minimum(cov[:, 0, 0], cov[:, 1, 1]), np.square(jitter_px)
            ),
            first_seen=np.full(count, clock),
            last_seen=np.full(count, clock),
            frozen=np.zeros(count),
            detection=detection,
            llr=np.zeros(count),
            llr_peak=np.zeros(count),
            llr_low=np.zeros(count),
            strong_hits=strong.astype(np.float64),
        )

    def keep(self, rows: BoolArray) -> TrackTable:
        """The table with only the rows where ``rows`` (M,) is True."""
        return TrackTable(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def take_over(self, rows: IntArray, others: IntArray) -> None:
        """The tracks of ``rows`` (J,) go on as ``others`` (J,), with their own ids and ages."""
        for f in fields(self):
            if f.name not in ("track_id", "first_seen"):
                column = getattr(self, f.name)
                column[rows] = column[others]

    def extended_by(self, other: TrackTable) -> TrackTable:
        """The table with the rows of ``other`` below its own."""
        return TrackTable(
            **{
                f.name: np.concatenate((getattr(self, f.name), getattr(other, f.name)))
                for f in fields(self)
            }
        )


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


def note_positions(table: TrackTable, rows: BoolArray, xy: FloatArray) -> None:
    """Learn from new detections where tracks began and how much their positions jitter.

    The jitter is taken from the differences of successive positions (von Neumann's mean square
    successive difference, Ann. Math. Statist. 12, 1941), which a slow drift hardly
    adds to. It tells nothing of jitter that stays for several frames.

    Args:
        table: the tracks, changed in place.
        rows: (M,) True where a track has a new detection.
        xy: (K, 2) their positions, px, in the order of the rows.
    """
    before = table.updates[rows]
    # A difference has twice the variance of a position, and two coordinates.
    variance = np.square(xy - table.last_xy[rows]).sum(axis=1) / 4
    share = np.where(before > 0, 1 / (np.minimum(before, JITTER_HITS) + 1), 0.0)
    table.jitter_variance[rows] += share * (variance - table.jitter_variance[rows])
    weight = np.where(before < ORIGIN_HITS, 1 / (before + 1), 0.0)[:, None]
    table.origin[rows] += weight * (xy - table.origin[rows])
    table.last_xy[rows] = xy
    table.updates[rows] += 1


def confirmed_now(table: TrackTable, settings: TrackerSettings) -> BoolArray:
    """(M,) True for tracks that are or have just become confirmed: M of N, moved, and bright."""
    able = has_hits(table, settings) & has_moved(table, settings) & stands_out(table, settings)
    return np.asarray(table.confirmed | able, dtype=np.bool_)


def has_hits(table: TrackTable, settings: TrackerSettings) -> BoolArray:
    """(M,) True where M of the last N frames had a strong detection."""
    return np.asarray(table.hits.sum(axis=1) >= settings.confirm_hits, dtype=np.bool_)


def has_moved(table: TrackTable, settings: TrackerSettings) -> BoolArray:
    """(M,) True where the last N frames show a track away from its origin, or nobody asks."""
    if settings.confirm_displacement_px <= 0:
        return np.ones(len(table), dtype=np.bool_)
    wanted = min(AWAY_HITS, settings.confirm_hits)
    return np.asarray(table.away.sum(axis=1) >= wanted, dtype=np.bool_)


def stands_out(table: TrackTable, settings: TrackerSettings) -> BoolArray:
    """(M,) True where a track's SNR, its logarithms' mean, is enough, not known, or not asked."""
    if settings.confirm_snr <= 0:
        return np.ones(len(table), dtype=np.bool_)
    known = table.look_count[:, 0] > 0
    return np.asarray(~known | (table.look[:, 0] >= math.log(settings.confirm_snr)))


def note_displacement(table: TrackTable, strong: BoolArray, settings: TrackerSettings) -> None:
    """Note for this frame which tracks with a strong detection, (M,) True, are away."""
    table.away[:, 1:] = table.away[:, :-1]
    table.away[:, 0] = strong & is_away(table, settings)


def is_away(table: TrackTable, settings: TrackerSettings) -> BoolArray:
    """(M,) True where a track is farther from its origin than jitter takes what stands still."""
    distance = np.hypot(*(table.mean[:, POSITION] - table.origin).T)
    still = np.maximum(
        settings.confirm_displacement_px, STILL_SIGMAS * np.sqrt(table.jitter_variance)
    )
    # Of what is cut off another part may show than at first.
    still += np.where(table.cut_off.any(axis=1), table.size.max(axis=1) / 2, 0.0)
    return np.asarray(distance > still, dtype=np.bool_)


def too_uncertain(table: TrackTable, settings: TrackerSettings) -> BoolArray:
    """(M,) True where a track's position could be almost anywhere: it claims no detection."""
    variance = np.einsum("mii->mi", table.cov[:, POSITION, POSITION]).max(axis=1, initial=0.0)
    return np.asarray(variance > settings.max_position_sigma_px**2, dtype=np.bool_)


def ended(
    table: TrackTable,
    settings: TrackerSettings,
    clock: float,
    picture_size: tuple[int, int] | None,
) -> BoolArray:
    """Which tracks are over. A track that has a detection in this frame never is.

    Args:
        table: the tracks, after the frame's updates.
        settings: the limits.
        clock: the tracker's clock, s.
        picture_size: (width, height), px; None where it is not known and nothing can leave.

    Returns:
        (M,) True where a track is over.
    """
    limit = np.where(table.confirmed, settings.coast_seconds, settings.tentative_coast_seconds)
    over = clock - table.last_seen - table.frozen > limit + TIME_TOLERANCE_SECONDS
    over |= too_uncertain(table, settings)
    over |= has_left(table, picture_size)
    return np.asarray(over & (table.detection < 0), dtype=np.bool_)


def has_left(table: TrackTable, picture_size: tuple[int, int] | None) -> BoolArray:
    """(M,) True where a track is outside of a picture (width, height), px, that is known."""
    if picture_size is None:
        return np.zeros(len(table), dtype=np.bool_)
    x, y = table.mean[:, 0], table.mean[:, 1]
    width, height = picture_size
    outside = (x < -0.5) | (x > width - 0.5) | (y < -0.5) | (y > height - 0.5)
    return np.asarray(outside, dtype=np.bool_)
