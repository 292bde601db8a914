"""How one picture of a scene lies on the next: a similarity, or nothing where they do not tell."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from streamer.types import BoolArray, FloatArray, Image
from tracking.stillness import Picture, Sketch, box_slices, reduced

MAX_CORNERS = 200
"""At most so many corners are followed."""
_FLOW_PX = 480
"""The longest side, at most, of the pictures in which corners are followed."""
_REFINEMENTS = 6
"""Steps of least squares after a phase correlation, in each sketch, at most: its own peak is blunt
where texture is poor."""
_REFINED_PX = 0.005
"""A smaller step is the last."""
_BLUR_PX = 1.0
"""Against the sensor's noise."""
_RIM_PX = 6
"""Corners keep so far from the picture's rim, and from detections."""
_RETURN_PX = 0.7
"""A corner that, followed there and back, ends farther from where it began is a mistake."""
_INLIER_PX = 1.0
_LEAST_INLIERS = 10
_LEAST_INLIER_SHARE = 0.4
_MAX_ZOOM = 1.5
_WINDOW_PX = 11
_LEAST_QUALITY = 0.03
"""A corner of less than this share of the best one's quality is noise, or what an encoder copied
from the picture before."""
_PYRAMID_LEVELS = 4
_STEPS = 10
_STEP_PX = 0.03
_MAX_SHIFT_SHARE = 0.35
"""A phase correlation is not asked for shifts beyond this share of a side."""


def follow_corners(before: Image, after: Image, boxes_xyxy: FloatArray) -> FloatArray | None:
    """Register two pictures by sparse optical flow.

    Corners spread over the picture are followed by pyramidal Lucas-Kanade (Bouguet, "Pyramidal
    Implementation of the Lucas Kanade Feature Tracker", 2000), forth and back, and a similarity is
    fitted by RANSAC (Fischler and Bolles, 1981).

    Args:
        before: (H, W).
        after: (H, W), of the same size and type.
        boxes_xyxy: (N, 4) of what moves in ``before``, px: no corner is taken there.

    Returns:
        (2, 3), what lay at ``p`` in ``before`` lies at ``A p + t`` in ``after``; None where too
        few corners agree.
    """
    factor = math.ceil(max(before.shape) / _FLOW_PX)
    first, second = _as_8_bit(*(_smoothed(reduced(each, factor)) for each in (before, after)))
    corners = _corners(first, boxes_xyxy, factor)
    if len(corners) < _LEAST_INLIERS:
        return None
    there, found = _flow(first, second, corners)
    back, found_again = _flow(second, first, there)
    kept = found & found_again
    kept &= np.hypot(*(back - corners).T) < _RETURN_PX
    if kept.sum() < _LEAST_INLIERS:
        return None
    found_warp, inliers = cv2.estimateAffinePartial2D(
        corners[kept], there[kept], method=cv2.RANSAC, ransacReprojThreshold=_INLIER_PX
    )
    warp = np.asarray(found_warp, dtype=np.float64)
    if warp.shape != (2, 3) or not _is_plausible(warp):
        return None
    agreeing = int(inliers.sum())
    if agreeing < max(_LEAST_INLIERS, _LEAST_INLIER_SHARE * kept.sum()):
        return None
    return enlarged(warp, factor)


def correlate_phases(before: Sequence[Sketch], after: Sequence[Sketch]) -> FloatArray | None:
    """Register two pictures by phase correlation, a shift only, for want of corners.

    The shift found in the coarsest sketches is refined by least squares in each. It is the best
    there is and may be none: a peak there always is, so ask whether the pictures do lie on each
    other with it (:mod:`tracking.evidence`).

    Source: Kuglin and Hines, "The Phase Correlation Image Alignment Method" (1975), with Hann's
    window.

    Args:
        before: sketches of a picture, the coarsest first.
        after: of a picture of the same size, likewise.

    Returns:
        As :func:`follow_corners`; None where no shift is found within a third of a side.
    """
    height, width = before[0].detail.shape
    if min(height, width) < _WINDOW_PX:
        return None
    window = cv2.createHanningWindow((width, height), cv2.CV_32F)
    warp: FloatArray | None = None
    for earlier, now in zip(before, after, strict=True):
        first, second = _smoothed(earlier.detail), _smoothed(now.detail)
        if warp is None:
            shift = np.array(cv2.phaseCorrelate(first, second, window)[0])
        else:
            shift = enlarged(warp, 1 / earlier.factor)[:, 2]
        furthest = _MAX_SHIFT_SHARE * np.array(first.shape[::-1])
        for _ in range(_REFINEMENTS):
            # Written so that NaN, too, is none.
            if not (np.abs(shift) <= furthest).all():
                return None
            step = _shift_left(first, second, shift)
            shift = shift + step
            if np.abs(step).max() < _REFINED_PX:
                break
        warp = enlarged(np.column_stack((np.eye(2), shift)), earlier.factor)
    return warp


