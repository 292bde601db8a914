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
        boxes = tracks.boxes_xyxy[shown]
        small = shown[(boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0.0) <= SMALL_PX]
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
        return best

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


def magnify(
    gray: NDArray[np.uint8], center: NDArray[np.float64], side: int, zoom: int
) -> NDArray[np.uint8]:
    """(side, side) cut of the display picture with ``center`` (source px) in its middle."""
    half = (side - 1) / 2
    inverse = np.array(
        [[1 / zoom, 0, center[0] - half / zoom], [0, 1 / zoom, center[1] - half / zoom]]
    )
    cut = cv2.warpAffine(
        gray,
        inverse,
        (side, side),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(24,),
    )
    return np.asarray(cut, np.uint8)
