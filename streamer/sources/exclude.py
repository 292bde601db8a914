"""Exclusion masks: where burnt-in clocks, crosshairs and treetops keep detections silent."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from configs.schema import ExcludeSettings, Point, Rectangle
from streamer.sources.images import ImageError, read_image
from streamer.types import BoolArray, PermanentError

_SHIFT = 4  # polygons are drawn with 1/16 px
_FAR = 1e6  # px; farther corners overflow the drawing's integers


class ExclusionMask:
    """The excluded pixels of pictures of any size.

    A pixel belongs to a rectangle or polygon if its centre lies in it or on its edge.
    """

    def __init__(self, settings: ExcludeSettings) -> None:
        self._settings = settings
        self._picture: NDArray[np.float32] | None = None
        self._cache: dict[tuple[int, int], BoolArray] = {}

    def load(self) -> None:
        """Read the mask's image, if there is one.

        Raises:
            PermanentError: the image cannot be read.
        """
        path = self._settings.image
        if path is None or self._picture is not None:
            return
        try:
            image = read_image(path)
        except ImageError as error:
            raise PermanentError(
                f"the exclusion mask {path} cannot be used: {error}; give a PNG, TIFF, BMP or "
                "JPEG in source.exclude.image"
            ) from error
        if image.ndim == 3:
            image = image.max(axis=2)
        self._picture = (image > 0).astype(np.float32)

    def mask(self, height: int, width: int) -> BoolArray | None:
        """(height, width) True where excluded, read-only; None where nothing is excluded."""
        settings = self._settings
        if not settings.rectangles and not settings.polygons and self._picture is None:
            return None
        cached = self._cache.get((height, width))
        if cached is not None:
            return cached
        mask = np.zeros((height, width), dtype=np.bool_)
        for rectangle in settings.rectangles:
            mask |= _inside_rectangle(rectangle, height, width)
        for polygon in settings.polygons:
            mask |= _inside_polygon(polygon, height, width)
        if self._picture is not None:
            # By area: a line of one pixel in a large mask stays a line in a small picture.
            resized = cv2.resize(self._picture, (width, height), interpolation=cv2.INTER_AREA)
            mask |= resized > 0
        mask.setflags(write=False)
        # One size is the rule; a folder of pictures of all sizes must not fill the memory.
        self._cache = {(height, width): mask}
        return mask


def _inside_rectangle(rectangle: Rectangle, height: int, width: int) -> BoolArray:
    x0, y0, x1, y1 = rectangle
    x, y = np.arange(width), np.arange(height)
    return np.outer((y >= y0) & (y <= y1), (x >= x0) & (x <= x1))


def _inside_polygon(polygon: tuple[Point, ...], height: int, width: int) -> BoolArray:
    corners = np.clip(np.array(polygon, dtype=np.float64), -_FAR, _FAR)
    drawn = np.zeros((height, width), dtype=np.uint8)
    points = np.rint(corners * (1 << _SHIFT)).astype(np.int32)
    cv2.fillPoly(drawn, [points], 1, shift=_SHIFT)
    return np.asarray(drawn, dtype=np.bool_)
