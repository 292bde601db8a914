"""A frame's detections as the filter sees them: which are usable, in what order, how certain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from configs.schema import TrackerSettings
from streamer.types import BoolArray, Detections, FloatArray, IntArray
from tracking.amplitude import features

# A centroid of a component wobbles by this share of the component's width as its edge flickers.
WOBBLE_SHARE = 0.05
# No picture is this large: what lies beyond is damage, and squaring it would overflow.
LARGEST_PX = 1e6
# Half of what the picture's border hides of a target is about this share of what it shows.
CUT_OFF_SHARE = 0.25
# What ends this near to the border may go on beyond it: masks end before a target's blur does.
BORDER_PX = 1.0


@dataclass(frozen=True, slots=True)
class Measurements:
    """A frame's usable detections, best first, as the filter sees them."""

    index: IntArray
    """(N,) rows in the frame's ``Detections``."""
    xy: FloatArray
    """(N, 2) px."""
    noise: FloatArray
    """(N, 2, 2) covariance of ``xy``, px^2."""
    features: FloatArray
    """(N, 2) of how they look: see :mod:`tracking.amplitude`."""
    size: FloatArray
    """(N, 2) width and height, px."""
    score: FloatArray
    """(N,) 0..1."""
    cut_off: BoolArray
    """(N, 2) True along x or y where it reaches the picture's border: how far it moved that way is
    not known."""


def measurements_of(
    detections: Detections, settings: TrackerSettings, picture_size: tuple[int, int] | None
) -> Measurements:
    """The usable detections of a frame: those with a finite position and box of sane size.

    Args:
        detections: as the detector gave them.
        settings: the position's error, and whether extended ones count.
        picture_size: (width, height), px; None where it is not known.
    """
    fields = np.column_stack((detections.xy, detections.boxes_xyxy))
    usable = (np.abs(fields) < LARGEST_PX).all(axis=1) & np.isfinite(detections.score)
    if not settings.track_extended:
        usable &= ~detections.extended
    index = np.flatnonzero(usable)
    # One order for every permutation of the same detections, so that ids and ties agree. By the
    # values as they came: what is clipped or filled in below may make two of them look the same.
    index = index[np.argsort(-detections.score[index], kind="stable")]
    if (np.diff(detections.score[index]) == 0).any():
        columns = (detections.extended, detections.peak_snr, detections.area_px, *fields.T[::-1])
        index = index[np.lexsort([column[index] for column in (*columns, -detections.score)])]

    snr = np.nan_to_num(detections.peak_snr[index], nan=0.0)
    area = np.clip(np.nan_to_num(detections.area_px[index], nan=1.0), 1.0, LARGEST_PX)
    variance = _position_variance(settings.position_sigma_px, area, snr)
    boxes = detections.boxes_xyxy[index]
    size = np.abs(boxes[:, 2:] - boxes[:, :2])
    cut_off = _cut_off(boxes, picture_size)
    # The centre of the part that shows is off by half of what does not.
    spread = variance[:, None] + np.where(cut_off, np.square(CUT_OFF_SHARE * size), 0.0)
    return Measurements(
        index=index,
        xy=detections.xy[index],
        noise=spread[:, :, None] * np.eye(2),
        features=features(snr, area),
        size=size,
        score=np.clip(detections.score[index], 0.0, 1.0),
        cut_off=cut_off,
    )


def _cut_off(boxes_xyxy: FloatArray, picture_size: tuple[int, int] | None) -> BoolArray:
    """(N, 2) along which axes boxes reach the border of a picture (width, height), px."""
    if picture_size is None:
        return np.zeros((len(boxes_xyxy), 2), dtype=np.bool_)
    last = np.array(picture_size) - 1
    inside = (boxes_xyxy[:, :2] > BORDER_PX) & (boxes_xyxy[:, 2:] < last - BORDER_PX)
    return np.asarray(~inside, dtype=np.bool_)


def _position_variance(sigma: float, area_px: FloatArray, snr: FloatArray) -> FloatArray:
    """(N,) variance of each centroid, px^2: larger for wide and for faint components."""
    known = snr > 0.0
    noise = np.square(1.0 / np.maximum(np.where(known, snr, np.inf), 1.0))
    return np.asarray(sigma**2 + area_px * (noise + WOBBLE_SHARE**2), dtype=np.float64)
