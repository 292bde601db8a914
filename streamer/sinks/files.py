"""Line files that a kill leaves whole, and a full disk, too."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import math
import os
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Any

from streamer.sinks.disk import Disk
from streamer.sinks.disk_file import DiskFile
from streamer.sinks.retention import Limits, Retention
from streamer.types import StreamError

log = logging.getLogger(__name__)

BEARING_DIGITS = 5
"""Of degrees: less than a tenth of a pixel of a long lens."""
HEAD_BYTES = 256
"""By so much of its beginning a file is known again."""
BLOCK_BYTES = 65536
RECENT = 1000
"""Writes whose lines are counted as lost if they did not get to a disk that was unplugged."""


class LineFile:
    """A new text file of whole lines.

    Every :meth:`write` is one unbuffered write of whole lines, so that whatever ends the program
    leaves no half line behind and somebody who follows the file sees each frame at once. Lines that
    cannot be written, because the disk is full, say, are lost and counted; it goes on with the
    first that can, after the last whole line. So it does when its disk was away meanwhile; where
    something else lies at its path by then, in NAME-0002. There it also goes on when the file is
    as long as it may be, and in NAME-0003 after that: as soon as the next file can be made, and
    until then in the old one, so that no line is lost in between.

    Args:
        path: of the first file.
        disk: where it lies; None for one of its own.
        limits: of its files, in real time; None for none.

    Raises:
        StreamError: the file is there already or cannot be made.
    """

    def __init__(self, path: Path, disk: Disk | None = None, limits: Limits | None = None) -> None:
        self._path = self._first_path = path
        self._number = 1
        self._disk = disk or Disk(path.parent)
        self._limits = limits or Limits()
        self._retention = Retention(self._limits)
        try:
            self._file = DiskFile(path, self._disk)
        except OSError as error:
            raise StreamError(f"cannot write {path}: {error.strerror or error}") from error
        self._output = self._disk.output(path.name, "lines")
        self._begun = self._written = self._disk.clock()
        self._turn_from = -math.inf
        self._whole = 0
        self._head = b""
        self._recent: deque[tuple[int, int]] = deque(maxlen=RECENT)  # ends and numbers of lines

    def write(self, lines: str, *, last: bool = False) -> None:
        """Append text that ends with a line break, or nothing.

        Args:
            lines: the text. Where there is none, it is still seen to the limits.
            last: nothing follows: after an error it is tried at once, as there is no later.

        Raises:
            Exception: what ended the thread that flushes; the next one is written again.
        """
        self._disk.check()
        data, count = lines.encode(), lines.count("\n")
        if self._output.reason is None:
            self._keep_to_limits(len(data))
        if not lines:
            return
        if not last and not self._output.ready():
            self._output.lose(count)
            return
        # An error may be an old one, of the last flush: what has no later is tried again now.
        tries = 2 if last else 1
        if not any(
            self._output.attempt(self._path, lambda: self._append(data)) for _ in range(tries)
        ):
            self._output.lose(count)
            with contextlib.suppress(OSError):  # else it is tried again before the next line
                self._file.cut_back(self._whole)
            return
        self._head = self._head or data[:HEAD_BYTES]
        self._written = self._disk.clock()
        if not self._whole:  # a quiet log's file is not old before anything is in it
            self._begun = self._written
        self._whole = self._file.size
        self._recent.append((self._whole, count))
        self._output.succeed(self._path)

    def close(self) -> None:
        """Close the file. Idempotent.

        Raises:
            Exception: what ended the thread that flushes, since the last line.
        """
        self._output.attempt(self._path, self._file.close)
        self._disk.check()

    def _append(self, data: bytes) -> None:
        if self._output.reason is not None:
            self._mend()
        self._file.write(data)

    def _keep_to_limits(self, more: int) -> None:
        now, limits = self._disk.clock(), self._limits
        old = limits.seconds is not None and now - self._begun >= limits.seconds
        full = limits.bytes is not None and self._whole + more > limits.bytes
        if self._whole and (old or full) and now >= self._turn_from:
            self._turn_over(now)
        self._retention.grow(self._path, self._whole + more, now)  # room before it is needed

    def _turn_over(self, now: float) -> None:
        """Go on in the next file, or stay in this one where that cannot be made yet."""
        try:
            number, path = self._next()
            file = DiskFile(path, self._disk)
        except OSError as error:
            told = self._turn_from > -math.inf
            log.log(
                logging.DEBUG if told else logging.WARNING,
                "cannot begin a new file after %s: %s; it goes on, and tries again every %g s",
                self._path, error.strerror or error, self._disk.retry_seconds,
            )  # fmt: skip
            self._turn_from = now + self._disk.retry_seconds
            return
        try:
            self._file.close()
        except OSError as error:  # the new one is well
            there = 0
            with contextlib.suppress(OSError):
                there = _whole_lines(self._path, self._head, self._whole)
            self._output.lose(sum(count for end, count in self._recent if end > there))
            log.warning("the end of %s is lost: %s", self._path, error.strerror or error)
        self._retention.finish(self._path, self._whole, self._written)
        self._number, self._path, self._file = number, path, file
        self._turn_from = -math.inf
        self._whole, self._head = 0, b""
        self._recent.clear()

    def _next(self) -> tuple[int, Path]:
        """The next number whose name nobody has, and that.

        Raises:
            OSError: that cannot be found out.
        """
        number = self._number
        while True:
            number += 1
            path = self._first_path.with_stem(f"{self._first_path.stem}-{number:04d}")
            if not path.exists():
                return number, path

    def _mend(self) -> None:
        """Get ready to go on after the last whole line of what lies at the path by now.

        Raises:
            OSError: that cannot be done yet.
        """
        if self._file.found:
            with contextlib.suppress(OSError):  # a file may be dead, and the disk under it not
                self._file.cut_back(self._whole)
                return
        with contextlib.suppress(OSError):  # that it has a problem is why we are here
            self._file.close()
        while True:
            try:
                self._whole = _whole_lines(self._path, self._head, self._whole)
                self._file = DiskFile(self._path, self._disk, keep=self._whole)
            except FileNotFoundError:
                self._file = DiskFile(self._path, self._disk)
                self._whole, self._head = 0, b""
            except FileExistsError:  # somebody else's: it stays
                self._retention.drop(self._path)
                self._number, self._path = self._next()
                continue
            else:
                self._output.lose(sum(count for end, count in self._recent if end > self._whole))
            self._recent.clear()
            return

    def __enter__(self) -> LineFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _whole_lines(path: Path, head: bytes, most: int) -> int:
    """Bytes in the whole lines of a file, of the first ``most`` bytes.

    Raises:
        FileExistsError: it does not begin with ``head``.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        if not head.startswith(file.read(len(head) or 1)):
            raise FileExistsError(errno.EEXIST, "another file lies there")
        end = min(file.seek(0, os.SEEK_END), most)
        while end > 0:
            start = max(0, end - BLOCK_BYTES)
            file.seek(start)
            if (found := file.read(end - start).rfind(b"\n")) >= 0:
                return start + found + 1
            end = start
    return 0


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
