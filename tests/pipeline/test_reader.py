"""Reconnection: how often, how long, and what a broken connection does to indices and clocks."""

from __future__ import annotations

import logging
import threading
import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pipeline_fakes import (
    BREAK,
    CORRUPT,
    FORBID,
    FRAME,
    REFUSE,
    FakeDetector,
    FakeSink,
    FakeSource,
    FakeTracker,
    settings,
)

import streamer.reader
from streamer.pipeline import Pipeline, RunReport, Stream
from streamer.reader import Timeline
from streamer.types import Frame

QUICK = {"initial_seconds": 0.01, "max_seconds": 0.04}


def run(
    source: FakeSource, max_attempts: int | None, **reconnect: float
) -> tuple[RunReport, FakeSink]:
    sink = FakeSink()
    pipeline = Pipeline(
        [Stream(source, FakeTracker(), (sink,))],
        FakeDetector(),
        settings(
            source={
                "live_queue": 64,  # so that nothing is dropped here
                "reconnect": {**QUICK, **reconnect, "max_attempts": max_attempts},
            }
        ),
    )
    return pipeline.run(tick_seconds=0.01), sink


def test_no_attempts_means_that_the_first_failure_is_the_last() -> None:
    source = FakeSource(live=True, sessions=[REFUSE, [FRAME]])
    report, _ = run(source, max_attempts=0)
    assert source.opened == 1
    assert report.failed
    assert report.snapshot.sources[0].error == "fake://cam cannot be reached"


def test_what_cannot_heal_is_not_tried_again_unless_it_once_worked() -> None:
    source = FakeSource(live=True, sessions=[FORBID, [FRAME]])
    report, _ = run(source, max_attempts=None)
    assert (source.opened, report.failed) == (1, True)
    assert report.snapshot.sources[0].error == "fake://cam refuses this user and password"

    source = FakeSource(live=True, sessions=[[FRAME, BREAK], FORBID, [FRAME]])
    report, sink = run(source, max_attempts=None)
    assert (source.opened, len(sink.indices), report.failed) == (3, 2, False)


def test_a_replayed_recording_is_not_tried_again_though_it_is_live() -> None:
    source = FakeSource(live=True, sessions=[[FRAME, BREAK], [FRAME]])
    source.can_reconnect = False  # type: ignore[attr-defined]
    report, sink = run(source, max_attempts=None)
    assert (source.opened, sink.indices, report.failed) == (1, [0], True)


def test_attempts_are_limited_and_each_is_one_log_line(caplog: pytest.LogCaptureFixture) -> None:
    source = FakeSource(live=True, sessions=[REFUSE] * 9)
    with caplog.at_level(logging.WARNING):
        report, _ = run(source, max_attempts=2)
    assert source.opened == 3
    assert report.snapshot.sources[0].state == "failed"
    waits = [line.getMessage() for line in caplog.records if line.levelno == logging.WARNING]
    assert len(waits) == 2
    assert waits[0].startswith("cam: fake://cam cannot be reached; attempt 1 of 2 in ")
    assert report.snapshot.sources[0].reconnects == 0


def test_unlimited_attempts_go_on_until_a_stop_which_need_not_wait_for_them() -> None:
    source = FakeSource(live=True, sessions=[REFUSE] * 10_000)
    pipeline = Pipeline(
        [Stream(source, FakeTracker(), ())],
        FakeDetector(),
        settings(source={"reconnect": {"initial_seconds": 0.001, "max_seconds": 60}}),
    )
    states: set[str] = set()

    def tick(snapshot: object) -> None:
        states.add(pipeline.snapshot().sources[0].state)

    threading.Timer(0.3, pipeline.stop).start()
    started = time.monotonic()
    report = pipeline.run(tick, tick_seconds=0.02)
    assert time.monotonic() - started < 2
    assert source.opened > 5
    assert not report.failed
    assert states >= {"waiting"}
    assert report.snapshot.sources[0].state == "ended"


