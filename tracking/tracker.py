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
from tracking import kalman
from tracking.association import associate
from tracking.camera_motion import CameraMotion, Motion
from tracking.gating import gate_threshold, gated_pairs, overlapping
from tracking.life import build_life
from tracking.lifecycle import (
    TrackTable,
    forget_origins,
    note_displacement,
    note_positions,
    too_uncertain,
)
from tracking.measurements import Measurements, measurements_of
from tracking.motion import POSITION, VELOCITY, ConstantVelocity

# A new size moves the remembered size by this share: boxes breathe less than masks flicker.
SIZE_GAIN = 0.3
# The running confidence follows the detections' scores, 0 where there is none, this slowly.
SCORE_SECONDS = 0.3
# The camera's part of the reported velocity follows what is seen of it this slowly.
CAMERA_SECONDS = 0.2
# After such a gap every track is lost. A longer one would only make the numbers overflow.
LONGEST_GAP_SECONDS = 3600.0


class KalmanTracker:
    """Follows the targets of one source by a Kalman filter each, constant velocity.

    Ids count from 1 within the tracker, whatever other trackers do. What comes out depends only on
    the detections and their times: not on their order within a frame.

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
        self._step = Motion().after(self._motion.transition(0.0), self._motion.process_noise(0.0))
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
            image: the frame's picture, which must not change later: its size says when a track
                leaves it, and what it shows how the camera moved.
        """
        self._forget_another_picture(image)
        measured = measurements_of(detections, self._settings)
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
        self._delete(image)
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
        if not motion.trusted:
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
        self._step = motion.after(self._motion.transition(dt), self._motion.process_noise(dt))
        transition, offset, noise = self._step
        tracks.mean, tracks.cov = kalman.predict(tracks.mean, tracks.cov, transition, noise)
        tracks.mean += offset
        if motion.still:
            return
        tracks.origin = motion.points(tracks.origin)
        tracks.last_xy = motion.points(tracks.last_xy)
        if not motion.trusted:
            forget_origins(tracks)

    def _associate(self, measured: Measurements) -> IntArray:
        tracks = self._tracks
        certain = np.flatnonzero(~too_uncertain(tracks, self._settings))
        pairs = gated_pairs(
            tracks.mean[certain], tracks.cov[certain], measured.xy, measured.noise, self._gate
        )
        return associate(
            replace(pairs, track=certain[pairs.track]),
            gate=self._gate,
            confirmed=tracks.confirmed,
            strong=measured.score >= self._threshold,
        )

    def _update(self, measured: Measurements, matched: IntArray, dt: float) -> None:
        tracks, settings = self._tracks, self._settings
        hit = matched >= 0
        used = matched[hit]
        strong = np.zeros(len(tracks), dtype=np.bool_)
        strong[hit] = measured.score[used] >= self._threshold
        self._life.weigh(tracks, hit, strong, measured.xy[used], measured.noise[used])
        tracks.mean[hit], tracks.cov[hit] = kalman.update(
            tracks.mean[hit], tracks.cov[hit], measured.xy[used], measured.noise[used]
        )
        tracks.size[hit] += SIZE_GAIN * (measured.size[used] - tracks.size[hit])
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
        note_positions(tracks, hit, measured.xy[used])
        note_displacement(tracks, strong, settings)
        tracks.confirmed = self._life.confirmed(tracks)

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
        """Take out the tracks that are over."""
        size = None if image is None else (image.shape[1], image.shape[0])
        over = self._life.ended(self._tracks, self._clock, size)
        ended = self._tracks.keep(over)
        if len(ended):
            self._tracks = self._tracks.keep(~over)
        return ended

    def _initiate(
        self, measured: Measurements, matched: IntArray, moved_in: float, motion: Motion
    ) -> None:
        free = measured.score >= self._birth_score
        free[matched[matched >= 0]] = False
        candidates = np.flatnonzero(free)
        if not len(candidates):
            return
        born = candidates[self._stand_alone(measured, candidates)]
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
            window=self._settings.confirm_window,
            clock=self._clock,
            detection=measured.index[born],
        )
        newborn.confirmed = self._life.confirmed(newborn)
        self._next_id += len(born)
        self._tracks = self._tracks.extended_by(newborn)

    def _stand_alone(self, measured: Measurements, candidates: IntArray) -> BoolArray:
        """Which candidates for a new track are no mere fragment of a target already accounted for.

        A blob that breaks up gives two detections for one target. The one that is left over lies
        in the gate or in the box of the track that took the other, or, when both are new, of the
        better one. Two targets that begin as close as that are one until they part.
        """
        tracks = self._tracks
        seen = np.flatnonzero(tracks.detection >= 0)
        xy, noise = measured.xy[candidates], measured.noise[candidates]
        size = measured.size[candidates]
        alone = np.ones(len(candidates), dtype=np.bool_)
        states = tracks.mean[seen], tracks.cov[seen], tracks.size[seen]
        alone[self._fragments(*states, xy, noise)[1]] = False

        rest = np.flatnonzero(alone)  # best first, as measurements_of sorted them
        if len(rest) < 2:
            return alone
        mean, cov = self._motion.initial(xy[rest], noise[rest])
        better, worse = self._fragments(mean, cov, size[rest], xy[rest], noise[rest])
        later = worse > better
        for one, other in zip(rest[better[later]], rest[worse[later]], strict=True):
            if alone[one]:
                alone[other] = False
        return alone

    def _fragments(
        self,
        mean: FloatArray,
        cov: FloatArray,
        size: FloatArray,
        xy: FloatArray,
        noise: FloatArray,
    ) -> tuple[IntArray, IntArray]:
        """Which detections (N,) lie in the gates or the boxes of which states (M,), both (K,)."""
        gated = gated_pairs(mean, cov, xy, noise, self._gate)
        boxed = overlapping(mean[:, POSITION], size / 2, xy, np.zeros_like(xy))
        state = np.concatenate((gated.track, boxed[0]))
        order = np.argsort(state, kind="stable")
        return state[order], np.concatenate((gated.detection, boxed[1]))[order]

    def _snapshot(self) -> Tracks:
        tracks = self._tracks
        state = np.where(
            tracks.confirmed,
            np.where(tracks.detection >= 0, TrackState.CONFIRMED, TrackState.COASTING),
            TrackState.TENTATIVE,
        )
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
            filtered=FilterStates(tracks.mean, tracks.cov, *self._step),
        )
