"""When a track is confirmed: by its hits, by having moved, by standing out."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shown_targets import DISPLACEMENT, follow, line, one_track, seen, tracker

from streamer.types import TrackState
from tracking.displacement import BEND_CAUTION, jitter_variance, note_positions


def test_confirmation_takes_m_of_n_detections() -> None:
    subject = tracker(life="m_of_n", confirm_hits=3, confirm_window=4)
    states = [
        subject.step(seen((50, 50) if hit else [], n / 30)).state.tolist()
        for n, hit in enumerate([True, False, True, True])
    ]
    assert states == [[TrackState.TENTATIVE]] * 3 + [[TrackState.CONFIRMED]]


def test_a_flicker_below_m_of_n_is_never_confirmed() -> None:
    subject = tracker(life="m_of_n", confirm_hits=4, confirm_window=6)
    for n in range(300):
        assert not subject.step(seen((50, 50) if n % 2 else [], n / 30)).reported.any()


@pytest.mark.parametrize(
    ("snr", "jitter", "at_most"),
    [
        (8, 0.2, 0),
        (8, 0.35, 0),
        (8, 0.5, 2),
        (8, 0.8, 4),
        (40, 0.1, 0),
        (40, 0.2, 1),
        (200, 0.1, 1),
    ],
)
def test_what_stands_still_and_jitters_anew_in_every_frame_is_hardly_ever_confirmed(
    snr: float, jitter: float, at_most: int
) -> None:
    """Forty lamp posts for a minute."""
    rng = np.random.default_rng(6)
    subject = tracker(confirm_displacement_px=DISPLACEMENT)
    posts = 40.0 * np.stack(np.meshgrid(np.arange(8), np.arange(5)), axis=-1).reshape(-1, 2)
    confirmed: set[int] = set()
    for n in range(1_800):
        places = posts + rng.normal(0, jitter, posts.shape)
        tracks = subject.step(seen(places, n / 30, snr=snr))
        confirmed |= set(tracks.track_id[tracks.state != TrackState.TENTATIVE].tolist())
    assert len(confirmed) <= at_most


def first_confirmed(snr: float, speed: float) -> float | None:
    """When a target that jitters by 0.05 px is confirmed, s, at 30 frames a second."""
    rng = np.random.default_rng(1)
    subject = tracker(confirm_displacement_px=DISPLACEMENT)
    for n in range(300):
        place = (50 + speed * n / 30 + rng.normal(0, 0.05), 50 + rng.normal(0, 0.05))
        if TrackState.CONFIRMED in subject.step(seen(place, n / 30, snr=snr)).state:
            return n / 30
    return None


@pytest.mark.parametrize("speed", [0.7, 1.5, 3.0])
def test_a_bright_target_is_taken_to_jitter_less_and_confirmed_sooner(speed: float) -> None:
    dim, bright = first_confirmed(8, speed), first_confirmed(60, speed)
    assert dim is not None
    assert bright is not None
    assert bright < 0.85 * dim


def test_bright_lamps_that_flicker_and_wobble_are_not_confirmed() -> None:
    """Twenty, on for 1.5 s of every 3 s, in air that moves them slowly by 0.1 px."""
    rng = np.random.default_rng(2)
    subject = tracker(confirm_displacement_px=DISPLACEMENT)
    lamps = 40.0 * np.stack(np.meshgrid(np.arange(5), np.arange(4)), axis=-1).reshape(-1, 2)
    keep = math.exp(-1 / (30 * 0.3))
    wobble = rng.normal(0, 0.1, lamps.shape)
    for n in range(900):
        wobble = keep * wobble + math.sqrt(1 - keep**2) * rng.normal(0, 0.1, lamps.shape)
        places = lamps + wobble + rng.normal(0, 0.03, lamps.shape)
        tracks = subject.step(seen(places if n % 90 < 45 else [], n / 30, snr=100))
        assert not tracks.reported.any()


@pytest.mark.parametrize("life", ["m_of_n", "likelihood"])
def test_what_is_no_brighter_than_its_surroundings_is_not_confirmed(life: str) -> None:
    times = np.arange(60) / 30
    flown = line(times, (20, 200), (90, -30))

    def confirmed(snr: float, **changes: object) -> bool:
        subject = tracker(life=life, **changes)
        steps = [subject.step(seen(xy, t, snr=snr)) for xy, t in zip(flown, times, strict=True)]
        return any(bool(step.reported.any()) for step in steps)

    assert not confirmed(1.5)
    assert confirmed(2.5)
    assert confirmed(1.5, confirm_snr=0)
    assert confirmed(math.nan)


def confirmed_after(boxes: np.ndarray) -> int | None:
    """The frame, of 30 a second, in which a target of those boxes (T, 4) is confirmed in a picture
    of 320x256 px, which cuts them off."""
    subject, image = tracker(confirm_displacement_px=DISPLACEMENT), np.zeros((256, 320), np.uint8)
    for n, box in enumerate(np.clip(boxes, -0.5, [319.5, 255.5, 319.5, 255.5])):
        shown = replace(seen((box[:2] + box[2:]) / 2, n / 30), boxes_xyxy=box[None])
        if TrackState.CONFIRMED in subject.step(shown, image).state:
            return n
    return None


@pytest.mark.parametrize("heights", ["grows", "flickers", "jumps once"])
@pytest.mark.parametrize("foot", [255.5, 235.5])
def test_what_the_picture_cuts_off_does_not_move_because_more_of_it_shows(
    heights: str, foot: float
) -> None:
    """A mast's top at the lower edge, and one that stands free and does grow."""
    n = np.arange(150)
    height = {
        "grows": 3 + n / 4,
        "flickers": np.random.default_rng(3).choice([3.0, 8.0, 14.0], len(n)),
        "jumps once": np.where(n < 1, 3.0, 12.0),
    }[heights]
    boxes = np.column_stack((0 * n + 98.0, foot - height, 0 * n + 102.0, 0 * n + foot))
    free = foot < 255
    if free and heights == "grows":
        assert confirmed_after(boxes) is not None
    elif not free:
        assert confirmed_after(boxes) is None


