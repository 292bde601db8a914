"""What the pipeline asks of its parts. It knows these protocols and no concrete class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from streamer.types import (
    Detections,
    FocusHints,
    Frame,
    FrameResult,
    Image,
    SmoothedTracks,
    Tracks,
)


@runtime_checkable
class Source(Protocol):
    """Gives frames in order. One thread opens, reads and closes it."""

    @property
    def name(self) -> str:
        """Unique in a run, fit for a file name, free of passwords."""

    @property
    def address(self) -> str:
        """Where the frames come from, for people: passwords replaced by ``***``."""

    @property
    def live(self) -> bool:
        """True where time does not wait: an untaken frame is dropped. False: none may be lost."""

    @property
    def corrupt(self) -> int:
        """Frames so far that could not be decoded. Each has used up an index."""

    def open(self) -> None:
        """Get ready to read; after an error or a close it may be called again.

        Raises:
            PermanentError: it cannot be opened, and trying again will not help.
            StreamError: it cannot be opened; the message says why in one line.
        """

    def read(self) -> Frame | None:
        """The next frame, or None at the end. Blocks for a bounded time only.

        Raises:
            StreamError: the source broke; a live one may be opened again.
        """

    def interrupt(self) -> None:
        """Make a ``read`` that waits return None soon. Safe from any thread, and idempotent."""

    def close(self) -> None:
        """Let go of every handle. Idempotent."""


class DetectionTicket(Protocol):
    """A batch on its way through the detector."""

    def look(self, hints: Sequence[FocusHints]) -> None:
        """Say where tracks are expected: what could not start without that does. Once, before
        ``result``, and before the next ``begin``.

        Args:
            hints: one a frame.
        """

    def result(self) -> list[Detections]:
        """Wait for the batch: one ``Detections`` a frame, in the order submitted."""

    @property
    def stage_seconds(self) -> dict[str, float]:
        """After ``result``: how long each stage took (``preprocess``, ``network``, ...)."""


class Detector(Protocol):
    """Finds targets in frames, a batch at a time, also of several sources."""

    @property
    def max_batch(self) -> int:
        """The most frames one ``begin`` takes."""

    @property
    def max_in_flight(self) -> int:
        """How many tickets may be looked at and not fetched at once; one more may have begun."""

    @property
    def begins_ahead(self) -> bool:
        """Whether it is worth while to begin on a batch when no more may be looked at: there is
        work in ``begin`` that goes on by itself."""

    def begin(self, frames: Sequence[Frame]) -> DetectionTicket:
        """Start on a batch, on all that needs no hints: the frame before may still be tracked.

        Args:
            frames: any number up to ``max_batch``, of any size and source; those of one source in
                order of time.
        """

    def describe(self) -> dict[str, str]:
        """What ran, for the summary: weights, weights_sha256, threshold, device, engine, mode,
        precision."""

    def close(self) -> None:
        """Let go of the device. Idempotent."""


class Tracker(Protocol):
    """Follows the targets of one source."""

    def step(self, detections: Detections, image: Image | None = None) -> Tracks:
        """Take in one frame's detections, in order of time: the tracks as known at that frame."""

    def coast(self, pts_seconds: float, image: Image | None = None) -> Tracks:
        """Take in a frame that shows nothing new, in its place among the others: time goes on, and
        nothing was missed."""


class Smoother(Protocol):
    """Improves the tracks of one source by what came after them, where there is time for that."""

    def add(self, frame_index: int, tracks: Tracks) -> SmoothedTracks:
        """Take in one frame's tracks, in order: what has been settled since, often nothing.

        Raises:
            ValueError: the tracks lack the filter's states.
        """

    def finish(self) -> SmoothedTracks:
        """No frame follows: what is left. After that there is nothing."""


class Sink(Protocol):
    """Takes the results of one source, in frame order. One thread writes and closes it."""

    @property
    def name(self) -> str:
        """The stage's name in statistics: ``record``, ``tracks``, ..."""

    def write(self, result: FrameResult) -> None:
        """Take one processed frame.

        Raises:
            StreamError: it cannot go on; the message says why in one line.
        """

    def close(self) -> None:
        """Finish every file. Idempotent."""
