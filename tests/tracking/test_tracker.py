"""The tracker through its step: what it follows, what it ignores, and when it lets go."""

from dataclasses import replace

import numpy as np
import pytest
from shown_targets import DISPLACEMENT, SIGMA, SIZE, THRESHOLD, follow, line, seen, tracker

from streamer.types import TrackState

# -- following ---------------------------------------------------------------------------------


@pytest.mark.parametrize("velocity", [(0.0, 0.0), (60.0, -25.0), (150.0, 0.0)])
def test_straight_flight_is_followed_below_a_pixel(velocity: tuple[float, float]) -> None:
    times = np.arange(90) / 30
    truth = line(times, (20, 200), velocity)
    outputs = follow(tracker(), truth, times, SIGMA)
    assert {tuple(output.track_id) for output in outputs} == {(1,)}
    errors = np.array(
        [np.hypot(*(o.xy[0] - t)) for o, t in zip(outputs[10:], truth[10:], strict=True)]
    )
    assert np.sqrt(np.mean(errors**2)) < 0.8
    assert errors.max() < 2.0
    np.testing.assert_allclose(outputs[-1].velocity[0], velocity, atol=15)


def test_time_steps_may_vary() -> None:
    times = np.cumsum(np.random.default_rng(1).uniform(0.005, 0.12, 80))
    outputs = follow(tracker(), line(times, (20, 20), (50, 30)), times, SIGMA)
    assert {tuple(output.track_id) for output in outputs} == {(1,)}
    assert outputs[-1].age_seconds[0] == pytest.approx(times[-1] - times[0])
    assert np.hypot(*(outputs[-1].xy[0] - line(times, (20, 20), (50, 30))[-1])) < 1.5


def test_one_frame_a_second_can_be_followed() -> None:
    times = np.arange(12.0)
    outputs = follow(tracker(), line(times, (20, 20), (15, 5)), times, SIGMA)
    assert {tuple(output.track_id) for output in outputs} == {(1,)}
    assert outputs[-1].state[0] == TrackState.CONFIRMED


def test_crossing_targets_keep_their_ids() -> None:
    rng = np.random.default_rng(2)
    subject = tracker()
    times = np.arange(120) / 30
    down, up = line(times, (20, 60), (60, 20)), line(times, (20, 140), (60, -20))
    for first, second, time in zip(down, up, times, strict=True):
        found = np.array([first, second]) + rng.normal(0, SIGMA, (2, 2))
        # Closer than a blob, the two are one detection between them.
        together = np.hypot(*(first - second)) < SIZE
        tracks = subject.step(seen(found.mean(axis=0) if together else found, time))
        if time == times[10]:
            start = {int(i): xy[1] for i, xy in zip(tracks.track_id, tracks.xy, strict=True)}
    end = {int(i): xy[1] for i, xy in zip(tracks.track_id, tracks.xy, strict=True)}
    assert set(start) == set(end) == {1, 2}
    for track_id in (1, 2):
        assert (start[track_id] < 100) == (end[track_id] > 100)


def test_half_a_second_unseen_coasts_and_keeps_the_id() -> None:
    times = np.arange(90) / 30
    truth = line(times, (20, 100), (45, 0))
    subject = tracker()
    follow(subject, truth[:40], times[:40], SIGMA)
    unseen = [subject.step(seen([], time)) for time in times[40:55]]
    assert all(list(output.state) == [TrackState.COASTING] for output in unseen)
    assert all(list(output.detection_index) == [-1] for output in unseen)
    spread = [float(np.trace(output.position_cov[0])) for output in unseen]
    assert spread == sorted(spread)
    assert spread[-1] > 10 * spread[0]
    assert unseen[-1].seconds_since_update[0] == pytest.approx(0.5)
    assert np.hypot(*(unseen[-1].xy[0] - truth[54])) < 8
    again = follow(subject, truth[55:], times[55:], SIGMA)
    assert {tuple(output.track_id) for output in again} == {(1,)}
    assert list(again[0].state) == [TrackState.CONFIRMED]


