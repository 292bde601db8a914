"""How frames of several sources share the network, and how they do not wait for one another."""

from __future__ import annotations

import pytest
from pipeline_fakes import (
    FRAME,
    HANG,
    FakeDetector,
    FakeSink,
    FakeSource,
    FakeTracker,
    settings,
    stamp_seconds,
)

from streamer.pipeline import Pipeline, Stream


def run(
    sources: list[FakeSource], detector: FakeDetector, deadline_ms: float = 2.0, **run: float
) -> list[FakeSink]:
    sinks = [FakeSink() for _ in sources]
    streams = [Stream(s, FakeTracker(), (k,)) for s, k in zip(sources, sinks, strict=True)]
    batch = {"deadline_ms": deadline_ms}
    Pipeline(streams, detector, settings(detector={"batch": batch}, run=run)).run(tick_seconds=0.01)
    return sinks


def waits(detector: FakeDetector, sinks: list[FakeSink]) -> list[float]:
    """Seconds from each frame's making until its batch was begun, by the pixels' stamps."""
    begun = {
        key: at
        for batch, at in zip(detector.batches, detector.begun_seconds, strict=True)
        for key in batch
    }
    return sorted(
        begun[result.frame.source, result.frame.index] - stamp_seconds(result.frame.image)
        for sink in sinks
        for result in sink.results
    )


def test_batches_form_across_sources_and_each_keeps_its_order() -> None:
    detector = FakeDetector(seconds=0.002, max_batch=4)
    sinks = run([FakeSource(f"s{k}", frames=60) for k in range(4)], detector)
    assert [sink.indices for sink in sinks] == [list(range(60))] * 4
    # From where the last source has begun to where the first has ended:
    numbers = {key: n for n, batch in enumerate(detector.batches) for key in batch}
    begin = max(numbers[f"s{k}", 0] for k in range(4))
    end = min(numbers[f"s{k}", 59] for k in range(4))
    sources = [len({name for name, _ in batch}) for batch in detector.batches[begin:end]]
    # In turn: never four frames of whoever is quickest.
    assert sources.count(4) >= 0.8 * len(sources)
    assert len(detector.batches) < 200


def test_cameras_in_step_share_a_batch_within_the_deadline() -> None:
    detector = FakeDetector(max_batch=3)
    sources = [
        FakeSource(f"s{k}", live=True, sessions=[[FRAME] * 40], interval=0.02) for k in range(3)
    ]
    run(sources, detector, deadline_ms=10)
    assert sum(len(batch) == 3 for batch in detector.batches) > 25


def test_a_lone_frame_is_held_back_no_longer_than_the_deadline() -> None:
    busy = FakeSource("busy", live=True, sessions=[[FRAME] * 40], interval=0.05)
    silent = FakeSource("silent", live=True, sessions=[[HANG]])
    detector = FakeDetector(max_batch=4)
    sinks = run([busy, silent], detector, deadline_ms=30, max_seconds=0.8)
    held = waits(detector, sinks)
    assert len(held) > 8
    assert 0.028 < held[len(held) // 2] < 0.045  # in vain, but not longer


def test_a_frame_is_not_held_back_where_no_other_source_could_join() -> None:
    detector = FakeDetector(max_batch=8)
    source = FakeSource(live=True, sessions=[[FRAME] * 40], interval=0.005)
    held = waits(detector, run([source], detector, deadline_ms=1000))
    assert held[len(held) // 2] < 0.05  # the deadline is a second


def test_a_frame_is_not_held_back_for_batches_of_one() -> None:
    detector = FakeDetector(max_batch=1)
    busy = FakeSource("busy", live=True, sessions=[[FRAME] * 40], interval=0.005)
    silent = FakeSource("silent", live=True, sessions=[[HANG]])
    held = waits(detector, run([busy, silent], detector, deadline_ms=1000, max_seconds=0.4))
    assert held[len(held) // 2] < 0.05  # the deadline is a second


def test_several_batches_are_in_flight_while_frames_wait() -> None:
    detector = FakeDetector(seconds=0.005, max_in_flight=3)
    (sink,) = run([FakeSource(frames=50)], detector)
    assert detector.most_open == 3
    assert sink.indices == list(range(50))


def test_results_are_fetched_at_once_when_no_frame_waits() -> None:
    detector = FakeDetector(seconds=0.002, max_in_flight=3)
    source = FakeSource(live=True, sessions=[[FRAME] * 12], interval=0.05)
    (sink,) = run([source], detector)
    latencies = sorted(result.stage_seconds["latency"] for result in sink.results)
    assert latencies[len(latencies) // 2] < 0.035  # not an interval later, with the next frame


@pytest.mark.parametrize("ahead", [True, False])
def test_the_next_batch_begins_before_the_last_is_fetched_only_where_that_gains_something(
    ahead: bool,
) -> None:
    happened: list[tuple[str, int]] = []

    class Noting(FakeDetector):
        def begin(self, frames):  # type: ignore[no-untyped-def]
            happened.append(("begin", frames[0].index))
            return super().begin(frames)

        def looked(self, frames, hints):  # type: ignore[no-untyped-def]
            happened.append(("look", frames[0].index))
            super().looked(frames, hints)

    class Following(FakeTracker):
        def step(self, detections, image=None):  # type: ignore[no-untyped-def]
            happened.append(("track", detections.frame_index))
            return super().step(detections, image)

    detector = Noting(seconds=0.01, begins_ahead=ahead)
    stream = Stream(FakeSource(frames=20), Following(), (FakeSink(),))
    Pipeline([stream], detector, settings()).run()
    place = {what: k for k, what in enumerate(happened)}
    early = [place["begin", k + 1] < place["track", k] for k in range(19)]
    assert early[2:] == [ahead] * 17  # by then the reader has frames waiting
    assert all(place["track", k] < place["look", k + 1] for k in range(19))
    assert detector.most_open == 1


def test_what_is_on_its_way_is_not_lost_when_the_next_cannot_begin() -> None:
    class Broken(FakeDetector):
        def begin(self, frames):  # type: ignore[no-untyped-def]
            if frames[0].index == 10:
                raise RuntimeError("the device is gone")
            return super().begin(frames)

    sink = FakeSink()
    stream = Stream(FakeSource(frames=20), FakeTracker(), (sink,))
    with pytest.raises(RuntimeError, match="the device is gone"):
        Pipeline([stream], Broken(), settings()).run()
    assert sink.indices == list(range(10))
