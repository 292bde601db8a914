"""What a detector would see of a simulated scene: misses, noise, broken and merged blobs, clutter.

No picture is drawn. The numbers have the shape of what detectors of small targets give; a tracker
that does better on them is likely to do better on clips, and only clips can say so.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from scipy.special import expit, ndtri

from benchmarks.simulated_scenes import (
    BLOBS,
    CLUTTER,
    PLACES,
    Arrivals,
    Camera,
    SceneSettings,
    Targets,
    compose,
    inside,
)
from benchmarks.trajectories import HEIGHT, WIDTH, Trajectory
from streamer.types import Detections, FloatArray, IntArray
from tracking.mot import MotTable

LOWEST_SCORE = 0.1
_HALF_SNR, _STEEPNESS, _SCORE_NOISE = 3.8, 3.0, 0.7
"""The score is logistic in the logarithm of the SNR: where its middle is, how steep it is, and the
standard deviation of what a network adds."""
_FADE_SHARE = 0.5
"""Correlation of misses with the target's fading: they come in runs, and when it is faint."""
_WOBBLE_SHARE = 0.05
"""As a blob's edge flickers, its centroid moves by this share of its width."""
_FLICKER = 0.2
"""Standard deviation of the logarithm of a blob's area, from frame to frame."""
_FRAGMENT_SCORE = 0.8
_FALSE_SNR, _FALSE_SNR_SPREAD = 2.6, 0.4
"""Median of the SNR of false detections, and the standard deviation of its logarithm."""
_PLACES = 8
_SWAY_PX = 3.0
"""Standard deviation of false detections about their place."""
_BLOCK = 1024
"""So many frames are drawn at a time: fast, and memory stays flat."""


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedScene:
    """A scene's truth, and what was detected in it."""

    settings: SceneSettings
    truth: MotTable
    """Of the frames that arrive. A target that is out of sight has no line."""
    detections: list[Detections]
    """Of each frame that arrives; ``frame_index`` counts the others, too."""

    @property
    def frames(self) -> int:
        """Length of the stream, with the frames that did not arrive."""
        return self.settings.frames


def simulate(
    settings: SceneSettings, trajectories: Sequence[Trajectory], seed: int
) -> SimulatedScene:
    """A scene. Seeds give different scenes; settings that differ leave alone what they are not
    about, so that 30 and 10 fps, or Pd 0.9 and 0.7, have the same targets on the same paths.

    Args:
        settings: what it is like.
        trajectories: of which the targets' paths are made.
        seed: from 0; all that is random follows from it.

    Raises:
        ValueError: targets are asked for and there are no trajectories.
    """
    targets = compose(settings, trajectories, seed)
    detections = list(_frames(settings, targets, seed))
    return SimulatedScene(settings, targets.table(settings.box_margin_px), detections)


def clutter_frames(settings: SceneSettings, seed: int) -> Iterator[Detections]:
    """The frames of a scene without targets, one by one: hours of it take hardly any memory.

    They are those of ``simulate`` with ``targets=0``, whatever ``settings.targets`` is.
    """
    return _frames(settings, Targets.none(), seed)


