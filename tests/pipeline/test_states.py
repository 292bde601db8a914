"""What a source is at: a stall connects anew, sinks that are behind never do, and it all shows."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from pipeline_fakes import (
    BREAK,
    FRAME,
    HANG,
    REFUSE,
    FakeDetector,
    FakeSink,
    FakeSource,
    FakeTracker,
    HeldSink,
    settings,
)

from streamer.channel import Channel
from streamer.pipeline import Pipeline, RunReport, Stream
from streamer.reader import Reader
from streamer.stats import SourceSnapshot, SourceState, StatsRecorder
from streamer.types import Frame, StreamError

SOON = {"reconnect": {"initial_seconds": 0.01, "max_seconds": 0.02}}


def pipeline_of(source: FakeSource, *sinks: FakeSink, **source_settings: object) -> Pipeline:
    return Pipeline(
        [Stream(source, FakeTracker(), sinks)],
        FakeDetector(),
        settings(source={**SOON, **source_settings}, run={"max_seconds": 20}),
    )


def run_until_ended(pipeline: Pipeline) -> tuple[RunReport, list[SourceSnapshot]]:
    seen: list[SourceSnapshot] = []
    report = pipeline.run(lambda run: seen.append(run.sources[0]), tick_seconds=0.02)
    return report, seen


def states_of(seen: Sequence[SourceSnapshot]) -> list[str]:
    """The states in the order in which they were seen, each as often as it was entered."""
    states = [each.state.value for each in seen]
    return states[:1] + [after for before, after in pairwise(states) if after != before]


class Interruptible(FakeSource):
    """A hang ends when it is interrupted, as a live source's read does; closing forgets that."""

    def close(self) -> None:
        super().close()
        self._interrupted.clear()


