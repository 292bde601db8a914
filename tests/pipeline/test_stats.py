"""Percentiles against numpy's, rates against a clock, and a size that does not grow."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.stats import DurationHistogram, RateMeter, StatsRecorder
from streamer.types import Detections, Frame, FrameResult, Tracks, TrackState

durations = st.floats(1e-6, 1e4)


@given(st.lists(durations, min_size=1, max_size=300))
def test_percentiles_are_within_one_percent(seconds: list[float]) -> None:
    histogram = DurationHistogram()
    for each in seconds:
        histogram.add(each)
    summary = histogram.summary()
    expected = 1e3 * np.percentile(seconds, [50, 95, 99], method="inverted_cdf")
    assert np.allclose([summary.p50, summary.p95, summary.p99], expected, rtol=0.01, atol=1e-3)
    assert summary.max == 1e3 * max(seconds)
    assert summary.count == len(seconds)


def test_percentiles_of_a_long_run_agree_with_interpolated_ones() -> None:
    seconds = np.random.default_rng(1).lognormal(-4, 0.7, 20_000)
    histogram = DurationHistogram()
    for each in seconds:
        histogram.add(float(each))
    summary = histogram.summary()
    expected = 1e3 * np.percentile(seconds, [50, 95, 99])
    assert np.allclose([summary.p50, summary.p95, summary.p99], expected, rtol=0.012)
    assert len(histogram._counts) < 1000  # flat, however many came


def test_nothing_measured_is_zero() -> None:
    summary = DurationHistogram().summary()
    assert (summary.p50, summary.p99, summary.max, summary.count) == (0.0, 0.0, 0.0, 0)


def test_a_percentile_never_exceeds_the_maximum() -> None:
    histogram = DurationHistogram()
    histogram.add(0.0)
    histogram.add(-1.0)
    assert histogram.summary().p99 == 0.0 == histogram.summary().max


@pytest.mark.parametrize("fps", [2.0, 30.0, 977.0])
def test_rate_follows_the_last_seconds_and_falls_to_zero(fps: float) -> None:
    meter = RateMeter()
    start = 12_345.6
    for number in range(int(10 * fps)):
        meter.add(start + number / fps)
    end = start + 10.0
    assert meter.rate(end) == pytest.approx(fps, rel=0.02, abs=0.4)
    assert meter.rate(end + 10.0) == 0.0


def test_rate_changes_with_the_source() -> None:
    meter = RateMeter()
    for number in range(1000):
        meter.add(number / 100)
    for number in range(50):
        meter.add(10 + number / 10)
    assert meter.rate(15.0) == pytest.approx(10.0, rel=0.1)


def result(index: int, ids: list[int], states: list[TrackState]) -> FrameResult:
    count = len(ids)
    tracks = Tracks(
        track_id=np.array(ids, dtype=np.int64),
        xy=np.zeros((count, 2)),
        velocity=np.zeros((count, 2)),
        position_cov=np.zeros((count, 2, 2)),
        boxes_xyxy=np.zeros((count, 4)),
        score=np.ones(count),
        state=np.array(states, dtype=np.int64),
        age_seconds=np.zeros(count),
        seconds_since_update=np.zeros(count),
        detection_index=np.full(count, -1),
    )
    frame = Frame(np.zeros((5, 7), np.uint8), 8, index, 0.0, 0.0, time.monotonic(), "cam")
    return FrameResult(frame, Detections.empty(index, 0.0), tracks, {"latency": 0.5, "track": 0.1})


def test_tracks_are_counted_once_when_they_are_confirmed() -> None:
    tentative, confirmed, coasting = TrackState
    stats = StatsRecorder("cam", "fake://cam")
    stats.count_processed(result(0, [1, 2], [tentative, tentative]))
    assert stats.snapshot().tracks_total == 0
    stats.count_processed(result(1, [1, 2], [confirmed, tentative]))
    stats.count_processed(result(2, [1, 2], [coasting, confirmed]))
    stats.count_processed(result(3, [2], [confirmed]))
    snapshot = stats.snapshot()
    assert (snapshot.tracks_total, snapshot.tracks_live) == (2, 1)
    assert snapshot.picture_size == (7, 5)
    assert snapshot.latency_ms.max == 500.0
    assert list(snapshot.stage_ms) == ["track"]


def test_what_is_kept_of_tracks_does_not_grow_with_the_run() -> None:
    stats = StatsRecorder("cam", "fake://cam")
    for number in range(2000):
        stats.count_processed(result(number, [number + 1], [TrackState.CONFIRMED]))
    assert stats.snapshot().tracks_total == 2000
    assert len(stats._known_tracks) <= 1000


def test_a_track_whose_id_comes_back_is_counted_once() -> None:
    stats = StatsRecorder("cam", "fake://cam")
    for number in range(300):
        ids = [1, 2] if number < 10 or number > 200 else [2]
        stats.count_processed(result(number, ids, [TrackState.CONFIRMED] * len(ids)))
    assert stats.snapshot().tracks_total == 2


def test_a_failure_is_final_and_the_first_message_stays() -> None:
    stats = StatsRecorder("cam", "fake://cam")
    stats.fail("first")
    stats.fail("second")
    stats.enter("ended")
    snapshot = stats.snapshot()
    assert (snapshot.state, snapshot.error) == ("failed", "first")
