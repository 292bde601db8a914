"""What tracks look like once it is known how they went on: the Rauch-Tung-Striebel smoother.

Source: Rauch, Tung and Striebel, "Maximum Likelihood Estimates of Linear Dynamic Systems", AIAA
Journal 3 (1965). The tests hold it equal to ``filterpy.kalman.KalmanFilter.rts_smoother``.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamer.types import FilterStates, FloatArray, IntArray, SmoothedTracks, Tracks

LAG_FRAMES = 300
"""A frame is smoothed by so many after it. Those that follow would change less than is written."""
PASS_FRAMES = 1500
"""Frames are smoothed when there are so many."""
PASS_ROWS = 100_000
"""Or when they hold so many states."""
MOST_HELD = 500_000
"""So many smoothed positions at most wait for their tracks to be confirmed: that of a lamp post may
stay tentative for days. Then the oldest are given up."""

_POINT = np.dtype(
    [
        ("life", np.int64),
        ("frame", np.int64),
        ("track_id", np.int64),
        ("box_xyxy", np.float64, 4),
        ("score", np.float64),
    ]
)
_Points = NDArray[Any]
"""(K,) of ``_POINT``: smoothed positions."""


def smooth(states: Sequence[FilterStates], lives: Sequence[IntArray]) -> FloatArray:
    """Smoothed states of successive frames.

    Args:
        states: the filter's, frame by frame.
        lives: (M,) what tells the rows of each frame apart: rows of one number in frames one after
            the other are of one track.

    Returns:
        (R, D) the rows of all frames, one frame below the other.
    """
    counts = [len(each) for each in lives]
    ends = np.cumsum(counts, dtype=np.int64)
    frame = np.repeat(np.arange(len(counts)), counts)
    mean = np.concatenate([each.mean for each in states])
    cov = np.concatenate([each.cov for each in states])
    following = _following(frame, np.concatenate(lives))

    linked = np.flatnonzero(following >= 0)
    then = frame[linked] + 1
    transition, offset = (
        np.stack([getattr(each, name) for each in states])[then]
        for name in ("transition", "offset")
    )
    noise = np.concatenate([each.process_noise for each in states])[following[linked]]
    moved = transition @ cov[linked]
    predicted_cov = moved @ np.swapaxes(transition, 1, 2) + noise
    predicted = (transition @ mean[linked, :, None])[..., 0] + offset

    # Smoothed = filtered + gain (smoothed, next frame - predicted). The gains need no recursion,
    # so all of them are found at once. Where a track ends its gain is 0.
    gain = np.zeros_like(cov)
    gain[linked] = np.swapaxes(np.linalg.solve(predicted_cov, moved), 1, 2)
    own = mean.copy()
    own[linked] -= (gain[linked] @ predicted[..., None])[..., 0]
    smoothed = mean.copy()
    for start, end in zip((ends - counts)[::-1].tolist(), ends[::-1].tolist(), strict=True):
        after = smoothed[following[start:end]]
        smoothed[start:end] = own[start:end] + (gain[start:end] @ after[..., None])[..., 0]
    return smoothed


def _following(frame: IntArray, life: IntArray) -> IntArray:
    """(R,) each row's successor: the row of the same life in the next frame; -1 where none is."""
    order = np.lexsort((frame, life))
    goes_on = (np.diff(life[order]) == 0) & (np.diff(frame[order]) == 1)
    following = np.full(len(frame), -1, dtype=np.int64)
    following[order[:-1][goes_on]] = order[1:][goes_on]
    return following


@dataclass(slots=True)
class _Life:
    """An id for as long as it is in every frame. One that comes back later begins anew, there: what
    was tentative of it until then had another id, which is none of a confirmed track."""

    serial: int
    confirmed: bool = False
    last_found: int = -1
    """The frame of its last detection."""


@dataclass(frozen=True, slots=True, eq=False)
class _Frame:
    index: int
    tracks: Tracks
    states: FilterStates
    lives: IntArray
    """(M,) serials."""


