"""Who is where in each frame, how far targets and tracks are apart, and how alike that makes them.

Every measure but the counts by boxes starts from this: centres, since boxes of small targets
overlap too little for IoU to say anything.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from streamer.types import BoolArray, FloatArray, IntArray, StreamError
from tracking.mot import MotTable

# Similarities closer than this are one, so that 3 px are 3 px whatever the rounding.
TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Similarity:
    """How alike two centres are: 1 where they coincide, less with distance, 0 from a limit on.

    Raises:
        ValueError: a number is out of range.
    """

    distance_px: float = 6.0
    """From here on nothing is alike, px."""
    threshold: float = 0.5
    """MOTA and IDF1 pair what is this similar or more."""

    def __post_init__(self) -> None:
        if not 0 < self.distance_px < float("inf"):
            raise ValueError(f"distance_px is {self.distance_px}, expected above 0")
        if not 0 < self.threshold <= 1:
            raise ValueError(f"threshold is {self.threshold}, expected above 0, and 1 at most")

    def of(self, distance: FloatArray) -> FloatArray:
        """``max(0, 1 - distance / distance_px)``, of the same shape; ``distance`` is in px."""
        return np.maximum(0.0, 1.0 - distance / self.distance_px)


SIMILARITY = Similarity()
"""The one that reports use unless told otherwise."""


def at_least(similarity: FloatArray, limit: FloatArray | float) -> BoolArray:
    """Where ``similarity`` reaches ``limit``, shapes as NumPy broadcasts them."""
    return np.asarray(similarity >= limit - TOLERANCE, dtype=np.bool_)


@dataclass(frozen=True, slots=True, eq=False)
class FramePairs:
    """The G targets and P tracks of a frame. Either may be none."""

    number: int
    """The frame's, from 1."""
    target_lines: IntArray
    """(G,) their lines in the truth, by id."""
    track_lines: IntArray
    """(P,) their lines among the tracks, by id."""
    targets: IntArray
    """(G,) which of the clip's targets, from 0."""
    tracks: IntArray
    """(P,) which of the clip's tracks, from 0."""
    distance: FloatArray
    """(G, P) between centres, px."""


@dataclass(frozen=True, slots=True, eq=False)
class ClipPairs:
    """A clip, frame by frame."""

    frames: tuple[FramePairs, ...]
    """Those with a target or a track, in order of time."""
    target_lengths: IntArray
    """(T,) in how many frames each target is there."""
    track_lengths: IntArray
    """(K,) in how many frames each track is there."""

    @property
    def labelled(self) -> int:
        """Pairs of a target and a frame."""
        return int(self.target_lengths.sum())

    @property
    def estimated(self) -> int:
        """Pairs of a track and a frame."""
        return int(self.track_lengths.sum())


def pair_up(truth: MotTable, tracks: MotTable) -> ClipPairs:
    """The frames of a clip. The order of lines makes no difference.

    Args:
        truth: the targets.
        tracks: in the same pixel coordinates.

    Raises:
        StreamError: an id is there twice in a frame, so that it cannot be followed.
    """
    numbers = np.union1d(truth.frame, tracks.frame)
    target_lines, targets, target_lengths = _by_frame(truth, numbers, "target")
    track_lines, rows, track_lengths = _by_frame(tracks, numbers, "track")
    places, estimates = truth.centres, tracks.centres
    frames = []
    for number, here, there in zip(numbers.tolist(), target_lines, track_lines, strict=True):
        offset = places[here][:, None, :] - estimates[there][None, :, :]
        distance = np.hypot(offset[..., 0], offset[..., 1])
        frames.append(FramePairs(number, here, there, targets[here], rows[there], distance))
    return ClipPairs(tuple(frames), target_lengths, track_lengths)


def _by_frame(
    table: MotTable, numbers: IntArray, what: str
) -> tuple[list[IntArray], IntArray, IntArray]:
    """The lines of each frame in ``numbers``, and of every line which object it is of, from 0, and
    how many lines each object has.
    """
    _, objects, lengths = np.unique(table.object_id, return_inverse=True, return_counts=True)
    order = np.lexsort((table.object_id, table.frame))
    frame, object_id = table.frame[order], table.object_id[order]
    twice = np.flatnonzero((np.diff(frame) == 0) & (np.diff(object_id) == 0))
    if len(twice):
        where = f"{what} {object_id[twice[0]]} in frame {frame[twice[0]]}"
        raise StreamError(f"{where} has more than one line")
    starts = np.searchsorted(frame, numbers, side="left")
    lines = np.split(order, starts[1:]) if len(numbers) else []
    return lines, objects.astype(np.int64), lengths.astype(np.int64)


def closest(distance: FloatArray, limit_px: float, power: float) -> tuple[IntArray, IntArray]:
    """The pairs, one to one, at the least sum of ``min(distance, limit_px) ** power``.

    Args:
        distance: (G, P) px.
        limit_px: pairs from here on are none.
        power: 1 or more.

    Returns:
        (N,) rows and (N,) columns.
    """
    rows, columns = linear_sum_assignment(np.minimum(distance, limit_px) ** power)
    near = distance[rows, columns] < limit_px
    return rows[near].astype(np.int64), columns[near].astype(np.int64)