def test_a_stop_cuts_a_long_wait_short() -> None:
    source = FakeSource(live=True, sessions=[REFUSE, [FRAME]])
    pipeline = Pipeline(
        [Stream(source, FakeTracker(), ())],
        FakeDetector(),
        settings(source={"reconnect": {"initial_seconds": 8, "max_seconds": 8}}),
    )
    started = time.monotonic()
    pipeline.run(lambda snapshot: snapshot.sources[0].state != "waiting", tick_seconds=0.02)
    assert time.monotonic() - started < 3
    assert source.opened == 1


def test_frames_that_came_give_all_attempts_back() -> None:
    sessions = [[FRAME] * 5 + [BREAK], REFUSE, REFUSE] * 3 + [[FRAME] * 5]
    report, sink = run(FakeSource(live=True, sessions=sessions, interval=0.03), max_attempts=3)
    end = report.snapshot.sources[0]
    assert not report.failed
    assert (end.captured, end.processed, end.reconnects) == (20, 20, 3)
    assert sink.indices == list(range(20))


def test_a_camera_that_breaks_off_after_every_frame_gives_no_attempts_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = FakeSource(live=True, sessions=[[FRAME, BREAK]] * 50)
    with caplog.at_level(logging.WARNING):
        report, sink = run(source, max_attempts=4)
    assert (source.opened, report.failed) == (5, True)
    assert len(sink.indices) == 5  # none of them is lost for that
    said = [line.getMessage() for line in caplog.records if line.levelno == logging.WARNING]
    assert [f"attempt {k} of 4" in text for k, text in enumerate(said, 1)] == [True] * 4