def test_box_is_the_targets_size_about_the_estimate() -> None:
    times = np.arange(30) / 30
    last = follow(tracker(), line(times, (50, 50), (30, 0)), times)[-1]
    box = last.boxes_xyxy[0]
    np.testing.assert_allclose(box[2:] - box[:2], (SIZE, SIZE))
    np.testing.assert_allclose((box[2:] + box[:2]) / 2, last.xy[0])


def test_confidence_follows_the_detections() -> None:
    subject = tracker()
    up = [subject.step(seen((50, 50), n / 30, 0.9)).score[0] for n in range(30)]
    down = [subject.step(seen((50, 50), 1 + n / 30, 0.3)).score[0] for n in range(30)]
    away = subject.step(seen([], 2.3)).score[0]
    assert up[-1] == pytest.approx(0.9)
    assert down == sorted(down, reverse=True)
    assert 0.3 < down[-1] < 0.4
    assert 0.0 < away < 0.2


# -- birth -------------------------------------------------------------------------------------


def test_where_the_border_cuts_a_target_off_its_place_is_less_certain() -> None:
    image = np.zeros((256, 320), np.uint8)
    shown = seen([(1.0, 100.0), (100.0, 100.0)], 0.0)
    half = np.array([(1.5, 6.0), (6.0, 6.0)])
    shown = replace(shown, boxes_xyxy=np.hstack((shown.xy - half, shown.xy + half)))
    cut_off, whole = tracker().step(shown, image).position_cov
    assert cut_off[0, 0] > 2 * cut_off[1, 1]
    assert cut_off[1, 1] == whole[0, 0] == whole[1, 1]


def test_weak_detections_continue_a_track_and_never_start_one() -> None:
    weak = THRESHOLD - 0.2
    subject = tracker()
    assert all(len(subject.step(seen((50, 50), n / 30, weak))) == 0 for n in range(20))
    times = 1 + np.arange(20) / 30
    follow(subject, np.full((20, 2), 50.0), times)
    for n in range(60):
        tracks = subject.step(seen((50, 50), 1 + (20 + n) / 30, weak))
        assert list(tracks.state) == [TrackState.CONFIRMED]


def test_weak_detections_do_not_confirm() -> None:
    subject = tracker()
    subject.step(seen((50, 50), 0.0))
    for n in range(1, 60):
        assert list(subject.step(seen((50, 50), n / 30, 0.3)).state) == [TrackState.TENTATIVE]


def test_a_strong_detection_is_preferred_to_a_nearer_weak_one() -> None:
    subject = tracker()
    times = np.arange(20) / 30
    follow(subject, np.full((20, 2), 50.0), times)
    tracks = subject.step(seen([(50, 50), (51, 50)], 20 / 30, [0.3, 0.9]))
    assert list(tracks.detection_index) == [1]


def test_birth_score_is_apart_from_the_threshold() -> None:
    subject = tracker(birth_score=0.8)
    assert len(subject.step(seen((50, 50), 0.0, 0.7))) == 0
    assert len(subject.step(seen((50, 50), 1 / 30, 0.85))) == 1


def test_a_confirmed_track_chooses_before_a_tentative_one() -> None:
    """A newcomer just beside a confirmed track, and one detection exactly on the newcomer."""
    subject = tracker()
    times = np.arange(20) / 30
    follow(subject, np.full((20, 2), 50.0), times)
    both = subject.step(seen([(50, 50), (53.6, 50)], 20 / 30))
    assert list(both.state) == [TrackState.CONFIRMED, TrackState.TENTATIVE]
    one = subject.step(seen((51.9, 50), 21 / 30))
    assert list(one.detection_index) == [0, -1]


