"""A seeded infrared scene with ground truth: the built-in demonstration, and the tests' truth.

Sky that warms towards the horizon, two layers of drifting cloud, a ridge and trees before it, a
mast that hides a target for a while, and point targets blurred by the optics. Over it the
sensor: noise, a fixed pattern, dead pixels. A frame depends on the seed and its number alone, so
frames may be rendered in any order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import special

from configs.schema import SyntheticSettings
from streamer.types import BoolArray, FloatArray, Image, IntArray

_Map = NDArray[np.float32]

_HORIZON = 0.78
"""Of the picture's height."""
_MARGIN_PX = 14.0
"""Targets stay this far from the picture's edge and from the horizon."""
_SUBSTEPS_PER_SECOND = 120
_DEEP_OFFSET, _DEEP_GAIN = {14: 6000.0, 16: 24000.0}, {14: 8.0, 16: 32.0}
"""Raw counts of grey level 0, and counts per grey level of 8 bit, as thermal cores give them."""


@dataclass(frozen=True, slots=True, eq=False)
class SceneFrame:
    """A rendered frame and the truth about it."""

    image: Image
    """(H, W) uint8, or uint16 for more than 8 bit."""
    pts_seconds: float
    target_id: IntArray
    """(K,) from 1."""
    xy: FloatArray
    """(K, 2) true centres, px."""
    visible: BoolArray
    """(K,) False while something hides the target."""


