"""Where false detections are, learned while a camera looks at the same places.

Tree lines, cloud edges and hot roofs blink again and again at the same places. The map counts, in
cells, the strong detections that no target explains, and forgets them over minutes. It is told of
those of a track only when the track ends: until then they may be a target's.
"""

from __future__ import annotations

import math

import numpy as np

from streamer.types import FloatArray, IntArray
from tracking.camera_motion import Motion

CELL_PX = 8
_FORGET_PX = CELL_PX / 2
"""A picture that moved by more shows other places than those that were learned. What moved by less
is still in its cell or in the next, which counts too."""
MEMORY_SECONDS = 120.0
"""Counts decay to 1/e in this time."""
_PRIOR_COUNT = 0.01
"""What is expected of a cell before anything was seen counts like so many detections: few, so that
a place that blinks is known after a few of them."""
_SIGMAS = 2.0
"""A cell is worse than the background where it has so many standard deviations, and one detection,
more than the background gives."""
_STEP = 1.2
_PRIOR_FRAMES = 300.0
"""What is expected of the whole picture counts like so many frames."""
_PARTS = 4
"""The level of the whole picture is the median of 4 x 4 parts: a tree line is in less than half."""
_SETTLE_FRAMES = 16
"""The level is looked at this seldom: it changes over minutes."""
_USUAL_SHAPE = (512, 640)
"""Where no picture is given, it is taken to be of this height and width, or as large as positions
say."""


class ClutterMap:
    """Density of false detections over the picture of one source.

    Args:
        per_frame: strong false detections a frame, as calibrated: nowhere is the density taken to
            be lower than these give, spread evenly. A place that was quiet for minutes may have
            been so by chance.
    """

    def __init__(self, per_frame: float) -> None:
        self._per_frame = per_frame
        self._shape: tuple[int, ...] = _USUAL_SHAPE
        self._counts: FloatArray | None = None
        self._moved = Motion()
        """The camera's, since the map was begun."""
        self._frames = 0.0
        self._births = self._birth_frames = 0.0
        self.background = 0.0
        """Density that is exceeded at few places only, a px^2 and frame."""
        self._until_settled = 0
        self._settle()

    def begin(self, dt: float, motion: Motion, shape: tuple[int, ...] | None) -> float:
        """A new frame: what was learned fades, or is forgotten where the camera moved.

        What counts is where the picture is against where it was when the map was begun, so a camera
        that only trembles forgets nothing. Nor does one of which a picture cannot be read: what
        follows tells whether it looks elsewhere. The map is not warped: by fractions of a cell each
        time, counts would blur into their surroundings.

        Args:
            dt: seconds since the last frame that was not frozen.
            motion: the camera's, since then.
            shape: the picture's; None where there is no picture and so no map.

        Returns:
            The share of each count that is left, for counts that are kept elsewhere.
        """
        keep = left = math.exp(-dt / MEMORY_SECONDS)
        if shape is not None and (
            self._counts is None or shape != self._shape or self._lost_sight(motion)
        ):
            self._shape = shape
            self._moved = Motion()
            # A row and a column on each side have nothing, so that every cell has eight neighbours.
            self._counts = np.zeros((shape[0] // CELL_PX + 3, shape[1] // CELL_PX + 3))
            self._frames = 0.0
            self._until_settled = 0
            left = 0.0
        if self._counts is not None:
            self._counts *= keep
        self._frames = self._frames * keep + 1.0
        self._births *= keep
        self._birth_frames = self._birth_frames * keep + 1.0
        self._until_settled -= 1
        if self._until_settled <= 0:
            self._settle()
        return left

    def add(self, xy: FloatArray, hits: FloatArray) -> None:
        """Tracks ended that were none of targets.

        Args:
            xy: (K, 2) where their last detections were, px.
            hits: (K,) their strong detections, faded as the map's counts are.
        """
        self._births += len(xy)
        if self._counts is None:
            largest = np.ceil(xy.max(axis=0, initial=0.0))[::-1]
            self._shape = tuple(np.maximum(self._shape, largest).astype(int).tolist())
            self._settle()
        else:
            np.add.at(self._counts, self._cells(xy), hits)

    def density(self, xy: FloatArray) -> FloatArray:
        """(N,) false detections a px^2 and frame at places (N, 2), px; above 0."""
        if self._counts is None:
            return np.full(len(xy), self.background)
        expected = self.background * CELL_PX**2
        # What sways does not stay in its cell: the worst of those around counts.
        row, column = self._cells(xy)
        near = [self._counts[row + i, column + j] for i in (-1, 0, 1) for j in (-1, 0, 1)]
        counts = np.max(near, axis=0)
        usual = expected * self._frames
        rate = (counts + _PRIOR_COUNT) / (self._frames + _PRIOR_COUNT / expected)
        # Chance alone makes some cells look worse than others, and that would keep targets out.
        worse = counts > usual + _SIGMAS * math.sqrt(usual) + 1
        dense = np.where(worse, rate / CELL_PX**2, 0.0)
        # In coarse steps above the background: few thresholds have to be worked out.
        times = np.maximum(dense / self.background, 1.0)
        return np.asarray(self.background * _STEP ** np.round(np.log(times) / math.log(_STEP)))

    @property
    def births_per_frame(self) -> float:
        """How many tracks false detections start in a frame, wherever the camera looks."""
        total = _PRIOR_FRAMES * self._per_frame + self._births
        return max(self._per_frame, total / (_PRIOR_FRAMES + self._birth_frames))

    def _lost_sight(self, motion: Motion) -> bool:
        """The picture shows other places than the map, once it moved like this, too."""
        if motion.cut or motion.still:
            return motion.cut
        self._moved = motion.following(self._moved)
        return self._moved.movement_px(self._shape) > _FORGET_PX

    def _settle(self) -> None:
        """How dense false detections are in the better half of the picture."""
        self._until_settled = _SETTLE_FRAMES
        least = self._per_frame / math.prod(self._shape)
        self.background = least
        if self._counts is None:
            return
        inner = self._counts[1:-1, 1:-1]
        height, width = inner.shape
        if min(inner.shape) < _PARTS:
            return
        rows, columns = (np.arange(_PARTS) * size // _PARTS for size in (height, width))
        parts = np.add.reduceat(np.add.reduceat(inner, rows), columns, axis=1)
        sizes = np.outer(np.diff(rows, append=height), np.diff(columns, append=width))
        usual = float(np.median(parts / (sizes * CELL_PX**2)))
        usual = (_PRIOR_FRAMES * least + usual) / (_PRIOR_FRAMES + self._frames)
        self.background = max(least, usual)

    def _cells(self, xy: FloatArray) -> tuple[IntArray, IntArray]:
        """Rows and columns (N,) of the cells of places (N, 2); what lies outside is in the last."""
        assert self._counts is not None
        height, width = self._counts.shape
        column, row = np.floor((xy + 0.5) / CELL_PX).astype(np.int64).T
        return np.clip(row + 1, 1, height - 2), np.clip(column + 1, 1, width - 2)
