"""Line files that a kill leaves whole, and a full disk, too."""

from __future__ import annotations

import contextlib
import json
import math
from pathlib import Path
from types import TracebackType
from typing import Any

from streamer.sinks.disk import Disk
from streamer.sinks.disk_file import DiskFile
from streamer.types import StreamError

BEARING_DIGITS = 5
"""Of degrees: less than a tenth of a pixel of a long lens."""


class LineFile:
    """A new text file of whole lines.

    Every :meth:`write` is one unbuffered write of whole lines, so that whatever ends the program
    leaves no half line behind and somebody who follows the file sees each frame at once. Lines that
    cannot be written, because the disk is full, say, are lost and counted; it goes on with the
    first that can.

    Args:
        path: of the file.
        disk: where it lies; None for one of its own.

    Raises:
        StreamError: the file is there already or cannot be made.
    """

    def __init__(self, path: Path, disk: Disk | None = None) -> None:
        self._path = path
        self._disk = disk or Disk(path.parent)
        try:
            self._file = DiskFile(path, self._disk)
        except OSError as error:
            raise StreamError(f"cannot write {path}: {error.strerror or error}") from error
        self._output = self._disk.output(path.name, "lines")
        self._whole = 0

    def write(self, lines: str) -> None:
        """Append text that ends with a line break, or nothing."""
        if not lines:
            return
        if not self._output.ready():
            self._output.lose(lines.count("\n"))
            return
        try:
            if self._output.reason is not None:
                self._mend()
            self._file.write(lines.encode())
        except OSError as error:
            self._output.fail(self._path, error)
            self._output.lose(lines.count("\n"))
            with contextlib.suppress(OSError):  # else it is tried again before the next line
                self._file.cut_back(self._whole)
        else:
            self._whole = self._file.size
            self._output.succeed(self._path)

    def close(self) -> None:
        """Close the file. Idempotent."""
        try:
            self._file.close()
        except OSError as error:
            self._output.fail(self._path, error)

    def _mend(self) -> None:
        """Get ready to go on after the last whole line; in a new file where it was removed."""
        if self._file.removed:
            with contextlib.suppress(OSError):  # nobody can read the old one any more
                self._file.close()
            self._file = DiskFile(self._path, self._disk)
            self._whole = 0
        else:
            self._file.cut_back(self._whole)

    def __enter__(self) -> LineFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def to_line(record: dict[str, Any]) -> str:
    """``record`` as a line of strict JSON. The caller has replaced what JSON has no word for."""
    return json.dumps(record, allow_nan=False, ensure_ascii=False, separators=(",", ":")) + "\n"


def number(value: float, digits: int) -> float | None:
    """``value`` rounded; None, JSON's null, for infinity and NaN."""
    return round(float(value), digits) + 0.0 if math.isfinite(value) else None


def numbers(values: Any, digits: int) -> list[Any]:
    """A nested list of array values as :func:`number` gives them."""
    return [
        numbers(value, digits) if isinstance(value, list) else number(value, digits)
        for value in (values if isinstance(values, list) else values.tolist())
    ]
