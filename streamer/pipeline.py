"""Runs streams through one detector: the threads, their supervision, and an orderly end.

::

    reader --frames--> detection thread --results--> sinks       one reader and one thread for
    reader --frames-->  detector, trackers --results--> sinks    the sinks for each source

Frames of files wait for room; those of live sources never do, the oldest is dropped. The caller's
thread supervises: it pumps windows and dashboards, heeds limits, and raises what a thread raised.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from configs.schema import StreamSettings
from streamer.channel import Gate
from streamer.detection import DetectionLoop
from streamer.free_memory import FreeMemory, fill_small_blocks
from streamer.lane import Lane, Stream
from streamer.protocols import Detector
from streamer.redact import redact
from streamer.stats import RunSnapshot
from streamer.types import StreamError

__all__ = ["OnTick", "Pipeline", "RunReport", "Stream"]

log = logging.getLogger(__name__)

OnTick = Callable[[RunSnapshot], bool | None]
"""Called in the thread that called ``run``. Returning False stops the run."""

SINKS_SECONDS = 2.0
"""Once somebody asked for the end, or after an exception, sinks have so long for what waits."""
WRITE_SECONDS = 1.0
"""A sink that by then is so long in the write of one frame does not hold up the others' end ..."""
HANGING_SECONDS = 3.0
"""... and is left behind so long after the end was asked for."""
FILES_GRACE_SECONDS = 3.0
"""After a stop, files are finished when no thread has made progress for this long."""
GRACE_SECONDS = 30.0
"""A thread that makes no progress for so much longer is given up."""
HURRIED_GRACE_SECONDS = 1.0
"""The same once :meth:`Pipeline.hurry` was called."""


@dataclass(frozen=True, slots=True)
class RunReport:
    """What a run did, for the summary and the exit code."""

    snapshot: RunSnapshot
    """The numbers: final once the run has ended."""
    reason: str
    """Why it ended: ``running`` (it has not), ``finished`` (all sources ended), ``max_seconds``,
    ``closed`` (by the user, in a window), ``failed`` (an exception), ``interrupted``, or what
    :meth:`Pipeline.stop` was given."""
    error: str | None
    """The exception that ended the run, one line; a failed source's is in its snapshot."""
    started_utc: float
    """Wall clock of the start, seconds since 1970."""
    ended_utc: float
    """Wall clock of the end, or of now, seconds since 1970."""
    detector: dict[str, str]
    """``Detector.describe()``: weights, device, engine, precision, ..."""

    @property
    def failed(self) -> bool:
        """True where the run or one of its sources ended badly."""
        return self.error is not None or any(source.error for source in self.snapshot.sources)


