"""From raw pixels to the 8 bit a screen shows. Only for people: the network never sees this.

The stretch follows robust percentiles of the scene slowly, so that a hot object passing through
neither darkens nor brightens its surroundings. What lies outside the percentiles is compressed,
not cut off: a hot target keeps its shape in the highlights.
"""

from __future__ import annotations

import math
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from streamer.types import Image

Gray = NDArray[np.uint8]

LOW_PERCENTILE, HIGH_PERCENTILE = 1.0, 97.0
BLACK, WHITE = 14.0, 210.0
"""Display levels of the two percentiles; beyond lie the compressed shadows and highlights."""
MIN_SPAN = 64.0
"""Raw levels: a flat scene is not stretched until its noise fills the screen."""
TIME_CONSTANT_SECONDS = 5.0
SAMPLES = 8192
"""About so many pixels are looked at for the percentiles."""


class Contrast:
    """Makes the display picture of one source's frames, in order of time.

    ``stretch`` and ``clahe`` keep a slow range; ``none`` shows 8 bit as they are and the upper
    8 of the significant bits of deeper pixels. ``invert`` shows white-hot pixels black-hot.
    """

    def __init__(self, mode: Literal["clahe", "stretch", "none"], *, invert: bool = False) -> None:
        self._mode = mode
        self._invert = invert
        self._clahe = cv2.createCLAHE(clipLimit=2.0, tileGridSize=(8, 8))
        self._range: tuple[float, float] | None = None
        self._pts = 0.0
        self._lut: Gray = np.empty(0, np.uint8)
        self._lut_key: tuple[float, float, int] | None = None

    def restart(self) -> None:
        """What follows are other pictures: their range is their own."""
        self._range = self._lut_key = None

    def __call__(self, image: Image, bit_depth: int, pts_seconds: float) -> Gray:
        """The (H, W) uint8 display picture of a (H, W) uint8 or uint16 image."""
        if self._mode == "none":
            lut = self._fixed_lut(image, bit_depth)
        else:
            lut = self._stretch_lut(image, *self._follow(image, pts_seconds))
        eight_bit = image.dtype == np.uint8
        shown = np.asarray(cv2.LUT(image, lut), np.uint8) if eight_bit else lut[image]
        if self._mode == "clahe":
            shown = np.asarray(self._clahe.apply(shown), np.uint8)
        return shown

    def _follow(self, image: Image, pts_seconds: float) -> tuple[float, float]:
        """The range to show, moved a little towards this picture's percentiles."""
        stride = max(1, math.isqrt(image.size // SAMPLES))
        sample = image[::stride, ::stride]
        low, middle, high = (
            float(v) for v in np.percentile(sample, (LOW_PERCENTILE, 50.0, HIGH_PERCENTILE))
        )
        # A median outside the range is a new scene (a shutter, a gain switch, another picture of
        # a folder), never a passing object: start again instead of fading for seconds.
        if self._range is None or not self._range[0] <= middle <= self._range[1]:
            self._range = (low, high)
        else:
            dt = min(max(pts_seconds - self._pts, 0.0), 1.0)
            step = -math.expm1(-dt / TIME_CONSTANT_SECONDS)
            now_low, now_high = self._range
            self._range = (now_low + step * (low - now_low), now_high + step * (high - now_high))
        self._pts = pts_seconds
        return self._range

    def _stretch_lut(self, image: Image, low: float, high: float) -> Gray:
        """Linear between the percentiles, exponential knees beyond, without a kink."""
        missing = max(0.0, MIN_SPAN - (high - low))
        low, high = low - missing / 2, high + missing / 2
        span = high - low
        entries = 1 << (8 * image.dtype.itemsize)
        if self._lut_key is not None:
            drawn_low, drawn_high, drawn_entries = self._lut_key
            moved = max(abs(low - drawn_low), abs(high - drawn_high))
            # Less than half a display level cannot be seen; 65536 exponentials can be felt.
            if drawn_entries == entries and moved < span / 400:
                return self._lut
        slope = (WHITE - BLACK) / span
        level = BLACK + (np.arange(entries, dtype=np.float64) - low) * slope
        head = 255.0 - WHITE
        level = np.where(
            level > WHITE, 255.0 - head * np.exp(-np.maximum(level - WHITE, 0.0) / head), level
        )
        level = np.where(level < BLACK, BLACK * np.exp(np.minimum(level - BLACK, 0) / BLACK), level)
        self._lut = self._finish(level)
        self._lut_key = (low, high, entries)
        return self._lut

    def _fixed_lut(self, image: Image, bit_depth: int) -> Gray:
        entries = 1 << (8 * image.dtype.itemsize)
        key = (0.0, float(bit_depth), entries)
        if key != self._lut_key:
            scale = 1 << max(bit_depth - 8, 0)
            self._lut = self._finish(np.arange(entries, dtype=np.float64) // scale)
            self._lut_key = key
        return self._lut

    def _finish(self, level: NDArray[np.float64]) -> Gray:
        lut = np.clip(np.rint(level), 0, 255).astype(np.uint8)
        return np.asarray(255 - lut, np.uint8) if self._invert else lut
