"""Whatever fails, a run ends soon and in order: what was processed is written, the cause shows."""

from __future__ import annotations

import logging
import re
import time

import pytest
from pipeline_fakes import (
    BREAK,
    BUG,
    FRAME,
    HANG,
    FakeDetector,
    FakeSink,
    FakeSource,
    FakeTracker,
    HeldSink,
    settings,
)

import streamer.pipeline
from streamer.pipeline import Pipeline, RunReport, Stream
from streamer.stats import RunSnapshot
from streamer.types import FrameResult, StreamError


def check_books(report: RunReport, sinks: list[FakeSink]) -> None:
    for end, sink in zip(report.snapshot.sources, sinks, strict=True):
        assert end.captured == end.processed + end.dropped + end.corrupt
        assert len(sink.indices) == end.processed
        assert sink.indices == sorted(set(sink.indices))
        assert sink.closed == 1


@pytest.mark.parametrize(
    "part", ["source", "detector", "detector's last", "tracker", "on_tick", "pump"]
)
@pytest.mark.parametrize("max_in_flight", [1, 3])
def test_a_bug_in_any_part_ends_the_run_in_order_and_is_raised(
    part: str, max_in_flight: int
) -> None:
    steps = [FRAME] * 40 + ([BUG] if part == "source" else []) + [FRAME] * 1000
    if part == "detector's last":
        steps = [FRAME] * 40
    fail_at = {"detector": 40, "detector's last": 39}.get(part)
    detector = FakeDetector(
        seconds=0.001, max_batch=4, max_in_flight=max_in_flight, fail_at=fail_at
    )
    sinks = [FakeSink(seconds=0.001), FakeSink()]
    sources = [FakeSource("one", sessions=[steps]), FakeSource("two", live=True, interval=0.01)]
    sources[1]._sessions = [[FRAME] * 5 + [HANG]]
    pipeline = Pipeline(
        [
            Stream(sources[0], FakeTracker(fail_at=40 if part == "tracker" else None), (sinks[0],)),
            Stream(sources[1], FakeTracker(), (sinks[1],)),
        ],
        detector,
        settings(),
    )

    def tick(snapshot: RunSnapshot) -> None:
        if part == "on_tick" and snapshot.sources[0].processed:
            raise RuntimeError("a bug in the on_tick")

    def pump() -> bool:
        time.sleep(0.005)
        if pipeline.snapshot().sources[0].processed:
            raise RuntimeError("a bug in the pump")
        return True

    started = time.monotonic()
    with pytest.raises((RuntimeError, ValueError), match=f"a bug in the {part.split(chr(39))[0]}"):
        pipeline.run(tick, tick_seconds=0.01, pump=pump if part == "pump" else None)
    assert time.monotonic() - started < 5
    report = pipeline.report
    assert report.failed
    assert report.reason == "failed"
    assert report.error is not None
    assert f"a bug in the {part.split(chr(39))[0]}" in report.error
    check_books(report, sinks)
    assert all(source.closed for source in sources)


def test_a_bug_in_a_sink_is_raised_and_the_other_sinks_get_everything_processed() -> None:
    bad = FakeSink("bad", error=ZeroDivisionError("a bug in the sink"), fail_at=10)
    good = FakeSink("good", seconds=0.001)
    pipeline = Pipeline(
        [Stream(FakeSource(frames=5000), FakeTracker(), (bad, good))], FakeDetector(), settings()
    )
    with pytest.raises(ZeroDivisionError, match="a bug in the sink"):
        pipeline.run(tick_seconds=0.01)
    assert bad.indices == list(range(10))
    assert bad.closed == 1
    check_books(pipeline.report, [good])


@pytest.mark.parametrize("at", ["write", "close"])
def test_a_sink_that_fails_ends_its_own_source_only(at: str) -> None:
    disk_full = StreamError("cannot write annotated.mp4: no space left")
    bad = (
        FakeSink("record", error=disk_full, fail_at=20)
        if at == "write"
        else FakeSink("record", close_error=disk_full)
    )
    beside, other = FakeSink("tracks", seconds=0.001), FakeSink("tracks")
    report = Pipeline(
        [
            Stream(FakeSource("one", frames=300), FakeTracker(), (bad, beside)),
            Stream(FakeSource("two", frames=300), FakeTracker(), (other,)),
        ],
        FakeDetector(seconds=0.0005),
        settings(),
    ).run(tick_seconds=0.01)
    one, two = report.snapshot.sources
    assert report.failed
    assert (one.state, one.error) == ("failed", "cannot write annotated.mp4: no space left")
    assert (two.state, two.processed) == ("ended", 300)
    assert (one.processed < 300) == (at == "write")
    check_books(report, [beside, other])
    assert bad.closed == 1


