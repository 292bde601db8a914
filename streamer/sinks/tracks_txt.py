"""``tracks.txt`` and ``tracks_smoothed.txt``: the tracks in MOTChallenge's format, for evaluation
and other tools."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from streamer.protocols import Smoother
from streamer.sinks.disk import Disk
from streamer.sinks.files import LineFile
from streamer.sinks.retention import Limits
from streamer.types import FloatArray, FrameResult, IntArray, SmoothedTracks


class TracksText:
    """Writes ``frame,id,x,y,w,h,confidence,-1,-1,-1`` for every confirmed and coasting track.

    ``frame`` is the source's frame index + 1; x and y are the box's left and top edge, as in
    ``Tracks.boxes_xyxy``, px. A line says what was known at its frame; nothing is filled in later.
    The same results give the same bytes.
    """

    name = "tracks"

    def __init__(self, path: Path, disk: Disk | None = None, limits: Limits | None = None) -> None:
        self._file = LineFile(path, disk, limits)

    def write(self, result: FrameResult) -> None:
        """Append the frame's tracks, in order of id.

        Raises:
            StreamError: the file cannot be written.
            ValueError: a box or score is not a finite number.
        """
        tracks = result.tracks
        rows = np.flatnonzero(tracks.reported)
        rows = rows[np.argsort(tracks.track_id[rows], kind="stable")]
        index = np.full(len(rows), result.frame.index)
        self._file.write(
            _lines(index, tracks.track_id[rows], tracks.boxes_xyxy[rows], tracks.score[rows])
        )

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._file.close()


class SmoothedText:
    """Writes the same lines for tracks that are known from beginning to end, smoothed.

    Every track of ``tracks.txt`` is there, from its first detection, before it was confirmed, to
    its last. The smoother gives them out now and then, and the last ones at the end.

    Args:
        path: of the file.
        smoother: of the source's tracks.
        disk: where the file lies; None for one of its own.
    """

    name = "smooth"

    def __init__(self, path: Path, smoother: Smoother, disk: Disk | None = None) -> None:
        self._smoother = smoother
        self._file = LineFile(path, disk)

    def write(self, result: FrameResult) -> None:
        """Append what is settled by now.

        Raises:
            StreamError: the file cannot be written.
            ValueError: the tracks lack the filter's states, or are no numbers.
        """
        self._append(self._smoother.add(result.frame.index, result.tracks))

    def close(self) -> None:
        """Append the rest and close the file. Idempotent.

        Raises:
            StreamError: the file cannot be written.
        """
        try:
            self._append(self._smoother.finish(), last=True)
        finally:
            self._file.close()

    def _append(self, tracks: SmoothedTracks, *, last: bool = False) -> None:
        self._file.write(
            _lines(tracks.frame_index, tracks.track_id, tracks.boxes_xyxy, tracks.score), last=last
        )


def _lines(
    frame_index: IntArray, track_id: IntArray, boxes_xyxy: FloatArray, score: FloatArray
) -> str:
    values = np.column_stack([boxes_xyxy[:, :2], boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], score])
    usable = np.isfinite(values).all(axis=1)
    if not usable.all():
        first, bad = frame_index[~usable][0] + 1, np.unique(track_id[~usable]).tolist()
        raise ValueError(f"frame {first}: boxes or scores of tracks {bad} are no numbers")
    return "".join(
        f"{frame},{each},{_fixed(x, 2)},{_fixed(y, 2)},{_fixed(w, 2)},{_fixed(h, 2)},"
        f"{_fixed(confidence, 4)},-1,-1,-1\n"
        for frame, each, (x, y, w, h, confidence) in zip(
            (frame_index + 1).tolist(), track_id.tolist(), values.tolist(), strict=True
        )
    )


def _fixed(value: float, digits: int) -> str:
    return f"{round(value, digits) + 0.0:.{digits}f}"  # + 0.0: no minus zero
