"""Who decides when tracks are confirmed and when they end: ``tracker.life``."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from configs.schema import TrackerSettings
from streamer.types import BoolArray, FloatArray
from tracking import kalman, lifecycle
from tracking.camera_motion import Motion
from tracking.clutter import CELL_PX, ClutterMap
from tracking.displacement import has_moved
from tracking.lifecycle import confirmed_now, stands_out
from tracking.motion import POSITION
from tracking.table import TrackTable
from tracking.wald import (
    LARGEST_SHARE,
    LEAST_THRESHOLD,
    false_share,
    hit_llr,
    lower_threshold,
    miss_llr,
    upper_threshold,
)

_PACE_GAIN = 0.005
"""The time from frame to frame, and the certainty of detections, are those of the last 200."""
_PACES_SECONDS = (1e-4, 10.0)
"""Times that say how fast frames come: others are repeated timestamps, or gaps."""

_PROBATION_SECONDS = 3.0
"""A confirmed track that was seen for no longer, and never left its place, was none of a target."""
_PATIENCE = 2.0
"""What a confirmed track may miss, in whole ``coast_seconds``."""
_BOUND_PX = 2.0 * CELL_PX
"""What is so far from where it began has left its place."""


class Life(Protocol):
    """Judges the tracks of one tracker, frame by frame, in the order of the methods."""

    def begin(
        self, dt: float, motion: Motion, shape: tuple[int, ...] | None, frozen: float = 0.0
    ) -> None:
        """A new frame.

        Args:
            dt: seconds since the last one.
            motion: how the camera moved since the last that was not frozen.
            shape: the picture's.
            frozen: seconds of frozen frames before this one.
        """

    def weigh(
        self,
        tracks: TrackTable,
        hit: BoolArray,
        strong: BoolArray,
        xy: FloatArray,
        noise: FloatArray,
    ) -> None:
        """Take in which tracks, as predicted, have which detections.

        Args:
            tracks: changed in place.
            hit: (M,) True where a track has a detection.
            strong: (M,) True where it has a strong one.
            xy: (K, 2) the detections' positions, px, in the order of the tracks.
            noise: (K, 2, 2) their covariances, px^2.
        """

    def confirmed(self, tracks: TrackTable) -> BoolArray:
        """(M,) True for tracks that are or have just become confirmed."""

    def ended(
        self, tracks: TrackTable, clock: float, picture_size: tuple[int, int] | None
    ) -> BoolArray:
        """(M,) True for tracks that are over; never one with a detection in this frame."""

    def bury(self, tracks: TrackTable) -> None:
        """These are over, and will be deleted."""


def build_life(settings: TrackerSettings) -> Life:
    """What ``settings.life`` names, for one tracker."""
    return Likelihood(settings) if settings.life == "likelihood" else MOfN(settings)


class MOfN:
    """Enough strong detections in the last frames confirm: see :mod:`tracking.lifecycle`."""

    def __init__(self, settings: TrackerSettings) -> None:
        self._settings = settings

    def begin(
        self, dt: float, motion: Motion, shape: tuple[int, ...] | None, frozen: float = 0.0
    ) -> None:
        """Nothing is learned."""

    def weigh(
        self,
        tracks: TrackTable,
        hit: BoolArray,
        strong: BoolArray,
        xy: FloatArray,
        noise: FloatArray,
    ) -> None:
        """Only counts matter, and the table has them."""

    def confirmed(self, tracks: TrackTable) -> BoolArray:
        """(M,) by M of N, the displacement and the SNR."""
        return confirmed_now(tracks, self._settings)

    def ended(
        self, tracks: TrackTable, clock: float, picture_size: tuple[int, int] | None
    ) -> BoolArray:
        """(M,) by time, certainty and the picture's borders."""
        return lifecycle.ended(tracks, self._settings, clock, picture_size)

    def bury(self, tracks: TrackTable) -> None:
        """Nothing is learned."""


