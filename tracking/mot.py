"""MOTChallenge text: one object in one frame a line, ``frame,id,x,y,w,h,confidence,...``.

Frames count from 1. ``x, y`` is the left and top edge of the box and ``w, h`` its size, px, in the
project's pixel coordinates (an integer is a pixel's centre). Truth has ``1,class,1`` or the like
after the box, detections have the id -1, and whatever else follows is left alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streamer.types import BoolArray, Detections, FloatArray, IntArray, StreamError, Tracks

NOT_KNOWN = -1.0
LARGEST_NUMBER = 2**31 - 1


@dataclass(frozen=True, slots=True, eq=False)
class MotTable:
    """The lines of a file, in its order: a struct of arrays."""

    frame: IntArray
    """(L,) from 1."""
    object_id: IntArray
    """(L,) whose line it is; -1 in detections."""
    boxes_xyxy: FloatArray
    """(L, 4) continuous edges, px."""
    confidence: FloatArray
    """(L,) the seventh column; 1 where it is missing or -1, which means not known."""

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def centres(self) -> FloatArray:
        """(L, 2) centres of the boxes, px."""
        return (self.boxes_xyxy[:, :2] + self.boxes_xyxy[:, 2:]) / 2

    @property
    def last_frame(self) -> int:
        """The highest frame number, 0 where there are no lines."""
        return int(self.frame.max(initial=0))

    @classmethod
    def empty(cls) -> MotTable:
        """No lines."""
        return cls(
            frame=np.empty(0, dtype=np.int64),
            object_id=np.empty(0, dtype=np.int64),
            boxes_xyxy=np.empty((0, 4)),
            confidence=np.empty(0),
        )

    def keep(self, rows: BoolArray) -> MotTable:
        """Only the lines where ``rows`` (L,) is True."""
        return MotTable(
            self.frame[rows], self.object_id[rows], self.boxes_xyxy[rows], self.confidence[rows]
        )

    def shifted(self, pixels: float) -> MotTable:
        """The same with every box moved right and down by ``pixels``."""
        return MotTable(self.frame, self.object_id, self.boxes_xyxy + pixels, self.confidence)


def read_mot(path: Path) -> MotTable:
    """Read truth, tracks or detections.

    Raises:
        StreamError: the file cannot be read, or a line of it is not MOTChallenge; with its number.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise StreamError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise StreamError(f"cannot read {path}: not a text file") from error
    rows = [
        _parse(line, f"{path}:{number}")
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip()
    ]
    values = np.array(rows, dtype=np.float64).reshape(len(rows), 7)
    return MotTable(
        frame=values[:, 0].astype(np.int64),
        object_id=values[:, 1].astype(np.int64),
        boxes_xyxy=np.hstack((values[:, 2:4], values[:, 2:4] + values[:, 4:6])),
        confidence=values[:, 6],
    )


def _parse(line: str, where: str) -> list[float]:
    """One line's frame, id, x, y, w, h and confidence."""
    cells = [cell.strip() for cell in line.split(",")]
    if len(cells) < 6:
        raise StreamError(f"{where}: {len(cells)} values, expected frame,id,x,y,w,h,...")
    if len(cells) == 6:
        cells.append("-1")
    values = []
    names = ("frame", "id", "x", "y", "w", "h", "confidence")
    for name, cell in zip(names, cells, strict=False):
        try:
            value = float(cell)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise StreamError(f"{where}: {name} is {cell!r}, expected a number")
        values.append(value)
    frame, object_id, _, _, width, height, confidence = values
    if not 1 <= frame <= LARGEST_NUMBER or frame != int(frame):
        raise StreamError(f"{where}: frame is {cells[0]}, expected a whole number from 1")
    if abs(object_id) > LARGEST_NUMBER or object_id != int(object_id):
        raise StreamError(f"{where}: id is {cells[1]}, expected a whole number")
    if width < 0 or height < 0:
        raise StreamError(f"{where}: the box is {cells[4]} by {cells[5]}, expected 0 or more")
    if confidence == NOT_KNOWN:
        values[6] = 1.0
    elif not 0.0 <= confidence <= 1.0:
        raise StreamError(f"{where}: confidence is {cells[6]}, expected 0 to 1, or -1 if unknown")
    return values


def detections_by_frame(table: MotTable, fps: float, frames: int) -> Iterator[Detections]:
    """The detections of each of the first ``frames`` frames, empty ones included.

    A line has no SNR, so it is NaN: not known. Its area is its box's.
    """
    order = np.argsort(table.frame, kind="stable")
    numbers = np.arange(1, frames + 1)
    starts = np.searchsorted(table.frame[order], numbers, side="left")
    ends = np.searchsorted(table.frame[order], numbers, side="right")
    for number, start, end in zip(numbers, starts, ends, strict=True):
        rows = order[start:end]
        boxes = table.boxes_xyxy[rows]
        yield Detections(
            xy=table.centres[rows],
            boxes_xyxy=boxes,
            score=table.confidence[rows],
            area_px=np.prod(boxes[:, 2:] - boxes[:, :2], axis=1),
            peak_snr=np.full(len(rows), np.nan),
            extended=np.zeros(len(rows), dtype=np.bool_),
            frame_index=int(number) - 1,
            pts_seconds=(int(number) - 1) / fps,
        )


def track_lines(frame_index: int, tracks: Tracks) -> str:
    """The lines, each with its newline, of one frame's confirmed and coasting tracks."""
    reported = tracks.reported
    columns = (tracks.track_id, tracks.boxes_xyxy, tracks.score)
    return "".join(
        f"{frame_index + 1},{track_id},{x0:.3f},{y0:.3f},{x1 - x0:.3f},{y1 - y0:.3f},"
        f"{score:.4f},-1,-1,-1\n"
        for track_id, (x0, y0, x1, y1), score in zip(
            *(column[reported] for column in columns), strict=True
        )
    )
