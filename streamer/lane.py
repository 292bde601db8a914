"""One source's way through the pipeline: its reader, its two channels, its sinks, its numbers."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from configs.schema import StreamSettings
from streamer.channel import Channel, Gate
from streamer.protocols import Sink, Source, Tracker
from streamer.reader import Reader
from streamer.redact import redact
from streamer.stats import SourceSnapshot, SourceState, StatsRecorder
from streamer.types import FocusHints, Frame, FrameResult, StreamError, Tracks

log = logging.getLogger(__name__)

RESULT_BUFFER = 32
"""Processed frames that may wait for a source's sinks, so that drawing delays no detection."""

_MAX_EXTRAPOLATION_SECONDS = 1.0
"""A reconnected camera's clock may have jumped: no track is expected further ahead than this."""


@dataclass(frozen=True, slots=True)
class Stream:
    """A source, the tracker that follows its targets, and the sinks that take its results.

    The pipeline opens and closes the source and closes the sinks, each in its own thread.
    """

    source: Source
    tracker: Tracker
    sinks: tuple[Sink, ...]


class FocusLag:
    """Hints from the tracks of a fixed number of frames ago, however fast results come back.

    So a replay gives the detector the same hints every time. The detection thread alone uses it.

    Args:
        frames: the lag: as many as can be on their way through the detector at once.
    """

    def __init__(self, frames: int = 1) -> None:
        self._frames = frames
        self._submitted = 0
        self._tracks: deque[tuple[float, Tracks]] = deque()

    def hints(self, frame: Frame) -> FocusHints:
        """For the next frame to be submitted."""
        self._submitted += 1
        if self._submitted <= self._frames:
            return FocusHints.empty(frame.index)
        # Each frame takes one off, so this is the one of ``frames`` frames ago.
        pts_seconds, tracks = self._tracks.popleft()
        elapsed = min(max(frame.pts_seconds - pts_seconds, 0.0), _MAX_EXTRAPOLATION_SECONDS)
        return FocusHints.from_tracks(tracks, elapsed, frame.index)

    def remember(self, frame: Frame, tracks: Tracks) -> None:
        """A frame is through the tracker."""
        self._tracks.append((frame.pts_seconds, tracks))


