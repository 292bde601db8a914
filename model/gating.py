"""Where the network looks: windows of all of a picture, or of its tracks and bright spots."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from configs.schema import GateSettings
from streamer.types import FloatArray, FocusHints, Image

RIM_PX = 8
"""At a window's edge the network lacks its surround: what it says there is not used, unless the
edge is the picture's own."""
_AT_ONCE = 1.5
"""A picture up to so many times as large as the network was trained on is seen at once."""

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


@dataclass(frozen=True, slots=True)
class Window:
    """A square cut out of a picture. Pixel indices; right and bottom are exclusive."""

    left: int
    top: int
    side: int

    def cut(self, image: Image) -> Image:
        """What the window shows, (side, side)."""
        return image[self.top : self.top + self.side, self.left : self.left + self.side]

    def paste(self, seen: NDArray[np.float32], whole: NDArray[np.float32]) -> None:
        """Put what was seen, (side, side), into the (H, W) map of the picture; overlaps keep the
        larger value."""
        left, top, right, bottom = self.trusted(*whole.shape)
        inner = seen[top - self.top : bottom - self.top, left - self.left : right - self.left]
        target = whole[top:bottom, left:right]
        np.maximum(target, inner, out=target)

    def trusted(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Left, top, right and bottom, within the picture, of where its result is used."""
        right, bottom = self.left + self.side, self.top + self.side
        return (
            self.left + (RIM_PX if self.left > 0 else 0),
            self.top + (RIM_PX if self.top > 0 else 0),
            right - (RIM_PX if right < width else 0),
            bottom - (RIM_PX if bottom < height else 0),
        )


def scan_windows(height: int, width: int, side: int) -> list[Window] | None:
    """The windows that together show all of a picture; None: it is best seen at once.

    A network sees well what is about as large as what it was trained on: its attention weighs
    every place of a picture against every other, and many times as many places drown the few.

    Args:
        height: the picture's rows.
        width: its columns.
        side: of a window, px: that of the pictures the network was trained on.
    """
    if min(height, width) < side or max(height, width) <= _AT_ONCE * side:
        return None
    tops, lefts = _spread(height, side), _spread(width, side)
    return [Window(left, top, side) for top in tops for left in lefts]


def _spread(length: int, side: int) -> list[int]:
    """Where windows begin that cover a length: evenly, so that each place is in one's inside."""
    count = 1 + math.ceil((length - side) / (side - 2 * RIM_PX))
    return [int(start) for start in np.linspace(0, length - side, count).round()]


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
            unseen = [not any(_shows(w, x, y, height, width) for w in windows) for x, y in spots]
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


def cover(
    xy: FloatArray, radius_px: FloatArray, height: int, width: int, side: int
) -> list[Window]:
    """Few windows that show every place: neighbours share one where they fit.

    Args:
        xy: (K, 2) places, px, the most important first.
        radius_px: (K,) how much around each must be seen; what a window cannot show is cut off.
        height: the picture's rows.
        width: its columns; both at least ``side``.
        side: of a window, px.
    """
    inner = side - 2 * RIM_PX
    reach = np.minimum(radius_px, inner / 2)[:, None]
    limit = (width - 1, height - 1)
    places = np.clip(xy, 0, limit)
    boxes = np.concatenate([places - reach, places + reach], axis=1)
    left_over = list(range(len(places)))
    windows = []
    while left_over:
        first = left_over.pop(0)
        box = boxes[first]
        near = sorted(left_over, key=lambda k: float(np.abs(places[k] - places[first]).max()))
        for k in near:
            grown = np.concatenate(
                [np.minimum(box[:2], boxes[k, :2]), np.maximum(box[2:], boxes[k, 2:])]
            )
            if (grown[2:] - grown[:2] <= inner).all():
                box = grown
                left_over.remove(k)
        left, top = (np.rint((box[:2] + box[2:] - (side - 1)) / 2)).astype(int)
        windows.append(
            Window(
                left=int(np.clip(left, 0, width - side)),
                top=int(np.clip(top, 0, height - side)),
                side=side,
            )
        )
    return windows


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


def _shows(window: Window, x: float, y: float, height: int, width: int) -> bool:
    left, top, right, bottom = window.trusted(height, width)
    return left <= x < right and top <= y < bottom
