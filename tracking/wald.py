"""How often chance confirms a track: the threshold of the sequential probability ratio test.

The test of a track's log-likelihood ratio L, and the score it adds up, are those of Blackman and
Popoli, "Design and Analysis of Modern Tracking Systems" (1999), section 6.2, after Wald,
"Sequential Analysis" (1947). There, L reaching ``ln((1 - beta) / alpha)`` confirms, and ``alpha``
is the share of false tracks that get there. That is an upper bound: L rises by several units a
detection, so it does not stop at the threshold but beyond it, and by chance fewer tracks are
confirmed than asked for. The share is known exactly, though. With T the frame in which a track is
confirmed, whatever confirms it,

    P(confirmed | false) = E[exp(-L_T) ; confirmed | true],

because L is the logarithm of how much likelier a target makes the whole history than chance
(Siegmund, "Sequential Analysis" (1985), chapter 2). The right side is the mean of numbers between 0
and ``exp(-threshold)`` over tracks of *targets*: a few thousand of them, drawn from the filter's
own predictions, tell it within some percent, however rare false tracks are. The gate, the deletion
of tentative tracks and the velocities that are taken for possible are all in it.

The displacement test is not: it was made for what stands still and blinks, not for chance. Where it
is on, there are fewer false tracks than asked. There are fewer, too, where detections are so rare
that even the second one, anywhere in the gate, comes by chance less often than asked.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

from configs.schema import TrackerSettings
from streamer.types import FloatArray
from tracking.gating import gate_threshold
from tracking.lifecycle import TIME_TOLERANCE_SECONDS
from tracking.motion import ConstantVelocity

MISSED_TARGETS = 0.01
"""Wald's beta: the share of targets whose tentative track the test may drop."""
LARGEST_SHARE = 0.5
"""A false track is never likelier to be confirmed than this, however many are asked for."""
_TARGETS = 5000
_MOST_FRAMES = 60
_LEVELS = np.linspace(0.1, 30.0, 300)
"""Thresholds: one in 10^13 false tracks reaches the last one."""
LEAST_THRESHOLD = float(_LEVELS[0])
"""No threshold is lower: what stays below it needs no curve."""
_STEP = 1.01
_PACE_TOLERANCE = 0.01
"""Frames come as regularly as this, where it matters how many of them a time holds."""


def lower_threshold(share: float) -> float:
    """Below this log-likelihood ratio a tentative track is dropped.

    Args:
        share: alpha, of false tracks that may be confirmed.
    """
    return math.log(MISSED_TARGETS / (1.0 - share))


def upper_threshold(share: float) -> float:
    """What chance reaches, however dense it is, no more often than this: Ville's inequality.

    Args:
        share: alpha, how often it may.
    """
    return -math.log(share)


def miss_llr(settings: TrackerSettings) -> float:
    """What a frame without a strong detection adds to the log-likelihood ratio."""
    return math.log1p(-settings.detection_probability * settings.gate_probability)


def hit_llr(
    distance: FloatArray, log_det: FloatArray, density: FloatArray | float, detected: float
) -> FloatArray:
    """What a strong detection adds to the log-likelihood ratio of the track that takes it.

    By chance, the nearest detection lies at y with density ``b exp(-b a)``, where b is the density
    of false detections and ``a = pi sqrt|S| d^2`` the area that is nearer. With a target it is
    ``(Pd N(y; 0, S) + b (1 - Pd (1 - exp(-d^2 / 2)))) exp(-b a)``: the target is the nearest, or
    was missed or is farther away than a false one. The ratio is ``Pd N / b + 1 - Pd (1 - exp(-d^2 /
    2))``. Blackman and Popoli's is its first term alone, which is nearly all of it where false
    detections are rare.

    Args:
        distance: (K,) d^2.
        log_det: (K,) ln |S|.
        density: b, (K,) or one for all, a px^2 and frame.
        detected: Pd, that of a strong detection.
    """
    normal = np.exp(-0.5 * (distance + log_det)) / (2.0 * math.pi)
    return np.asarray(np.log(detected * normal / density + 1 + detected * np.expm1(-distance / 2)))


