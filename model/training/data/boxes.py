"""From a loose box around a target to the target's mask, where only boxes were labelled."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_RING_PX = 5
_GROWN_PX = 2
_MIN_PEAK_LEVELS = 8.0
_MIN_PEAK_SIGMA = 4.0
SHARE_OF_PEAK = 0.4
"""Where a target ends: at this share of its peak over the surround."""


def mask_from_box(
    image: NDArray[np.uint8], box_xywh: tuple[float, float, float, float]
) -> NDArray[np.bool_] | None:
    """The bright blob in a box, or None where none stands out of its surround.

    A plane is fitted to a ring around the box; what rises above it by 0.4 of the peak (and two of
    the ring's standard deviations) and is connected to the peak is the target.

    Args:
        image: (H, W) uint8 intensity, brighter is hotter.
        box_xywh: left, top, width and height, px, of the loose box.

    Returns:
        (H, W) True on the target; None if its peak is under 8 levels or 4 standard deviations, or
        if the blob runs out of the box.
    """
    height, width = image.shape
    left, top = int(np.floor(box_xywh[0])), int(np.floor(box_xywh[1]))
    right = int(np.ceil(box_xywh[0] + box_xywh[2])) + 1
    bottom = int(np.ceil(box_xywh[1] + box_xywh[3])) + 1
    x0, y0 = max(0, left - _RING_PX), max(0, top - _RING_PX)
    x1, y1 = min(width, right + _RING_PX), min(height, bottom + _RING_PX)
    if min(right, width) - max(left, 0) < 1 or min(bottom, height) - max(top, 0) < 1:
        return None
    patch = image[y0:y1, x0:x1].astype(np.float64)
    rows, columns = np.mgrid[y0:y1, x0:x1]
    inside = (columns >= left) & (columns < right) & (rows >= top) & (rows < bottom)
    ring = ~inside
    if ring.sum() < 12:
        return None

    terms = np.stack([columns[ring], rows[ring], np.ones(int(ring.sum()))], axis=1)
    plane, *_ = np.linalg.lstsq(terms, patch[ring], rcond=None)
    residual = patch - (plane[0] * columns + plane[1] * rows + plane[2])
    centre = float(np.median(residual[ring]))
    sigma = 1.4826 * float(np.median(np.abs(residual[ring] - centre))) + 0.5
    residual -= centre

    in_box = np.where(inside, residual, -np.inf)
    peak = float(in_box.max())
    if peak < _MIN_PEAK_LEVELS or peak < _MIN_PEAK_SIGMA * sigma:
        return None
    grown = (
        (columns >= left - _GROWN_PX)
        & (columns < right + _GROWN_PX)
        & (rows >= top - _GROWN_PX)
        & (rows < bottom + _GROWN_PX)
    )
    above = (residual >= max(SHARE_OF_PEAK * peak, 2 * sigma)) & grown
    _, labels = cv2.connectedComponents(above.astype(np.uint8), connectivity=8)
    blob = labels == labels[np.unravel_index(int(in_box.argmax()), in_box.shape)]
    edge = grown & ~cv2.erode(
        grown.astype(np.uint8), np.ones((3, 3)), borderType=cv2.BORDER_REPLICATE
    ).astype(bool)
    if (blob & edge).any():
        return None
    if blob.sum() <= 2:  # the optics blur even a point over more than one pixel
        cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
        blob = cv2.dilate(blob.astype(np.uint8), cross).astype(bool)
    mask = np.zeros(image.shape, dtype=np.bool_)
    mask[y0:y1, x0:x1] = blob
    return mask
