"""The scene's camera: optics, noise, fixed pattern, dead pixels and the digits that come out."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import special

from configs.schema import SyntheticSettings
from streamer.types import FloatArray, Image, IntArray

Map = NDArray[np.float32]

_COUNTS_PER_LEVEL = {8: 1.0, 14: 8.0, 16: 32.0}
_OFFSET_COUNTS = {8: 0.0, 14: 7168.0, 16: 28672.0}
"""Raw counts as uncooled cores give them: the scene fills a small part of the range, near its
middle. Grey level 128 of 8 bit is half of 14 and of 16 bit."""


class Sensor:
    """What turns radiance into pixels. Radiance is in grey levels of 8 bit throughout.

    Args:
        settings: the scene's.
        rng: decides what stays the same in every frame: the pattern and the dead pixels.
    """

    def __init__(self, settings: SyntheticSettings, rng: np.random.Generator) -> None:
        shape = settings.height, settings.width
        self._settings = settings
        self._gain = _COUNTS_PER_LEVEL[settings.bit_depth]
        self._offset = _OFFSET_COUNTS[settings.bit_depth]
        self._limit = (1 << settings.bit_depth) - 1
        # Half the variance is common to a column (its amplifier), half each pixel's own.
        pattern = rng.standard_normal(shape) + rng.standard_normal(shape[1])
        pattern *= settings.fixed_pattern_sigma / math.sqrt(2)
        self._fixed = (self._offset + self._gain * pattern).astype(np.float32)
        pixels = math.prod(shape)
        dead = rng.choice(pixels, round(settings.dead_pixels * pixels), replace=False)
        self._dead = dead
        # Stuck ones hold some level above the sky's, the others are as good as black.
        stuck = rng.uniform(95, 180, dead.size)
        level = np.where(np.arange(dead.size) % 2 == 0, rng.uniform(0, 25, dead.size), stuck)
        self._dead_counts = self._quantised((self._offset + self._gain * level)[None])[0]

    @property
    def noise_sigma(self) -> float:
        """Standard deviation of sensor noise, fixed pattern and rounding together."""
        settings = self._settings
        rounding = 1 / (self._gain * math.sqrt(12))
        return math.hypot(settings.noise_sigma, settings.fixed_pattern_sigma, rounding)

    @property
    def dead_xy(self) -> IntArray:
        """(D, 2) columns and rows of the pixels that show always the same."""
        rows, columns = np.divmod(self._dead, self._settings.width)
        return np.column_stack([columns, rows]).astype(np.int64)

    def expose(self, radiance: Map, noise: np.random.Generator) -> Image:
        """The picture of (H, W) ``radiance``, which is overwritten; uint8 or uint16."""
        sensor_noise = noise.standard_normal(radiance.shape, dtype=np.float32)
        cv2.scaleAdd(sensor_noise, self._settings.noise_sigma, radiance, radiance)
        counts = cv2.scaleAdd(radiance, self._gain, self._fixed, radiance)
        image = self._quantised(counts)
        np.put(image, self._dead, self._dead_counts)
        return image

    def add_points(self, radiance: Map, xy: FloatArray) -> None:
        """Add the targets at ``xy`` (K, 2) px, blurred by the optics, to ``radiance``.

        The optics' point spread is a Gaussian, integrated over each pixel exactly. All targets are
        equally strong: centred on a pixel, one raises it by ``snr`` times :attr:`noise_sigma`.
        """
        reach = math.ceil(4.5 * self._settings.psf_sigma_px) + 1
        height, width = radiance.shape
        flux = self._settings.snr * self.noise_sigma / self._share(0.0) ** 2
        for x, y in xy:
            columns = np.arange(max(0, round(x) - reach), min(width, round(x) + reach + 1))
            rows = np.arange(max(0, round(y) - reach), min(height, round(y) + reach + 1))
            spot = np.outer(flux * self._share(rows - y), self._share(columns - x))
            radiance[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] += spot

    def peak_snr(self, xy: FloatArray) -> FloatArray:
        """(K,) by how many :attr:`noise_sigma` the targets at ``xy`` (K, 2) px raise their
        brightest pixels: less than ``snr`` where they lie between pixels."""
        shares = self._share(np.rint(xy) - xy) / self._share(0.0)
        return np.asarray(self._settings.snr * shares.prod(axis=1))

    def _share(self, offset: FloatArray | float) -> FloatArray:
        """Of a line of light blurred by the optics, what falls on pixels so far off, 0..1."""
        root = self._settings.psf_sigma_px * math.sqrt(2)
        edges = special.erf((offset + 0.5) / root) - special.erf((offset - 0.5) / root)
        return np.asarray(edges / 2)

    def _quantised(self, counts: NDArray[Any]) -> Image:
        rounded = np.clip(np.rint(counts), 0, self._limit)
        if self._settings.bit_depth == 8:
            return np.asarray(rounded, dtype=np.uint8)
        return np.asarray(rounded, dtype=np.uint16)
