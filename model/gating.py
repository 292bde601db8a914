"""Where the network looks between scans: at windows around tracks and bright spots."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from configs.schema import GateSettings
from model.windows import Window, cover
from streamer.types import FloatArray, FocusHints, Image

_TARGET_SIGMA_PX = 1.2
"""Blur of the candidate stage: about a point target's."""
_SURROUND_PX = 15
"""Side of the square that a bright spot is compared with."""
_NEIGHBOURS = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], dtype=np.uint8)
_THUMBNAIL = (24, 24)
_CUT_SHARE = 0.25
_CUT_LEVELS = 4.0
"""A cut changes a picture's thumbnail by more than this share of its contrast and so many grey
levels of 8 bit; a camera that pans at frame rate changes it by less."""
_MIN_CONTRAST_LEVELS = 3.0
"""Spots fainter than so many grey levels of 8 bit are noise in any picture."""


class Gate:
    """Decides, for the frames of one source in order, whether to scan and else where to look.

    The choice depends on the frames, the hints and the settings alone, never on timing, so that a
    replay sees the same windows.

    Args:
        settings: how often to scan, and how many windows of what size.
    """

    def __init__(self, settings: GateSettings) -> None:
        self._settings = settings
        self._since_scan = 0
        self._shape: tuple[int, ...] = ()
        self._thumbnail: NDArray[np.float32] = np.empty((0, 0), np.float32)

    def windows(self, image: Image, gain: float, hints: FocusHints) -> list[Window] | None:
        """Where to look in the next frame; None: everywhere.

        Args:
            image: (H, W) raw pixels.
            gain: grey levels of 8 bit a raw level.
            hints: where tracks are expected.
        """
        settings = self._settings
        height, width = image.shape
        self._since_scan += 1
        new_scene = self._is_new_scene(image, gain)
        # In a small picture the windows would be as much work as the whole.
        small = min(height, width) < 2 * settings.window_px
        if new_scene or small or self._since_scan >= settings.scan_every:
            self._since_scan = 0
            return None
        windows = cover(hints.xy, hints.radius_px, height, width, settings.window_px)
        if settings.candidates:
            spots = bright_spots(image, gain, settings.candidate_contrast, settings.candidates)
            unseen = [not any(w.shows(x, y, height, width) for w in windows) for x, y in spots]
            fresh = spots[np.array(unseen, dtype=np.bool_)]
            windows += cover(fresh, np.zeros(len(fresh)), height, width, settings.window_px)
        if len(windows) > settings.max_windows:
            self._since_scan = 0
            return None
        return windows

    def _is_new_scene(self, image: Image, gain: float) -> bool:
        """Whether the picture has little to do with the last one: a cut, another photograph."""
        before, shape = self._thumbnail, self._shape
        pixels = cv2.resize(image, _THUMBNAIL, interpolation=cv2.INTER_AREA)
        self._thumbnail = after = np.multiply(pixels, gain, dtype=np.float32)
        self._shape = image.shape
        if shape != image.shape:
            return True
        change = float(np.abs(after - before).mean())
        return change > _CUT_SHARE * float(after.std() + before.std()) + _CUT_LEVELS


def bright_spots(image: Image, gain: float, contrast: float, most: int) -> FloatArray:
    """Local maxima that stand out of their surround, the strongest first: a cheap first look.

    The picture is blurred as the optics blur a point, and compared with the mean of a square
    around each pixel in units of the square's own standard deviation, so that textured ground
    needs more than plain sky.

    Args:
        image: (H, W) raw pixels.
        gain: grey levels of 8 bit a raw level.
        contrast: standard deviations that a spot must stand out by.
        most: how many at most.

    Returns:
        (K, 2) x, y, px.
    """
    grey: NDArray[np.float32] = np.multiply(image, gain, dtype=np.float32)
    # The optics blur even a point over several pixels: what no neighbour shares is a stuck pixel.
    grey = np.minimum(grey, cv2.dilate(grey, _NEIGHBOURS))
    spot = cv2.GaussianBlur(grey, (0, 0), _TARGET_SIGMA_PX)
    square = (_SURROUND_PX, _SURROUND_PX)
    mean = cv2.blur(spot, square)
    variance = cv2.sqrBoxFilter(spot, cv2.CV_32F, square) - mean * mean
    height = spot - mean
    significance = height / np.sqrt(np.maximum(variance, 1.0))
    highest = cv2.dilate(significance, np.ones((9, 9), dtype=np.uint8))
    # A lone point is part of its own square, so its significance ends at about 5.3.
    chosen = (
        (significance == highest) & (significance >= contrast) & (height >= _MIN_CONTRAST_LEVELS)
    )
    rows, columns = np.nonzero(chosen)
    order = np.argsort(-significance[rows, columns], kind="stable")[:most]
    return np.stack([columns[order], rows[order]], axis=1).astype(np.float64)
