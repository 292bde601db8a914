"""The shift between two pictures by a slow registration, to hold faster ones against.

The enhanced correlation coefficient (Evangelidis and Psarakis, "Parametric Image Alignment Using
Enhanced Correlation Coefficient Maximization", 2008) of the pictures at full size, rid of their
slow shades and of what moves by itself. It climbs to the next peak, so it starts twice: from
nothing and from where phases correlate.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from streamer.types import FloatArray, Image

LEAST_LIKENESS = 0.8
"""Below this correlation the pictures do not tell how the camera moved."""
_NOISE_PX, _SHADE_PX = 1.0, 6.0
"""What is finer than the one (a Gaussian's standard deviation) or coarser than the other is taken
out."""
_MARGIN_PX = 4
_FARTHEST_SHARE = 0.25
"""A shift by more than this share of the shorter side leaves too little that both show."""
_SAME_START_PX = 1.0
"""Starts no farther apart lead to the same peak."""
_ROUNDS, _ENOUGH = 100, 1e-6
_SMOOTHED = 5
"""Side of the Gaussian by which the registration smooths gradients, px."""

_Picture: TypeAlias = NDArray[np.float32]


def reference_shift(
    before: Image, after: Image, boxes_before: FloatArray, boxes_after: FloatArray
) -> FloatArray | None:
    """How far the scene moved in the picture; None where the pictures do not tell.

    Args:
        before: (H, W) uint8 or uint16.
        after: the next one.
        boxes_before: (N, 4) of what moves by itself there, px.
        boxes_after: (M, 4) likewise.

    Returns:
        (2,) along x and y, px.
    """
    if before.shape != after.shape:
        return None
    detail, _ = _detail(before, boxes_before)
    detail_after, shown = _detail(after, boxes_after)
    window = cv2.createHanningWindow((before.shape[1], before.shape[0]), cv2.CV_32F)
    (x, y), _ = cv2.phaseCorrelate(detail, detail_after, window)
    starts = [(0.0, 0.0)]
    if math.hypot(x, y) > _SAME_START_PX:
        starts.append((x, y))
    farthest = _FARTHEST_SHARE * min(before.shape)
    best, found = LEAST_LIKENESS, None
    for start in starts:
        likeness, shift = _climb(detail, detail_after, shown, start)
        if likeness >= best and math.hypot(*shift) <= farthest:
            best, found = likeness, shift
    return found


def _detail(image: Image, boxes_xyxy: FloatArray) -> tuple[_Picture, NDArray[np.uint8]]:
    """(H, W) intensity without slow shades, noise and boxes, and 255 where no box was."""
    shown = np.ones(image.shape, dtype=np.float32)
    height, width = image.shape
    low = np.clip(np.floor(boxes_xyxy[:, :2]) - _MARGIN_PX, 0, (width, height)).astype(int)
    high = np.clip(np.ceil(boxes_xyxy[:, 2:]) + _MARGIN_PX + 1, 0, (width, height)).astype(int)
    for (left, top), (right, bottom) in zip(low.tolist(), high.tolist(), strict=True):
        shown[top:bottom, left:right] = 0
    # Shades of what is outside the boxes alone: a bright target would leave a halo around its own.
    # Blurred last: a sharp edge of a box would be all there is in the finest of what is left.
    shades, weight = (cv2.GaussianBlur(each, (0, 0), _SHADE_PX) for each in (image * shown, shown))
    detail = (image - shades / np.maximum(weight, 1e-3)) * shown
    fine = cv2.GaussianBlur(detail, (0, 0), _NOISE_PX)
    return np.asarray(fine, dtype=np.float32), (shown * 255).astype(np.uint8)


def _climb(
    before: _Picture, after: _Picture, shown: NDArray[np.uint8], start: tuple[float, float]
) -> tuple[float, FloatArray]:
    """The correlation, -1..1, at the peak that is next to a shift, and that peak's shift (2,)."""
    warp = np.array([[1, 0, start[0]], [0, 1, start[1]]], dtype=np.float32)
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, _ROUNDS, _ENOUGH)
    try:
        likeness, moved = cv2.findTransformECC(
            before, after, warp, cv2.MOTION_TRANSLATION, criteria, shown, _SMOOTHED
        )
    except cv2.error:  # blank, or it ran out of the picture
        return -1.0, np.zeros(2)
    return likeness, np.asarray(moved, dtype=np.float64)[:, 2]
