"""Counters and latencies of a run, and the snapshots that dashboards and summaries read.

Everything here keeps the same size however long a run lasts: durations go into a histogram with
logarithmic buckets, rates into a ring of short bins, and of track ids the last ones are known.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from streamer.types import FrameResult

_REMEMBERED_TRACKS = 1000
"""Of so many ids it is known that they were counted."""


class SourceState(StrEnum):
    """What a source is at. Only ``STALLED`` and an error lead to ``WAITING``."""

    STARTING = "starting"
    """No frame has come yet."""
    RUNNING = "running"
    """Frames come and are taken."""
    BLOCKED = "blocked"
    """Frames come, and its sinks are behind: a live source drops, a file waits."""
    STALLED = "stalled"
    """No frame has come for too long."""
    WAITING = "waiting"
    """It broke off, or could not be reached: the next try is due in a while."""
    ENDED = "ended"
    """Every frame is written."""
    FAILED = "failed"
    """It, or one of its sinks, ended badly."""


@dataclass(frozen=True, slots=True)
class LatencySummary:
    """Percentiles of a duration, milliseconds; zeros where nothing was measured."""

    p50: float = 0.0
    p95: float = 0.0
    p99: float = 0.0
    max: float = 0.0
    count: int = 0


@dataclass(frozen=True, slots=True)
class SourceSnapshot:
    """One source's numbers at a moment."""

    name: str
    address: str
    state: SourceState
    captured: int = 0
    processed: int = 0
    dropped: int = 0
    corrupt: int = 0
    reconnects: int = 0
    stalls: int = 0
    fps_in: float = 0.0
    """Frames captured per second, over the last few seconds."""
    fps_out: float = 0.0
    """Frames processed per second, over the last few seconds."""
    queue_depth: int = 0
    queue_capacity: int = 0
    detections: int = 0
    """All detections so far."""
    tracks_live: int = 0
    """Confirmed and coasting tracks at the last frame."""
    tracks_total: int = 0
    """Tracks that were ever confirmed."""
    latency_ms: LatencySummary = field(default_factory=LatencySummary)
    """From a frame's capture until its tracks are known."""
    stage_ms: dict[str, LatencySummary] = field(default_factory=dict)
    """Each stage's own time: queue, preprocess, network, postprocess, track, each sink."""
    error: str | None = None
    """Why it failed, one line."""
    fps_mean: float = 0.0
    """Frames processed per second, from the first capture to the last processed frame."""
    picture_size: tuple[int, int] | None = None
    """Width and height of the last processed picture, px."""
    frozen: int = 0
    """Processed frames that showed nothing new: see :class:`streamer.frozen.FrozenWatch`."""
    damaged: int = 0
    """Processed frames of which parts may be wrong."""
    frozen_now: bool = False
    """Whether the last processed frame was one of them."""
    state_seconds: dict[SourceState, float] = field(default_factory=dict)
    """How long it was in each state that it ever was in."""


@dataclass(frozen=True, slots=True)
class RunSnapshot:
    """The whole run's numbers at a moment."""

    elapsed_seconds: float
    sources: tuple[SourceSnapshot, ...]


