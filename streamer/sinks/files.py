"""Line files that a kill leaves whole."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import TracebackType
from typing import Any

from streamer.types import StreamError


class LineFile:
    """A new text file of whole lines.

    Every :meth:`write` is one unbuffered write of whole lines, so that whatever ends the program
    leaves no half line behind and somebody who follows the file sees each frame at once.

    Raises:
        StreamError: the file is there already or cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = path.open("xb", buffering=0)
        except OSError as error:
            raise self._failed(error) from error

    def write(self, lines: str) -> None:
        """Append text that ends with a line break, or nothing.

        Raises:
            StreamError: it cannot be written: the disk is full, say.
        """
        rest = memoryview(lines.encode())
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._file.close()

    def __enter__(self) -> LineFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _failed(self, error: OSError) -> StreamError:
        return StreamError(f"cannot write {self._path}: {error.strerror or error}")


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
