"""The thread body that reads one source: open, read, hand on, and reconnect a live one."""

from __future__ import annotations

import dataclasses
import logging
import random
import threading
import time

from configs.schema import SourceSettings
from streamer.channel import Channel
from streamer.frozen import FrozenWatch
from streamer.protocols import Source
from streamer.redact import redact
from streamer.stats import SourceState, StatsRecorder
from streamer.types import Frame, PermanentError, StreamError

log = logging.getLogger(__name__)

STALL_INTERVALS = 5
"""A source that gives a frame now and then is not stalled before so many of its usual intervals."""
FIRST_FRAME_PATIENCE = 4
"""The first frame may take so many times longer, for it is a key frame, and the next may be far
off; so may the second, as long as nobody knows what is usual."""
PROVEN_SECONDS = 10.0
"""A connection that gave frames for so long, or for longer than the wait before it, has worked: if
it breaks, the attempts begin anew."""

_SMALLEST_STEP_SECONDS = 1e-3
_FURTHEST_AHEAD_SECONDS = 5.0  # a stream that is not known yet may begin with a burst
_KNOWN_FRAMES = 10  # ... which is over by then; one a second may come late and in pairs, too
_AHEAD_SECONDS = 0.5  # no frame of a stream that is known comes earlier than any before by more
_DRIFT = 0.01  # a camera's clock may be slow by so much, and what is early for it changes


class Timeline:
    """Keeps a source's frame indices and timestamps rising across reconnections.

    A camera that is reached again may count from 0 again. Its indices then go on where they had
    stopped, and its timestamps go on as far later as really passed meanwhile.

    A live clock that was set is told from frames that jammed by when they come. What jammed comes
    later than it could have, be it in a burst or with frames lost, and nothing can come earlier
    than without any delay; frames after a clock was set ahead do.
    """

    def __init__(self) -> None:
        self._last: Frame | None = None
        self._index_offset = 0
        self._pts_offset = 0.0
        self._broken = False
        self._earliest = 0.0  # the most that a pts was ahead of the clock of arrival, drift aside
        self._known = 0  # frames of this connection

    def break_off(self) -> None:
        """The next frame comes from a new connection."""
        self._broken = True

    def place(self, frame: Frame, captured: int, *, live: bool) -> Frame:
        """``frame`` with its index and pts as this run counts them.

        Args:
            frame: as the source gave it.
            captured: frames captured before it, corrupt ones included: the index that it has
                where no frame got lost on the way.
            live: a live clock that is set, back or ahead, without a break is carried on, too.
        """
        last = self._last
        if self._broken:
            due = captured if last is None else max(captured, last.index + 1)
            self._index_offset = max(0, due - frame.index)
        if last is not None:
            pts = frame.pts_seconds + self._pts_offset
            passed = frame.captured_seconds - last.captured_seconds
            step = pts - last.pts_seconds
            if self._broken or (live and self._was_set(step, passed, pts - frame.captured_seconds)):
                pts = last.pts_seconds + max(passed, _SMALLEST_STEP_SECONDS)
                self._pts_offset = pts - frame.pts_seconds
        if self._index_offset or self._pts_offset:
            frame = dataclasses.replace(
                frame,
                index=frame.index + self._index_offset,
                pts_seconds=frame.pts_seconds + self._pts_offset,
            )
        self._note_earliest(frame, last)
        self._broken = False
        self._last = frame
        return frame

    def _was_set(self, step: float, passed: float, ahead: float) -> bool:
        """Whether the stream's clock went on by ``step``, s, because it was set."""
        if not 0.0 < step < passed + _FURTHEST_AHEAD_SECONDS:
            return True
        known = self._known >= _KNOWN_FRAMES
        return known and min(step - passed, ahead - self._earliest) > _AHEAD_SECONDS

    def _note_earliest(self, frame: Frame, last: Frame | None) -> None:
        ahead = frame.pts_seconds - frame.captured_seconds
        if self._broken or last is None:
            self._earliest, self._known = ahead, 0
        else:
            passed = frame.captured_seconds - last.captured_seconds
            self._earliest = max(ahead, self._earliest - _DRIFT * passed)
        self._known += 1