@pytest.mark.parametrize("along", [0, 1])
@pytest.mark.parametrize("at", [0.0, 1.0, 3.0, 4.0, 100.0])
@pytest.mark.parametrize("far", [False, True])
def test_what_flies_along_the_border_is_confirmed_about_as_soon_as_elsewhere(
    along: int, at: float, far: bool
) -> None:
    n = np.arange(60)
    across = (319.0 if along else 255.0) - at if far else at
    middle = np.zeros((60, 2))
    middle[:, along] = 20 + 2.0 * n
    middle[:, 1 - along] = across
    after = confirmed_after(np.hstack((middle - 2, middle + 2)))
    assert after == 4 if at > 3 else after in (4, 5)


@pytest.mark.parametrize("speed", [0.6, 3.0])
def test_what_enters_the_picture_is_confirmed_once_it_is_whole(speed: float) -> None:
    n = np.arange(60)
    middle = np.column_stack((-2 + speed * n, np.full(60, 100.0)))
    whole = np.argmax(middle[:, 0] - 2 > 1)
    boxes = np.hstack((middle - 2, middle + 2))[middle[:, 0] + 2 > 0.5]
    unseen = 60 - len(boxes)
    after = confirmed_after(boxes)
    assert after is not None
    assert after + unseen <= whole + 5 / speed + 4


@pytest.mark.parametrize("life", ["m_of_n", "likelihood"])
@pytest.mark.parametrize(("confirm_hits", "confirm_window"), [(1, 1), (1, 6), (4, 6)])
def test_what_flies_is_confirmed_soon(life: str, confirm_hits: int, confirm_window: int) -> None:
    rules = {"life": life, "confirm_hits": confirm_hits, "confirm_window": confirm_window}
    subject = tracker(confirm_displacement_px=DISPLACEMENT, **rules)
    times = np.arange(30) / 30
    outputs = follow(subject, line(times, (20, 200), (90, -30)), times, 0.3)
    assert outputs[confirm_hits + 3].state[0] == TrackState.CONFIRMED


def ever_confirmed(places: np.ndarray, jitter: float) -> bool:
    """Of a detection at each of the places (T, 2), 30 a second."""
    rng = np.random.default_rng(9)
    subject = tracker(confirm_displacement_px=DISPLACEMENT)
    shown = places + rng.normal(0, jitter, places.shape)
    return any(subject.step(seen(each, n / 30)).reported.any() for n, each in enumerate(shown))