class DurationHistogram:
    """Durations in buckets that each are 2 % wide: a percentile is off by 1 % at most.

    It holds a few hundred counts however many durations come. Not thread-safe by itself.
    """

    _GROWTH = 1.02
    _SMALLEST = 1e-6  # seconds; what is shorter shares the first bucket

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._count = 0
        self._max = 0.0

    def add(self, seconds: float) -> None:
        """Count one duration, in seconds; a negative one counts as 0."""
        bucket = 0
        if seconds > self._SMALLEST:
            bucket = 1 + int(math.log(seconds / self._SMALLEST) / math.log(self._GROWTH))
        self._counts[bucket] = self._counts.get(bucket, 0) + 1
        self._count += 1
        self._max = max(self._max, seconds)

    def percentiles(self, *percents: float) -> list[float]:
        """The shortest durations, in seconds, that so many percent of all do not exceed.

        ``percents`` must ascend. Zeros where nothing was counted.
        """
        found: list[float] = []
        seen = 0
        buckets = iter(sorted(self._counts))
        value = 0.0
        for percent in percents:
            rank = math.ceil(percent / 100.0 * self._count)
            while seen < rank:
                bucket = next(buckets)
                seen += self._counts[bucket]
                # The bucket's geometric middle, which no member of it is further than 1 % from.
                middle = self._SMALLEST * self._GROWTH ** (bucket - 0.5) if bucket else 0.0
                value = min(middle, self._max)
            found.append(value)
        return found

    def summary(self) -> LatencySummary:
        """Percentiles and the exact maximum, in milliseconds."""
        p50, p95, p99 = (1e3 * value for value in self.percentiles(50, 95, 99))
        return LatencySummary(p50, p95, p99, max=1e3 * self._max, count=self._count)


