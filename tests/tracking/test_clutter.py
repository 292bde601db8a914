"""The clutter map: what blinks always at the same place, and what flies past it."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shown_targets import SIGMA, line, seen, tracker

from streamer.protocols import Tracker
from streamer.types import Tracks, TrackState
from tracking.camera_motion import CameraMotion, Motion
from tracking.clutter import CELL_PX, ClutterMap

FPS = 30
SHAPE = (256, 320)
PICTURE = np.zeros(SHAPE, dtype=np.uint8)
CORNER = np.array([290.0, 30.0])
SWAY = 3.0
LEARNING_SECONDS = 20
LOST = Motion(still=False, trusted=False, sigma_px=10)
CUT = replace(LOST, cut=True)


def shift(pixels: float) -> Motion:
    """Of a camera that turns sideways."""
    return Motion(np.array([[1.0, 0, pixels], [0, 1, 0]]), still=False)


def taught() -> ClutterMap:
    """Knows that the corner blinks."""
    clutter = ClutterMap(0.1)
    for _ in range(100):
        clutter.begin(1 / FPS, Motion(), SHAPE)
        clutter.add(CORNER[None], np.array([1.0]))
    return clutter


def knows(clutter: ClutterMap) -> bool:
    return bool(clutter.density(CORNER[None])[0] > 100 * clutter.background)


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
    clutter.begin(0.0, Motion(), SHAPE)
    usual = clutter.density(CORNER[None])[0]
    for _ in range(100):
        clutter.begin(1 / FPS, Motion(), SHAPE)
        clutter.add(CORNER[None], np.array([1.0]))
    assert clutter.density(CORNER[None])[0] > 100 * usual
    assert clutter.density(CORNER[None] - 10 * CELL_PX)[0] == pytest.approx(usual)
    assert clutter.births_per_frame > 0.2
    assert clutter.begin(1 / FPS, shift(CELL_PX), SHAPE) == 0  # what tracks have gathered goes, too
    assert clutter.births_per_frame > 0.2
    assert clutter.density(CORNER[None])[0] == pytest.approx(usual)


def test_a_camera_that_trembles_forgets_nothing() -> None:
    clutter = taught()
    for n in range(300):
        assert clutter.begin(1 / FPS, shift(-0.4 if n % 2 else 0.4), SHAPE) > 0.99
    assert knows(clutter)


@pytest.mark.parametrize("step", [0.3, 2.0])
def test_a_camera_that_pans_forgets_once_it_is_half_a_cell_away(step: float) -> None:
    clutter = taught()
    frames = 0
    while knows(clutter) and frames < 100:
        clutter.begin(1 / FPS, shift(step), SHAPE)
        frames += 1
    assert CELL_PX / 2 < frames * step <= CELL_PX / 2 + step


def test_turns_and_zooms_count_as_far_as_they_move_the_picture() -> None:
    for angle, kept in ((0.01, True), (0.1, False)):
        turn = np.array([[1, -angle, 0.0], [angle, 1, 0]])
        clutter = taught()
        clutter.begin(1 / FPS, Motion(turn, still=False), SHAPE)
        assert knows(clutter) == kept


def textured(seed: int) -> np.ndarray:
    """A scene that can be told from another, of grey levels."""
    scene = cv2.GaussianBlur(np.random.default_rng(seed).normal(0, 1, SHAPE), (0, 0), 3)
    return np.asarray(128 + 40 * scene / scene.std())


def shot(scene: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.clip(scene + rng.normal(0, 2, SHAPE), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("mode", ["auto", "on"])
@pytest.mark.parametrize("spoilt", [1, 5])
def test_pictures_that_cannot_be_read_forget_nothing_where_the_scene_comes_back(
    mode: str, spoilt: int
) -> None:
    """A flash, a bird before the lens, damage in the stream: each picture is another."""
    rng = np.random.default_rng(9)
    camera, clutter = CameraMotion(mode), taught()  # type: ignore[arg-type]
    scene = textured(1)
    unread = 0
    for n in range(40):
        odd = 20 <= n < 20 + spoilt
        motion = camera.estimate(shot(textured(n) if odd else scene, rng), np.empty((0, 4)))
        unread += not motion.trusted
        assert clutter.begin(1 / FPS, motion, SHAPE) > 0.99
        assert knows(clutter)
    assert unread == spoilt


@pytest.mark.parametrize("mode", ["auto", "on"])
def test_a_camera_that_looks_elsewhere_all_at_once_forgets_when_it_is_sure(mode: str) -> None:
    rng = np.random.default_rng(9)
    camera, clutter = CameraMotion(mode), taught()  # type: ignore[arg-type]
    left = []
    for n in range(40):
        image = shot(textured(2 if n >= 20 else 1), rng)
        left.append(clutter.begin(1 / FPS, camera.estimate(image, np.empty((0, 4))), SHAPE))
    # The next picture lies on the first of the new place, and not on the last of the old.
    assert [n for n, each in enumerate(left) if each == 0] == [21]
    assert not knows(clutter)


@pytest.mark.parametrize("mode", ["auto", "on"])
def test_a_camera_that_is_lost_for_long_forgets(mode: str) -> None:
    rng = np.random.default_rng(9)
    camera, clutter = CameraMotion(mode), taught()  # type: ignore[arg-type]
    for n in range(40):
        image = shot(textured(n if n >= 20 else 1), rng)
        clutter.begin(1 / FPS, camera.estimate(image, np.empty((0, 4))), SHAPE)
    assert not knows(clutter)


def test_a_camera_that_stands_forgets_nothing_where_every_picture_is_registered() -> None:
    rng = np.random.default_rng(8)
    scene = textured(8)
    camera, clutter = CameraMotion("on"), taught()
    for _ in range(60):
        motion = camera.estimate(shot(scene, rng), np.empty((0, 4)))
        assert clutter.begin(1 / FPS, motion, SHAPE) > 0.99
    assert knows(clutter)


def test_what_was_learned_is_forgotten_over_minutes() -> None:
    clutter = ClutterMap(0.1)
    clutter.begin(0.0, Motion(), SHAPE)
    for _ in range(100):
        clutter.begin(1 / FPS, Motion(), SHAPE)
        clutter.add(CORNER[None], np.array([1.0]))
    known = clutter.density(CORNER[None])[0]
    for _ in range(60 * 20):
        clutter.begin(1.0, Motion(), SHAPE)
    assert clutter.density(CORNER[None])[0] < known / 100


def test_where_all_the_picture_is_worse_than_calibrated_the_level_rises() -> None:
    rng = np.random.default_rng(7)
    clutter = ClutterMap(0.1)
    for _ in range(FPS * 120):
        clutter.begin(1 / FPS, Motion(), SHAPE)
        count = rng.poisson(2.0)
        places = rng.uniform((0, 0), SHAPE[::-1], (count, 2))
        clutter.add(places, np.ones(count))
    area = SHAPE[0] * SHAPE[1]
    assert clutter.background * area == pytest.approx(2.0, rel=0.3)
    assert clutter.births_per_frame == pytest.approx(2.0, rel=0.2)


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(
            st.floats(0, 4000),
            st.sampled_from([Motion(), LOST, CUT, shift(0.3), shift(50)]),
            st.sampled_from([None, (1, 1), (7, 900), (64, 80)]),
            st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), max_size=4),
        ),
        max_size=12,
    )
)
def test_densities_are_numbers_above_zero(
    frames: list[tuple[float, Motion, tuple[int, int] | None, list[tuple[float, float]]]],
) -> None:
    clutter = ClutterMap(1e-6)
    for dt, motion, shape, places in frames:
        xy = np.array(places, dtype=np.float64).reshape(-1, 2)
        assert 0 <= clutter.begin(dt, motion, shape) <= 1
        clutter.add(xy, np.ones(len(xy)))
        density = clutter.density(xy)
        assert np.isfinite(density).all()
        assert (density > 0).all()
        assert np.isfinite(clutter.births_per_frame)
