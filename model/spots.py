"""Bright spots: a cheap first look for what the network should see."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from streamer.types import FloatArray, Image

_TARGET_SIGMA_PX = 1.2
"""Blur of the picture: about a point target's."""
_SURROUND_PX = 15
"""Side of the square that a spot is compared with."""
_PEAK_PX = 9
"""A spot is the highest within a square of that side."""
_NEIGHBOURS = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], dtype=np.uint8)
_MIN_CONTRAST_LEVELS = 3.0
"""Spots fainter than so many grey levels of 8 bit are noise in any picture."""


class BrightSpots:
    """Finds local maxima that stand out of their surround.

    The picture is blurred as the optics blur a point, and compared with the mean of a square
    around each pixel in units of the square's own standard deviation, so that textured ground
    needs more than plain sky.

    It keeps its working memory from picture to picture: pages that are given back and fetched anew
    for each cost as much as what is done in them. So it serves one thread.

    Args:
        contrast: standard deviations that a spot must stand out by; a lone point on a plain sky is
            part of its own square and has about 5.3.
    """

    def __init__(self, contrast: float) -> None:
        self._contrast = contrast
        self._shared: Image = np.empty((0, 0), np.uint8)
        nothing: NDArray[np.float32] = np.empty((0, 0), np.float32)
        self._grey = self._spot = self._mean = self._height = self._significance = nothing

    def find(self, image: Image, gain: float, most: int) -> FloatArray:
        """(K, 2) x, y, px, the strongest first.

        Args:
            image: (H, W) raw pixels.
            gain: grey levels of 8 bit a raw level.
            most: how many at most.
        """
        self._fit(image)
        # The optics blur even a point over several pixels: what no neighbour shares is a stuck one.
        shared, grey = cv2.dilate(image, _NEIGHBOURS, dst=self._shared), self._grey
        np.minimum(image, shared, out=shared)
        np.multiply(shared, gain, out=grey, dtype=np.float32)
        spot = cv2.GaussianBlur(grey, (0, 0), _TARGET_SIGMA_PX, dst=self._spot)
        square = (_SURROUND_PX, _SURROUND_PX)
        mean = cv2.blur(spot, square, dst=self._mean)
        squares = cv2.sqrBoxFilter(spot, cv2.CV_32F, square, dst=self._grey)
        height = cv2.subtract(spot, mean, dst=self._height)
        # Few pixels rise so far, and the rest is worked out for those alone.
        risen = np.flatnonzero(height >= _MIN_CONTRAST_LEVELS)
        variance = squares.ravel()[risen] - np.square(mean.ravel()[risen])
        ratio = (height.ravel()[risen] / np.sqrt(np.maximum(variance, 1.0))).astype(np.float32)
        risen, ratio = risen[ratio >= self._contrast], ratio[ratio >= self._contrast]
        chosen = np.flatnonzero(ratio == self._highest_near(risen, ratio))
        chosen = chosen[np.argsort(-ratio[chosen], kind="stable")[:most]]
        rows, columns = np.divmod(risen[chosen], image.shape[1])
        return np.stack([columns, rows], axis=1).astype(np.float64)

    def _highest_near(
        self, places: NDArray[np.int64], ratio: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """(K,) the highest ratio in the square around each of K places."""
        map_of_ratios = self._significance.ravel()
        map_of_ratios[places] = ratio
        square = np.ones((_PEAK_PX, _PEAK_PX), dtype=np.uint8)
        highest = cv2.dilate(self._significance, square, dst=self._height).ravel()[places]
        map_of_ratios[places] = 0  # as the next picture wants to find it
        return np.asarray(highest, dtype=np.float32)

    def _fit(self, image: Image) -> None:
        if self._shared.shape == image.shape and self._shared.dtype == image.dtype:
            return
        self._shared = np.empty_like(image, order="C")
        self._grey, self._spot, self._mean, self._height = (
            np.empty(image.shape, np.float32) for _ in range(4)
        )
        self._significance = np.zeros(image.shape, np.float32)
