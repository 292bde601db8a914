"""What flows back from the tracker to the detector, and that a replay gets the same."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from pipeline_fakes import (
    FakeDetector,
    FakeSink,
    FakeSource,
    FakeTicket,
    FakeTracker,
    settings,
)

from configs.schema import GateSettings, TrackerSettings
from model.gating import Gate
from streamer.lane import FocusLag
from streamer.pipeline import Pipeline, Stream
from streamer.types import Detections, FocusHints, Frame, Image, Tracks, TrackState
from tracking import build_tracker


def tracks(*xs: float, state: TrackState = TrackState.CONFIRMED, speed: float = 30.0) -> Tracks:
    count = len(xs)
    xy = np.array([[x, 50.0] for x in xs]).reshape(-1, 2)
    return Tracks(
        track_id=np.arange(1, count + 1),
        xy=xy,
        velocity=np.tile([speed, 0.0], (count, 1)),
        position_cov=np.tile(4 * np.eye(2), (count, 1, 1)),
        boxes_xyxy=np.concatenate([xy - 2, xy + 2], axis=1),
        score=np.linspace(0.5, 0.9, count),
        state=np.full(count, state),
        age_seconds=np.ones(count),
        seconds_since_update=np.zeros(count),
        detection_index=np.zeros(count, np.int64),
    )


def frame(index: int) -> Frame:
    return Frame(np.zeros((8, 8), np.uint8), 8, index, index / 10, 0.0, 0.0, "a")


def test_hints_are_where_tracks_will_be_the_surest_first() -> None:
    hints = FocusHints.from_tracks(tracks(10.0, 20.0), elapsed_seconds=0.1, frame_index=7)
    assert hints.frame_index == 7
    assert hints.xy.tolist() == [[23.0, 50.0], [13.0, 50.0]]
    assert hints.radius_px.tolist() == pytest.approx([2 + 3 * 2] * 2)


def test_confirmed_tracks_come_before_coasting_and_tentative_ones() -> None:
    three = tracks(1.0, 2.0, 3.0, speed=0.0)
    states = [TrackState.TENTATIVE, TrackState.COASTING, TrackState.CONFIRMED]
    mixed = Tracks(
        **{**{f: getattr(three, f) for f in Tracks.__slots__}, "state": np.array(states)}
    )
    assert FocusHints.from_tracks(mixed, 0.0, 0).xy[:, 0].tolist() == [3.0, 2.0, 1.0]


@pytest.mark.parametrize("lag", [1, 2, 5])
def test_hints_are_of_a_fixed_number_of_frames_ago_whenever_results_come(lag: int) -> None:
    soon, late = FocusLag(lag), FocusLag(lag)
    given: list[list[float]] = []
    for focus, delay in ((soon, 0), (late, lag - 1)):
        seen = []
        for k in range(12):
            seen.append(focus.hints(frame(k)))
            if k >= delay:
                focus.remember(frame(k - delay), tracks(float(k - delay), speed=10.0))
        given.append([float(h.xy[0, 0]) if len(h) else -1.0 for h in seen])
    assert given[0] == given[1]
    assert given[0][:lag] == [-1.0] * lag
    assert given[0][lag] == pytest.approx(0.0 + 10.0 * lag / 10)


def test_a_clock_that_jumped_does_not_send_hints_far_away() -> None:
    focus = FocusLag(1)
    focus.hints(frame(100))
    focus.remember(frame(100), tracks(5.0))
    assert focus.hints(frame(0)).xy[0, 0] == pytest.approx(5.0)
    focus.remember(frame(0), tracks(5.0))
    assert focus.hints(frame(10_000)).xy[0, 0] == pytest.approx(5.0 + 30.0)


@pytest.mark.parametrize(("max_batch", "max_in_flight"), [(1, 1), (2, 2)])
def test_the_detector_gets_a_hint_a_frame_the_same_in_every_run(
    max_batch: int, max_in_flight: int
) -> None:
    class Noting(FakeDetector):
        def looked(self, frames, hints):  # type: ignore[no-untyped-def]
            self.noted += [
                (f.index, h.frame_index, *h.xy.ravel()) for f, h in zip(frames, hints, strict=True)
            ]
            super().looked(frames, hints)

    class Following(FakeTracker):
        def step(self, detections: Detections, image: Image | None = None) -> Tracks:
            return tracks(float(detections.frame_index), speed=0.0)

    runs = []
    for seconds in (0.0, 0.002):
        detector = Noting(seconds=seconds, max_batch=max_batch, max_in_flight=max_in_flight)
        detector.noted = []
        stream = Stream(FakeSource(frames=30), Following(), (FakeSink(),))
        Pipeline([stream], detector, settings()).run(tick_seconds=0.01)
        runs.append(detector.noted)
    assert runs[0] == runs[1]
    lag = max_batch * max_in_flight
    assert [note[0] for note in runs[0]] == [note[1] for note in runs[0]] == list(range(30))
    assert [note[2] for note in runs[0] if len(note) > 2] == [float(k) for k in range(30 - lag)]


def confirmed_after(fps: float, gate: Gate) -> float:
    """Seconds until a target that appears as a bright spot is confirmed, where the network finds
    whatever it is shown."""
    tracker, lag = build_tracker(TrackerSettings(), 0.5), FocusLag(1)
    rng = np.random.default_rng(1)
    one = np.ones(1)
    for k in range(int(10 * fps)):
        seconds = k / fps - 1.0
        x = int(60 + 20 * seconds)
        image = rng.normal(90, 3, (256, 320)).astype(np.uint8)
        if seconds >= 0:
            image[100:103, x : x + 3] += 60
        given = Frame(image, 8, k, k / fps, 0.0, 0.0, "a")
        glance = gate.glance(image, 1.0)
        more = gate.focus(glance, lag.hints(given))
        windows = None if glance.windows is None or more is None else glance.windows + more
        found = Detections.empty(k, k / fps)
        if seconds >= 0 and (
            windows is None or any(w.shows(x + 1, 101, 256, 320) for w in windows)
        ):
            found = Detections(
                xy=np.array([[x + 1.0, 101.0]]),
                boxes_xyxy=np.array([[x - 0.5, 99.5, x + 2.5, 102.5]]),
                score=0.9 * one,
                area_px=9 * one,
                peak_snr=9 * one,
                extended=np.zeros(1, np.bool_),
                frame_index=k,
                pts_seconds=k / fps,
            )
        known = tracker.step(found, image)
        lag.remember(given, known)
        if known.reported.any():
            return seconds
    return math.inf


@pytest.mark.parametrize("fps", [30, 10, 7.5, 5, 4])
def test_a_new_target_is_confirmed_as_soon_as_if_all_were_looked_at(fps: float) -> None:
    gated = confirmed_after(fps, Gate(GateSettings(), 128))
    everything = confirmed_after(fps, Gate(GateSettings(scan_every=1), 128))
    assert gated == everything < 1.5


def test_an_engine_that_takes_over_with_more_in_flight_changes_no_lag() -> None:
    detector, sink = FakeDetector(max_in_flight=1), FakeSink()
    begin = detector.begin

    def take_over(frames: Sequence[Frame]) -> FakeTicket:
        if len(detector.batches) == 10:
            detector.max_in_flight = 4
        return begin(frames)

    detector.begin = take_over  # type: ignore[method-assign]
    Pipeline([Stream(FakeSource(frames=40), FakeTracker(), (sink,))], detector, settings()).run()
    assert len(sink.results) == 40
    assert detector.most_open == 1