class Likelihood:
    """A sequential probability ratio test of each track: see :mod:`tracking.wald`.

    The evidence is that of strong detections. A weak one is none for a tentative track, as if it
    were missing, and none against a confirmed one. Evidence begins after a track's first
    detection, so what the test is asked is which share of the tracks that chance starts it may
    confirm: false tracks an hour, over those started in an hour.

    A confirmed track ends when its log-likelihood ratio fell from its peak by more than twice what
    a whole ``coast_seconds`` without detections costs: targets fade for longer than that, and weak
    detections are no evidence. So what is merely hidden coasts as long as the setting says, which
    knows of things that stand before targets, and what is kept alive by a chance detection now and
    then does not live for ever. Detections that raise the ratio, from its lowest since the peak, by
    as much as would confirm a track anywhere confirm this one anew: what it missed before does not
    count any more. A target behind branches is never seen for long enough to make up for all that
    it missed.

    The clutter map learns from tentative tracks that ended, and from confirmed ones that ended
    within seconds without leaving their place: otherwise a place that is bad enough to confirm
    tracks again and again would explain its own detections, and never be known. What came from
    elsewhere, or was followed for longer, is a target, also where it stops.

    No track lies outside of the picture without a detection: it has ended. So misses count always.
    """

    def __init__(self, settings: TrackerSettings) -> None:
        self._settings = settings
        self._clutter = ClutterMap(settings.false_alarms_per_frame)
        self._miss = miss_llr(settings)
        self._log_pace: float | None = None
        self._paces = self._variances = 0
        self._log_variance = 2 * math.log(settings.position_sigma_px)
        self._keep = 1.0

    def begin(
        self, dt: float, motion: Motion, shape: tuple[int, ...] | None, frozen: float = 0.0
    ) -> None:
        """Learn how fast frames come; let the clutter map fade."""
        self._keep = self._clutter.begin(frozen + dt, motion, shape)
        if _PACES_SECONDS[0] <= dt <= _PACES_SECONDS[1]:
            log_dt = math.log(dt)
            if self._log_pace is None:
                self._log_pace = log_dt
            self._paces += 1
            gain = max(_PACE_GAIN, 1 / self._paces)
            self._log_pace += gain * (log_dt - self._log_pace)

    def weigh(
        self,
        tracks: TrackTable,
        hit: BoolArray,
        strong: BoolArray,
        xy: FloatArray,
        noise: FloatArray,
    ) -> None:
        """Add each track's evidence of this frame."""
        change = np.where(hit & tracks.confirmed, 0.0, self._miss)
        row, used = np.flatnonzero(strong), strong[hit]
        distance, log_det = kalman.innovation_statistics(
            xy[used] - tracks.mean[row, POSITION],
            tracks.cov[row, POSITION, POSITION] + noise[used],
        )
        density = self._clutter.density(xy[used])
        change[row] = hit_llr(distance, log_det, density, self._settings.detection_probability)
        tracks.llr += change
        self._note_peaks(tracks)
        tracks.strong_hits = tracks.strong_hits * self._keep + strong
        tentative = used & ~tracks.confirmed[hit]
        if tentative.any():
            news = float(np.log(noise[tentative, 0, 0]).mean())
            self._variances += 1
            gain = max(_PACE_GAIN, 1 / (self._variances + 1))
            self._log_variance += gain * (news - self._log_variance)

    def _note_peaks(self, tracks: TrackTable) -> None:
        """Where the ratio was highest, and lowest since then; where tracks are confirmed anew."""
        new = tracks.llr >= tracks.llr_peak
        tracks.llr_low = np.minimum(tracks.llr_low, tracks.llr)
        if self._log_pace is not None:
            new |= tracks.llr - tracks.llr_low >= upper_threshold(self._share())
        tracks.llr_peak = np.where(new, tracks.llr, tracks.llr_peak)
        tracks.llr_low = np.where(new, tracks.llr, tracks.llr_low)

    def confirmed(self, tracks: TrackTable) -> BoolArray:
        """(M,) where the evidence reaches the threshold, and displacement and SNR their own; by
        counts while it is not known how fast frames come."""
        if self._log_pace is None:
            return confirmed_now(tracks, self._settings)
        confirmed = tracks.confirmed.copy()
        able = ~confirmed & tracks.hits[:, 0] & (tracks.llr >= LEAST_THRESHOLD)
        able &= has_moved(tracks, self._settings) & stands_out(tracks, self._settings)
        rows = np.flatnonzero(able)
        if not len(rows):
            return confirmed
        share = self._share()
        density = self._clutter.density(tracks.last_xy[rows])
        pace, variance = math.exp(self._log_pace), math.exp(self._log_variance)
        kinds, kind = np.unique(density, return_inverse=True)
        curves = [false_share(self._settings, each, pace, variance) for each in kinds.tolist()]
        threshold = np.array([curve.threshold(share) for curve in curves])
        confirmed[rows] = tracks.llr[rows] >= threshold[kind]
        return confirmed

    def ended(
        self, tracks: TrackTable, clock: float, picture_size: tuple[int, int] | None
    ) -> BoolArray:
        """(M,) by the evidence, and by time, certainty and the picture's borders."""
        settings = self._settings
        over = lifecycle.ended(tracks, settings, clock, picture_size)
        if self._log_pace is None:
            return over
        frames = settings.coast_seconds / math.exp(self._log_pace) + 1
        unlikely = np.where(
            tracks.confirmed,
            tracks.llr < tracks.llr_peak + _PATIENCE * self._miss * frames,
            tracks.llr < lower_threshold(self._share()),
        )
        return np.asarray(over | (unlikely & (tracks.detection < 0)), dtype=np.bool_)

    def bury(self, tracks: TrackTable) -> None:
        """The clutter map learns from what was chance: see the class."""
        gone_far = np.hypot(*(tracks.last_xy - tracks.origin).T) > _BOUND_PX
        passed = tracks.last_seen - tracks.first_seen >= _PROBATION_SECONDS
        chance = tracks.keep(~(tracks.confirmed & (gone_far | passed)))
        self._clutter.add(chance.last_xy, chance.strong_hits)

    def _share(self) -> float:
        """alpha: which share of the tracks that chance starts may be confirmed."""
        assert self._log_pace is not None
        births_per_hour = self._clutter.births_per_frame * 3600 / math.exp(self._log_pace)
        return min(LARGEST_SHARE, self._settings.false_tracks_per_hour / births_per_hour)
