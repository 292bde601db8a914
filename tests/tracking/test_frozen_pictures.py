"""A frame that shows nothing new is neither a miss nor a look, and time goes on."""

import numpy as np
import pytest
from camera_views import FPS, Pose, scene, view
from shown_targets import SIGMA, follow, line, seen, tracker

from streamer.protocols import Tracker
from streamer.types import FloatArray, Tracks, TrackState

LIVES = pytest.mark.parametrize("life", ["m_of_n", "likelihood"])
TIMES = np.arange(20) / FPS
PATH = line(TIMES, (40, 100), (30, -10))
PICTURE = np.zeros((256, 320), dtype=np.uint8)


def certain(life: str, **changes: object) -> Tracker:
    """A tracker whose positions stay certain for long: only misses end a track."""
    steady = {"acceleration_sigma": 1, "initial_speed_sigma": 10}
    return tracker(life=life, **{**steady, **changes})


def freeze(subject: Tracker, frames: int, after: float) -> list[Tracks]:
    return [subject.coast(after + (n + 1) / FPS, PICTURE) for n in range(frames)]


@LIVES
def test_a_track_lives_through_a_calibration_longer_than_it_may_be_missed(life: str) -> None:
    """1 s, where a track is deleted after 0.4 s without a detection."""
    subject = tracker(life=life, coast_seconds=0.4)
    follow(subject, PATH, TIMES, SIGMA)
    frozen = freeze(subject, 30, TIMES[-1])
    for n, tracks in enumerate(frozen, 1):
        assert tracks.track_id.tolist() == [1]
        assert tracks.state.tolist() == [TrackState.COASTING]
        assert tracks.detection_index.tolist() == [-1]
        assert tracks.seconds_since_update == pytest.approx([n / FPS])
        assert tracks.age_seconds == pytest.approx([TIMES[-1] + n / FPS])
    sigma = [float(np.sqrt(tracks.position_cov[0, 0, 0])) for tracks in frozen]
    assert sigma == sorted(sigma)
    assert sigma[-1] > 15
    moved = frozen[-1].xy[0] - frozen[0].xy[0]
    assert moved == pytest.approx(frozen[0].velocity[0] * 29 / FPS)
    end = TIMES[-1] + 31 / FPS
    (place,) = line([end], (40, 100), (30, -10))
    tracks = subject.step(seen(place, end), PICTURE)
    assert tracks.track_id.tolist() == [1]
    assert tracks.state.tolist() == [TrackState.CONFIRMED]


@LIVES
@pytest.mark.parametrize("missed", [0, 5])
def test_what_is_missed_before_and_after_counts_as_if_nothing_had_been_between(
    life: str, missed: int
) -> None:
    def frames_missed(frozen: int) -> int:
        subject = certain(life, coast_seconds=0.5)
        follow(subject, PATH, TIMES, SIGMA)
        now = TIMES[-1]
        for n in range(1, missed + 1):
            tracks = subject.step(seen([], now + n / FPS), PICTURE)
        now += missed / FPS
        freeze(subject, frozen, now)
        now += frozen / FPS
        count = missed
        while True:
            count += 1
            tracks = subject.step(seen([], now + (count - missed) / FPS), PICTURE)
            if not len(tracks):
                return count

    assert 10 < frames_missed(0) < 20
    assert frames_missed(0) == frames_missed(10) == frames_missed(60)


@LIVES
def test_it_neither_confirms_nor_keeps_from_being_confirmed(life: str) -> None:
    def frames_to_confirmation(frozen: int) -> tuple[int, float]:
        rules = {"confirm_hits": 4, "confirm_window": 5, "false_alarms_per_frame": 0.1}
        subject = certain(life, false_tracks_per_hour=1e-4, **rules)
        after = 0.0
        for n, (place, time) in enumerate(zip(PATH, TIMES.tolist(), strict=True), 1):
            tracks = subject.step(seen(place, time + after), PICTURE)
            if tracks.reported.any():
                return n, float(tracks.score[0])
            if n == 2:
                for each in freeze(subject, frozen, time):
                    assert each.score.tolist() == tracks.score.tolist()
                    assert each.state.tolist() == [TrackState.TENTATIVE]
                after = frozen / FPS
        return 99, 0.0

    usual, score = frames_to_confirmation(0)
    assert 3 <= usual <= 6
    assert frames_to_confirmation(20) == (usual, pytest.approx(score))


