"""The clutter map: what blinks always at the same place, and what flies past it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shown_targets import SIGMA, line, seen, tracker

from streamer.protocols import Tracker
from streamer.types import Tracks, TrackState
from tracking.clutter import CELL_PX, ClutterMap

FPS = 30
SHAPE = (256, 320)
PICTURE = np.zeros(SHAPE, dtype=np.uint8)
CORNER = np.array([290.0, 30.0])
SWAY = 3.0
LEARNING_SECONDS = 20


def learner(**changes: object) -> Tracker:
    defaults = {"life": "likelihood", "camera_motion": "off", "false_alarms_per_frame": 0.1}
    return tracker(**{**defaults, **changes})


def blinking(rng: np.random.Generator) -> np.ndarray:
    """What a treetop in the wind gives: nothing in most frames, else something near its place."""
    return CORNER + rng.normal(0, SWAY, (int(rng.random() < 0.5), 2))


def reported_in_the_corner(tracks: Tracks) -> set[int]:
    near = np.hypot(*(tracks.xy - CORNER).T) < 6 * SWAY
    return set(tracks.track_id[tracks.reported & near].tolist())


def test_a_corner_that_blinks_makes_no_tracks_once_it_is_known() -> None:
    rng = np.random.default_rng(3)
    subject = learner()
    early, late = set[int](), set[int]()
    for frame in range(FPS * 60):
        tracks = subject.step(seen(blinking(rng), frame / FPS), PICTURE)
        (early if frame < LEARNING_SECONDS * FPS else late).update(reported_in_the_corner(tracks))
    assert early  # it is hard enough
    assert not late


def test_a_target_elsewhere_is_confirmed_as_fast_as_before() -> None:
    times = np.arange(20) / FPS
    path = line(times, (60, 150), (60, -25))

    def frames_to_confirmation(noisy: bool) -> int:
        rng, noise = np.random.default_rng(3), np.random.default_rng(4)
        subject = learner()
        for frame in range(FPS * 25):
            found = blinking(rng) if noisy else []
            subject.step(seen(found, frame / FPS), PICTURE)
        for n, place in enumerate(path):
            time = 25 + n / FPS
            tracks = subject.step(seen(place + noise.normal(0, SIGMA, 2), time), PICTURE)
            if tracks.reported[np.hypot(*(tracks.xy - place).T) < 5].any():
                return n + 1
        return 99

    assert frames_to_confirmation(noisy=True) == frames_to_confirmation(noisy=False) <= 4


def test_a_target_that_crosses_the_corner_keeps_its_identity() -> None:
    rng = np.random.default_rng(5)
    subject = learner()
    for frame in range(FPS * 25):
        subject.step(seen(blinking(rng), frame / FPS), PICTURE)
    times = np.arange(90) / FPS
    path = line(times, CORNER - (90, -45), (60, -30))
    assert np.hypot(*(path - CORNER).T).min() < 1
    ids = []
    for n, place in enumerate(path):
        found = np.vstack((place + rng.normal(0, SIGMA, 2), blinking(rng)))
        tracks = subject.step(seen(found, 25 + n / FPS), PICTURE)
        apart = np.hypot(*(tracks.xy - place).T)
        assert n < 5 or apart[tracks.reported].min() < 4
        if n in (5, 89):
            ids.append(int(tracks.track_id[apart.argmin()]))
    assert ids[0] == ids[1]


def test_a_target_that_stops_is_not_learned_as_clutter() -> None:
    subject = learner()
    rng = np.random.default_rng(6)
    times = np.arange(FPS * 60) / FPS
    along = np.interp(times, [0, 2, 60], [60, 160, 160])
    for place, time in zip(along, times, strict=True):
        tracks = subject.step(seen(rng.normal((place, 100), 0.3), time), PICTURE)
    assert tracks.track_id.tolist() == [1]
    assert tracks.state.tolist() == [TrackState.CONFIRMED]
    # It left, and another one comes to the same place: nothing is held against it.
    late = [
        subject.step(seen([] if n < 60 else (160 + n, 100), 60 + n / FPS), PICTURE)
        for n in range(63)
    ]
    assert late[-1].reported.tolist() == [True]


def test_a_camera_that_moved_shows_other_places() -> None:
    clutter = ClutterMap(0.1)
    clutter.begin(0.0, True, SHAPE)
    usual = clutter.density(CORNER[None])[0]
    for _ in range(100):
        clutter.begin(1 / FPS, True, SHAPE)
        clutter.add(CORNER[None], np.array([1.0]))
    assert clutter.density(CORNER[None])[0] > 100 * usual
    assert clutter.density(CORNER[None] - 10 * CELL_PX)[0] == pytest.approx(usual)
    assert clutter.births_per_frame > 0.2
    assert clutter.begin(1 / FPS, False, SHAPE) == 0  # what tracks have gathered goes, too
    assert clutter.births_per_frame > 0.2
    assert clutter.density(CORNER[None])[0] == pytest.approx(usual)


def test_what_was_learned_is_forgotten_over_minutes() -> None:
    clutter = ClutterMap(0.1)
    clutter.begin(0.0, True, SHAPE)
    for _ in range(100):
        clutter.begin(1 / FPS, True, SHAPE)
        clutter.add(CORNER[None], np.array([1.0]))
    known = clutter.density(CORNER[None])[0]
    for _ in range(60 * 20):
        clutter.begin(1.0, True, SHAPE)
    assert clutter.density(CORNER[None])[0] < known / 100


def test_where_all_the_picture_is_worse_than_calibrated_the_level_rises() -> None:
    rng = np.random.default_rng(7)
    clutter = ClutterMap(0.1)
    for _ in range(FPS * 120):
        clutter.begin(1 / FPS, True, SHAPE)
        count = rng.poisson(2.0)
        places = rng.uniform((0, 0), SHAPE[::-1], (count, 2))
        clutter.add(places, np.ones(count))
    area = SHAPE[0] * SHAPE[1]
    assert clutter.background * area == pytest.approx(2.0, rel=0.3)
    assert clutter.births_per_frame == pytest.approx(2.0, rel=0.2)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.floats(0, 4000),
            st.booleans(),
            st.sampled_from([None, (1, 1), (7, 900), (64, 80)]),
            st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), max_size=4),
        ),
        max_size=12,
    )
)
def test_densities_are_numbers_above_zero(
    frames: list[tuple[float, bool, tuple[int, int] | None, list[tuple[float, float]]]],
) -> None:
    clutter = ClutterMap(1e-6)
    for dt, still, shape, places in frames:
        xy = np.array(places, dtype=np.float64).reshape(-1, 2)
        assert 0 <= clutter.begin(dt, still, shape) <= 1
        clutter.add(xy, np.ones(len(xy)))
        density = clutter.density(xy)
        assert np.isfinite(density).all()
        assert (density > 0).all()
        assert np.isfinite(clutter.births_per_frame)