def test_a_connection_that_lasted_gives_attempts_back_however_long_the_wait_was(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(streamer.reader, "PROVEN_SECONDS", 0.1)
    sessions = [REFUSE, [FRAME] * 4 + [BREAK], [FRAME]]
    source = FakeSource(live=True, sessions=sessions, interval=0.05)
    with caplog.at_level(logging.WARNING):
        report, _ = run(source, max_attempts=1, initial_seconds=0.5, max_seconds=0.5)
    assert (source.opened, report.failed) == (3, False)
    said = [line.getMessage() for line in caplog.records if line.levelno == logging.WARNING]
    assert ["attempt 1 of 1" in text for text in said] == [True, True]


def test_a_connection_that_gives_no_frame_does_not_give_attempts_back() -> None:
    source = FakeSource(live=True, sessions=[[BREAK]] * 50)
    report, _ = run(source, max_attempts=4)
    assert source.opened == 5
    assert report.failed


def test_waits_grow_to_their_limit() -> None:
    source = FakeSource(live=True, sessions=[REFUSE] * 7)
    opened: list[float] = []
    open_ = source.open
    source.open = lambda: (opened.append(time.monotonic()), open_())[1]  # type: ignore[method-assign, func-returns-value]
    run(source, max_attempts=6, initial_seconds=0.02, max_seconds=0.16)
    waits = [after - before for before, after in pairwise(opened)]
    for wait, longest in zip(waits, [0.02, 0.04, 0.08, 0.16, 0.16, 0.16], strict=True):
        assert 0.75 * longest <= wait < longest + 0.1


@hypothesis_settings(max_examples=20)
@given(
    st.lists(
        st.lists(st.sampled_from([FRAME, FRAME, CORRUPT]), max_size=6), min_size=1, max_size=4
    ),
    st.booleans(),
)
def test_indices_and_clock_rise_across_connections(
    sessions: list[list[str]], forgets: bool
) -> None:
    steps = [[*session, BREAK] for session in sessions[:-1]] + [sessions[-1]]
    source = FakeSource(live=True, sessions=steps, forgets=forgets)
    report, sink = run(source, None, initial_seconds=1e-4, max_seconds=1e-3)
    flat = [step for session in sessions for step in session]
    # Every corrupt frame has used up an index, those of earlier connections included.
    assert sink.indices == [index for index, step in enumerate(flat) if step == FRAME]
    pts = [result.frame.pts_seconds for result in sink.results]
    assert all(after > before for before, after in pairwise(pts))
    end = report.snapshot.sources[0]
    assert (end.captured, end.corrupt) == (len(flat), flat.count(CORRUPT))


def test_the_clock_goes_on_by_the_time_that_really_passed() -> None:
    source = FakeSource(live=True, sessions=[[FRAME] * 3 + [BREAK], [FRAME] * 3])
    _, sink = run(source, None, initial_seconds=0.2, max_seconds=0.2)
    frames = [result.frame for result in sink.results]
    step = frames[3].pts_seconds - frames[2].pts_seconds
    assert step == pytest.approx(frames[3].captured_seconds - frames[2].captured_seconds)
    assert 0.15 <= step < 0.5
    within = np.diff([frame.pts_seconds for frame in frames[3:]])
    assert np.allclose(within, 0.04)  # the stream's own steps from there on


def frame(index: int, pts: float, captured: float) -> Frame:
    return Frame(np.zeros((2, 2), np.uint8), 8, index, pts, 0.0, captured, "cam")


def test_a_live_clock_that_is_set_back_is_carried_on_and_a_file_s_is_left_alone() -> None:
    for live, expected in ((True, [100.0, 100.5, 100.54]), (False, [100.0, 3.0, 3.04])):
        timeline = Timeline()
        placed = [
            timeline.place(each, each.index, live=live)
            for each in (frame(0, 100.0, 9.0), frame(1, 3.0, 9.5), frame(2, 3.04, 9.54))
        ]
        assert np.allclose([each.pts_seconds for each in placed], expected)


def test_a_source_that_goes_on_counting_after_a_break_keeps_its_indices() -> None:
    timeline = Timeline()
    timeline.place(frame(7, 1.0, 1.0), 7, live=True)
    timeline.break_off()
    assert timeline.place(frame(8, 1.1, 2.0), 8, live=True).index == 8


@pytest.mark.parametrize("period", [0.04, 1.0, 3.0])
@pytest.mark.parametrize("jump", [1.0, 2.0, 4.9])
def test_a_live_clock_that_is_set_ahead_by_some_seconds_is_carried_on(
    period: float, jump: float
) -> None:
    timeline = Timeline()
    rng = np.random.default_rng(0)
    late = rng.uniform(0, 0.3 * period, 40)
    placed = [
        timeline.place(
            frame(k, k * period + (jump if k >= 20 else 0.0), k * period + late[k]), k, live=True
        )
        for k in range(40)
    ]
    steps = np.diff([each.pts_seconds for each in placed])
    passed = np.diff([each.captured_seconds for each in placed])
    assert steps[19] == pytest.approx(passed[19])
    assert np.allclose(np.delete(steps, 19), period)


@hypothesis_settings(max_examples=200)
@given(
    st.sampled_from([0.02, 0.04, 1.0]),
    st.lists(st.tuples(st.floats(0, 4.5), st.integers(1, 4)), max_size=30),
    st.floats(-0.005, 0.005),
)
def test_frames_that_jam_and_are_lost_keep_the_times_that_the_camera_gave(
    period: float, frames: list[tuple[float, int]], drift: float
) -> None:
    """Each comes late by up to 4.5 s, never before the one before it, and up to 3 are lost."""
    timeline = Timeline()
    at, arrival = 0.0, 0.0
    for k, (late, steps) in enumerate([(0.05, 1)] * 10 + frames):
        at += steps * period
        arrival = max(arrival, at + late)
        given_pts = 100.0 + at * (1 + drift)
        placed = timeline.place(frame(k, given_pts, arrival), k, live=True)
        assert placed.pts_seconds == given_pts


def test_a_slow_camera_whose_first_pictures_come_at_once_keeps_its_times() -> None:
    timeline = Timeline()
    for k in range(20):
        arrival = max(2.5, float(k))  # opening took so long
        assert timeline.place(frame(k, float(k), arrival), k, live=True).pts_seconds == k