@LIVES
def test_a_calibration_without_end_ends_tracks_that_could_be_anywhere(life: str) -> None:
    subject = tracker(life=life)
    follow(subject, PATH, TIMES, SIGMA)
    alive = [len(tracks) for tracks in freeze(subject, 300, TIMES[-1])]
    assert alive[30] == 1
    assert alive[-1] == 0


def test_what_a_calibration_ends_is_not_learned_as_clutter() -> None:
    """Each time something new is seen just before, at one place: nobody knows what it was."""

    def frames_to_confirmation(calibrations: int) -> int:
        subject = tracker(life="likelihood", camera_motion="off", false_alarms_per_frame=0.1)
        now = 0.0
        for _ in range(calibrations):
            subject.step(seen((200, 100), now), PICTURE)
            assert len(freeze(subject, 90, now)[-1]) == 0
            now += 91 / FPS
            subject.step(seen([], now), PICTURE)
            now += 1 / FPS
        for n, place in enumerate(line(TIMES, (200, 100), (60, -25)), 1):
            tracks = subject.step(seen(place, now + n / FPS), PICTURE)
            if tracks.reported.any():
                return n
        return 99

    assert frames_to_confirmation(40) == frames_to_confirmation(0) <= 4


@LIVES
def test_a_camera_that_pans_meanwhile_takes_its_tracks_along(life: str) -> None:
    """15 px while it calibrates: seen when the picture lives again, against the last that did."""
    world, rng = scene("ground"), np.random.default_rng(2)
    target = np.array([[540.0, 440]])

    def place(pose: Pose) -> FloatArray:
        return pose.points(target)

    subject = tracker(life=life, camera_motion="auto", acceleration_sigma=5)
    poses = [Pose(500 + 1.5 * k) for k in range(60)]
    for k, pose in enumerate(poses):
        if 30 <= k < 40:
            tracks = subject.coast(k / FPS, PICTURE)
        else:
            found = seen(place(pose) + rng.normal(0, 0.2, (1, 2)), k / FPS)
            tracks = subject.step(found, view(world, pose, rng, targets=place(pose)))
        if k == 40:  # in the picture it goes as fast as the camera does, before and after
            assert tracks.velocity[0] == pytest.approx([-1.5 * FPS, 0], abs=6)
        assert k < 10 or tracks.track_id[tracks.reported].tolist() == [1], k


def test_weak_detections_before_a_frozen_picture_do_not_end_a_track_in_it() -> None:
    def ids(*, frozen: bool) -> list[int]:
        subject = tracker(life="likelihood")
        for n in range(5):
            score = 0.9 if n == 0 else 0.2
            subject.step(seen(PATH[n], TIMES[n], score=score), PICTURE)
        if frozen:
            return list(subject.coast(TIMES[5], PICTURE).track_id)
        return list(subject.step(seen(PATH[5], TIMES[5], score=0.2), PICTURE).track_id)

    assert ids(frozen=True) == ids(frozen=False) == [1]


def test_blank_pictures_between_two_views_do_not_make_the_camera_fast() -> None:
    rng = np.random.default_rng(0)
    subject = tracker(camera_motion="on")
    ground = scene("ground")

    def step(n: int, image: np.ndarray) -> Tracks:
        return subject.step(seen(np.array([160.0, 120.0]), n / FPS), image)

    for n in range(20):
        step(n, view(ground, Pose(), rng))
    for n in range(20, 50):
        subject.step(seen(np.empty((0, 2)), n / FPS), np.full((256, 320), 90, np.uint8))
    tracks = step(50, view(ground, Pose(x=570.0), rng))
    assert abs(tracks.velocity).max(initial=0.0) < 60