@dataclass(frozen=True, slots=True, eq=False)
class _Blobs:
    """Blobs of many frames: a struct of arrays."""

    frame: IntArray
    """(N,) of the stream, from 0."""
    xy: FloatArray
    """(N, 2) px."""
    area_px: FloatArray
    """(N,) whole numbers from 1."""
    snr: FloatArray
    """(N,)"""
    score: FloatArray
    """(N,)"""

    def rows(self, rows: NDArray[np.generic] | slice) -> _Blobs:
        """Only these, in this order."""
        return _Blobs(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def beside(self, other: _Blobs) -> _Blobs:
        """These and the other ones."""
        both = ((f.name, getattr(self, f.name), getattr(other, f.name)) for f in fields(self))
        return _Blobs(**{name: np.concatenate((own, more)) for name, own, more in both})


def _frames(settings: SceneSettings, targets: Targets, seed: int) -> Iterator[Detections]:
    """The detections of each frame that arrives, in order."""
    seen = _seen(targets, settings, np.random.default_rng([seed, BLOBS]))
    clutter = _Clutter(settings, seed)
    arrivals = Arrivals(settings, seed)
    for start in range(0, settings.frames, _BLOCK):
        count = min(_BLOCK, settings.frames - start)
        first, last = np.searchsorted(seen.frame, (start, start + count))
        blobs = seen.rows(slice(first, last)).beside(clutter.block(start))
        # By falling score, as detectors give them: the order tells nothing of what is a target.
        blobs = blobs.rows(np.lexsort((-blobs.score, blobs.frame)))
        numbers = np.arange(start, start + count)
        edges = np.searchsorted(blobs.frame, np.append(numbers, start + count)).tolist()
        boxes = _boxes(blobs)
        extended = np.zeros(len(boxes), dtype=np.bool_)
        for k in np.flatnonzero(arrivals.of(count)).tolist():
            index = start + k
            rows = slice(edges[k], edges[k + 1])
            yield Detections(
                xy=blobs.xy[rows],
                boxes_xyxy=boxes[rows],
                score=blobs.score[rows],
                area_px=blobs.area_px[rows],
                peak_snr=blobs.snr[rows],
                extended=extended[rows],
                frame_index=index,
                pts_seconds=index / settings.fps,
            )


def _seen(targets: Targets, settings: SceneSettings, rng: np.random.Generator) -> _Blobs:
    """What is detected of the targets, by frame."""
    count = len(targets.frame)
    luck = _FADE_SHARE * targets.fade
    luck += math.sqrt(1 - _FADE_SHARE**2) * rng.standard_normal(count)  # standard normal again
    area = np.rint(targets.area_px * np.exp(_FLICKER * rng.standard_normal(count)))
    area = np.maximum(area, 1.0)
    xy = targets.xy + centroid_sigma(area, targets.snr)[:, None] * rng.standard_normal((count, 2))
    score = _score(targets.snr, rng)
    detected = luck > ndtri(1 - settings.detected)
    blobs = _Blobs(targets.frame, _clipped(xy), area, targets.snr, score).rows(detected)
    blobs = _merged(blobs, settings.merge_px)
    return _broken(blobs, settings.split, rng)


def centroid_sigma(area_px: FloatArray, snr: FloatArray) -> FloatArray:
    """Standard deviation of each coordinate of a blob's centroid, px.

    Three errors that do not depend on each other: that of whole pixels, ``1/sqrt(12)``; that of
    noise, the blob's width over its SNR (Thompson, Larson and Webb, "Precise Nanometer
    Localization Analysis for Individual Fluorescent Probes", 2002, of light that falls on pixels);
    and that of the edge, which flickers, a share of the width.

    Args:
        area_px: (N,) of the blobs.
        snr: (N,) of their peaks.
    """
    return np.asarray(np.sqrt(1 / 12 + area_px * (1 / snr**2 + _WOBBLE_SHARE**2)))


def _score(snr: FloatArray, rng: np.random.Generator) -> FloatArray:
    """(N,) what a network makes of the SNR, from ``LOWEST_SCORE`` to 1."""
    height = _STEEPNESS * np.log(snr / _HALF_SNR) + _SCORE_NOISE * rng.standard_normal(len(snr))
    return np.asarray(LOWEST_SCORE + (1 - LOWEST_SCORE) * expit(height), dtype=np.float64)


def _merged(blobs: _Blobs, reach_px: float) -> _Blobs:
    """Blobs of one frame that are as near to each other, also by way of others, are one."""
    if not len(blobs.frame) or not reach_px:
        return blobs
    apart = 4.0 * max(WIDTH, HEIGHT)  # frames are farther apart than anything in one
    places = np.column_stack((blobs.xy, blobs.frame * apart))
    pairs = cKDTree(places).query_pairs(reach_px, output_type="ndarray")
    if not len(pairs):
        return blobs
    size = len(blobs.frame)
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(size, size))
    count, label = connected_components(graph, directed=False)
    light = blobs.area_px * blobs.snr
    area = np.bincount(label, blobs.area_px, count).astype(np.float64)
    xy = [
        np.bincount(label, light * c, count) / np.bincount(label, light, count) for c in blobs.xy.T
    ]
    snr, score, frame = np.zeros(count), np.zeros(count), np.zeros(count, dtype=np.int64)
    np.maximum.at(snr, label, blobs.snr)
    np.maximum.at(score, label, blobs.score)
    frame[label] = blobs.frame
    whole = _Blobs(frame, np.stack(xy, axis=1), area, snr, score)
    return whole.rows(np.argsort(frame, kind="stable"))