class RtsSmoother:
    """Smooths every track that is ever confirmed, from its first detection to its last.

    Also while it was tentative, and through its gaps; not while it coasted after its last
    detection. It goes by what the tracker's filter knew and predicted, so time steps, measurement
    noise and the camera's own motion are the tracker's. Frames are smoothed in passes, and memory
    does not grow with the stream.
    """

    def __init__(self) -> None:
        self._serials = itertools.count()
        self._alive: dict[int, _Life] = {}
        """By id: the lives of the newest frame."""
        self._lives: dict[int, _Life] = {}
        """By serial: those of which something is left to give out."""
        self._frames: list[_Frame] = []
        self._rows = 0
        self._due_rows = PASS_ROWS
        self._held: _Points = np.empty(0, dtype=_POINT)

    def add(self, frame_index: int, tracks: Tracks) -> SmoothedTracks:
        """Take in one frame's tracks, in order: what has been settled since, often nothing.

        Rows are in order of frame, then id. What a track was before it was confirmed comes once it
        is, which may be later than that.

        Raises:
            ValueError: the tracks lack the filter's states.
        """
        if tracks.filtered is None:
            raise ValueError("Tracks.filtered is None: there is nothing to smooth")
        before, self._alive = self._alive, {}
        for track_id, reported, detection in zip(
            tracks.track_id.tolist(),
            tracks.reported.tolist(),
            tracks.detection_index.tolist(),
            strict=True,
        ):
            life = before.get(track_id)
            if life is None:
                life = _Life(next(self._serials))
                self._lives[life.serial] = life
            life.confirmed |= reported
            if detection >= 0:
                life.last_found = frame_index
            self._alive[track_id] = life
        serials = _serials(self._alive)
        self._frames.append(_Frame(frame_index, tracks, tracks.filtered, serials))
        self._rows += len(tracks)
        if len(self._frames) < PASS_FRAMES and self._rows < self._due_rows:
            return _given_out(np.empty(0, dtype=_POINT))
        return self._settle(len(self._frames) - LAG_FRAMES)

    def finish(self) -> SmoothedTracks:
        """No frame follows: what is left. After that there is nothing."""
        self._alive = {}
        return self._settle(len(self._frames))

    def _settle(self, count: int) -> SmoothedTracks:
        """Smooth the frames, and be done with the first ``count``: what can be given out."""
        points = self._held
        if count > 0:
            states = smooth([f.states for f in self._frames], [f.lives for f in self._frames])
            points = np.concatenate((points, _points(self._frames[:count], states)))
            del self._frames[:count]
        self._rows = sum(len(frame.lives) for frame in self._frames)
        self._due_rows = max(PASS_ROWS, 2 * self._rows)

        serials, which = np.unique(points["life"], return_inverse=True)
        lives = [self._lives[serial] for serial in serials.tolist()]
        last = np.array([each.last_found if each.confirmed else -1 for each in lives])
        ready = points["frame"] <= last[which] if len(points) else np.empty(0, dtype=np.bool_)
        waits = ~ready & np.isin(points["life"], _serials(self._alive))
        self._held = points[waits][-MOST_HELD:]
        left = {*self._held["life"].tolist()}.union(*(f.lives.tolist() for f in self._frames))
        self._lives = {each: self._lives[each] for each in left}
        return _given_out(points[ready])


def _serials(lives: dict[int, _Life]) -> IntArray:
    return np.array([life.serial for life in lives.values()], dtype=np.int64)


def _points(frames: Sequence[_Frame], states: FloatArray) -> _Points:
    """The rows of the frames, at the positions of ``states``, whose first rows are theirs."""
    counts = [len(frame.lives) for frame in frames]
    points = np.empty(sum(counts), dtype=_POINT)
    points["frame"] = np.repeat([frame.index for frame in frames], counts)
    points["life"] = np.concatenate([frame.lives for frame in frames])
    points["track_id"] = np.concatenate([frame.tracks.track_id for frame in frames])
    points["score"] = np.concatenate([frame.tracks.score for frame in frames])
    boxes = np.concatenate([frame.tracks.boxes_xyxy for frame in frames])
    half = (boxes[:, 2:] - boxes[:, :2]) / 2
    xy = states[: len(points), :2]
    points["box_xyxy"] = np.hstack((xy - half, xy + half))
    return points


def _given_out(points: _Points) -> SmoothedTracks:
    points = points[np.lexsort((points["track_id"], points["frame"]))]
    return SmoothedTracks(points["frame"], points["track_id"], points["box_xyxy"], points["score"])
