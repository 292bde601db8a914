"""The files by which trackers of other environments get detections, and give tracks back.

A stream's detections are an ``.npz`` of plain arrays, what is to be run is a line of JSON, tracks
are MOTChallenge text, and how long each step took is an ``.npy`` beside it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from streamer.types import Detections, FloatArray, IntArray

Parameter = float | int | str
Parameters = dict[str, Parameter]

_COLUMNS = ("xy", "boxes_xyxy", "score", "area_px", "peak_snr", "extended")


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """What a tracker may know of a scene."""

    fps: float
    """Nominal: frames that did not arrive are not among the detections."""
    width: int
    height: int
    detections: Sequence[Detections]
    """Of each frame that arrived, in order."""


@dataclass(frozen=True, slots=True)
class Job:
    """A tracker to be run over a stream."""

    tracker: str
    """Its name in ``adapters``."""
    parameters: Parameters
    stream: str
    """Path of the detections."""
    tracks: str
    """Path of the result."""

    @property
    def seconds(self) -> Path:
        """Where the time of each step goes."""
        return Path(self.tracks).with_suffix(".npy")

    def line(self) -> str:
        """As JSON, in one line with its newline."""
        return json.dumps(asdict(self)) + "\n"

    @classmethod
    def from_line(cls, line: str) -> Job:
        """What :meth:`line` wrote."""
        return cls(**json.loads(line))


@dataclass(frozen=True, slots=True, eq=False)
class Reported:
    """What a tracker shows to its user at a frame."""

    track_id: IntArray
    """(M,) 1 or more."""
    boxes_xyxy: FloatArray
    """(M, 4) px. Only their centres count."""

    @classmethod
    def points(cls, ids: Sequence[int], xy: Sequence[Sequence[float]] | FloatArray) -> Reported:
        """Tracks (M,) of trackers that know positions (M, 2) alone: boxes of one pixel."""
        centres = np.asarray(xy, dtype=np.float64).reshape(len(ids), 2)
        boxes = np.hstack((centres - 0.5, centres + 0.5))
        return cls(np.asarray(ids, dtype=np.int64).reshape(len(ids)), boxes)

    def inside(self, width: int, height: int) -> Reported:
        """Those with their centre in a picture of that size, in order of their ids."""
        centres = (self.boxes_xyxy[:, :2] + self.boxes_xyxy[:, 2:]) / 2
        there = ((centres >= -0.5) & (centres <= (width - 0.5, height - 0.5))).all(axis=1)
        rows = np.flatnonzero(there)
        rows = rows[np.argsort(self.track_id[rows], kind="stable")]
        return Reported(self.track_id[rows], self.boxes_xyxy[rows])


def write_stream(path: Path, stream: Stream) -> None:
    """Write a stream's detections."""
    every = stream.detections
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(d, name) for d in every]) for name in _COLUMNS
    }
    np.savez(
        path,
        fps=np.float64(stream.fps),
        size=np.array([stream.width, stream.height]),
        frame_index=np.array([d.frame_index for d in every], dtype=np.int64),
        pts_seconds=np.array([d.pts_seconds for d in every], dtype=np.float64),
        count=np.array([len(d) for d in every], dtype=np.int64),
        **columns,
    )


def read_stream(path: Path) -> Stream:
    """Read what :func:`write_stream` wrote."""
    with np.load(path, allow_pickle=False) as file:
        columns = {name: file[name] for name in _COLUMNS}
        edges = np.concatenate(([0], np.cumsum(file["count"]))).tolist()
        frames = zip(file["frame_index"].tolist(), file["pts_seconds"].tolist(), strict=True)
        width, height = file["size"].tolist()
        fps = float(file["fps"])
    detections = [
        Detections(
            frame_index=index,
            pts_seconds=seconds,
            **{name: column[edges[k] : edges[k + 1]] for name, column in columns.items()},
        )
        for k, (index, seconds) in enumerate(frames)
    ]
    return Stream(fps, width, height, detections)


def track_lines(frame_index: int, reported: Reported) -> str:
    """The MOTChallenge lines of a frame, each with its newline."""
    return "".join(
        f"{frame_index + 1},{track_id},{x0:.4f},{y0:.4f},{x1 - x0:.4f},{y1 - y0:.4f},1,-1,-1,-1\n"
        for track_id, (x0, y0, x1, y1) in zip(
            reported.track_id.tolist(), reported.boxes_xyxy.tolist(), strict=True
        )
    )


def strong(detections: Detections, least_score: float) -> IntArray:
    """Rows of the detections with that score or a better one."""
    return np.flatnonzero(detections.score >= least_score)


def widened_boxes(detections: Detections, least_px: float) -> FloatArray:
    """(N, 4) boxes that overlap enough for trackers that match by IoU, continuous edges, px.

    Args:
        detections: of a frame.
        least_px: sides shorter than this are made as long. Each box is centred on the centroid.
    """
    boxes = detections.boxes_xyxy
    reach = np.maximum(boxes[:, 2:] - boxes[:, :2], least_px) / 2
    return np.hstack((detections.xy - reach, detections.xy + reach))