def test_a_stalled_live_source_is_connected_anew_and_the_line_says_why(
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = Interruptible(live=True, sessions=[[FRAME] * 5 + [HANG], [FRAME] * 5], interval=0.01)
    sink = FakeSink()
    pipeline = pipeline_of(source, sink, live_queue=64, watchdog={"stall_seconds": 1.0})
    began = time.monotonic()
    with caplog.at_level(logging.INFO):
        report, _ = run_until_ended(pipeline)
    end = report.snapshot.sources[0]
    assert time.monotonic() - began < 10
    assert (source.opened, end.stalls, end.reconnects, end.error) == (2, 1, 1, None)
    assert sink.indices == list(range(10))
    frames = [result.frame for result in sink.results]
    gap = frames[5].pts_seconds - frames[4].pts_seconds
    assert gap == pytest.approx(frames[5].captured_seconds - frames[4].captured_seconds)
    assert gap > 1.0
    assert end.state_seconds[SourceState.WAITING] > 0
    lines = [line.getMessage() for line in caplog.records if "no frame" in line.getMessage()]
    assert len(lines) == 1
    assert lines[0].startswith("cam: fake://cam gave no frame for 1.")
    assert "attempt 1 in 0.0 s" in lines[0]


def test_a_connection_that_never_gives_a_frame_is_given_up_later() -> None:
    source = Interruptible(live=True, sessions=[[HANG], [FRAME] * 3])
    pipeline = pipeline_of(source, live_queue=64, watchdog={"stall_seconds": 0.1})
    report, seen = run_until_ended(pipeline)
    end = report.snapshot.sources[0]
    assert (source.opened, end.stalls, end.captured) == (2, 1, 3)
    assert states_of(seen)[0] == "starting"
    assert end.state_seconds[SourceState.STARTING] >= 0.4  # four times as long as later frames


def test_stalls_count_as_attempts_and_the_last_one_is_the_reason_of_the_end() -> None:
    source = Interruptible(live=True, sessions=[[HANG]] * 9)
    pipeline = Pipeline(
        [Stream(source, FakeTracker(), ())],
        FakeDetector(),
        settings(
            source={
                "reconnect": {**SOON["reconnect"], "max_attempts": 2},
                "watchdog": {"stall_seconds": 0.05},
            }
        ),
    )
    end = pipeline.run(tick_seconds=0.02).snapshot.sources[0]
    assert source.opened == 3
    assert end.state == "failed"
    assert end.error is not None
    assert end.error.startswith("fake://cam gave no frame for 0.")


def test_what_cannot_be_connected_anew_shows_a_stall_and_is_left_alone() -> None:
    source = Interruptible(live=True, sessions=[[FRAME] * 3 + [HANG]], interval=0.01)
    source.can_reconnect = False  # type: ignore[attr-defined]
    pipeline = pipeline_of(source, watchdog={"stall_seconds": 0.5})
    seen: list[SourceSnapshot] = []

    def tick(run: object) -> bool:
        seen.append(pipeline.snapshot().sources[0])
        return "stalled" not in states_of(seen)

    end = pipeline.run(tick, tick_seconds=0.02).snapshot.sources[0]
    assert (source.opened, end.stalls, end.state) == (1, 1, "ended")
    assert [each for each in states_of(seen) if each != "starting"][:2] == ["running", "stalled"]


class Looked:
    """A reader in a thread of its own, whose supervisor's clock the test sets."""

    def __init__(self, source: FakeSource, stall_seconds: float | None) -> None:
        chosen = settings(source={**SOON, "watchdog": {"stall_seconds": stall_seconds}})
        self.stats = StatsRecorder(source.name, source.address)
        self.frames: Channel[Frame] = Channel(64, "block")
        self.reader = Reader(source, self.frames, self.stats, chosen.source)
        self.began = time.monotonic()
        self.thread = threading.Thread(target=self.reader.run)
        self.thread.start()

    def stalls_after(self, silent_seconds: float) -> int:
        """Look on as if nothing had come for so long."""
        self.reader.watch(time.monotonic() + silent_seconds)
        return self.stats.snapshot(0, 0).stalls

    def end(self) -> None:
        self.reader.stop()
        self.thread.join(20)
        assert not self.thread.is_alive()


def test_a_source_that_is_slow_by_nature_does_not_stall() -> None:
    """Five of its usual intervals are waited for, however short a stall is elsewhere."""
    source = Interruptible(live=True, sessions=[[FRAME] * 4 + [HANG]], interval=0.3)
    looked = Looked(source, 0.1)
    try:
        for _ in range(4):
            assert looked.frames.get(20) is not None
        assert looked.stalls_after(0.2) == 0
        assert looked.stalls_after(60.0) == 1
    finally:
        looked.end()


def test_without_a_limit_no_silence_is_a_stall() -> None:
    source = Interruptible(live=True, sessions=[[FRAME, FRAME, HANG]], interval=0.01)
    looked = Looked(source, None)
    try:
        assert looked.frames.get(20) is not None
        assert looked.frames.get(20) is not None
        assert looked.stalls_after(1e6) == 0
    finally:
        looked.end()
    assert source.opened == 1


@pytest.mark.parametrize("live", [True, False])
def test_sinks_that_are_behind_block_a_source_and_connect_nothing_anew(live: bool) -> None:
    """Held for longer than a stall takes: a live source drops, a file waits, none reconnects."""
    source = Interruptible(live=live, sessions=[[FRAME] * 300], interval=0.005 if live else 0.0)
    sink = HeldSink()
    pipeline = pipeline_of(source, sink, watchdog={"stall_seconds": 0.5})
    threading.Timer(1.3, sink.release.set).start()
    report, seen = run_until_ended(pipeline)
    end = report.snapshot.sources[0]
    assert (source.opened, end.stalls, end.reconnects) == (1, 0, 0)
    assert "blocked" in states_of(seen)
    assert end.state == "ended"
    assert end.state_seconds[SourceState.BLOCKED] > 0.3
    assert end.captured == 300 == end.processed + end.dropped
    assert len(sink.indices) == end.processed
    assert (end.dropped > 0) == live


def test_a_slow_sink_drops_a_live_source_s_frames_and_the_latency_of_the_rest_stays_flat() -> None:
    """20 ms a frame against 5 ms: what is processed is fresh, at the end as at the beginning."""
    source = FakeSource(live=True, sessions=[[FRAME] * 300], interval=0.005)
    sink = FakeSink(seconds=0.02)
    report, seen = run_until_ended(pipeline_of(source, sink))
    end = report.snapshot.sources[0]
    latency = np.array([result.stage_seconds["latency"] for result in sink.results])
    assert end.dropped > 100
    assert states_of(seen).count("blocked") >= 1
    # A frame waits for two others at most, each as long as the sink takes for one.
    # Real seconds on a busy machine: a queue that grew would make it 300 x 20 ms.
    assert np.median(latency[-20:]) < 1.0


def test_a_source_that_is_away_is_waited_for_while_another_runs() -> None:
    sinks = {"away": FakeSink(), "there": FakeSink()}

    class Away(FakeSource):
        def open(self) -> None:
            if not sinks["there"].closed:
                raise StreamError(f"{self.address} cannot be reached")
            super().open()

    away = Away("away", live=True, sessions=[REFUSE] * 5 + [[FRAME] * 5], interval=0.01)
    there = FakeSource("there", frames=200)
    pipeline = Pipeline(
        [Stream(each, FakeTracker(), (sinks[each.name],)) for each in (away, there)],
        FakeDetector(),
        settings(
            source={
                "live_queue": 64,
                "reconnect": {"initial_seconds": 0.05, "max_seconds": 0.05},
            }
        ),
    )
    together: set[tuple[str, str]] = set()
    report = pipeline.run(
        lambda run: together.add((run.sources[0].state.value, run.sources[1].state.value)),
        tick_seconds=0.01,
    )
    assert not report.failed
    assert sinks["there"].indices == list(range(200))
    assert len(sinks["away"].indices) == 5
    assert ("waiting", "ended") in together


def test_tracks_are_not_shown_as_live_while_nobody_sees_them() -> None:
    stats = StatsRecorder("cam", "fake://cam")
    stats._tracks_live = 3
    stats.enter(SourceState.WAITING)
    assert stats.snapshot().tracks_live == 0


def test_the_seconds_of_each_state_add_up_and_a_change_can_be_conditional() -> None:
    now = 100.0
    stats = StatsRecorder("cam", "fake://cam", clock=lambda: now)
    now = 102.0
    stats.enter(SourceState.RUNNING)
    now = 103.0
    stats.enter(SourceState.RUNNING, after=SourceState.BLOCKED)  # it is not blocked
    stats.enter(SourceState.BLOCKED, after=SourceState.RUNNING)
    now = 103.5
    stats.fail("broken")
    stats.enter(SourceState.ENDED)
    now = 104.0
    assert stats.snapshot().state == "failed"
    seconds = {"starting": 2.0, "running": 1.0, "blocked": 0.5, "failed": 0.5}
    assert stats.snapshot().state_seconds == seconds


def test_a_read_error_right_after_a_stall_was_noticed_connects_once() -> None:
    """The interruption that a stall asks for must not hit the next connection."""
    sessions = [[FRAME, FRAME, HANG], [FRAME, BREAK], [FRAME] * 30]
    source = Interruptible(live=True, sessions=sessions, interval=0.02)
    pipeline = pipeline_of(source, live_queue=64, watchdog={"stall_seconds": 0.5})
    end = run_until_ended(pipeline)[0].snapshot.sources[0]
    assert (source.opened, end.captured, end.stalls, end.reconnects) == (3, 33, 1, 2)
