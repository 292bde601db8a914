"""A camera that stands is seen to stand, and its tracks are those without a look at it."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from camera_views import (
    FPS,
    IDENTITY,
    NO_BOXES,
    THRESHOLD,
    Pose,
    Scene,
    crossing,
    real_pictures,
    scene,
    shown,
    view,
)
from shown_targets import seen

from configs.schema import TrackerSettings
from streamer.types import FilterStates, Tracks
from tracking import build_tracker
from tracking.camera_motion import CameraMotion

# Clips in which nothing but targets, clouds and trees moves.
STILL_CLIPS = ("IR_AIRPLANE_019", "IR_BIRD_026", "IR_DRONE_057", "IR_HELICOPTER_011")


@pytest.mark.parametrize("noise", [0.0, 0.3, 1.0, 3.0])
@pytest.mark.parametrize("kind", ["ground", "sky", "blank"])
@pytest.mark.parametrize("depth", [8, 16])
def test_a_camera_that_stands_is_seen_to_stand(kind: Scene, noise: float, depth: int) -> None:
    world = scene(kind)
    rng = np.random.default_rng(4)
    camera = CameraMotion("auto")
    for k in range(20):
        targets = np.array([[100.0 + 4 * k, 100], [200, 200 - 6 * k]])
        # The camera's own gain follows what it sees.
        brighter = world * (1 + 0.002 * k)
        image = view(brighter, Pose(), rng, noise=noise, depth=depth, targets=targets)
        motion = camera.estimate(image, NO_BOXES)
        assert motion.still
        assert motion.trusted
        np.testing.assert_array_equal(motion.warp, IDENTITY)


def test_a_near_bird_before_a_blank_sky_is_not_the_camera() -> None:
    rng = np.random.default_rng(12)
    camera = CameraMotion("auto")
    for k in range(20):
        image = view(scene("blank"), Pose(), rng, noise=0.4)
        x, y = 60 + 7 * k, 100 + 2 * k
        cv2.ellipse(image, (x, y), (30, 12), 4.0 * k, 0, 360, 200, -1)
        motion = camera.estimate(image, np.array([[x - 31.0, y - 31, x + 31, y + 31]]))
        assert motion.still


# -- what tracks make of it --------------------------------------------------------------------


def assert_same(one: Tracks | FilterStates, other: Tracks | FilterStates) -> None:
    for name in type(one).__slots__:
        mine, others = getattr(one, name), getattr(other, name)
        if isinstance(mine, FilterStates):
            assert_same(mine, others)
        else:
            np.testing.assert_array_equal(mine, others, err_msg=name)


def test_tracks_of_a_still_camera_are_the_same_with_auto_as_off() -> None:
    poses = [Pose()] * 60
    kept, plain = (
        shown(mode, poses, lambda seconds: crossing(poses, seconds))[0] for mode in ("auto", "off")
    )
    assert kept[-1].reported.any()
    for one, other in zip(kept, plain, strict=True):
        assert_same(one, other)


@pytest.mark.parametrize("name", STILL_CLIPS)
def test_tracks_over_real_pictures_of_a_still_camera_are_the_same(
    shared_dir: Path, name: str
) -> None:
    rng = np.random.default_rng(11)
    kept, plain = (
        build_tracker(TrackerSettings.model_validate({"camera_motion": mode}), THRESHOLD)
        for mode in ("auto", "off")
    )
    for k, image in enumerate(real_pictures(shared_dir, name, 100)):
        places = np.array([[100.0 + k, 80], [150, 40]]) + rng.normal(0, 0.4, (2, 2))
        found = seen(places, k / FPS)
        assert_same(kept.step(found, image), plain.step(found, image))
