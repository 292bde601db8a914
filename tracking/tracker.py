"""The Kalman tracker: a frame's detections in, the tracks as known at that frame out."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from configs.schema import TrackerSettings
from streamer.types import (
    BoolArray,
    Detections,
    FilterStates,
    FloatArray,
    Image,
    IntArray,
    Tracks,
    TrackState,
)
from tracking import amplitude, imm, kalman
from tracking.association import associate
from tracking.camera_motion import CameraMotion, Motion
from tracking.displacement import (
    forget_origins,
    note_cut_off,
    note_displacement,
    note_positions,
    usual_jitter,
)
from tracking.fragments import stand_alone
from tracking.gating import Pairs, gate_threshold, gated_pairs
from tracking.life import build_life
from tracking.lifecycle import has_hits, has_left, too_uncertain
from tracking.measurements import Measurements, measurements_of
from tracking.motion import POSITION, VELOCITY, ConstantVelocity, Manoeuvres
from tracking.recapture import recaptured
from tracking.table import TrackTable

# A new size moves the remembered size by this share: boxes breathe less than masks flicker.
SIZE_GAIN = 0.3
# The running confidence follows the detections' scores, 0 where there is none, this slowly.
SCORE_SECONDS = 0.3
# The camera's part of the reported velocity follows what is seen of it this slowly.
CAMERA_SECONDS = 0.2
# After such a gap every track is lost. A longer one would only make the numbers overflow.
LONGEST_GAP_SECONDS = 3600.0


class KalmanTracker:
    """Follows the targets of one source by two Kalman filters each: constant velocity, in quiet
    flight and in manoeuvres.

    Ids count from 1 within the tracker, whatever other trackers do. A target that is found again
    keeps its own (:mod:`tracking.recapture`). What comes out depends only on the detections and
    their times: not on their order within a frame.

    Args:
        settings: the limits and noises.
        threshold: score, 0..1, from which a detection is strong: weaker ones only continue tracks.
    """

    def __init__(self, settings: TrackerSettings, *, threshold: float) -> None:
        if not 0.0 < threshold < 1.0:
            raise ValueError(f"threshold is {threshold}, expected between 0 and 1")
        self._settings = settings
        self._threshold = threshold
        self._birth_score = threshold if settings.birth_score is None else settings.birth_score
        self._gate = gate_threshold(settings.gate_probability)
        self._motion = ConstantVelocity(settings.acceleration_sigma, settings.initial_speed_sigma)
        self._camera = CameraMotion(settings.camera_motion)
        self._camera_rate = np.zeros((2, 3))
        self._manoeuvres = Manoeuvres()
        self._step = Motion().after(self._motion.transition(0.0), np.zeros((2, 4, 4)))
        self._life = build_life(settings)
        self._tracks = TrackTable.empty(settings.confirm_window)
        self._next_id = 1
        self._clock = 0.0
        self._last_pts: float | None = None
        self._frozen = self._unread = 0.0
        """Seconds of frozen pictures since the last that was not, and of those with which the
        camera's motion could not be read."""
        self._picture_kind: tuple[tuple[int, ...], np.dtype[Any]] | None = None

    def step(self, detections: Detections, image: Image | None = None) -> Tracks:
        """Take in one frame's detections, in order of time: the tracks as known at that frame.

        A timestamp that repeats or goes back counts as no time at all; the next one is measured
        from it. Detections with a non-finite or absurd (beyond a million px) position or box are
        ignored.

        Args:
            detections: what was found in the frame. A NaN or non-positive ``peak_snr`` is taken as
                unknown.
            image: the frame's picture, which must not change later: its size says what its border
                cuts off and when a track leaves it, and what it shows how the camera moved.
        """
        self._forget_another_picture(image)
        measured = measurements_of(detections, self._settings, _size_of(image))
        dt = self._advance_clock(detections.pts_seconds)
        motion, moved_in = self._watch_camera(detections, image, dt)
        shape = None if image is None else image.shape
        self._life.begin(dt, motion, shape, self._frozen)
        self._frozen = 0.0

        self._predict(dt, motion)
        matched = self._associate(measured)
        self._update(measured, matched, dt)
        self._life.bury(self._delete(image))
        self._initiate(measured, matched, moved_in, motion)
        return self._snapshot()

    def coast(self, pts_seconds: float, image: Image | None = None) -> Tracks:
        """Take in a frame that shows nothing new, in its place among the others: tracks go on by
        themselves, and nobody has missed them.

        A track ends here only when its position has become too uncertain, or left the picture.

        Args:
            pts_seconds: the frame's, as in ``Detections``.
            image: its picture, of which only the size counts.
        """
        self._forget_another_picture(image)
        dt = self._advance_clock(pts_seconds)
        self._frozen += dt
        self._unread += dt
        self._predict(dt, Motion())
        self._tracks.detection = np.full(len(self._tracks), -1, dtype=np.int64)
        self._tracks.frozen = self._tracks.frozen + dt
        over = too_uncertain(self._tracks, self._settings)
        over |= has_left(self._tracks, _size_of(image))
        self._tracks = self._tracks.keep(~over)
        return self._snapshot()

    def _advance_clock(self, pts_seconds: float) -> float:
        last = pts_seconds if self._last_pts is None else self._last_pts
        dt = min(max(0.0, pts_seconds - last), LONGEST_GAP_SECONDS)
        self._last_pts = pts_seconds
        self._clock += dt
        return dt

    def _watch_camera(
        self, detections: Detections, image: Image | None, dt: float
    ) -> tuple[Motion, float]:
        """The camera's motion, and in which time, s."""
        if image is None:
            return Motion(), dt
        motion = self._camera.estimate(image, detections.boxes_xyxy)
        if motion.blank or not motion.trusted:
            self._unread += dt
            return motion, dt
        if not motion.cut:
            dt += self._unread
        self._unread = 0.0
        if dt > 0:
            rate = (motion.warp - Motion().warp) / dt
            self._camera_rate += -math.expm1(-dt / CAMERA_SECONDS) * (rate - self._camera_rate)
        return motion, dt

    def _predict(self, dt: float, motion: Motion) -> None:
        tracks = self._tracks
        noise = self._manoeuvres.densities[:, None, None] * self._motion.process_noise(dt)
        self._step = motion.after(self._motion.transition(dt), noise)
        transition, offset, noise = self._step
        mean, cov, tracks.model_share = imm.interact(
            tracks.model_mean,
            tracks.model_cov,
            tracks.model_share,
            self._manoeuvres.switching(dt),
        )
        mean, tracks.model_cov = kalman.predict(mean, cov, transition, noise)
        tracks.model_mean = mean + offset
        tracks.mean, tracks.cov = imm.combined(
            tracks.model_mean, tracks.model_cov, tracks.model_share
        )
        tracks.predicted_share = tracks.model_share.copy()
        if motion.still:
            return
        tracks.origin = motion.points(tracks.origin)
        tracks.last_xy = motion.points(tracks.last_xy)
        if not motion.trusted:
            forget_origins(tracks)

    def _associate(self, measured: Measurements) -> IntArray:
        tracks = self._tracks
        certain = np.flatnonzero(~too_uncertain(tracks, self._settings) & ~tracks.lost)
        # The widest gate: a target that begins to turn is not let go.
        pairs = gated_pairs(
            tracks.mean[certain],
            tracks.model_cov[certain, -1],
            measured.xy,
            measured.noise,
            self._gate,
        )
        pairs = replace(pairs, track=certain[pairs.track])
        return associate(
            replace(pairs, more=self._judge(measured, pairs)),
            gate=self._gate,
            confirmed=tracks.confirmed,
            settled=~tracks.confirmed & has_hits(tracks, self._settings),
            strong=measured.score >= self._threshold,
        )

    def _judge(self, measured: Measurements, pairs: Pairs) -> FloatArray:
        """(K,) what all models, and how targets look, add to the costs of pairs."""
        more = np.zeros(len(pairs))
        # Where there is nothing to choose from it costs time for nothing.
        contested = np.bincount(pairs.track)[pairs.track] > 1
        contested |= np.bincount(pairs.detection)[pairs.detection] > 1
        if not contested.any():
            return more
        tracks, pairs = self._tracks, pairs.keep(contested)
        row, column = pairs.track, pairs.detection
        cost = imm.cost(
            tracks.model_mean[row],
            tracks.model_cov[row],
            tracks.model_share[row],
            measured.xy[column],
            measured.noise[column],
        )
        cost += amplitude.unlikeness(tracks, pairs, measured.features)
        more[contested] = cost - pairs.cost
        return more

    def _update(self, measured: Measurements, matched: IntArray, dt: float) -> None:
        tracks, settings = self._tracks, self._settings
        hit = matched >= 0
        used = matched[hit]
        strong = np.zeros(len(tracks), dtype=np.bool_)
        strong[hit] = measured.score[used] >= self._threshold
        self._life.weigh(tracks, hit, strong, measured.xy[used], measured.noise[used])
        states = imm.update(
            tracks.model_mean[hit],
            tracks.model_cov[hit],
            tracks.model_share[hit],
            measured.xy[used],
            measured.noise[used],
        )
        tracks.model_mean[hit], tracks.model_cov[hit], tracks.model_share[hit] = states
        tracks.mean[hit], tracks.cov[hit] = imm.combined(*states)
        amplitude.note(tracks, hit, measured.features[used])
        tracks.size[hit] += SIZE_GAIN * (measured.size[used] - tracks.size[hit])
        waited = self._clock - tracks.last_seen[hit]
        tracks.last_seen[hit] = self._clock
        tracks.frozen[hit] = 0.0

        evidence = np.zeros(len(tracks))
        evidence[hit] = measured.score[used]
        tracks.score += -math.expm1(-dt / SCORE_SECONDS) * (evidence - tracks.score)
        tracks.detection = np.full(len(tracks), -1, dtype=np.int64)
        tracks.detection[hit] = measured.index[used]
        # Weak detections keep a track going but are no evidence for it: clutter is full of them.
        tracks.hits[:, 1:] = tracks.hits[:, :-1]
        tracks.hits[:, 0] = strong
        note_positions(tracks, hit, measured.xy[used], waited)
        note_cut_off(tracks, hit, measured.cut_off[used])
        note_displacement(tracks, strong, settings)
        before, tracks.confirmed = tracks.confirmed, self._life.confirmed(tracks)
        self._recapture(tracks.confirmed & ~before)

    def _recapture(self, fresh: BoolArray) -> None:
        """Tracks that were lost go on as those of the ``fresh`` (M,) ones that are the same."""
        tracks = self._tracks
        lost, found = recaptured(tracks, fresh, self._settings)
        if not len(lost):
            return
        tracks.take_over(lost, found)
        rest = np.ones(len(tracks), dtype=np.bool_)
        rest[found] = False
        self._tracks = tracks.keep(rest)

    def _forget_another_picture(self, image: Image | None) -> None:
        """A camera that was told to send another size or depth shows another part of the world, or
        the same in other pixels: no track goes on."""
        if image is None:
            return
        kind = (image.shape, image.dtype)
        if self._picture_kind is not None and kind != self._picture_kind:
            self._tracks = self._tracks.keep(np.zeros(len(self._tracks), dtype=np.bool_))
            self._camera_rate = np.zeros((2, 3))
        self._picture_kind = kind

    def _delete(self, image: Image | None) -> TrackTable:
        """Take out the tracks that are over, but keep as lost those that may be found again; gives
        those that ended in this frame."""
        tracks = self._tracks
        size = _size_of(image)
        over = self._life.ended(tracks, self._clock, size)
        ended = tracks.keep(over & ~tracks.lost)
        if over.any():
            unseen = self._clock - tracks.last_seen - tracks.frozen
            waited = unseen <= self._settings.recapture_seconds
            waited &= tracks.confirmed & ~has_left(tracks, size)
            waited &= ~too_uncertain(tracks, self._settings)
            tracks.lost |= over & waited
            self._tracks = tracks.keep(~over | waited)
        return ended

    def _initiate(
        self, measured: Measurements, matched: IntArray, moved_in: float, motion: Motion
    ) -> None:
        free = measured.score >= self._birth_score
        free[matched[matched >= 0]] = False
        candidates = np.flatnonzero(free)
        if not len(candidates):
            return
        tracks = self._tracks
        seen = tracks.detection >= 0
        states = tracks.mean[seen], tracks.cov[seen], tracks.size[seen]
        born = candidates[stand_alone(states, measured, candidates, self._motion, self._gate)]
        if not len(born):
            return
        mean, cov = self._motion.initial(measured.xy[born], measured.noise[born])
        if not motion.still and moved_in > 0:
            # A camera that follows the target: at rest in the picture, it is as fast as the scene.
            camera = (measured.xy[born] - motion.earlier(measured.xy[born])) / moved_in
            cov[:, VELOCITY, VELOCITY] += camera[:, :, None] * camera[:, None, :]
        newborn = TrackTable.born(
            track_id=np.arange(self._next_id, self._next_id + len(born), dtype=np.int64),
            mean=mean,
            cov=cov,
            size=measured.size[born],
            score=measured.score[born],
            strong=measured.score[born] >= self._threshold,
            jitter_px=usual_jitter(measured.features[born][:, 0]),
            cut_off=measured.cut_off[born],
            window=self._settings.confirm_window,
            clock=self._clock,
            detection=measured.index[born],
        )
        amplitude.note(newborn, np.ones(len(born), dtype=np.bool_), measured.features[born])
        newborn.confirmed = self._life.confirmed(newborn)
        self._next_id += len(born)
        fresh = np.concatenate((np.zeros(len(self._tracks), dtype=np.bool_), newborn.confirmed))
        self._tracks = self._tracks.extended_by(newborn)
        self._recapture(fresh)

    def _snapshot(self) -> Tracks:
        tracks = self._tracks
        if tracks.lost.any():
            tracks = tracks.keep(~tracks.lost)
        state = np.where(
            tracks.confirmed,
            np.where(tracks.detection >= 0, TrackState.CONFIRMED, TrackState.COASTING),
            TrackState.TENTATIVE,
        )
        transition, offset, noise = self._step
        xy = tracks.mean[:, POSITION]
        # The filter's velocity is that against the scene: in the picture the camera's adds to it.
        by_camera = xy @ self._camera_rate[:, :2].T + self._camera_rate[:, 2]
        return Tracks(
            track_id=tracks.track_id,
            xy=xy,
            velocity=tracks.mean[:, VELOCITY] + by_camera,
            position_cov=tracks.cov[:, POSITION, POSITION],
            boxes_xyxy=np.hstack((xy - tracks.size / 2, xy + tracks.size / 2)),
            score=tracks.score,
            state=state,
            age_seconds=self._clock - tracks.first_seen,
            seconds_since_update=self._clock - tracks.last_seen,
            detection_index=tracks.detection,
            filtered=FilterStates(
                tracks.mean,
                tracks.cov,
                transition,
                offset,
                # Models differ in noise alone, so what they add together is the mean of it.
                np.tensordot(tracks.predicted_share, noise, axes=1),
            ),
        )


def _size_of(image: Image | None) -> tuple[int, int] | None:
    """Width and height, px."""
    return None if image is None else (image.shape[1], image.shape[0])
