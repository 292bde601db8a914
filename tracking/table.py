"""How the tracks of one tracker are stored: a struct of arrays."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from streamer.types import BoolArray, FloatArray, IntArray
from tracking.motion import POSITION, Manoeuvres

# How much a target's log SNR and log area are expected to vary.
PRIOR_LOOK_VARIANCE = np.square((0.3, 0.35))


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
    step_variance: FloatArray
    """(M,) variance of the detections' positions by their differences, px^2: with a quarter of the
    squared step that the target itself makes."""
    bend_variance: FloatArray
    """(M,) the same by the differences of these: with what the target manoeuvres."""
    bends: IntArray
    """(M,) so many there were."""
    last_step: FloatArray
    """(M, 2) from the last detection but one to the last, px."""
    last_seconds: FloatArray
    """(M,) how long that took, s; 0 where there is none."""
    longest_step: FloatArray
    """(M,) of all since its origin is known, forgotten as the origin is, px; a share of those that
    took longer than the one before."""
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
            jitter_px: (M,) how much they are taken to jitter: see
                :func:`tracking.displacement.usual_jitter`.
            cut_off: (M, 2) along which axes the picture's border cuts the detections off.
            window: the N of M of N.
            clock: the tracker's, s.
            detection: (M,) the detections' rows.
        """
        count = len(track_id)
        shares = np.tile(Manoeuvres().shares, (count, 1))
        hits = np.zeros((count, window), dtype=np.bool_)
        hits[:, 0] = strong
        jitter = np.maximum(np.minimum(cov[:, 0, 0], cov[:, 1, 1]), np.square(jitter_px))
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
            step_variance=jitter,
            bend_variance=jitter.copy(),
            bends=np.zeros(count, dtype=np.int64),
            last_step=np.zeros((count, 2)),
            last_seconds=np.zeros(count),
            longest_step=np.zeros(count),
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
