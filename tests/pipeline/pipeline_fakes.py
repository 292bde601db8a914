"""Small sources, detectors, trackers and sinks with a script: real threads run between them."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from configs.schema import StreamSettings
from streamer.types import (
    Detections,
    FocusHints,
    Frame,
    FrameResult,
    Image,
    PermanentError,
    StreamError,
    Tracks,
)

FRAME, CORRUPT, BREAK, BUG, HANG = "frame", "corrupt", "break", "bug", "hang"
REFUSE, FORBID = ("refuse",), ("forbid",)


def settings(**groups: Any) -> StreamSettings:
    """The default settings with some groups given as dicts."""
    return StreamSettings.model_validate(groups)


class FakeSource:
    """Plays one session after each ``open``; indices and pts start anew with each of them.

    A picture's first row holds ``time.monotonic_ns()`` of its making: a stamp that the pipeline
    knows nothing of.
    """

    def __init__(
        self,
        name: str = "cam",
        *,
        live: bool = False,
        sessions: Sequence[Sequence[str]] = (),
        frames: int = 0,
        interval: float = 0.0,
        forgets: bool = False,
    ) -> None:
        self.name = name
        self.address = f"fake://{name}"
        self.live = live
        self.corrupt = 0
        self.opened = 0
        self.closed = True
        self._sessions = list(sessions) or [[FRAME] * frames]
        self._steps: list[str] = []
        self._interval = interval
        self._forgets = forgets  # whether ``open`` sets ``corrupt`` back to 0
        self._interrupted = threading.Event()
        self._due = 0.0
        self._index = 0

    def open(self) -> None:
        self.opened += 1
        if not self._sessions or self._sessions[0] == REFUSE:
            self._sessions = self._sessions[1:]
            raise StreamError(f"{self.address} cannot be reached")
        if self._sessions[0] == FORBID:
            self._sessions = self._sessions[1:]
            raise PermanentError(f"{self.address} refuses this user and password")
        self._steps = list(self._sessions.pop(0))
        self._index = 0
        if self._forgets:
            self.corrupt = 0
        # On a grid of the clock: sources of one interval give their frames in step.
        now = time.monotonic()
        self._due = now - now % self._interval if self._interval else now
        self.closed = False

    def read(self) -> Frame | None:
        while self._steps and not self._interrupted.is_set():
            step = self._steps.pop(0)
            self._due += self._interval
            self._interrupted.wait(max(0.0, self._due - time.monotonic()))
            if step == HANG:
                self._interrupted.wait(30.0)
                return None
            if step == BREAK:
                raise StreamError(f"{self.address} broke off")
            if step == BUG:
                raise ValueError("a bug in the source")
            self._index += 1
            if step == CORRUPT:
                self.corrupt += 1
            else:
                return self._frame(self._index - 1)
        return None

    def interrupt(self) -> None:
        self._interrupted.set()

    def close(self) -> None:
        self.closed = True

    def _frame(self, index: int) -> Frame:
        image = np.zeros((4, 8), dtype=np.uint8)
        image[0] = np.frombuffer(time.monotonic_ns().to_bytes(8, "little"), dtype=np.uint8)
        return Frame(image, 8, index, index * 0.04, time.time(), time.monotonic(), self.name)


def stamp_seconds(image: Image) -> float:
    """When the picture was made: ``time.monotonic()`` seconds, read from its pixels."""
    return int.from_bytes(image[0].tobytes(), "little") / 1e9


class FakeTicket:
    def __init__(self, detector: FakeDetector, frames: Sequence[Frame], done_at: float) -> None:
        self._detector = detector
        self._frames = frames
        self._began = time.monotonic()
        self._done_at = done_at
        self.stage_seconds: dict[str, float] = {}

    def look(self, hints: Sequence[FocusHints]) -> None:
        self._detector.looked(self._frames, hints)

    def result(self) -> list[Detections]:
        time.sleep(max(0.0, self._done_at - time.monotonic()))
        self.stage_seconds = {"network": time.monotonic() - self._began}
        self._detector.open_tickets -= 1
        if any(frame.index == self._detector.fail_at for frame in self._frames):
            raise RuntimeError("a bug in the detector")
        return [Detections.empty(frame.index, frame.pts_seconds) for frame in self._frames]


class FakeDetector:
    """A device that works on one batch after the other, ``seconds`` for each."""

    def __init__(
        self,
        *,
        seconds: float = 0.0,
        max_batch: int = 1,
        max_in_flight: int = 1,
        fail_at: int | None = None,
        begins_ahead: bool = True,
    ) -> None:
        self.begins_ahead = begins_ahead
        self.seconds = seconds
        self.max_batch = max_batch
        self.max_in_flight = max_in_flight
        self.fail_at = fail_at
        self.batches: list[list[tuple[str, int]]] = []
        self.begun_seconds: list[float] = []
        self.open_tickets = 0
        self.most_open = 0
        self._free_at = 0.0

    def begin(self, frames: Sequence[Frame]) -> FakeTicket:
        now = time.monotonic()
        self.batches.append([(frame.source, frame.index) for frame in frames])
        self.begun_seconds.append(now)
        self._free_at = max(now, self._free_at) + self.seconds
        return FakeTicket(self, frames, self._free_at)

    def looked(self, frames: Sequence[Frame], hints: Sequence[FocusHints]) -> None:
        """The hints of a batch came."""
        self.open_tickets += 1
        self.most_open = max(self.most_open, self.open_tickets)

    def describe(self) -> dict[str, str]:
        return {"weights": "fake", "weights_sha256": "0" * 64, "device": "cpu"}

    def close(self) -> None:
        pass


class FakeTracker:
    """Follows nothing, and notes what it was given and how old that was by the pixels' stamp."""

    def __init__(self, *, fail_at: int | None = None) -> None:
        self.indices: list[int] = []
        self.coasted_seconds: list[float] = []
        self.ages_seconds: list[float] = []
        self._fail_at = fail_at

    def step(self, detections: Detections, image: Image | None = None) -> Tracks:
        assert image is not None
        if detections.frame_index == self._fail_at:
            raise RuntimeError("a bug in the tracker")
        self.indices.append(detections.frame_index)
        self.ages_seconds.append(time.monotonic() - stamp_seconds(image))
        return Tracks.empty()

    def coast(self, pts_seconds: float, image: Image | None = None) -> Tracks:
        self.coasted_seconds.append(pts_seconds)
        return Tracks.empty()


class FakeSink:
    """Notes what it was given."""

    def __init__(
        self,
        name: str = "sink",
        *,
        seconds: float = 0.0,
        error: Exception | None = None,
        fail_at: int | None = None,
        close_error: Exception | None = None,
    ) -> None:
        self.name = name
        self.results: list[FrameResult] = []
        self.closed = 0
        self.seconds = seconds
        self._error = error
        self._fail_at = fail_at
        self._close_error = close_error

    @property
    def indices(self) -> list[int]:
        return [result.frame.index for result in self.results]

    def write(self, result: FrameResult) -> None:
        assert not self.closed
        time.sleep(self.seconds)
        if self._error is not None and result.frame.index == self._fail_at:
            raise self._error
        self.results.append(result)

    def close(self) -> None:
        self.closed += 1
        if self._close_error is not None:
            raise self._close_error


class HeldSink(FakeSink):
    """Takes nothing until it is released."""

    def __init__(self, name: str = "sink") -> None:
        super().__init__(name)
        self.release = threading.Event()

    def write(self, result: FrameResult) -> None:
        assert self.release.wait(10.0)
        super().write(result)
