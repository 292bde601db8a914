"""What all sources share: the index, the pace, the exclusion mask and the end of a wait.

A kind of source only says how to open itself as an iterator of pictures
(:meth:`BaseSource._opened`); everything else about the ``Source`` protocol is here.
"""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from threading import Event

from configs.schema import SourceSettings
from streamer.intensity import IntensityConverter
from streamer.redact import redact
from streamer.sources.exclude import ExclusionMask
from streamer.types import Frame, Image, StreamError


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A decoded picture on its way to becoming a ``Frame``."""

    image: Image
    """(H, W) white-hot intensity."""
    bit_depth: int
    pts_seconds: float
    utc: float | None = None
    """Wall clock of capture where the stream tells it; None: the time of arrival is taken."""
    captured_seconds: float | None = None
    """``time.monotonic()`` of arrival, where another thread took it in; None: now."""
    damaged: bool = False
    """Built upon a frame that could not be decoded."""


class Corrupt:
    """Stands in the stream of pictures for a frame that could not be decoded."""


Pictures = Iterator[Picture | Corrupt]


class BaseSource(ABC):
    """A source, but for where its pictures come from.

    Args:
        address: as the user gave it, passwords and all.
        settings: the settings of sources.
        name: unique in the run, fit for a file name.
    """

    def __init__(self, address: str, settings: SourceSettings, name: str) -> None:
        self._address = address
        self._settings = settings
        self._name = name
        self._corrupt = 0
        self._index = 0
        self._stream: Pictures | None = None
        self._handles = ExitStack()
        self._interrupted = Event()
        self._exclude = ExclusionMask(settings.exclude)
        self._intensity = IntensityConverter(
            settings.palette, settings.luma_range, settings.polarity, name
        )

    @property
    def name(self) -> str:
        """Unique in a run, fit for a file name, free of passwords."""
        return self._name

    @property
    def address(self) -> str:
        """Where the frames come from, for people: passwords replaced by ``***``."""
        return redact(self._address)

    @property
    @abstractmethod
    def live(self) -> bool:
        """True where time does not wait."""

    @property
    def can_reconnect(self) -> bool:
        """Whether opening it again may help after it broke: not where it lies on a disk."""
        return False

    @property
    def corrupt(self) -> int:
        """Frames so far that could not be decoded. Each has used up an index."""
        return self._corrupt

    @abstractmethod
    def _opened(self) -> AbstractContextManager[Pictures]:
        """The source, opened, as a context: inside, its pictures in order; leaving it lets go of
        every handle. Entering it and taking pictures raise ``StreamError``."""

    def open(self) -> None:
        """Get ready to read; after an error or a close it may be called again.

        Raises:
            StreamError: it cannot be opened; the message says why in one line.
        """
        self._end_stream()
        self._exclude.load()
        self._stream = self._handles.enter_context(self._opened())

    def read(self) -> Frame | None:
        """The next frame, or None at the end and after ``interrupt``.

        Raises:
            StreamError: the source broke, or was not opened.
        """
        if self._stream is None:
            raise StreamError(f"{self.address} is read before it was opened")
        while not self._interrupted.is_set():
            picture = next(self._stream, None)
            if picture is None:
                return None
            index = self._index
            self._index += 1
            if isinstance(picture, Corrupt):
                self._corrupt += 1
                continue
            if not self._wait_for(picture):
                # Taken back: this frame was never given to anybody.
                self._index = index
                return None
            return self._frame(picture, index)
        return None

    def interrupt(self) -> None:
        """Make a ``read`` that waits return None soon. It holds until ``close``."""
        self._interrupted.set()

    def close(self) -> None:
        """Let go of every handle. Idempotent."""
        self._end_stream()
        self._interrupted.clear()

    def _end_stream(self) -> None:
        self._stream = None
        self._handles.close()

    def _wait_for(self, picture: Picture) -> bool:
        """Wait until it is time to release the picture; False if interrupted meanwhile."""
        return True

    def _frame(self, picture: Picture, index: int) -> Frame:
        height, width = picture.image.shape
        return Frame(
            image=picture.image,
            bit_depth=picture.bit_depth,
            index=index,
            pts_seconds=picture.pts_seconds,
            utc=time.time() if picture.utc is None else picture.utc,
            captured_seconds=(
                time.monotonic() if picture.captured_seconds is None else picture.captured_seconds
            ),
            source=self._name,
            ignore=self._exclude.mask(height, width),
            damaged=picture.damaged,
        )


class RecordedSource(BaseSource):
    """A source that lies on a disk: it can be trimmed, and replayed at its own pace.

    Opening it again starts again, from index 0.
    """

    def __init__(self, address: str, settings: SourceSettings, name: str) -> None:
        super().__init__(address, settings, name)
        self._pace_start: float | None = None  # monotonic time at which pts 0 is due

    @property
    def live(self) -> bool:
        """True where the recording is replayed at its own pace."""
        return self._settings.pace == "realtime"

    @property
    def is_pipe(self) -> bool:
        """Whether it can be read only once: no file and no folder, but there."""
        path = self._address  # os.path, as a name may be too long for Path
        return os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)  # noqa: PTH110, PTH112, PTH113

    def probe(self) -> None:
        """See whether there is anything to read, and leave it as it was.

        Raises:
            StreamError: there is not; the message says why in one line.
        """
        with self._opened():
            pass

    def open(self) -> None:
        """Get ready to read from the beginning.

        Raises:
            StreamError: it cannot be opened; the message says why in one line.
        """
        self._pace_start = None
        self._index = 0
        self._corrupt = 0
        super().open()

    def _wait_for(self, picture: Picture) -> bool:
        if not self.live:
            return True
        now = time.monotonic()
        if self._pace_start is None:
            self._pace_start = now - picture.pts_seconds
        # The schedule is fixed by the first frame: a reader that comes late finds the next frames
        # due at once, as a live camera would have sent them.
        due = self._pace_start + picture.pts_seconds
        return not (due > now and self._interrupted.wait(due - now))

    def _is_before_start(self, position_seconds: float) -> bool:
        return position_seconds < self._settings.start_seconds - 1e-6

    def _is_past_end(self, position_seconds: float) -> bool:
        end = self._settings.end_seconds
        return end is not None and position_seconds >= end - 1e-6
