"""The zoom on the most certain small target: which one, and in which corner it may stand."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from streamer.types import FrameResult, TrackState

SMALL_PX = 32.0
"""Targets with a longer side need no magnifying glass."""
SCORE_MARGIN = 0.15
"""Another target must be so much more certain to take the inset over,"""
DWELL_SECONDS = 2.0
"""and not sooner than this."""
MIN_LEVELS = 70.0
"""Of the display picture: less contrast than this is not stretched any further."""
HEIGHT_SHARE = 0.26
MARGIN = 12
CLEARANCE = 28.0
"""px that an inset's corner must be free around it to be moved to; it stays until touched."""


@dataclass(frozen=True, slots=True)
class InsetPlan:
    """What the inset shows and where it stands."""

    row: int
    """Of the track in ``Tracks``."""
    rect: tuple[int, int, int, int]
    """x0, y0, x1, y1 on the canvas, integers, x1 and y1 excluded."""
    zoom: int
    """Canvas pixels to one pixel of the source."""


class Inset:
    """Chooses a target and a corner, and changes its mind slowly."""

    def __init__(self) -> None:
        self._track_id: int | None = None
        self._since = 0.0
        self._corner: int | None = None
        self._levels: tuple[float, float] | None = None

    def plan(
        self,
        result: FrameResult,
        shown: NDArray[np.int64],
        frames: NDArray[np.float64],
        canvas_size: tuple[int, int],
        scale: int,
    ) -> InsetPlan | None:
        """The inset of this frame, or None where there is no small target or no free corner.

        Args:
            result: the frame.
            shown: (N,) rows of ``result.tracks`` that are drawn.
            frames: (N, 4) what is drawn around each, px of the canvas.
            canvas_size: width and height of the drawn picture.
            scale: canvas pixels to one pixel of the source.
        """
        row = self._choose(result, shown)
        if row is None:
            self._corner = None
            return None
        zoom = max(6, 2 * scale)
        cells = int(HEIGHT_SHARE * canvas_size[1]) // zoom
        side = cells * zoom
        if cells < 12 or 3 * side > canvas_size[0]:
            return None
        corner = self._free_corner(side, canvas_size, frames)
        if corner is None:
            return None
        return InsetPlan(row, _corner_rect(corner, side, canvas_size), zoom)

    def _choose(self, result: FrameResult, shown: NDArray[np.int64]) -> int | None:
        tracks, now = result.tracks, result.frame.pts_seconds
        boxes, xy = tracks.boxes_xyxy[shown], tracks.xy[shown]
        extent = (result.frame.width - 0.5, result.frame.height - 0.5)
        inside = ((xy >= -0.5) & (xy < extent)).all(axis=1)
        small = shown[inside & ((boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0.0) <= SMALL_PX)]
        if not len(small):
            self._track_id = None
            return None
        # A coasting target is not there to be looked at, unless it is all there is.
        worth = tracks.score[small] - 0.5 * (tracks.state[small] == TrackState.COASTING)
        best = int(small[np.argmax(worth)])
        held = small[tracks.track_id[small] == self._track_id]
        if len(held):
            held_worth = float(worth[tracks.track_id[small] == self._track_id][0])
            settled = 0.0 <= now - self._since < DWELL_SECONDS
            if settled or float(worth.max()) < held_worth + SCORE_MARGIN:
                return int(held[0])
        self._track_id, self._since = int(tracks.track_id[best]), now
        self._levels = None
        return best

    def magnify(
        self, gray: NDArray[np.uint8], center: NDArray[np.float64], plan: InsetPlan
    ) -> NDArray[np.uint8]:
        """The planned cut of the display picture, with more contrast where it is dull.

        Args:
            gray: (H, W) the display picture at the source's size.
            center: (2,) what comes to lie in the middle, px of the source.
            plan: this frame's.

        Returns:
            (S, S), as large as the plan's rectangle.
        """
        side = plan.rect[2] - plan.rect[0]
        half = (side - 1) / 2 / plan.zoom
        step = 1 / plan.zoom
        inverse = np.array([[step, 0, center[0] - half], [0, step, center[1] - half]])
        cut = cv2.warpAffine(
            gray,
            inverse,
            (side, side),
            flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        low, high = (float(v) for v in np.percentile(cut[::4, ::4], (2.0, 99.8)))
        missing = max(0.0, MIN_LEVELS - (high - low))
        low, high = low - missing / 2, high + missing / 2
        if self._levels is not None:
            # Slowly, or the noise in the percentiles makes it flicker.
            low = self._levels[0] + 0.1 * (low - self._levels[0])
            high = self._levels[1] + 0.1 * (high - self._levels[1])
        self._levels = (low, high)
        levels = 20.0 + (np.arange(256) - low) * (215.0 / (high - low))
        return np.asarray(cv2.LUT(cut, np.clip(levels, 0, 255).astype(np.uint8)), np.uint8)

    def _free_corner(
        self, side: int, canvas_size: tuple[int, int], frames: NDArray[np.float64]
    ) -> int | None:
        gaps = [_gap(_corner_rect(c, side, canvas_size), frames) for c in range(4)]
        if self._corner is None or gaps[self._corner] <= 0.0:
            best = int(np.argmax(gaps))
            free = [c for c in range(4) if gaps[c] >= min(CLEARANCE, gaps[best])]
            self._corner = free[0] if gaps[best] > 0.0 else None
        return self._corner


def _corner_rect(corner: int, side: int, canvas_size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Upper right, lower right, upper left, lower left."""
    width, height = canvas_size
    x = MARGIN if corner >= 2 else width - side - MARGIN
    y = height - side - MARGIN if corner % 2 else MARGIN
    return x, y, x + side, y + side


def _gap(rect: tuple[int, int, int, int], frames: NDArray[np.float64]) -> float:
    """Distance from the rectangle to the nearest frame, px; negative where they overlap."""
    if not len(frames):
        return 1e6
    x0, y0, x1, y1 = rect
    apart = np.stack(
        [x0 - frames[:, 2], frames[:, 0] - x1, y0 - frames[:, 3], frames[:, 1] - y1], axis=1
    )
    return float(apart.max(axis=1).min())