class RateMeter:
    """Events per second over the last few seconds. Not thread-safe by itself."""

    _BIN_SECONDS = 0.25
    _BINS = 12

    def __init__(self) -> None:
        self._first: float | None = None
        self._bins: deque[list[int]] = deque(maxlen=self._BINS + 1)  # [number of the bin, count]

    def add(self, now: float) -> None:
        """Count one event at ``now``, seconds of a clock that does not go back."""
        if self._first is None:
            self._first = now
        number = int(now // self._BIN_SECONDS)
        if not self._bins or self._bins[-1][0] != number:
            self._bins.append([number, 0])
        self._bins[-1][1] += 1

    def rate(self, now: float) -> float:
        """Events per second up to ``now``; 0 in the first instants."""
        if self._first is None:
            return 0.0
        oldest = int(now // self._BIN_SECONDS) - self._BINS
        count = sum(count for number, count in self._bins if number >= oldest)
        span = now - max(self._first, oldest * self._BIN_SECONDS)
        return count / span if span >= self._BIN_SECONDS else 0.0


class StatsRecorder:
    """Counts what happens to one source's frames. Safe to call from any thread.

    Args:
        name: the source's.
        address: where it comes from, without passwords.
        clock: seconds that do not go back, the clock of ``Frame.captured_seconds``.
    """

    def __init__(
        self, name: str, address: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._name = name
        self._address = address
        self._clock = clock
        self._lock = threading.Lock()
        self._state = SourceState.STARTING
        self._state_since = clock()
        self._state_seconds: dict[SourceState, float] = {}
        self._error: str | None = None
        self._captured = self._processed = self._dropped = self._corrupt = 0
        self._reconnects = self._stalls = self._frozen = self._damaged = 0
        self._frozen_now = False
        self._detections = self._tracks_live = self._tracks_total = 0
        self._known_tracks: dict[int, None] = {}
        """Ids that were counted, the one that was seen last at the end."""
        self._rate_in = RateMeter()
        self._rate_out = RateMeter()
        self._first_capture: float | None = None
        self._last_processed = 0.0
        self._picture_size: tuple[int, int] | None = None
        self._latency = DurationHistogram()
        self._stages: dict[str, DurationHistogram] = {}

    def enter(self, state: SourceState, *, after: SourceState | None = None) -> None:
        """Change the state; ``FAILED`` is final and is left to :meth:`fail`.

        Args:
            state: the new one.
            after: change only if this is the state now; None: whatever it is.
        """
        with self._lock:
            if self._error is None and after in (None, self._state):
                self._change(state)
                if state == SourceState.WAITING:
                    self._tracks_live = 0  # nobody sees them

    def fail(self, message: str) -> None:
        """Mark the source as failed; the first message stays."""
        with self._lock:
            if self._error is None:
                self._change(SourceState.FAILED)
                self._error = message

    def count_captured(self) -> None:
        """A frame left the source."""
        now = self._clock()
        with self._lock:
            self._captured += 1
            self._rate_in.add(now)
            if self._first_capture is None:
                self._first_capture = now

    def count_corrupt(self, frames: int) -> None:
        """The source met frames that it could not decode; they count as captured, too."""
        with self._lock:
            self._captured += frames
            self._corrupt += frames

    def count_dropped(self, frames: int) -> None:
        """Captured frames were given up unprocessed."""
        with self._lock:
            self._dropped += frames

    def count_reconnect(self) -> None:
        """The source delivers again after it had broken off."""
        with self._lock:
            self._reconnects += 1

    def count_stall(self) -> None:
        """The source fell silent."""
        with self._lock:
            self._stalls += 1

    def count_processed(self, result: FrameResult) -> None:
        """A frame's tracks are known. Takes in its ``stage_seconds``, ``latency`` among them."""
        tracks = result.tracks
        reported = frozenset(tracks.track_id[tracks.reported].tolist())
        now = self._clock()
        with self._lock:
            self._processed += 1
            self._frozen += result.frame.frozen
            self._frozen_now = result.frame.frozen
            self._damaged += result.frame.damaged
            self._rate_out.add(now)
            self._last_processed = now
            self._picture_size = (result.frame.width, result.frame.height)
            self._detections += len(result.detections)
            self._tracks_live = len(reported)
            self._tracks_total += len(reported - self._known_tracks.keys())
            for track_id in reported:
                self._known_tracks.pop(track_id, None)
                self._known_tracks[track_id] = None
            # An id may come back soon after it was gone. Memory must not grow with the stream.
            while len(self._known_tracks) > max(_REMEMBERED_TRACKS, len(reported)):
                del self._known_tracks[next(iter(self._known_tracks))]
            for stage, seconds in result.stage_seconds.items():
                if stage == "latency":
                    self._latency.add(seconds)
                else:
                    self._stage(stage).add(seconds)

    def count_unwritten(self, frames: int) -> None:
        """Processed frames were given up before any sink saw them: they count as dropped."""
        with self._lock:
            self._processed -= frames
            self._dropped += frames

    def add_stage(self, stage: str, seconds: float) -> None:
        """A stage that comes after the tracks, a sink say, took so long with a frame."""
        with self._lock:
            self._stage(stage).add(seconds)

    def snapshot(self, queue_depth: int = 0, queue_capacity: int = 0) -> SourceSnapshot:
        """All numbers as they are now."""
        now = self._clock()
        with self._lock:
            active = self._last_processed - (self._first_capture or 0.0)
            return SourceSnapshot(
                name=self._name,
                address=self._address,
                state=self._state,
                captured=self._captured,
                processed=self._processed,
                dropped=self._dropped,
                corrupt=self._corrupt,
                reconnects=self._reconnects,
                stalls=self._stalls,
                fps_in=self._rate_in.rate(now),
                fps_out=self._rate_out.rate(now),
                queue_depth=queue_depth,
                queue_capacity=queue_capacity,
                detections=self._detections,
                tracks_live=self._tracks_live,
                tracks_total=self._tracks_total,
                latency_ms=self._latency.summary(),
                stage_ms={name: times.summary() for name, times in self._stages.items()},
                error=self._error,
                fps_mean=self._processed / active if self._processed and active > 0 else 0.0,
                picture_size=self._picture_size,
                frozen=self._frozen,
                damaged=self._damaged,
                frozen_now=self._frozen_now,
                state_seconds={**self._state_seconds, self._state: self._in_state(now)},
            )

    def _change(self, state: SourceState) -> None:
        now = self._clock()
        self._state_seconds[self._state] = self._in_state(now)
        self._state, self._state_since = state, now

    def _in_state(self, now: float) -> float:
        """All seconds in the present state."""
        return self._state_seconds.get(self._state, 0.0) + now - self._state_since

    def _stage(self, name: str) -> DurationHistogram:
        return self._stages.setdefault(name, DurationHistogram())
