"""From a probability map to detections."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from configs.schema import DetectorSettings
from model.components import find_components
from streamer.types import Detections, Frame, Image

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

    Candidates are the pixels at or above ``settings.low_threshold``; what is a component of them,
    :func:`model.components.find_components` says. Centroids are weighted by probability times the
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

    found = find_components(probability, candidate, threshold)
    order = np.flatnonzero(found.area >= settings.min_area_px)
    order = order[np.argsort(-found.peak[order], kind="stable")][: settings.max_detections]
    if not len(order):
        return Detections.empty(frame.index, frame.pts_seconds)

    rows = [
        _measure(found.labels, probability, frame.image, int(i) + 1, found.boxes[i]) for i in order
    ]
    xy = np.array([row[0] for row in rows])
    snr = np.array([row[1] for row in rows])
    elongation = np.array([row[2] for row in rows])
    area = found.area[order].astype(np.float64)
    return Detections(
        xy=xy,
        boxes_xyxy=found.boxes[order].astype(np.float64) - 0.5,
        score=found.peak[order],
        area_px=area,
        peak_snr=snr,
        extended=(area > settings.max_area_px)
        | ((elongation > settings.max_elongation) & (area >= _MIN_ELONGATED_AREA)),
        frame_index=frame.index,
        pts_seconds=frame.pts_seconds,
    )


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

    return (x + x0, y + y0), snr, _elongation(columns, rows)


def _elongation(columns: NDArray[np.int64], rows: NDArray[np.int64]) -> float:
    """The larger standard deviation of pixels over the smaller one, along the principal axes."""
    across, down = columns - columns.mean(), rows - rows.mean()
    # A pixel is a square, not a point: each of its sides has a variance of 1/12 px².
    xx, yy = float(across @ across) / len(across) + 1 / 12, float(down @ down) / len(down) + 1 / 12
    half_difference = math.hypot((xx - yy) / 2, float(across @ down) / len(across))
    mean = (xx + yy) / 2
    return math.sqrt((mean + half_difference) / (mean - half_difference))