def test_a_file_that_breaks_off_ends_alone_and_what_was_read_is_processed() -> None:
    sinks = [FakeSink(), FakeSink()]
    broken = FakeSource("broken", sessions=[[FRAME] * 30 + [BREAK]])
    report = Pipeline(
        [
            Stream(broken, FakeTracker(), (sinks[0],)),
            Stream(FakeSource("whole", frames=60), FakeTracker(), (sinks[1],)),
        ],
        FakeDetector(seconds=0.001),
        settings(),
    ).run(tick_seconds=0.01)
    assert [end.processed for end in report.snapshot.sources] == [30, 60]
    assert [end.state for end in report.snapshot.sources] == ["failed", "ended"]
    assert report.snapshot.sources[0].error == "fake://broken broke off"
    assert report.failed
    assert report.reason == "finished"
    assert broken.opened == 1  # a file is not tried again
    check_books(report, sinks)


def test_ctrl_c_without_a_handler_ends_in_order_too() -> None:
    sink = FakeSink()
    pipeline = Pipeline(
        [Stream(FakeSource(frames=100_000), FakeTracker(), (sink,))], FakeDetector(), settings()
    )

    def tick(snapshot: RunSnapshot) -> None:
        if snapshot.sources[0].processed:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pipeline.run(tick, tick_seconds=0.01)
    assert pipeline.report.reason == "interrupted"
    check_books(pipeline.report, [sink])


def test_what_fails_later_is_noted_on_what_failed_first() -> None:
    sink = FakeSink(close_error=OSError("the close failed, too"))
    pipeline = Pipeline(
        [Stream(FakeSource(frames=9), FakeTracker(fail_at=3), (sink,))], FakeDetector(), settings()
    )
    with pytest.raises(RuntimeError, match="a bug in the tracker") as caught:
        pipeline.run(tick_seconds=0.01)
    assert caught.value.__notes__ == ["then also OSError: the close failed, too"]


def test_passwords_in_an_error_do_not_reach_the_log_or_the_report(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sink = FakeSink(error=StreamError("cannot reach rtsp://me:hunter2@host/a"), fail_at=0)
    with caplog.at_level(logging.DEBUG):
        report = Pipeline(
            [Stream(FakeSource(frames=3), FakeTracker(), (sink,))], FakeDetector(), settings()
        ).run(tick_seconds=0.01)
    assert report.snapshot.sources[0].error == "cannot reach rtsp://***@host/a"
    assert "hunter2" not in caplog.text


class StuckDetector(FakeDetector):
    """Hangs in its seventh batch, before the sixth is fetched, for longer than twice the grace that
    the tests give."""

    def begin(self, frames):  # type: ignore[no-untyped-def]
        if len(self.batches) == 6:
            time.sleep(1.0)
        return super().begin(frames)


def test_a_part_that_hangs_is_given_up_and_the_others_files_are_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streamer.pipeline, "GRACE_SECONDS", 0.15)

    sink = FakeSink()
    pipeline = Pipeline(
        [Stream(FakeSource(frames=100), FakeTracker(), (sink,))], StuckDetector(), settings()
    )

    def tick(snapshot: RunSnapshot) -> bool:
        return snapshot.sources[0].processed < 5

    started = time.monotonic()
    with pytest.raises(StreamError, match=r"did not stop within 0\.3 s: detect"):
        pipeline.run(tick, tick_seconds=0.01)
    assert time.monotonic() - started < 1.0
    assert sink.indices == [0, 1, 2, 3, 4]
    check_books(pipeline.report, [sink])
    pipeline._threads[0].join(5)


def test_who_hurries_does_not_wait_for_a_part_that_hangs_and_the_books_balance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streamer.pipeline, "HURRIED_GRACE_SECONDS", 0.1)

    sink = FakeSink()
    pipeline = Pipeline(
        [Stream(FakeSource(frames=100), FakeTracker(), (sink,))], StuckDetector(), settings()
    )

    def tick(snapshot: RunSnapshot) -> None:
        if snapshot.sources[0].processed == 5:
            pipeline.stop("SIGINT")
            pipeline.hurry()

    started = time.monotonic()
    report = pipeline.run(tick, tick_seconds=0.01)
    assert time.monotonic() - started < 0.9
    assert (report.reason, report.error) == ("SIGINT", None)
    assert report.snapshot.sources[0].dropped > 0
    check_books(report, [sink])
    pipeline._threads[0].join(5)


def test_a_sink_that_takes_its_time_to_close_is_no_thread_that_hangs(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The user's program for events may take 4 s at the end."""
    monkeypatch.setattr(streamer.pipeline, "FILES_GRACE_SECONDS", 0.1)

    class SlowToClose(FakeSink):
        def close(self) -> None:
            time.sleep(0.5)
            super().close()

    sinks = SlowToClose(), FakeSink()
    stream = Stream(FakeSource(live=True, frames=10**6, interval=0.01), FakeTracker(), sinks)
    pipeline = Pipeline([stream], FakeDetector(), settings())
    report = pipeline.run(lambda snapshot: snapshot.sources[0].processed < 5, tick_seconds=0.01)
    check_books(report, [sinks[0]])
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_progress_after_a_stop_keeps_slow_sinks_from_being_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streamer.pipeline, "GRACE_SECONDS", 0.25)

    class SlowSink(FakeSink):
        def write(self, result: FrameResult) -> None:
            time.sleep(0.03)
            super().write(result)

    sink = SlowSink()
    pipeline = Pipeline(
        [Stream(FakeSource(frames=100), FakeTracker(), (sink,))], FakeDetector(), settings()
    )
    report = pipeline.run(lambda snapshot: snapshot.sources[0].processed < 20, tick_seconds=0.01)
    assert report.reason == "closed"
    check_books(report, [sink])


