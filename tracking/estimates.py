"""Tracks with what the tracker says of its own error: read from ``frames.jsonl`` of a run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streamer.types import FloatArray, IntArray, StreamError, TrackState
from tracking.mot import MotTable

_REPORTED = (TrackState.CONFIRMED.label, TrackState.COASTING.label)


@dataclass(frozen=True, slots=True, eq=False)
class Estimates:
    """Confirmed and coasting tracks, one object in one frame an entry: a struct of arrays."""

    frame: IntArray
    """(L,) from 1."""
    track_id: IntArray
    """(L,)"""
    xy: FloatArray
    """(L, 2) position, px."""
    position_cov: FloatArray
    """(L, 2, 2) covariance of ``xy``, px^2; NaN where it is not known."""

    @classmethod
    def empty(cls) -> Estimates:
        """Nothing is known of any track."""
        nothing = np.empty(0, dtype=np.int64)
        return cls(nothing, nothing, np.empty((0, 2)), np.empty((0, 2, 2)))

    @property
    def table(self) -> MotTable:
        """The same as lines of tracks, each with a box of no size."""
        return MotTable(
            self.frame, self.track_id, np.hstack((self.xy, self.xy)), np.ones(len(self.frame))
        )


def read_estimates(path: Path) -> Estimates:
    """Read ``frames.jsonl``; what its detail leaves out (``logs.detail=counts``) gives no entries.

    Raises:
        StreamError: the file cannot be read, or a line of it is no frame; with its number.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise StreamError(f"cannot read {path}: {error.strerror or error}") from error
    rows: list[tuple[int, int, list[float], list[list[float]]]] = []
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            rows += [
                (record["index"] + 1, track["id"], track["xy"], track["position_cov"])
                for track in record.get("tracks", [])
                if track["state"] in _REPORTED
            ]
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise StreamError(f"{path}:{number}: not a frame's line: {error!r}") from error
    columns = list(zip(*rows, strict=True)) or [()] * 4
    try:
        frame, track_id = (np.array(column, dtype=np.int64) for column in columns[:2])
        # JSON has no word for what is not finite: there it says null, which becomes NaN here.
        xy = np.array(columns[2], dtype=np.float64).reshape(len(rows), 2)
        position_cov = np.array(columns[3], dtype=np.float64).reshape(len(rows), 2, 2)
    except (ValueError, TypeError) as error:
        raise StreamError(f"{path}: positions or covariances are malformed: {error}") from error
    there = np.isfinite(xy).all(axis=1)
    return Estimates(frame[there], track_id[there], xy[there], position_cov[there])
