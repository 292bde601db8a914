"""Pictures that do not lie on the last: another scene, one that cannot be read, a blank view."""

import cv2
import numpy as np
from camera_views import (
    FPS,
    HEIGHT,
    IDENTITY,
    NO_BOXES,
    THRESHOLD,
    WIDTH,
    Pose,
    between,
    distance,
    scene,
    view,
)
from shown_targets import seen

from configs.schema import TrackerSettings
from streamer.types import FloatArray
from tracking import build_tracker
from tracking.camera_motion import CameraMotion


def test_another_scene_is_no_motion() -> None:
    rng = np.random.default_rng(5)
    camera = CameraMotion("auto")
    first, second = scene("ground", 1), scene("ground", 2)
    motions = [
        camera.estimate(view(world, Pose(), rng), NO_BOXES)
        for world in (first, first, second, second)
    ]
    assert [motion.trusted for motion in motions] == [True, True, False, True]
    assert [motion.still for motion in motions] == [True, True, False, True]
    assert [motion.cut for motion in motions] == [False, False, False, True]
    np.testing.assert_array_equal(motions[2].warp, IDENTITY)
    assert motions[2].sigma_px > 3


def tree_line(row: int, seed: int) -> FloatArray:
    """(H, W) a sky over a line of hot trees, whose foot is at a row, and a field."""
    rng = np.random.default_rng(seed)
    tops = row - 18 + 3 * cv2.GaussianBlur(rng.normal(0, 4, (1, WIDTH)), (0, 0), 3)
    y = np.arange(HEIGHT)[:, None]
    field = cv2.GaussianBlur(rng.normal(0, 40, (HEIGHT, WIDTH)), (0, 0), 3)
    return np.where(y < tops, 90.0 - 60 * (y > tops - 25), np.where(y < row, 240.0, 140.0 + field))


def test_another_place_that_looks_like_the_last_is_a_cut() -> None:
    """One tree line lies on another in a way; it lies on itself far better."""
    camera = CameraMotion("auto")
    pictures = [(tree_line(170, 1), 1.0)] * 2 + [(tree_line(211, 20), s) for s in (40.0, 1.1, 1.1)]
    motions = []
    for clean, sigma in pictures:  # the first of the other place is noisy
        noise = np.random.default_rng(int(10 * sigma) + 3).normal(0, sigma, clean.shape)
        picture = np.clip(clean + noise, 0, 255).astype(np.uint8)
        motions.append(camera.estimate(picture, NO_BOXES))
    assert [motion.trusted for motion in motions] == [True, True, False, True, True]
    assert [motion.cut for motion in motions] == [False, False, False, True, False]
    assert all(motion.still for motion in motions[3:])


def test_a_picture_that_cannot_be_read_is_passed_over() -> None:
    """What follows it lies on what was before: no motion is missed, whatever the camera did."""
    rng = np.random.default_rng(5)
    camera = CameraMotion("auto")
    poses = [Pose(400 + 4 * k, 400 - 2 * k) for k in range(9)]
    motions = []
    for k, pose in enumerate(poses):
        world = scene("ground", 2 if k == 4 else 1)
        motions.append(camera.estimate(view(world, pose, rng), NO_BOXES))
    assert [motion.trusted for motion in motions] == [True] * 4 + [False] + [True] * 4
    assert not any(motion.cut for motion in motions)
    np.testing.assert_array_equal(motions[4].warp, IDENTITY)
    assert distance(motions[5].warp, between(poses[3], poses[5])) < 1
    assert distance(motions[6].warp, between(poses[5], poses[6])) < 1


def test_another_size_or_type_is_another_scene() -> None:
    rng = np.random.default_rng(6)
    image = view(scene("ground"), Pose(), rng)
    camera = CameraMotion("auto")
    images = [image, image, image[:100, :150], image[:100, :150].astype(np.uint16)]
    assert [camera.estimate(each, NO_BOXES).trusted for each in images] == [
        True,
        True,
        False,
        False,
    ]


def test_a_view_that_goes_blank_is_taken_to_stand_in_the_end() -> None:
    rng = np.random.default_rng(7)
    camera = CameraMotion("auto")
    camera.estimate(view(scene("ground"), Pose(), rng), NO_BOXES)
    camera.estimate(view(scene("ground"), Pose(), rng), NO_BOXES)
    motions = [camera.estimate(view(scene("blank"), Pose(), rng), NO_BOXES) for _ in range(40)]
    assert not motions[0].trusted
    assert all(motion.still for motion in motions[20:])


def test_after_a_cut_tracks_are_less_certain_and_where_they_began_is_forgotten() -> None:
    """A post that a cut moves by 5 px has not flown there."""
    rng = np.random.default_rng(10)
    first, second = scene("ground", 1), scene("ground", 2)
    subject = build_tracker(TrackerSettings(), THRESHOLD)
    spread = []
    for k in range(90):
        cut = k >= 30
        image = view(second if cut else first, Pose(), rng)
        found = np.array([100.0 + 5 * cut, 100]) + rng.normal(0, 0.2, 2)
        tracks = subject.step(seen([] if k == 30 else found, k / FPS), image)
        spread.append(float(np.sqrt(tracks.position_cov[0, 0, 0])))
        assert tracks.track_id.tolist() == [1]
        assert not tracks.reported.any()
    assert spread[29] < 1
    assert spread[30] > 5
    assert spread[-1] < 1
