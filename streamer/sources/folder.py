"""Folders and globs of pictures: PNG, TIFF, BMP, JPEG; 8 and 16 bit; grey and colour."""

from __future__ import annotations

import glob
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from streamer.sources.base import Corrupt, Picture, Pictures, RecordedSource
from streamer.sources.images import IMAGE_SUFFIXES, ImageError, read_image
from streamer.types import StreamError

_log = logging.getLogger(__name__)

_KINDS = "PNG, TIFF, BMP or JPEG"


class FolderSource(RecordedSource):
    """Pictures in natural order (2 before 10), each a frame; they may differ in size.

    Pictures have no clock: the k-th gets ``k / source.fps`` seconds, which the log says. With
    ``start_seconds`` the index still counts from 0 at the first frame that is given, while
    timestamps keep the picture's place in the folder. A picture that cannot be read is a corrupt
    frame, named in the log.
    """

    @contextmanager
    def _opened(self) -> Iterator[Pictures]:
        yield self._pictures(find_pictures(self._address))

    def _pictures(self, paths: list[Path]) -> Pictures:
        _log.info(
            "%s: %d pictures, taken as %g frames per second (source.fps)",
            self._name,
            len(paths),
            self._settings.fps,
        )
        for position, path in enumerate(paths):
            seconds = position / self._settings.fps
            if self._is_before_start(seconds):
                continue
            if self._is_past_end(seconds):
                return
            try:
                raw = read_image(path)
            except ImageError as error:
                _log.warning("%s: %s is left out: %s", self._name, path, error)
                yield Corrupt()
                continue
            image = self._intensity(raw)
            yield Picture(image, 8 if image.dtype == np.uint8 else 16, seconds)


def find_pictures(address: str) -> list[Path]:
    """The pictures of a folder, a glob or a single file's path, in natural order.

    Raises:
        StreamError: there are none, or the folder cannot be read.
    """
    folder = Path(address)
    try:
        if folder.is_file():
            return [folder]
        if folder.is_dir():
            found = list(folder.iterdir())
        else:
            # Not Path.glob: it takes no absolute pattern.
            found = [Path(match) for match in glob.iglob(address, recursive=True)]  # noqa: PTH207
        pictures = [
            path for path in found if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()
        ]
    except OSError as error:
        reason = (error.strerror or "it cannot be read").lower()
        raise StreamError(f"the folder {address} cannot be read: {reason}") from error
    if not pictures:
        what = f"the folder {address} holds" if folder.is_dir() else f"{address} matches"
        raise StreamError(f"{what} no pictures: give frames as {_KINDS}")
    return sorted(pictures, key=_natural_key)


def _natural_key(path: Path) -> list[tuple[int, int, str]]:
    """Numbers compare as numbers, the rest as text; equal ones (01 and 1) stay apart by text."""
    parts = re.split(r"(\d+)", str(path))
    key = [(1, int(part), "") if part.isdecimal() else (0, 0, part.lower()) for part in parts]
    return [*key, (0, 0, str(path))]