class Reader:
    """Reads one source into its channel. :meth:`run` is a thread's body; the rest is for others.

    Args:
        source: opened, read and closed by the thread that calls :meth:`run`.
        frames: where the frames go; closed when the source has ended.
        stats: counts captured, corrupt and dropped frames, reconnections and stalls.
        settings: what to do when a live source breaks or stalls, and what a frozen picture is.
        max_frames: stop when so many frames were read that are or will be processed; None: all.
    """

    def __init__(
        self,
        source: Source,
        frames: Channel[Frame],
        stats: StatsRecorder,
        settings: SourceSettings,
        max_frames: int | None = None,
    ) -> None:
        self._source = source
        self._frames = frames
        self._stats = stats
        self._reconnect = settings.reconnect
        self._stall_seconds = settings.watchdog.stall_seconds
        self._frozen = FrozenWatch(settings.watchdog, source.name)
        self._max_frames = max_frames
        self._stop = threading.Event()
        self._timeline = Timeline()
        self._captured = 0
        self._corrupt_seen = 0
        self._kept = 0
        self._since_open = 0
        self._opened_seconds = self._delivered_seconds = 0.0
        self._usual_interval = 0.0
        # For the supervisor, which looks on from another thread. The lock makes sure that it
        # interrupts the connection that has stalled, and not the next one.
        self._lock = threading.Lock()
        self._silent_since: float | None = None
        self._stall: str | None = None

    def run(self) -> None:
        """Read until the source ends, breaks for good, or :meth:`stop` is called.

        Raises:
            StreamError: a file broke, or a live source did and all attempts failed, or more could
                not help.
        """
        try:
            self._read_with_retries()
        finally:
            self._expect_nothing()
            try:
                self._source.close()
                self._count_corrupt()
            finally:
                self._frames.close()

    def stop(self) -> None:
        """End soon, from any thread. Idempotent."""
        self._stop.set()
        self._source.interrupt()

    def watch(self, now: float) -> None:
        """Count a live source that has fallen silent, and make it connect anew if it can. Called
        now and then by the supervisor.

        A read that waits cannot tell by itself that it has waited for long.
        """
        with self._lock:
            if self._silent_since is None or self._stall is not None or not self._source.live:
                return
            if self._stall_seconds is None:  # the user wants none
                return
            silent = now - self._silent_since
            patience = max(self._stall_seconds, STALL_INTERVALS * self._usual_interval)
            if not self._since_open or not self._usual_interval:
                patience *= FIRST_FRAME_PATIENCE
            if silent < patience:
                return
            stall = self._stall = f"{self._source.address} gave no frame for {silent:.1f} s"
            # Within the lock: the reader, once interrupted, is soon at the next state.
            self._stats.count_stall()
            self._stats.enter(SourceState.STALLED)
            if self._can_reconnect:
                self._source.interrupt()
        if not self._can_reconnect:
            log.warning("%s: %s", self._source.name, redact(stall))

    def _read_with_retries(self) -> None:
        attempts = 0
        waited = 0.0
        while not self._stop.is_set():
            self._since_open = 0
            try:
                self._source.open()
                self._count_corrupt()  # here, so that a count that starts again is noticed
                self._read_to_end()
                return
            except StreamError as broken:
                # What a read says that was interrupted because of a stall is not the reason.
                stall = self._expect_nothing()
                error = broken if stall is None else StreamError(stall)
                if self._stop.is_set():  # interrupted: that it broke off is what was asked for
                    return
                if not self._may_reconnect(error):
                    raise error from broken.__cause__
                # One that breaks off after a frame each time must not be called in a rush for ever.
                if self._since_open and self._delivered_seconds >= min(waited, PROVEN_SECONDS):
                    attempts = 0
                attempts += 1
                allowed = self._reconnect.max_attempts
                if allowed is not None and attempts > allowed:
                    raise error from broken.__cause__
                self._source.close()
                self._count_corrupt()
                waited = self._wait(attempts, error)

    def _may_reconnect(self, error: StreamError) -> bool:
        # A camera that once delivered may refuse a password while it starts again.
        if isinstance(error, PermanentError) and not self._captured:
            return False
        return self._can_reconnect

    @property
    def _can_reconnect(self) -> bool:
        # A recording that is replayed at its own pace is live, too, but opening it again cannot
        # help: its source says so with ``can_reconnect = False``.
        return bool(getattr(self._source, "can_reconnect", self._source.live))

    def _expect_nothing(self) -> str | None:
        """Until the next opening no silence is a stall; why the source has stalled, if it has."""
        with self._lock:
            self._silent_since = None
            stall, self._stall = self._stall, None
        return stall

    def _wait(self, attempt: int, error: StreamError) -> float:
        """Wait for the given attempt's turn: exponential back-off with jitter. Returns it, s."""
        settings = self._reconnect
        longest = min(settings.max_seconds, settings.initial_seconds * 2.0 ** min(attempt - 1, 32))
        # Jitter, so that many cameras behind one switch do not all come back in the same instant.
        delay = longest * random.uniform(0.75, 1.0)
        limit = "" if settings.max_attempts is None else f" of {settings.max_attempts}"
        log.warning(
            "%s: %s; attempt %d%s in %.1f s",
            self._source.name,
            redact(str(error)),
            attempt,
            limit,
            delay,
        )
        self._stats.enter(SourceState.WAITING)
        self._timeline.break_off()
        self._stop.wait(delay)
        return delay

    def _read_to_end(self) -> None:
        with self._lock:
            self._silent_since = time.monotonic()
        while not self._stop.is_set():
            try:
                frame = self._source.read()
            finally:
                self._count_corrupt()
            if frame is None:
                if (stall := self._stall) is not None and self._can_reconnect:
                    raise StreamError(stall)
                return
            self._hand_on(frame)
            if self._max_frames is not None and self._kept >= self._max_frames:
                return

    def _hand_on(self, frame: Frame) -> None:
        self._note_arrival(frame.captured_seconds)
        frame = self._timeline.place(frame, self._captured, live=self._source.live)
        if self._frozen.is_frozen(frame):
            frame = dataclasses.replace(frame, frozen=True)
        if not self._since_open:
            self._opened_seconds = frame.captured_seconds
            self._stats.enter(SourceState.RUNNING)
            if self._kept:
                self._stats.count_reconnect()
                log.info("%s: delivers again", self._source.name)
        self._since_open += 1
        self._delivered_seconds = frame.captured_seconds - self._opened_seconds
        self._captured += 1
        self._stats.count_captured()
        dropped = len(self._frames.put(frame))
        self._stats.count_dropped(dropped)
        self._kept += 1 - dropped

    def _note_arrival(self, now: float) -> None:
        with self._lock:
            last, self._silent_since = self._silent_since, now
            if self._stall is not None and not self._can_reconnect:
                self._stall = None
                self._stats.enter(SourceState.RUNNING, after=SourceState.STALLED)
            elif last is not None and self._since_open:
                interval = now - last
                slow = 0.9 * self._usual_interval + 0.1 * interval
                self._usual_interval = slow if self._usual_interval else interval

    def _count_corrupt(self) -> None:
        """Take over what the source counted since the last look; it may restart when reopened."""
        seen = self._source.corrupt
        new = seen - self._corrupt_seen if seen >= self._corrupt_seen else seen
        self._corrupt_seen = seen
        if new:
            self._captured += new
            self._stats.count_corrupt(new)