class Lane:
    """A stream while it runs. :meth:`read` and :meth:`write` are the bodies of two threads.

    A ``StreamError`` of the source or of a sink ends this lane only, and what was captured or
    processed before it goes on to where it was going. Any other exception is for the whole run.

    Args:
        stream: what to run.
        settings: of the whole run.
        gate: is notified whenever this lane may have something for the detection thread.
        crash: is told of an exception that must end the whole run.
    """

    def __init__(
        self,
        stream: Stream,
        settings: StreamSettings,
        gate: Gate,
        crash: Callable[[BaseException], None],
    ) -> None:
        source = stream.source
        self.stream = stream
        self.stats = StatsRecorder(source.name, redact(source.address))
        self.frames: Channel[Frame] = (
            Channel(settings.source.live_queue, "drop_oldest", gate)
            if source.live
            else Channel(settings.source.file_queue, "block", gate)
        )
        self.results: Channel[FrameResult] = Channel(RESULT_BUFFER, "block", gate)
        self.reader = Reader(
            source,
            self.frames,
            self.stats,
            settings.source,
            settings.run.max_frames,
        )
        self.in_flight = 0
        """Frames that the detection thread has taken and not finished; it alone changes this."""
        self.focus = FocusLag()
        """What tells the detector where this lane's tracks are expected."""
        self.processed = 0
        """Frames that the detection thread has finished; it alone changes this."""
        self.written = 0
        """Results that every sink has seen; the sinks' thread alone changes this."""
        self.closed = 0
        """Sinks that are closed, by the sinks' thread or by whom it had to leave them to."""
        self._crash = crash
        # For the supervisor, which takes the sinks from a thread that hangs in one of them.
        self._lock = threading.Lock()
        self._working = list(stream.sinks)
        self._writing: tuple[Sink | None, float] = None, 0.0
        self._hangs: Sink | None = None

    @property
    def name(self) -> str:
        """The source's name."""
        return self.stream.source.name

    @property
    def room(self) -> bool:
        """True where a frame taken now is sure to find a place before the sinks when it is done.

        The detection thread takes no other: it never waits for the sinks of one source while
        another has frames for it.
        """
        return self.results.depth + self.in_flight < self.results.capacity

    def read(self) -> None:
        """Read the source to its end; afterwards ``frames`` is closed and so is the source."""
        try:
            self.reader.run()
        except StreamError as error:
            self.fail(error)

    def write(self) -> None:
        """Give every result to every sink; afterwards all of them are closed."""
        for result in self.results:
            for sink in tuple(self._working):
                if self._turn(sink):
                    self._write(sink, result)
            self._turn(None)
            self.written += 1
        self.close_sinks(self._working)
        self.stats.enter(SourceState.ENDED)

    def take_over(self, seconds: float) -> list[Sink] | None:
        """Take the other sinks from the sinks' thread if it has been in one's write for so long.

        Returns:
            What the caller must close, once; None where nothing hangs, or where this was done. The
            thread will, if ever it goes on, close the sink that it is in, and no other.
        """
        with self._lock:
            sink, since = self._writing
            if sink is None or self._hangs is not None or time.monotonic() - since < seconds:
                return None
            self._hangs = sink
            others = [each for each in self._working if each is not sink]
            self._working = [sink]
        self.give_up_results()
        return others

    @property
    def hangs(self) -> Sink | None:
        """The sink whose write hung when its thread was taken the others."""
        return self._hangs

    def watch(self, now: float) -> None:
        """Notice a source that has stalled and sinks that are behind. For the supervisor, now and
        then."""
        self.reader.watch(now)
        if self.room:
            self.stats.enter(SourceState.RUNNING, after=SourceState.BLOCKED)
        else:
            self.stats.enter(SourceState.BLOCKED, after=SourceState.RUNNING)

    def stop(self) -> None:
        """End soon: no more frames are captured, those that wait are dropped. Idempotent."""
        self.stats.count_dropped(len(self.frames.abort()))
        self.reader.stop()

    def give_up_results(self) -> None:
        """Drop what waits for the sinks; they end with what they are at."""
        if left := len(self.results.abort()):
            self.stats.count_unwritten(left)
            log.warning(
                "%s: %d of the last frames are not written: the outputs are too slow to end soon",
                self.name,
                left,
            )

    def fail(self, error: StreamError) -> None:
        """Mark this lane as failed, and say so."""
        message = redact(str(error))
        log.error("%s: %s", self.name, message)
        self.stats.fail(message)

    def snapshot(self) -> SourceSnapshot:
        """This lane's numbers as they are now."""
        return self.stats.snapshot(self.frames.depth, self.frames.capacity)

    def close_sinks(self, sinks: Sequence[Sink]) -> None:
        """Close them, the last one first: the user's program, which may hang, is waited for when
        the other files are whole."""
        for sink in reversed(sinks):
            self._close(sink)

    def _turn(self, sink: Sink | None) -> bool:
        """Note which sink is written to now; False where it was taken from this thread."""
        with self._lock:
            if sink is not None and sink not in self._working:
                return False
            self._writing = sink, time.monotonic()
            return True

    def _write(self, sink: Sink, result: FrameResult) -> None:
        started = time.monotonic()
        try:
            sink.write(result)
        except Exception as error:
            # The other sinks still get every frame that was processed.
            with self._lock:
                self._working.remove(sink)
                self._writing = None, 0.0
            self._sink_failed(error)
            self._close(sink)
        else:
            self.stats.add_stage(sink.name, time.monotonic() - started)

    def _close(self, sink: Sink) -> None:
        try:
            sink.close()
        except Exception as error:
            self._sink_failed(error)
        self.closed += 1

    def _sink_failed(self, error: Exception) -> None:
        if isinstance(error, StreamError):
            self.fail(error)
            self.stop()
        else:
            self._crash(error)