def test_what_creeps_for_minutes_is_not_confirmed_and_what_is_slow_is() -> None:
    """A mast in the sun, and an airplane far away."""
    times = np.arange(120 * 30) / 30
    assert not ever_confirmed(line(times, (100, 100), (0.02, 0)), 0.1)
    assert ever_confirmed(line(times, (100, 100), (0.3, 0)), 0.1)


@pytest.mark.parametrize("apart", [4.0, 8.0])
def test_a_jump_from_one_lamp_of_a_mast_to_the_other_is_no_flight(apart: float) -> None:
    """Half a second of the one, and then of the other."""
    upper = np.arange(600) // 15 % 2
    places = np.column_stack((np.full(600, 80.0), 80 - apart * upper))
    assert not ever_confirmed(places, 0.1)


@pytest.mark.parametrize("dropped", [(), (2, 5), (1, 3, 4)])
def test_steady_flight_is_confirmed_soon_however_fast_and_however_frames_come(
    dropped: tuple[int, ...],
) -> None:
    """At 10 frames a second, 8 px from one to the next."""
    subject = tracker(confirm_displacement_px=DISPLACEMENT, tentative_coast_seconds=0.5)
    times = np.delete(np.arange(20) / 10, dropped)
    outputs = follow(subject, line(times, (20, 100), (80, 5)), times, 0.2)
    assert next(n for n, each in enumerate(outputs) if each.reported.any()) <= 3


@given(
    velocity=st.tuples(st.floats(-300, 300), st.floats(-300, 300)),
    waits=st.lists(st.floats(0.02, 0.5), min_size=3, max_size=40),
)
def test_steady_flight_is_no_jitter_whenever_it_is_seen(
    velocity: tuple[float, float], waits: list[float]
) -> None:
    table = one_track(1.0)
    usual = float(jitter_variance(table)[0])
    place = np.full((1, 2), 50.0)
    for wait in waits:
        place = place + np.array(velocity) * wait
        note_positions(table, np.ones(1, dtype=np.bool_), place, np.array([wait]))
    assert jitter_variance(table)[0] <= BEND_CAUTION * usual


@given(
    places=st.lists(st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3)), max_size=30),
    waits=st.lists(st.sampled_from([0.0, 1e-9, 0.04, 10.0]), min_size=30, max_size=30),
)
def test_jitter_is_a_number_whatever_is_seen_and_when(
    places: list[tuple[float, float]], waits: list[float]
) -> None:
    table = one_track(1.0)
    for place, wait in zip(places, waits, strict=False):
        note_positions(table, np.ones(1, dtype=np.bool_), np.array([place]), np.array([wait]))
        assert np.isfinite(jitter_variance(table)).all()
        assert (jitter_variance(table) >= 0).all()


@pytest.mark.parametrize("fps", [10, 30])
def test_a_target_that_changes_its_pace_is_confirmed_as_soon_as_one_that_does_not(
    fps: int,
) -> None:
    rng = np.random.default_rng(3)
    waits = []
    for _ in range(20):
        subject = tracker(confirm_displacement_px=DISPLACEMENT, tentative_coast_seconds=0.5)
        velocity = 60 + np.cumsum(rng.normal(0, 40 / fps**0.5, (60, 2)), axis=0)
        places = 100 + np.cumsum(velocity, axis=0) / fps + rng.normal(0, 0.2, (60, 2))
        outputs = follow(subject, places, np.arange(60) / fps)
        waits.append(next(n for n, each in enumerate(outputs) if each.reported.any()))
    assert np.percentile(waits, 90) <= 3


@pytest.mark.parametrize("speed", [3.0, 10.0, 100.0])
def test_what_begins_to_move_is_confirmed_and_stays_so_when_it_stops(speed: float) -> None:
    subject = tracker(confirm_displacement_px=DISPLACEMENT)
    times = np.arange(300) / 30
    along = np.interp(times, [0, 2, 4, 10], [50, 50, 50 + 2 * speed, 50 + 2 * speed])
    outputs = follow(subject, np.column_stack((along, np.full(300, 50.0))), times, 0.3)
    states = [output.state[0] for output in outputs]
    assert set(states[:60]) == {TrackState.TENTATIVE}
    late = states.index(TrackState.CONFIRMED) / 30 - 2
    assert late < 3 / speed + 0.2
    assert set(states[120:]) == {TrackState.CONFIRMED}
