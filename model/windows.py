"""Square windows of a picture: where they lie, and how what they show is put together."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from streamer.types import FloatArray, Image

RIM_PX = 8
"""At a window's edge the network lacks its surround: what it says there is not used, unless the
edge is the picture's own."""
_AT_ONCE = 1.5
"""A picture up to so many times as large as the network was trained on is seen at once."""


@dataclass(frozen=True, slots=True)
class Window:
    """A square cut out of a picture. Pixel indices; right and bottom are exclusive."""

    left: int
    top: int
    side: int
    rims: tuple[int, int, int, int] = (RIM_PX, RIM_PX, RIM_PX, RIM_PX)
    """How much at the left, the top, the right and the bottom is not used, px."""

    def cut(self, image: Image) -> Image:
        """What the window shows, (side, side)."""
        return image[self.top : self.top + self.side, self.left : self.left + self.side]

    def trusted(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Left, top, right and bottom, within the picture, of where its result is used."""
        right, bottom = self.left + self.side, self.top + self.side
        at_left, at_top, at_right, at_bottom = self.rims
        return (
            self.left + (at_left if self.left > 0 else 0),
            self.top + (at_top if self.top > 0 else 0),
            right - (at_right if right < width else 0),
            bottom - (at_bottom if bottom < height else 0),
        )

    def shows(self, x: float, y: float, height: int, width: int) -> bool:
        """Whether its result is used at a place of the picture, px."""
        left, top, right, bottom = self.trusted(height, width)
        return left <= x < right and top <= y < bottom

    def shows_around(self, x: float, y: float, radius: float, height: int, width: int) -> bool:
        """Whether its result is used at all that the picture shows within a radius of a place."""
        left, top = max(0.0, x - radius), max(0.0, y - radius)
        right, bottom = min(width - 1.0, x + radius), min(height - 1.0, y + radius)
        return self.shows(left, top, height, width) and self.shows(right, bottom, height, width)


class Mosaic:
    """What the network said of the windows of a picture, put together.

    Where windows overlap, each pixel gets their mean: what stands in one and not in the other for
    no better reason than the window's edge is rather clutter than a target.
    """

    def __init__(self, height: int, width: int) -> None:
        self.probability: NDArray[np.float32] = np.zeros((height, width), np.float32)
        """(H, W) 0..1; 0 where no window looked."""
        self._count = np.zeros((height, width), np.uint16)

    def add(self, window: Window, seen: NDArray[np.float32]) -> None:
        """Put in what was seen, (side, side) 0..1, but for the rim."""
        left, top, right, bottom = window.trusted(*self.probability.shape)
        rows, columns = slice(top, bottom), slice(left, right)
        inside = seen[
            top - window.top : bottom - window.top, left - window.left : right - window.left
        ]
        # A mean that is kept as windows come in: the rest of the picture is never touched.
        mean, count = self.probability[rows, columns], self._count[rows, columns]
        count += 1
        mean += (inside - mean) / count


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


def scan_tiles(height: int, width: int, side: int) -> list[Window] | None:
    """The windows of :func:`scan_windows`, each used only where no other shows more surround.

    For windows that are seen one after the other: no place is looked at twice in a round, nor has
    two chances of a false alarm, where their mean cannot be taken.
    """
    windows = scan_windows(height, width, side)
    if windows is None:
        return None
    lefts, tops = sorted({w.left for w in windows}), sorted({w.top for w in windows})
    across, down = _shared_rims(lefts, side), _shared_rims(tops, side)
    return [
        replace(w, rims=(across[w.left][0], down[w.top][0], across[w.left][1], down[w.top][1]))
        for w in windows
    ]


def _shared_rims(starts: list[int], side: int) -> dict[int, tuple[int, int]]:
    """Rims before and behind of windows in a row, such that neighbours meet in the middle."""
    overlaps = [first + side - second for first, second in itertools.pairwise(starts)]
    before = [RIM_PX, *(overlap // 2 for overlap in overlaps)]
    behind = [*(overlap - overlap // 2 for overlap in overlaps), RIM_PX]
    return dict(zip(starts, zip(before, behind, strict=True), strict=True))


def _spread(length: int, side: int) -> list[int]:
    """Where windows begin that cover a length: evenly, so that each place is in one's inside."""
    count = 1 + math.ceil((length - side) / (side - 2 * RIM_PX))
    return [int(start) for start in np.linspace(0, length - side, count).round()]


def reach_px(side: int) -> float:
    """How far around its middle a window's result is used: from the middle of the first trusted
    pixel to that of the last is twice as far."""
    return (side - 2 * RIM_PX - 1) / 2


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
    reach = np.minimum(radius_px, reach_px(side))[:, None]
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
            if (grown[2:] - grown[:2] <= 2 * reach_px(side)).all():
                box = grown
                left_over.remove(k)
        # Around its middle; of what just fits in, a first half pixel must not be cut off.
        start = (box[:2] + box[2:] - (side - 1)) / 2
        slack = reach_px(side) - (box[2:] - box[:2]) / 2
        left, top = np.minimum(np.rint(start), np.floor(start + slack)).astype(int)
        windows.append(
            Window(
                left=int(np.clip(left, 0, width - side)),
                top=int(np.clip(top, 0, height - side)),
                side=side,
            )
        )
    return windows