def _shift_left(first: Picture, second: Picture, shift: FloatArray) -> FloatArray:
    """(2,) how far ``second`` still is from ``first`` shifted by ``shift``, to first order."""
    height, width = first.shape
    moved = np.asarray(
        cv2.warpAffine(first, np.column_stack((np.eye(2), shift)), (width, height)),
        dtype=np.float32,
    )
    # Only where both show the scene.
    x, y = shift
    rows = slice(max(0, math.ceil(y)) + 1, height + min(0, math.floor(y)) - 1)
    columns = slice(max(0, math.ceil(x)) + 1, width + min(0, math.floor(x)) - 1)
    mean = 0.5 * (moved + second)
    gx = cv2.Sobel(mean, cv2.CV_32F, 1, 0, ksize=1, scale=0.5)[rows, columns]
    gy = cv2.Sobel(mean, cv2.CV_32F, 0, 1, ksize=1, scale=0.5)[rows, columns]
    change = (second - moved)[rows, columns]
    gradients = np.column_stack((gx.ravel(), gy.ravel())).astype(np.float64)
    normal = gradients.T @ gradients
    right = gradients.T @ change.ravel().astype(np.float64)
    # A direction without any gradient stays as it is.
    step = -np.linalg.lstsq(normal, right, rcond=1e-9)[0]
    return np.asarray(np.clip(step, -2.0, 2.0), dtype=np.float64)


def enlarged(warp: FloatArray, factor: float) -> FloatArray:
    """A warp between pictures reduced by ``factor`` as one between the pictures themselves."""
    # The centre of the reduced picture's first pixel is that of a square of pixels.
    middle = np.full(2, (factor - 1) / 2)
    linear = warp[:, :2]
    shift = factor * warp[:, 2] + middle - linear @ middle
    return np.column_stack((linear, shift))


def _smoothed(picture: Picture) -> Picture:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), _BLUR_PX), dtype=np.float32)


def _as_8_bit(before: Picture, after: Picture) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Both pictures on the grey scale of the first: flow is for 8 bit."""
    low, high = np.percentile(before[::4, ::4], (0.5, 99.5))
    scale = np.float32(255.0 / max(float(high - low), 1.0))
    first, second = (
        np.clip((picture - np.float32(low)) * scale, 0, 255).astype(np.uint8)
        for picture in (before, after)
    )
    return first, second


def _corners(picture: NDArray[np.uint8], boxes_xyxy: FloatArray, factor: int) -> Picture:
    """(K, 2) the best corner of each cell of a grid, so that no one thing has them all."""
    height, width = picture.shape
    cell = max(8, math.ceil(math.sqrt(height * width / MAX_CORNERS)))
    rows, columns = height // cell, width // cell
    if not rows or not columns:
        return np.empty((0, 2), dtype=np.float32)
    quality = np.asarray(cv2.cornerMinEigenVal(picture, 5), dtype=np.float32)
    allowed = np.zeros_like(quality)
    allowed[_RIM_PX : height - _RIM_PX, _RIM_PX : width - _RIM_PX] = 1
    for blotted in box_slices(boxes_xyxy, factor, quality.shape, margin=_RIM_PX):
        allowed[blotted] = 0
    tiles = (quality * allowed)[: rows * cell, : columns * cell].reshape(rows, cell, columns, cell)
    flat = tiles.swapaxes(1, 2).reshape(rows * columns, cell * cell)
    best = flat.argmax(axis=1)
    corner = flat[np.arange(len(flat)), best]
    there = (corner > 0) & (corner >= _LEAST_QUALITY * corner.max())
    y, x = np.divmod(best, cell)
    row, column = np.divmod(np.arange(len(flat)), columns)
    xy = np.column_stack((column * cell + x, row * cell + y))
    return np.asarray(xy[there], dtype=np.float32)


def _flow(
    before: NDArray[np.uint8], after: NDArray[np.uint8], points: Picture
) -> tuple[Picture, BoolArray]:
    """Where points (K, 2) went, and (K,) whether they could be followed."""
    there, found, _ = cv2.calcOpticalFlowPyrLK(
        before,
        after,
        points,
        np.empty(0, dtype=np.float32),
        winSize=(_WINDOW_PX, _WINDOW_PX),
        maxLevel=_PYRAMID_LEVELS,
        criteria=(cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, _STEPS, _STEP_PX),
    )
    return np.asarray(there, dtype=np.float32), found.ravel() == 1


def _is_plausible(warp: FloatArray) -> bool:
    """Finite, and no more of a zoom than a camera makes from one picture to the next."""
    if not np.isfinite(warp).all():
        return False
    zoom = math.hypot(warp[0, 0], warp[1, 0])
    return 1 / _MAX_ZOOM <= zoom <= _MAX_ZOOM