class Scene:
    """The scene of these settings.

    A target's peak, where it is centred on a pixel, rises ``snr`` standard deviations of the noise
    (sensor and fixed pattern together) above what is behind it.
    """

    def __init__(self, settings: SyntheticSettings) -> None:
        self.settings = settings
        self.frames = max(1, round(settings.seconds * settings.fps))
        rng = np.random.default_rng(settings.seed)
        height, width = settings.height, settings.width
        self._horizon = round(_HORIZON * height)
        self._paths = _paths(settings, self._horizon, rng)
        self._mast = self._place_mast() if settings.occlusion and settings.targets else None

        # Twice the picture's width, and the ends meet: clouds may drift for ever.
        rows = np.linspace(0, 1, height, dtype=np.float32)[:, None]
        self._sky = 70 + 70 * rows**2
        self._near = settings.clutter * _cloud(rng, height, 2 * width, 5, floor=0.45)
        self._far = 0.6 * settings.clutter * _cloud(rng, height, 2 * width, 6, floor=0.35)
        self._ground, self._ground_alpha = self._terrain(rng)
        self._pattern = rng.normal(0, 1, (height, width)).astype(np.float32)
        self._pattern += rng.normal(0, 1, (1, width)).astype(np.float32)
        self._pattern *= settings.fixed_pattern_sigma / math.sqrt(2)
        dead = rng.random((height, width)) < settings.dead_pixels
        self._dead = np.nonzero(dead)
        # Cold ones are the common kind; the others are stuck at a level of their own.
        self._dead_levels = np.where(rng.random(dead.sum()) < 0.7, 0.0, rng.uniform(60, 150))
        sigma = math.hypot(settings.noise_sigma, settings.fixed_pattern_sigma)
        self._amplitude = settings.snr * sigma

    @property
    def noise_sigma(self) -> float:
        """Standard deviation of all noise, grey levels of 8 bit: what ``snr`` is relative to."""
        return self._amplitude / self.settings.snr

    def truth(self, k: int) -> tuple[IntArray, FloatArray, BoolArray]:
        """Ids (K,), centres (K, 2) px and visibility (K,) in frame ``k``.

        Raises:
            ValueError: the scene has no such frame.
        """
        if not 0 <= k < self.frames:
            raise ValueError(f"frame {k} is not in the scene's 0..{self.frames - 1}")
        xy = self._paths[:, k]
        visible = np.ones(len(xy), dtype=np.bool_)
        if self._mast is not None:
            left, top, right = self._mast
            reach = 2 * self.settings.psf_sigma_px
            behind = (xy[:, 0] > left - reach) & (xy[:, 0] < right + reach) & (xy[:, 1] > top)
            visible &= ~behind
        return np.arange(1, len(xy) + 1), xy, visible

    def render(self, k: int, *, targets: bool = True, sensor: bool = True) -> SceneFrame:
        """Frame ``k`` with its truth.

        Args:
            k: 0 to ``frames - 1``.
            targets: False leaves the targets out, and nothing else.
            sensor: False leaves noise, fixed pattern and dead pixels out.

        Raises:
            ValueError: the scene has no such frame.
        """
        ids, xy, visible = self.truth(k)
        settings = self.settings
        seconds = k / settings.fps
        pan = settings.camera_drift_px_per_second * seconds
        drift = settings.drift_px_per_second * seconds
        width = settings.width
        picture = self._sky + _window(self._far, pan + 0.4 * drift, width)
        picture += _window(self._near, pan + drift, width)
        if targets:
            for centre in xy:
                _add_point(picture, centre, self._amplitude, settings.psf_sigma_px)
        alpha = _window(self._ground_alpha, pan, width)
        picture += alpha * (_window(self._ground, pan, width) - picture)
        if self._mast is not None:
            left, top, right = self._mast
            picture[top:, left:right] = 128.0
        if targets:  # those over the ground are in front of it
            in_front = alpha[
                np.clip(np.rint(xy[:, 1]).astype(int), 0, settings.height - 1),
                np.clip(np.rint(xy[:, 0]).astype(int), 0, width - 1),
            ]
            for centre, share, seen in zip(xy, in_front, visible, strict=True):
                if share > 0 and seen:
                    amplitude = self._amplitude * float(share)
                    _add_point(picture, centre, amplitude, settings.psf_sigma_px)
        if sensor:
            noise = np.random.Generator(np.random.Philox(key=settings.seed, counter=[0, 0, 0, k]))
            picture += self._pattern
            picture += settings.noise_sigma * noise.standard_normal(picture.shape, dtype=np.float32)
            picture[self._dead] = self._dead_levels
        return SceneFrame(self._quantised(picture), seconds, ids, xy, visible)

    def _quantised(self, picture: _Map) -> Image:
        depth = self.settings.bit_depth
        if depth == 8:
            return np.clip(np.rint(picture), 0, 255).astype(np.uint8)
        counts = np.rint(picture * _DEEP_GAIN[depth] + _DEEP_OFFSET[depth])
        return np.clip(counts, 0, (1 << depth) - 1).astype(np.uint16)

    def _terrain(self, rng: np.random.Generator) -> tuple[_Map, _Map]:
        """Ground intensity and its opacity, both (H, 2 W) with ends that meet."""
        height, width = self.settings.height, 2 * self.settings.width
        ridge = 10 * _cloud(rng, 1, width, 3)[0] + 4 * _cloud(rng, 1, width, 7)[0]
        depth = np.arange(height, dtype=np.float32)[:, None] - (self._horizon + ridge)
        texture = 18 * _cloud(rng, height, width, 7) + 8 * _cloud(rng, height, width, 4)
        ground = 112 + texture - 0.15 * np.maximum(depth, 0)
        return ground.astype(np.float32), np.clip(depth + 0.5, 0, 1).astype(np.float32)

    def _place_mast(self) -> tuple[int, int, int] | None:
        """Left, top and right of a mast that the last target passes behind, half way through."""
        path = self._paths[-1]
        middle = path[len(path) // 2]
        speed = abs(float(np.gradient(path[:, 0])[len(path) // 2])) * self.settings.fps
        half = min(max(0.3 * speed, 3.0), 8.0)
        left, right = round(middle[0] - half), round(middle[0] + half)
        return max(0, left), max(0, round(middle[1]) - 12), min(self.settings.width, right)


def _cloud(
    rng: np.random.Generator, height: int, width: int, octaves: int, floor: float | None = None
) -> _Map:
    """(H, W) fractal noise of mean 0 and deviation 1, whose left and right ends meet.

    With a ``floor``, the quantile below which there is clear sky: 0 there, and clouds above.
    """
    total = np.zeros((height, width), dtype=np.float32)
    for octave in range(octaves):
        cells = 2 << octave
        rows = max(2, round(cells * height / width) + 1)
        lattice = rng.normal(0, 1, (rows, cells)).astype(np.float32)
        padded = np.concatenate([lattice[:, -2:], lattice, lattice[:, :2]], axis=1)
        scale = width / cells
        x = ((np.arange(width) / scale) + 2).astype(np.float32)
        y = (np.arange(height) * (rows - 1) / max(1, height - 1)).astype(np.float32)
        total += 0.5**octave * cv2.remap(
            padded,
            *(np.ascontiguousarray(grid) for grid in np.meshgrid(x, y)),
            cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REPLICATE,
        ).reshape(height, width)
    total = (total - total.mean()) / max(float(total.std()), 1e-6)
    if floor is not None:
        total = np.maximum(total - np.quantile(total, floor), 0)
    return np.asarray(total, dtype=np.float32)


def _window(texture: _Map, shift: float, width: int) -> _Map:
    """The ``width`` columns from ``shift`` px on, to a fraction of a pixel, ends meeting."""
    whole = math.floor(shift)
    columns = (np.arange(width + 1) + whole) % texture.shape[1]
    taken = texture[:, columns]
    part = np.float32(shift - whole)
    return np.asarray(taken[:, :-1] + part * (taken[:, 1:] - taken[:, :-1]))


def _add_point(picture: _Map, centre: FloatArray, amplitude: float, sigma: float) -> None:
    """Add a Gaussian PSF integrated over pixels; ``amplitude`` is its peak centred on a pixel."""
    height, width = picture.shape
    reach = math.ceil(5 * sigma) + 1
    x, y = float(centre[0]), float(centre[1])
    x0, x1 = max(0, round(x) - reach), min(width, round(x) + reach + 1)
    y0, y1 = max(0, round(y) - reach), min(height, round(y) + reach + 1)
    if x0 >= x1 or y0 >= y1:
        return
    root = sigma * math.sqrt(2)
    along_x = np.diff(special.erf((np.arange(x0, x1 + 1) - 0.5 - x) / root))
    along_y = np.diff(special.erf((np.arange(y0, y1 + 1) - 0.5 - y) / root))
    peak = (2 * math.erf(0.5 / root)) ** 2
    picture[y0:y1, x0:x1] += (amplitude / peak * np.outer(along_y, along_x)).astype(np.float32)


def _paths(settings: SyntheticSettings, horizon: int, rng: np.random.Generator) -> FloatArray:
    """(K, frames, 2) smooth paths that stay inside the sky."""
    frames = max(1, round(settings.seconds * settings.fps))
    low = np.array([_MARGIN_PX, min(_MARGIN_PX, horizon / 3)])
    high = np.array([settings.width - _MARGIN_PX, max(horizon - _MARGIN_PX, horizon / 2)])
    paths = np.empty((settings.targets, frames, 2))
    for path in paths:
        path[:] = _path(settings, frames, low, high, rng)
    if settings.crossing and settings.targets >= 2:
        paths[1] = _crossing(paths[0], low, high)
    return paths


def _path(
    settings: SyntheticSettings,
    frames: int,
    low: FloatArray,
    high: FloatArray,
    rng: np.random.Generator,
) -> FloatArray:
    steps = max(1, round(_SUBSTEPS_PER_SECOND / settings.fps))
    dt = 1 / (settings.fps * steps)
    position = rng.uniform(low, high)
    heading = float(rng.uniform(0, 2 * math.pi))
    speed = float(rng.uniform(14, 42))
    phase, period = rng.uniform(0, 2 * math.pi, 2), rng.uniform(3, 9, 2)
    middle, half = (low + high) / 2, (high - low) / 2
    path = np.empty((frames, 2))
    for k in range(frames * steps):
        if k % steps == 0:
            path[k // steps] = position
        seconds = k * dt
        turn, pace = 0.0, 1.0
        if settings.manoeuvres:
            turn = 0.7 * math.sin(2 * math.pi * seconds / period[0] + phase[0])
            pace = 1 + 0.4 * math.sin(2 * math.pi * seconds / period[1] + phase[1])
        # Near an edge, turn towards the middle.
        if (np.abs(position - middle) > 0.75 * half).any():
            wanted = math.atan2(*(middle - position)[::-1])
            turn += 2.5 * math.sin(wanted - heading)
        heading += turn * dt
        step = speed * pace * dt * np.array([math.cos(heading), math.sin(heading)])
        position = np.clip(position + step, low, high)
    return path


def _crossing(path: FloatArray, low: FloatArray, high: FloatArray) -> FloatArray:
    """A path that meets ``path`` a third of the way through, at an angle, and stays inside.

    It is the other path turned and shrunk about the meeting point, by whatever angle fits best.
    """
    meeting = path[len(path) // 3]
    best, best_outside = path, math.inf
    for degrees in range(60, 300, 15):
        angle = math.radians(degrees)
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        turned = meeting + 0.8 * (path - meeting) @ turn.T
        outside = float(np.maximum(low - turned, turned - high).max())
        if outside < best_outside:
            best, best_outside = turned, outside
    return np.clip(best, low, high)