class Pipeline:
    """All streams of a run. It runs once.

    Sources are opened and closed and sinks are closed here; the detector stays its owner's.

    Args:
        streams: at least one; the sources' names must differ.
        detector: shared by all streams, called by one thread only.
        settings: of the run: queues, batches, reconnection, limits.

    Raises:
        ValueError: there is no stream, or two sources have one name.
    """

    def __init__(
        self, streams: Sequence[Stream], detector: Detector, settings: StreamSettings
    ) -> None:
        names = [stream.source.name for stream in streams]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"a pipeline needs streams whose sources' names differ, got {names}")
        gate = Gate()
        self._lanes = tuple(Lane(stream, settings, gate, self._crash) for stream in streams)
        self._detector = detector
        self._detection = DetectionLoop(
            self._lanes, detector, gate, settings.detector.batch.deadline_ms / 1e3
        )
        self._max_seconds = settings.run.max_seconds
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._errors: list[BaseException] = []
        self._stop_reason: str | None = None
        self._asked_seconds: float | None = None
        self._hurried = False
        self._stopping = False
        self._ended = False
        self._gave_up = False
        self._started_seconds = self._ended_seconds = time.monotonic()
        self._started_utc = self._ended_utc = time.time()

    def run(
        self,
        on_tick: OnTick | None = None,
        tick_seconds: float = 0.1,
        pump: Callable[[], bool] | None = None,
    ) -> RunReport:
        """Run until every source has ended or the run is stopped, then close everything.

        A source or a sink that fails with a ``StreamError`` ends its own stream only, and the
        report says so. On a stop, frames that were captured and not begun count as dropped, and
        the sinks finish every frame that was processed, though after :meth:`stop` or an exception
        only what they can in ``SINKS_SECONDS``.

        Args:
            on_tick: called in this thread every ``tick_seconds``, until the last thread has ended;
                False stops the run.
            tick_seconds: also how soon :meth:`stop` is heeded.
            pump: called in this thread over and over between ticks, and to wait some 10 ms; False
                stops the run.

        Raises:
            BaseException: the first that any thread, ``on_tick`` or ``pump`` raised, after an
                orderly stop; later ones are noted on it. :attr:`report` is complete then, too.
        """
        if self._threads:
            raise RuntimeError("a pipeline runs once: make a new one")
        fill_small_blocks()
        self._started_seconds, self._started_utc = time.monotonic(), time.time()
        try:
            self._start_threads()
            self._supervise(on_tick, tick_seconds, pump)
        except BaseException as error:
            self._crash(error)
            self._supervise(None, tick_seconds, None)
        self._ended_seconds, self._ended_utc = time.monotonic(), time.time()
        self._ended = True
        if self._errors:
            first, *later = self._errors
            for other in later:
                first.add_note(f"then also {type(other).__name__}: {other}")
            raise first
        return self.report

    def stop(self, reason: str = "stopped") -> None:
        """Ask for an orderly end, from any thread or a signal handler; :meth:`run` heeds it at its
        next tick. The first reason stays.
        """
        # Assignments and no lock: a signal handler may have interrupted a holder of any lock.
        if self._asked_seconds is None:
            self._asked_seconds = time.monotonic()
        if self._stop_reason is None:
            self._stop_reason = reason

    def hurry(self) -> None:
        """After :meth:`stop`: whoever asked has no patience. A part that hangs is given up within
        seconds and without an error, and the files of the others are finished. From any thread or
        a signal handler.
        """
        self._hurried = True

    @property
    def report(self) -> RunReport:
        """The run so far; final once :meth:`run` has returned or raised."""
        with self._lock:
            first = self._errors[0] if self._errors else None
        if first is not None:
            reason = "interrupted" if isinstance(first, KeyboardInterrupt) else "failed"
        else:
            reason = self._stop_reason or ("finished" if self._ended else "running")
        return RunReport(
            snapshot=self.snapshot(),
            reason=reason,
            error=None if first is None else _one_line(first),
            started_utc=self._started_utc,
            ended_utc=self._ended_utc if self._ended else time.time(),
            detector=self._detector.describe(),
        )

    def snapshot(self) -> RunSnapshot:
        """All numbers as they are now. From any thread."""
        until = self._ended_seconds if self._ended else time.monotonic()
        sources = tuple(lane.snapshot() for lane in self._lanes)
        if self._gave_up:  # with the threads went the frames that they had taken
            sources = tuple(
                replace(each, dropped=each.captured - each.corrupt - each.processed)
                for each in sources
            )
        return RunSnapshot(until - self._started_seconds, sources)

    def _start_threads(self) -> None:
        bodies: list[tuple[str, Callable[[], None]]] = [("detect", self._detection.run)]
        for lane in self._lanes:
            bodies += [(f"write {lane.name}", lane.write), (f"read {lane.name}", lane.read)]
        for name, body in bodies:
            self._start(name, body)

    def _start(self, name: str, body: Callable[[], None]) -> None:
        # Daemons only so that a thread that had to be given up cannot keep the process alive.
        thread = threading.Thread(target=self._guard, args=(body,), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _guard(self, body: Callable[[], None]) -> None:
        try:
            body()
        except BaseException as error:
            self._crash(error)

    def _crash(self, error: BaseException) -> None:
        """Note an exception that must end the run, and end it. From any thread."""
        with self._lock:
            self._errors.append(error)
        if self._asked_seconds is None:
            self._asked_seconds = time.monotonic()
        self._shut_down()

    def _shut_down(self) -> None:
        with self._lock:
            first_time, self._stopping = not self._stopping, True
        if not first_time:
            return
        for lane in self._lanes:
            try:
                lane.stop()
            except Exception as error:  # the other lanes must stop all the same
                self._crash(error)

    def _supervise(
        self, on_tick: OnTick | None, tick_seconds: float, pump: Callable[[], bool] | None
    ) -> None:
        """Return when all threads have ended or were given up."""
        watchdog = _Watchdog(self._lanes)
        free_memory = FreeMemory()
        while alive := [thread for thread in self._threads if thread.is_alive()]:
            due = time.monotonic() + tick_seconds
            while pump is not None and alive[0].is_alive() and time.monotonic() < due:
                if not pump():
                    self.stop("closed")
                    break
            alive[0].join(max(0.0, due - time.monotonic()))
            self._heed_limits()
            self._hurry_sinks()
            free_memory.give_back()
            if on_tick is not None and on_tick(self.snapshot()) is False:
                self.stop("closed")
            if self._leaves_behind([thread for thread in self._threads if thread.is_alive()]):
                self._gave_up = True
                return
            grace = HURRIED_GRACE_SECONDS if self._hurried else GRACE_SECONDS
            if self._stopping and watchdog.gives_up(grace):
                self._gave_up = True
                names = ", ".join(thread.name for thread in alive)
                problem = f"did not stop within {watchdog.patience(grace):g} s: {names}"
                if self._hurried:
                    log.warning("%s", problem)
                else:
                    self._crash(StreamError(problem))
                return

    def _heed_limits(self) -> None:
        now = time.monotonic()
        if self._max_seconds is not None and now - self._started_seconds >= self._max_seconds:
            self._stop_reason = self._stop_reason or "max_seconds"  # nobody waits for the end
        if self._stop_reason is not None:
            self._shut_down()
        for lane in self._lanes:
            lane.watch(now)

    def _hurry_sinks(self) -> None:
        """Once the end was asked for: what waits for slow sinks is dropped, and one that hangs
        keeps no other from finishing its file."""
        if not self._asked_for(SINKS_SECONDS):
            return
        for lane in self._lanes:
            if lane.results.depth:
                lane.give_up_results()
            # Sooner than what makes no progress is given up.
            hangs_after = min(WRITE_SECONDS, HURRIED_GRACE_SECONDS / 2)
            if others := lane.take_over(hangs_after if self._hurried else WRITE_SECONDS):
                self._start(f"close {lane.name}", partial(lane.close_sinks, others))

    def _asked_for(self, seconds: float) -> bool:
        """Whether somebody asked for the end so long ago, or has no patience."""
        asked = self._asked_seconds
        return asked is not None and (self._hurried or time.monotonic() >= asked + seconds)

    def _leaves_behind(self, alive: Sequence[threading.Thread]) -> bool:
        """Whether only sinks that hang are left, for long enough; says so of each."""
        hanging = {f"write {lane.name}": lane for lane in self._lanes if lane.hangs is not None}
        names = [thread.name for thread in alive]
        if not self._asked_for(HANGING_SECONDS) or not hanging.keys() >= set(names):
            return False
        for name in names:
            sink = hanging[name].hangs
            assert sink is not None
            hanging[name].fail(
                StreamError(f"{sink.name} hangs in the middle of a frame: it ends without it")
            )
        return True


class _Watchdog:
    """Notices, after a stop, that no thread makes progress any more."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self._lanes = lanes
        self._progress = -1
        self._since = 0.0
        self._freed = self._held = False

    def gives_up(self, grace_seconds: float) -> bool:
        """True when nothing has happened for :meth:`patience`. To be called again and again."""
        now = time.monotonic()
        progress = sum(lane.processed + lane.written + lane.closed for lane in self._lanes)
        if progress != self._progress:
            self._progress, self._since = progress, now
        waited = now - self._since
        if not self._freed and waited >= min(grace_seconds, FILES_GRACE_SECONDS):
            self._freed = True
            held = [lane for lane in self._lanes if not lane.results.closed]
            if held:  # the detector hangs: the sinks can finish their files without it
                log.error("a thread does not stop; closing the files without it")
                for lane in held:
                    lane.results.close()
                self._since, self._held = now, True
                return False
        return waited >= grace_seconds

    def patience(self, grace_seconds: float) -> float:
        """How long nothing may happen, s: a detector that hangs is left behind first."""
        return (min(grace_seconds, FILES_GRACE_SECONDS) if self._held else 0.0) + grace_seconds


def _one_line(error: BaseException) -> str:
    text = redact(" ".join(str(error).split()))
    return text if isinstance(error, StreamError) else f"{type(error).__name__}: {text}"