@dataclass(frozen=True, slots=True)
class FalseShare:
    """The share of false tracks that chance confirms, by the threshold."""

    log_share: FloatArray
    """(L,) falling, at the module's levels."""

    def threshold(self, share: float) -> float:
        """The log-likelihood ratio that this share of false tracks reaches."""
        rising = self.log_share[::-1]
        return float(np.interp(math.log(share), rising, _LEVELS[::-1]))


def false_share(
    settings: TrackerSettings, density: float, seconds: float, variance: float
) -> FalseShare:
    """The curve for a density and a frame rate. It takes some ten milliseconds, and is kept for all
    that differ from these by less than a percent: the most that two detections can tell is a cliff,
    and a threshold close to it must be on the right side.

    Args:
        settings: the tracker's.
        density: of false detections, a px^2 and frame, above 0.
        seconds: from frame to frame, above 0.
        variance: of detections' positions, px^2.
    """
    numbers = (density, seconds, variance)
    patience = settings.tentative_coast_seconds + TIME_TOLERANCE_SECONDS
    return _false_share(
        settings.detection_probability,
        settings.gate_probability,
        settings.acceleration_sigma,
        settings.initial_speed_sigma,
        min(_MOST_FRAMES, int(patience / seconds * (1 + _PACE_TOLERANCE))),
        *(_STEP ** round(math.log(number, _STEP)) for number in numbers),
    )


@functools.lru_cache(maxsize=4096)
def _false_share(
    detected: float,
    gate_probability: float,
    acceleration: float,
    speed: float,
    patience: int,
    density: float,
    seconds: float,
    variance: float,
) -> FalseShare:
    """The tracks of many targets, each alone among false detections.

    Detections are as uncertain along one axis as along the other, so covariances are, too, and what
    the test sees of a track is the variance along an axis and d^2.
    """
    rng = np.random.default_rng(7)
    motion = ConstantVelocity(acceleration, speed)
    gate, miss = gate_threshold(gate_probability), math.log1p(-detected * gate_probability)
    _, first = motion.initial(np.zeros((1, 2)), variance * np.eye(2)[None])
    along = np.ix_((0, 2), (0, 2))  # x and its velocity
    step, added = motion.transition(seconds)[along], motion.process_noise(seconds)[along]

    cov = np.repeat(first[0][along][None], _TARGETS, axis=0)
    total, unseen = np.zeros(_TARGETS), np.zeros(_TARGETS, dtype=np.int64)
    reached = np.zeros(_TARGETS, dtype=np.int64)  # how many levels
    weight = np.zeros(len(_LEVELS) + 1)  # what each level gets, as differences to the one before
    for _ in range(_MOST_FRAMES):
        count = len(total)
        cov = step @ cov @ step.T + added
        spread = cov[:, 0, 0] + variance
        target = np.where(rng.random(count) < detected, rng.exponential(2.0, count), np.inf)
        # The area that is nearer than the nearest false detection is exponential.
        chance = rng.exponential(1.0, count) / (density * math.pi * spread)
        distance = np.minimum(target, chance)
        hit = distance <= gate
        gain = np.where(hit[:, None], cov[:, :, 0] / spread[:, None], 0.0)
        cov = cov - gain[:, :, None] * cov[:, None, 0, :]
        change = hit_llr(np.where(hit, distance, 0.0), 2 * np.log(spread), density, detected)
        total = total + np.where(hit, change, miss)
        unseen = np.where(hit, 0, unseen + 1)

        now = np.where(hit, np.searchsorted(_LEVELS, total, side="right"), 0)
        now = np.maximum(now, reached)
        likelihood_ratio = np.exp(-total)
        weight += np.bincount(reached, likelihood_ratio, len(weight))
        weight -= np.bincount(now, likelihood_ratio, len(weight))
        on = hit | ((unseen <= patience) & (total >= lower_threshold(0.0)))
        on &= now < len(_LEVELS)
        if not on.any():
            break
        cov, total, unseen, reached = cov[on], total[on], unseen[on], now[on]
    share = np.cumsum(weight)[:-1] / _TARGETS
    least = math.exp(-2 * _LEVELS[-1])
    return FalseShare(np.log(np.minimum.accumulate(np.maximum(share, least))))
