"""Whole runs with real threads: what goes in is accounted for, in order, and on time."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pipeline_fakes import (
    CORRUPT,
    FRAME,
    HANG,
    FakeDetector,
    FakeSink,
    FakeSource,
    FakeTracker,
    HeldSink,
    settings,
)

from streamer.lane import RESULT_BUFFER
from streamer.pipeline import Pipeline, RunReport, Stream
from streamer.stats import RunSnapshot, SourceSnapshot


def stream(source: FakeSource, *sinks: FakeSink) -> Stream:
    return Stream(source, FakeTracker(), sinks)


def balance(source: SourceSnapshot) -> int:
    """Frames unaccounted for: 0 in a run that has ended."""
    return source.captured - source.processed - source.dropped - source.corrupt


def run_timed(pipeline: Pipeline, limit: float = 5.0) -> RunReport:
    started = time.monotonic()
    report = pipeline.run(tick_seconds=0.01)
    assert time.monotonic() - started < limit
    return report


@hypothesis_settings(max_examples=25)
@given(
    sources=st.lists(
        st.tuples(
            st.booleans(),
            st.lists(st.sampled_from([FRAME, FRAME, FRAME, CORRUPT]), max_size=25),
            st.sampled_from([0.0, 0.001]),
            st.sampled_from([0.0, 0.002]),
        ),
        min_size=1,
        max_size=3,
    ),
    detector_seconds=st.sampled_from([0.0, 0.001, 0.004]),
    max_batch=st.integers(1, 4),
    max_in_flight=st.integers(1, 3),
    queue=st.integers(1, 3),
    stop_after=st.sampled_from([None, None, 0.0, 0.01]),
)
def test_every_captured_frame_is_processed_dropped_or_corrupt(
    sources: list[tuple[bool, list[str], float, float]],
    detector_seconds: float,
    max_batch: int,
    max_in_flight: int,
    queue: int,
    stop_after: float | None,
) -> None:
    sinks = [FakeSink(seconds=sink_seconds) for *_, sink_seconds in sources]
    streams = [
        stream(FakeSource(f"s{k}", live=live, sessions=[steps], interval=interval), sinks[k])
        for k, (live, steps, interval, _) in enumerate(sources)
    ]
    detector = FakeDetector(
        seconds=detector_seconds, max_batch=max_batch, max_in_flight=max_in_flight
    )
    pipeline = Pipeline(
        streams, detector, settings(source={"live_queue": queue, "file_queue": queue})
    )
    timer = threading.Timer(stop_after or 0.0, pipeline.stop)
    if stop_after is not None:
        timer.start()
    report = run_timed(pipeline)
    if stop_after is not None:
        timer.join()

    assert not report.failed
    for k, (live, steps, *_) in enumerate(sources):
        end, sink = report.snapshot.sources[k], sinks[k]
        assert balance(end) == 0
        assert end.state == "ended"
        assert len(sink.indices) == end.processed
        assert sink.indices == sorted(set(sink.indices))
        assert sink.closed == 1
        assert streams[k].source.closed
        if stop_after is None:
            assert end.captured == len(steps)
            assert end.corrupt == steps.count(CORRUPT)
            good = [index for index, step in enumerate(steps) if step == FRAME]
            if live:
                assert sink.indices[-1:] == good[-1:]  # the newest always gets through
            else:
                assert sink.indices == good
    assert detector.most_open <= max_in_flight
    assert max(map(len, detector.batches), default=0) <= max_batch


def test_a_slow_sink_on_a_file_loses_nothing() -> None:
    sink = FakeSink(seconds=0.005)
    source = FakeSource(frames=150)
    report = run_timed(Pipeline([stream(source, sink)], FakeDetector(), settings()))
    assert sink.indices == list(range(150))
    assert report.snapshot.sources[0].dropped == 0


def test_sinks_delay_detection_only_when_their_buffer_is_full() -> None:
    sink = HeldSink()
    pipeline = Pipeline([stream(FakeSource(frames=100), sink)], FakeDetector(), settings())
    processed: list[int] = []

    def tick(snapshot: RunSnapshot) -> None:
        processed.append(snapshot.sources[0].processed)
        if processed[-20:] == [RESULT_BUFFER + 1] * 20:  # the buffer, and one in the sink's hands
            sink.release.set()

    pipeline.run(tick, tick_seconds=0.005)
    assert len(sink.results) == 100


def test_a_source_with_slow_sinks_does_not_hold_up_another() -> None:
    slow, quick = HeldSink(), FakeSink()
    pipeline = Pipeline(
        [
            stream(FakeSource("slow", frames=80), slow),
            stream(FakeSource("quick", frames=80), quick),
        ],
        FakeDetector(max_batch=4, max_in_flight=2),
        settings(),
    )

    def tick(snapshot: RunSnapshot) -> None:
        if snapshot.sources[1].state == "ended":
            slow.release.set()

    report = pipeline.run(tick, tick_seconds=0.005)
    assert not report.failed
    assert len(slow.results) == len(quick.results) == 80


def test_a_file_s_sinks_are_closed_while_a_camera_runs_on() -> None:
    sink = FakeSink()
    camera = FakeSource("camera", live=True, sessions=[[FRAME, HANG]])
    pipeline = Pipeline(
        [stream(FakeSource("file", frames=5), sink), stream(camera, FakeSink())],
        FakeDetector(),
        settings(),
    )

    def tick(snapshot: RunSnapshot) -> bool:
        return not (sink.closed and snapshot.sources[1].state == "running")

    report = pipeline.run(tick, tick_seconds=0.01)
    assert report.reason == "closed"
    assert sink.indices == list(range(5))


def test_a_window_is_pumped_between_ticks_and_may_end_the_run() -> None:
    camera = FakeSource("camera", live=True, sessions=[[FRAME, HANG]])
    pipeline = Pipeline([stream(camera, FakeSink())], FakeDetector(), settings())
    pumped: list[float] = []

    def pump() -> bool:
        time.sleep(0.002)
        pumped.append(time.monotonic())
        return len(pumped) < 30

    ticks: list[RunSnapshot] = []
    report = pipeline.run(ticks.append, tick_seconds=2.0, pump=pump)
    assert report.reason == "closed"
    assert len(pumped) >= 30
    assert pumped[29] - pumped[0] < 1


def test_sinks_are_closed_in_the_reverse_of_the_order_in_which_they_take_a_frame() -> None:
    closed: list[str] = []

    class Noting(FakeSink):
        def close(self) -> None:
            closed.append(self.name)

    sinks = [Noting(name) for name in ("events", "tracks", "record")]
    Pipeline([stream(FakeSource(frames=3), *sinks)], FakeDetector(), settings()).run()
    assert closed == ["record", "tracks", "events"]


def test_a_slow_detector_drops_a_live_source_s_oldest_and_latency_stays_flat() -> None:
    source = FakeSource(live=True, sessions=[[FRAME] * 150], interval=0.005)
    sink = FakeSink()
    tracker = FakeTracker()
    report = run_timed(
        Pipeline([Stream(source, tracker, (sink,))], FakeDetector(seconds=0.02), settings())
    )
    end = report.snapshot.sources[0]
    assert end.dropped > 80
    assert balance(end) == 0
    ages = tracker.ages_seconds
    # Two frames in the queue and one in the detector: never more than some 3 x 20 ms behind.
    # A queue without an end would be two seconds behind by now.
    assert np.median(ages[-10:]) < 0.15
    assert np.median(ages[-10:]) < np.median(ages[3:13]) + 0.05
    assert end.stalls == 0


@pytest.mark.parametrize(("live", "seconds"), [(True, 0.0), (True, 0.008), (False, 0.003)])
def test_the_latency_shown_is_the_one_that_stamps_in_the_pixels_show(
    live: bool, seconds: float
) -> None:
    source = FakeSource(live=live, frames=100, interval=0.004 if live else 0.0)
    tracker = FakeTracker()
    sink = FakeSink()
    report = run_timed(
        Pipeline([Stream(source, tracker, (sink,))], FakeDetector(seconds=seconds), settings())
    )
    shown = [result.stage_seconds["latency"] for result in sink.results]
    true = tracker.ages_seconds
    # The tracker looks at its clock while it works: the latency counts until it is done.
    assert np.median(np.abs(np.subtract(shown, true))) < 0.001
    summary = report.snapshot.sources[0].latency_ms
    median = float(np.percentile(shown, 50, method="inverted_cdf"))
    assert summary.p50 == pytest.approx(1e3 * median, rel=0.01)
    assert summary.max == pytest.approx(1e3 * max(shown))
    assert summary.count == len(true)


def test_stages_are_given_to_the_sinks_and_add_up_to_the_latency() -> None:
    sink = FakeSink("record", seconds=0.001)
    report = run_timed(
        Pipeline([stream(FakeSource(frames=30), sink)], FakeDetector(seconds=0.003), settings())
    )
    unexplained = []
    for result in sink.results:
        stages = dict(result.stage_seconds)
        latency = stages.pop("latency")
        assert set(stages) == {"queue", "network", "track"}
        unexplained.append(latency - sum(stages.values()))
    assert min(unexplained) > -1e-6
    assert np.median(unexplained) < 0.002
    stage_ms = report.snapshot.sources[0].stage_ms
    assert set(stage_ms) == {"queue", "network", "track", "record"}
    assert stage_ms["record"].p50 >= 1.0
    assert 2.97 <= stage_ms["network"].p50 < 30


def test_max_frames_of_a_file_and_of_a_live_source_are_processed_frames() -> None:
    sinks = FakeSink(), FakeSink()
    live = FakeSource("live", live=True, sessions=[[FRAME] * 1000], interval=0.001)
    report = run_timed(
        Pipeline(
            [stream(FakeSource("file", frames=100), sinks[0]), stream(live, sinks[1])],
            FakeDetector(seconds=0.005),
            settings(run={"max_frames": 12}),
        )
    )
    file, camera = report.snapshot.sources
    assert (file.captured, file.processed, file.dropped) == (12, 12, 0)
    assert camera.processed == 12
    assert balance(camera) == 0
    assert report.reason == "finished"


def test_max_seconds_ends_the_run() -> None:
    source = FakeSource(live=True, sessions=[[FRAME] * 10_000], interval=0.01)
    report = run_timed(
        Pipeline([stream(source)], FakeDetector(), settings(run={"max_seconds": 0.2})), limit=2
    )
    assert report.reason == "max_seconds"
    assert 0.2 <= report.snapshot.elapsed_seconds < 1.0


def test_a_stop_mid_run_leaves_everything_processed_written_and_closed() -> None:
    sinks = [FakeSink(seconds=0.002), FakeSink(seconds=0.004)]
    source = FakeSource(frames=10_000)
    pipeline = Pipeline([stream(source, *sinks)], FakeDetector(seconds=0.001), settings())
    threading.Timer(0.1, pipeline.stop, args=("SIGINT",)).start()
    report = run_timed(pipeline, limit=3)
    end = report.snapshot.sources[0]
    assert report.reason == "SIGINT"
    assert not report.failed
    assert 0 < end.processed < 10_000
    assert balance(end) == 0
    for sink in sinks:
        assert sink.indices == list(range(end.processed))
        assert sink.closed == 1
    assert source.closed


def test_a_stop_wakes_a_source_that_waits() -> None:
    source = FakeSource(live=True, sessions=[[FRAME, HANG]])
    pipeline = Pipeline([stream(source)], FakeDetector(), settings())
    threading.Timer(0.05, pipeline.stop).start()
    report = run_timed(pipeline, limit=2)
    assert report.snapshot.sources[0].state == "ended"


def test_a_stop_before_the_start_ends_the_run_at_once() -> None:
    pipeline = Pipeline([stream(FakeSource(frames=10_000))], FakeDetector(), settings())
    pipeline.stop()
    assert run_timed(pipeline, limit=2).snapshot.sources[0].captured < 10_000


def test_numbers_can_be_read_while_it_runs() -> None:
    source = FakeSource(live=True, sessions=[[FRAME] * 120], interval=0.005)
    pipeline = Pipeline(
        [stream(source, FakeSink())], FakeDetector(), settings(source={"live_queue": 3})
    )
    seen: list[RunSnapshot] = []
    pipeline.run(seen.append, tick_seconds=0.02)
    last = [each for each in seen if each.sources[0].state == "running"][-1]
    end = last.sources[0]
    assert end.fps_in == pytest.approx(end.captured / last.elapsed_seconds, rel=0.2)
    assert end.fps_out == pytest.approx(end.processed / last.elapsed_seconds, rel=0.2)
    assert end.queue_capacity == 3
    counts = [each.sources[0].processed for each in seen]
    assert counts == sorted(counts)
    whole = pipeline.report.snapshot
    end = whole.sources[0]  # a live source may have dropped some of its 120 frames
    assert end.fps_mean == pytest.approx(end.processed / whole.elapsed_seconds, rel=0.2)


def test_two_sources_of_one_name_or_none_at_all_are_refused() -> None:
    twice = [stream(FakeSource("cam")), stream(FakeSource("cam"))]
    with pytest.raises(ValueError, match=r"names differ, got \['cam', 'cam'\]"):
        Pipeline(twice, FakeDetector(), settings())
    with pytest.raises(ValueError, match=r"got \[\]"):
        Pipeline([], FakeDetector(), settings())


def test_a_pipeline_runs_once() -> None:
    pipeline = Pipeline([stream(FakeSource(frames=1))], FakeDetector(), settings())
    pipeline.run(tick_seconds=0.01)
    with pytest.raises(RuntimeError, match="runs once"):
        pipeline.run()