SLOW = 0.05


def test_after_a_stop_slow_sinks_get_only_so_long_and_the_rest_is_dropped_in_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(streamer.pipeline, "SINKS_SECONDS", 0.2)
    sinks = FakeSink("slow", seconds=SLOW), FakeSink()
    stream = Stream(FakeSource(live=True, frames=10**6, interval=0.002), FakeTracker(), sinks)
    pipeline = Pipeline([stream], FakeDetector(), settings())
    stopped: list[float] = []

    def tick(snapshot: RunSnapshot) -> None:
        if snapshot.sources[0].state == "blocked" and not stopped:
            pipeline.stop("SIGTERM")
            stopped.append(time.monotonic())

    report = pipeline.run(tick, tick_seconds=0.01)
    assert time.monotonic() - stopped[0] < 1.0  # all that waited would have taken 1.6 s
    assert (report.reason, report.failed) == ("SIGTERM", False)
    check_books(report, [sinks[0]])
    assert sinks[0].indices == sinks[1].indices
    assert sinks[1].closed == 1
    said = [line.getMessage() for line in caplog.records if line.levelno >= logging.WARNING]
    assert len(said) == 1
    assert re.fullmatch(r"cam: \d+ of the last frames are not written: .*", said[0])


@pytest.mark.parametrize("max_seconds", [None, 0.3])
def test_a_run_that_ends_by_itself_waits_for_slow_sinks(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    max_seconds: float | None,
) -> None:
    monkeypatch.setattr(streamer.pipeline, "SINKS_SECONDS", 0.1)
    sink = FakeSink(seconds=SLOW)
    stream = Stream(FakeSource(frames=30 if max_seconds is None else 10**6), FakeTracker(), (sink,))
    pipeline = Pipeline([stream], FakeDetector(), settings(run={"max_seconds": max_seconds}))
    report = pipeline.run(tick_seconds=0.01)
    check_books(report, [sink])
    assert len(sink.indices) == 30 or max_seconds is not None
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_stop_while_the_end_of_a_file_is_written_is_heeded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streamer.pipeline, "SINKS_SECONDS", 0.1)
    sink = FakeSink(seconds=SLOW)
    pipeline = Pipeline(
        [Stream(FakeSource(frames=32), FakeTracker(), (sink,))], FakeDetector(), settings()
    )

    def tick(snapshot: RunSnapshot) -> None:
        if snapshot.sources[0].processed == 32:
            pipeline.stop("SIGINT")

    report = pipeline.run(tick, tick_seconds=0.01)
    check_books(report, [sink])
    assert 0 < len(sink.indices) < 25


@pytest.mark.parametrize("ends", ["hangs", "takes its time", "hangs and a second signal"])
def test_a_sink_that_hangs_in_a_write_keeps_no_other_from_finishing_its_file(
    ends: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    hurried = ends == "hangs and a second signal"
    monkeypatch.setattr(streamer.pipeline, "SINKS_SECONDS", 30.0 if hurried else 0.2)
    monkeypatch.setattr(streamer.pipeline, "HANGING_SECONDS", 60.0 if hurried else 0.8)
    monkeypatch.setattr(streamer.pipeline, "WRITE_SECONDS", 0.1)
    held, first, last = HeldSink("events"), FakeSink(), FakeSink()
    stream = Stream(
        FakeSource(live=True, frames=10**6, interval=0.002), FakeTracker(), (first, held, last)
    )
    pipeline = Pipeline([stream], FakeDetector(), settings())
    stopped: list[float] = []

    def tick(snapshot: RunSnapshot) -> None:
        if not stopped and first.indices and snapshot.sources[0].state == "blocked":
            pipeline.stop("SIGTERM")
            stopped.append(time.monotonic())
            if hurried:
                pipeline.hurry()
        if first.closed and last.closed and ends == "takes its time":
            held.release.set()

    report = pipeline.run(tick, tick_seconds=0.01)
    assert time.monotonic() - stopped[0] < 1.5
    assert (first.closed, last.closed) == (1, 1)
    assert (len(first.indices), last.indices) == (1, [])
    end = report.snapshot.sources[0]
    assert end.captured == end.processed + end.dropped + end.corrupt
    assert (report.reason, report.error, end.processed) == ("SIGTERM", None, 1)
    if ends == "takes its time":
        assert not report.failed
        assert held.indices == first.indices
    else:
        assert end.error == "events hangs in the middle of a frame: it ends without it"
        assert end.error in [line.getMessage()[5:] for line in caplog.records]
        held.release.set()
        pipeline._threads[1].join(5)
    # It wakes: what is its own is closed, and nothing is written to what was closed meanwhile.
    assert held.closed == 1
    assert last.indices == []