def test_fragments_of_one_target_are_one_track() -> None:
    rng = np.random.default_rng(3)
    subject = tracker()
    ids = set()
    for n in range(90):
        middle = np.array([40 + n, 100.0])
        half = np.array([1.2, 0.0])
        pieces = [middle - half, middle + half] if n % 3 == 0 else [middle]
        tracks = subject.step(seen(pieces + rng.normal(0, 0.3, (len(pieces), 2)), n / 30))
        ids.update(tracks.track_id.tolist())
    assert ids == {1}


def test_extended_detections_are_followed_only_if_asked() -> None:
    assert len(tracker(track_extended=True).step(seen((50, 50), 0.0, extended=True))) == 1
    assert len(tracker(track_extended=False).step(seen((50, 50), 0.0, extended=True))) == 0


def test_uniform_clutter_gives_few_tracks() -> None:
    rng = np.random.default_rng(4)
    subject = tracker()
    confirmed: set[int] = set()
    for n in range(30 * 60):
        count = rng.poisson(0.5)
        xy = rng.uniform((0, 0), (320, 256), (count, 2))
        tracks = subject.step(seen(xy, n / 30, rng.uniform(0.1, 1.0, count)))
        confirmed.update(tracks.track_id[tracks.reported].tolist())
    assert len(confirmed) <= 1  # in a minute


def test_a_track_that_coasts_does_not_take_what_another_was_seen_at_all_the_time() -> None:
    """A hot chimney that comes out of the haze is not the airplane lost 40 px away."""
    subject = tracker(confirm_displacement_px=DISPLACEMENT, coast_seconds=1.0)
    times = np.arange(60) / 30
    outputs = follow(subject, line(times, (60, 50), (10, 0)), times)
    assert outputs[-1].state.tolist() == [TrackState.CONFIRMED]
    for n in range(1, 45):
        tracks = subject.step(seen((120, 50), times[-1] + n / 30))
        assert (tracks.xy[tracks.reported, 0] < 100).all()


# -- death -------------------------------------------------------------------------------------


@pytest.mark.parametrize("fps", [10, 30, 60])
def test_deletion_is_by_time_and_not_by_frames(fps: int) -> None:
    subject = tracker(coast_seconds=0.5)
    times = np.arange(2 * fps) / fps
    follow(subject, np.full((2 * fps, 2), 50.0), times)
    alive = [len(subject.step(seen([], times[-1] + n / fps))) == 1 for n in range(1, fps + 1)]
    assert sum(alive) / fps == pytest.approx(0.5)
    assert alive == sorted(alive, reverse=True)


def test_tentative_tracks_die_fast() -> None:
    subject = tracker(life="m_of_n", tentative_coast_seconds=0.1, coast_seconds=5.0)
    subject.step(seen((50, 50), 0.0))
    assert [len(subject.step(seen([], n / 30))) for n in range(1, 6)] == [1, 1, 1, 0, 0]


def test_a_track_that_leaves_the_picture_is_over() -> None:
    times = np.arange(30) / 30
    truth = line(times, (10, 50), (100, 0))
    image = np.zeros((100, 115), dtype=np.uint8)
    within, without = tracker(), tracker()
    for place, time in zip(truth, times, strict=True):
        within.step(seen(place, time), image)
        without.step(seen(place, time))
    gone = [len(within.step(seen([], 1 + n / 30), image)) for n in range(6)]
    kept = [len(without.step(seen([], 1 + n / 30))) for n in range(6)]
    assert gone == [1, 1, 0, 0, 0, 0]
    assert kept == [1] * 6


def test_a_gap_of_minutes_ends_every_track() -> None:
    subject = tracker()
    times = np.arange(30) / 30
    follow(subject, np.full((30, 2), 50.0), times)
    tracks = subject.step(seen((50, 50), 300.0))
    assert tracks.track_id.tolist() == [2]
    assert tracks.age_seconds.tolist() == [0.0]


def test_ids_are_never_used_again_and_belong_to_the_tracker() -> None:
    subject = tracker()
    for n in range(5):
        assert subject.step(seen((50, 50), 10.0 * n)).track_id.tolist() == [n + 1]
    assert tracker().step(seen((50, 50), 0.0)).track_id.tolist() == [1]
