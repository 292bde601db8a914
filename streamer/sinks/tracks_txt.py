"""``tracks.txt``: the tracks in MOTChallenge's format, for evaluation and other tools."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from streamer.sinks.disk import Disk
from streamer.sinks.files import LineFile
from streamer.types import FrameResult


class TracksText:
    """Writes ``frame,id,x,y,w,h,confidence,-1,-1,-1`` for every confirmed and coasting track.

    ``frame`` is the source's frame index + 1; x and y are the box's left and top edge, as in
    ``Tracks.boxes_xyxy``, px. A line says what was known at its frame; nothing is filled in later.
    The same results give the same bytes.
    """

    name = "tracks"

    def __init__(self, path: Path, disk: Disk | None = None) -> None:
        self._file = LineFile(path, disk)

    def write(self, result: FrameResult) -> None:
        """Append the frame's tracks, in order of id.

        Raises:
            StreamError: the file cannot be written.
            ValueError: a box or score is not a finite number.
        """
        tracks, frame = result.tracks, result.frame.index + 1
        rows = np.flatnonzero(tracks.reported)
        rows = rows[np.argsort(tracks.track_id[rows], kind="stable")]
        boxes = tracks.boxes_xyxy[rows]
        values = np.column_stack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2], tracks.score[rows]])
        if not np.isfinite(values).all():
            bad = tracks.track_id[rows][~np.isfinite(values).all(axis=1)].tolist()
            raise ValueError(f"frame {frame}: boxes or scores of tracks {bad} are no numbers")
        self._file.write(
            "".join(
                f"{frame},{track_id},{_fixed(x, 2)},{_fixed(y, 2)},{_fixed(w, 2)},{_fixed(h, 2)},"
                f"{_fixed(score, 4)},-1,-1,-1\n"
                for track_id, (x, y, w, h, score) in zip(
                    tracks.track_id[rows].tolist(), values.tolist(), strict=True
                )
            )
        )

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._file.close()


def _fixed(value: float, digits: int) -> str:
    return f"{round(value, digits) + 0.0:.{digits}f}"  # + 0.0: no minus zero
