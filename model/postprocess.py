"""From a probability map to detections."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from configs.schema import DetectorSettings
from streamer.types import BoolArray, Detections, Frame, Image

_SURROUND_PX = 6
"""How far around a component its local background reaches, px."""
_GUARD_PX = 2
"""Pixels next to a component that the optics' blur may still light: not background."""
_MIN_ELONGATED_AREA = 20
"""Elongation says nothing about components of a few pixels."""


def detections_from_mask(
    probability: NDArray[np.float32],
    frame: Frame,
    settings: DetectorSettings,
    threshold: float,
) -> Detections:
    """Every component of the probability map, the weak ones too.

    A component is 8-connected: of the pixels at or above ``threshold``, and, where none of those
    is near, of the pixels at or above ``settings.low_threshold``. So two strong targets do not
    merge because of the weak bridge between them. Centroids are weighted by probability times the
    pixel's height above the local background.

    Args:
        probability: (H, W) of the frame's size, 0..1.
        frame: the picture, for intensity-weighted centroids, SNR and its exclusion mask.
        settings: limits of area, shape and number.
        threshold: what a target must reach.

    Returns:
        Detections sorted by falling score.
    """
    low = min(settings.low_threshold, threshold)
    candidate = probability >= low
    if frame.ignore is not None:
        candidate &= ~frame.ignore
    if not candidate.any():
        return Detections.empty(frame.index, frame.pts_seconds)

    labels, peaks, areas, boxes = _components(probability, candidate, threshold)
    keep = areas >= settings.min_area_px
    order = np.flatnonzero(keep)
    order = order[np.lexsort((order, -peaks[order]))][: settings.max_detections]
    if not len(order):
        return Detections.empty(frame.index, frame.pts_seconds)

    rows = [_measure(labels, probability, frame.image, int(i) + 1, boxes[i]) for i in order]
    xy = np.array([row[0] for row in rows])
    snr = np.array([row[1] for row in rows])
    elongation = np.array([row[2] for row in rows])
    area = areas[order].astype(np.float64)
    left, top, right, bottom = boxes[order].T  # pixel indices, the last one exclusive
    return Detections(
        xy=xy,
        boxes_xyxy=np.stack([left, top, right, bottom], axis=1) - 0.5,
        score=peaks[order],
        area_px=area,
        peak_snr=snr,
        extended=(area > settings.max_area_px)
        | ((elongation > settings.max_elongation) & (area >= _MIN_ELONGATED_AREA)),
        frame_index=frame.index,
        pts_seconds=frame.pts_seconds,
    )


def _components(
    probability: NDArray[np.float32], candidate: BoolArray, threshold: float
) -> tuple[NDArray[np.int32], NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Labels from 1, (N,) peak, (N,) area and (N, 4) left, top, right, bottom of each."""
    # Few pixels are candidates: what is done to each of those alone costs next to nothing.
    places = np.flatnonzero(candidate)
    value = probability.ravel()[places]
    count, labels, stats = _labelled(candidate.astype(np.uint8))
    weak_labels = labels.ravel()[places]
    strong = value >= threshold
    has_strong = np.zeros(count, dtype=np.bool_)
    has_strong[weak_labels[strong]] = True
    kept = strong | ~has_strong[weak_labels]
    if not kept.all():
        places, value = places[kept], value[kept]
        mask = np.zeros(candidate.shape, np.uint8)
        mask.ravel()[places] = 1
        count, labels, stats = _labelled(mask)
    peaks = np.zeros(count, dtype=np.float64)
    np.maximum.at(peaks, labels.ravel()[places], value.astype(np.float64))
    stats = stats[1:]
    left, top = stats[:, cv2.CC_STAT_LEFT], stats[:, cv2.CC_STAT_TOP]
    right = left + stats[:, cv2.CC_STAT_WIDTH]
    bottom = top + stats[:, cv2.CC_STAT_HEIGHT]
    boxes = np.stack([left, top, right, bottom], axis=1)
    return labels, peaks[1:], stats[:, cv2.CC_STAT_AREA], boxes


def _labelled(mask: NDArray[np.uint8]) -> tuple[int, NDArray[np.int32], NDArray[np.int64]]:
    """How many labels there are with the background's 0, (H, W) labels, and OpenCV's statistics."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    return count, labels.astype(np.int32, copy=False), stats.astype(np.int64)


def _measure(
    labels: NDArray[np.int32],
    probability: NDArray[np.float32],
    image: Image,
    label: int,
    box: NDArray[np.int64],
) -> tuple[tuple[float, float], float, float]:
    """Centroid (x, y) px, peak SNR and elongation of one component."""
    height, width = labels.shape
    left, top, right, bottom = (int(edge) for edge in box)
    x0, y0 = max(0, left - _SURROUND_PX), max(0, top - _SURROUND_PX)
    x1, y1 = min(width, right + _SURROUND_PX), min(height, bottom + _SURROUND_PX)
    patch = image[y0:y1, x0:x1].astype(np.float64)
    own = labels[y0:y1, x0:x1] == label
    ring = labels[y0:y1, x0:x1] == 0
    ring[
        max(0, top - _GUARD_PX - y0) : bottom + _GUARD_PX - y0,
        max(0, left - _GUARD_PX - x0) : right + _GUARD_PX - x0,
    ] = False

    surround = patch[ring] if ring.any() else patch[~own] if not own.all() else patch.ravel()
    background = float(np.median(surround))
    # Half a level: the quantisation of a picture without noise.
    sigma = max(1.4826 * float(np.median(np.abs(surround - background))), 0.5)
    rows, columns = np.nonzero(own)
    height_above = np.maximum(patch[own] - background, 0.0)
    weight = probability[y0:y1, x0:x1][own] * (height_above + 1e-3)
    weight = weight / weight.sum()
    x, y = float(weight @ columns), float(weight @ rows)
    snr = (float(patch[own].max()) - background) / sigma

    spread = np.cov(np.stack([columns, rows]).astype(np.float64), bias=True) + np.eye(2) / 12
    small, large = np.linalg.eigvalsh(spread)
    return (x + x0, y + y0), snr, float(np.sqrt(large / small))
