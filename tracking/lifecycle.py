"""The life of tracks: when one is confirmed and when it ends.

A track begins *tentative*. Enough strong detections in its last few frames (M of N) confirm it,
once and for all, if they show that it moved (:mod:`tracking.displacement`) and stands out from its
surroundings: what is as bright as they are is a cloud's edge. From then on it is reported, as
*coasting* in the frames that have no detection for it. It ends when it went without a detection for
too long, by the stream's clock and not by a count of frames, when its position has become too
uncertain to mean anything, or when it left the picture. Pictures that show nothing new (a thermal
camera calibrates) count for neither: only time goes on, and makes the position less certain. For a
while the id of a track that ended is kept for one that goes on from it (:mod:`tracking.recapture`).
"""

from __future__ import annotations

import math

import numpy as np

from configs.schema import TrackerSettings
from streamer.types import BoolArray
from tracking.displacement import has_moved
from tracking.motion import POSITION
from tracking.table import TrackTable

# Sums of frame times round: a track must not live a frame longer at 60 fps than at 10 for it.
TIME_TOLERANCE_SECONDS = 1e-6


def confirmed_now(table: TrackTable, settings: TrackerSettings) -> BoolArray:
    """(M,) True for tracks that are or have just become confirmed: M of N, moved, and bright."""
    able = has_hits(table, settings) & has_moved(table, settings) & stands_out(table, settings)
    return np.asarray(table.confirmed | able, dtype=np.bool_)


def has_hits(table: TrackTable, settings: TrackerSettings) -> BoolArray:
    """(M,) True where M of the last N frames had a strong detection."""
    return np.asarray(table.hits.sum(axis=1) >= settings.confirm_hits, dtype=np.bool_)


def stands_out(table: TrackTable, settings: TrackerSettings) -> BoolArray:
    """(M,) True where a track's SNR, its logarithms' mean, is enough, not known, or not asked."""
    if settings.confirm_snr <= 0:
        return np.ones(len(table), dtype=np.bool_)
    known = table.look_count[:, 0] > 0
    return np.asarray(~known | (table.look[:, 0] >= math.log(settings.confirm_snr)))


def too_uncertain(table: TrackTable, settings: TrackerSettings) -> BoolArray:
    """(M,) True where a track's position could be almost anywhere: it claims no detection."""
    variance = np.einsum("mii->mi", table.cov[:, POSITION, POSITION]).max(axis=1, initial=0.0)
    return np.asarray(variance > settings.max_position_sigma_px**2, dtype=np.bool_)


def ended(
    table: TrackTable,
    settings: TrackerSettings,
    clock: float,
    picture_size: tuple[int, int] | None,
) -> BoolArray:
    """Which tracks are over. A track that has a detection in this frame never is.

    Args:
        table: the tracks, after the frame's updates.
        settings: the limits.
        clock: the tracker's clock, s.
        picture_size: (width, height), px; None where it is not known and nothing can leave.

    Returns:
        (M,) True where a track is over.
    """
    limit = np.where(table.confirmed, settings.coast_seconds, settings.tentative_coast_seconds)
    over = clock - table.last_seen - table.frozen > limit + TIME_TOLERANCE_SECONDS
    over |= too_uncertain(table, settings)
    over |= has_left(table, picture_size)
    return np.asarray(over & (table.detection < 0), dtype=np.bool_)


def has_left(table: TrackTable, picture_size: tuple[int, int] | None) -> BoolArray:
    """(M,) True where a track is outside of a picture (width, height), px, that is known."""
    if picture_size is None:
        return np.zeros(len(table), dtype=np.bool_)
    x, y = table.mean[:, 0], table.mean[:, 1]
    width, height = picture_size
    outside = (x < -0.5) | (x > width - 0.5) | (y < -0.5) | (y > height - 0.5)
    return np.asarray(outside, dtype=np.bool_)