def _broken(blobs: _Blobs, probability: float, rng: np.random.Generator) -> _Blobs:
    """Some of the blobs in two pieces, each of a pixel or more, whose common centroid stays."""
    count = len(blobs.frame)
    breaks = (rng.random(count) < probability) & (blobs.area_px >= 2)
    share, angle = rng.uniform(0.5, 0.8, count)[breaks], rng.uniform(0, math.tau, count)[breaks]
    whole = blobs.rows(breaks)
    large = np.clip(np.rint(share * whole.area_px), 1, whole.area_px - 1)
    part = (large / whole.area_px)[:, None]
    # Their middles are a whole blob's width apart, and a pixel's gap.
    apart = (np.sqrt(whole.area_px) + 0.5)[:, None]
    apart = apart * np.stack((np.cos(angle), np.sin(angle)), axis=1)
    piece = _Blobs(
        whole.frame, _clipped(whole.xy + (1 - part) * apart), large, whole.snr, whole.score
    )
    other = _Blobs(
        whole.frame,
        _clipped(whole.xy - part * apart),
        whole.area_px - large,
        whole.snr,
        np.maximum(_FRAGMENT_SCORE * whole.score, LOWEST_SCORE),
    )
    both = blobs.rows(~breaks).beside(piece).beside(other)
    return both.rows(np.argsort(both.frame, kind="stable"))


class _Clutter:
    """False detections, to be drawn block by block from the first frame on.

    Args:
        settings: how many, and where.
        seed: the scene's.
    """

    def __init__(self, settings: SceneSettings, seed: int) -> None:
        self._settings = settings
        self._rng = np.random.default_rng([seed, CLUTTER])
        self._camera = Camera(settings, seed)
        rng = np.random.default_rng([seed, PLACES])
        x = rng.uniform(0, WIDTH, _PLACES)
        slope = rng.uniform(-0.1, 0.1)
        y = rng.uniform(0.4, 0.8) * HEIGHT + slope * (x - WIDTH / 2) + rng.normal(0, 8, _PLACES)
        self._places = np.stack((x, y), axis=1)
        self._weights = rng.dirichlet(np.ones(_PLACES))

    def block(self, start: int) -> _Blobs:
        """Those of the next block, by frame, which begins at frame ``start``: always a whole one,
        so that a short scene is the beginning of a long one.
        """
        settings, rng = self._settings, self._rng
        offsets = self._camera.offsets(_BLOCK * settings.stride)[:: settings.stride]
        local = np.repeat(np.arange(_BLOCK), rng.poisson(settings.clutter, _BLOCK))
        total = len(local)
        xy = rng.uniform((-0.5, -0.5), (WIDTH - 0.5, HEIGHT - 0.5), (total, 2))
        place = rng.choice(_PLACES, total, p=self._weights)
        sway = _SWAY_PX * rng.standard_normal((total, 2))
        near = self._places[place] + sway + offsets[local]
        # Where a jump has taken the place out of the picture, something else is in its stead.
        clustered = (rng.random(total) < settings.clustered) & inside(near)
        xy[clustered] = near[clustered]
        area = np.rint(np.exp(rng.uniform(*_logs(settings.blob_px), total)))
        snr = _FALSE_SNR * np.exp(_FALSE_SNR_SPREAD * rng.standard_normal(total))
        return _Blobs(local + start, xy, area, snr, _score(snr, rng))


def _boxes(blobs: _Blobs) -> FloatArray:
    """(N, 4) the whole pixels that a blob covers, as near to square as they can be."""
    width = np.ceil(np.sqrt(blobs.area_px))
    size = np.stack((width, np.ceil(blobs.area_px / width)), axis=1)
    corner = np.rint(blobs.xy - size / 2 + 0.5) - 0.5
    return np.hstack((corner, corner + size))


def _logs(limits: tuple[float, float]) -> tuple[float, float]:
    return math.log(limits[0]), math.log(limits[1])


def _clipped(xy: FloatArray) -> FloatArray:
    """Points (N, 2) moved into the picture."""
    return np.asarray(np.clip(xy, -0.5, (WIDTH - 0.5, HEIGHT - 0.5)), dtype=np.float64)
