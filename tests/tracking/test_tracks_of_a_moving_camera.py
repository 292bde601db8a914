"""What tracks make of a camera that pans, turns, zooms or shakes."""

import numpy as np
import pytest
from camera_views import (
    FPS,
    PANS,
    Pose,
    crossing,
    share_kept,
    shown,
)


@pytest.mark.parametrize("name", PANS)
def test_identities_are_kept_while_the_camera_moves_and_lost_without(name: str) -> None:
    poses = PANS[name]

    def kept(camera_motion: str) -> float:
        outputs, truth = shown(
            camera_motion,
            poses,
            lambda seconds: crossing(poses, seconds),
            confirm_displacement_px=0,
        )
        return share_kept(outputs, truth)

    assert kept("auto") >= 0.98
    assert kept("off") < 0.9


def test_under_a_plain_sky_a_pan_keeps_identities() -> None:
    poses = PANS["there and back"]
    outputs, truth = shown(
        "auto",
        poses,
        lambda seconds: crossing(poses, seconds),
        kind="sky",
        confirm_displacement_px=0,
    )
    assert share_kept(outputs, truth) >= 0.95


def test_a_target_that_the_camera_follows_is_found() -> None:
    """It stands in the picture while the scene passes at 12 px a frame."""
    poses = PANS["pan"]
    outputs, truth = shown(
        "auto",
        poses,
        lambda seconds: np.array([[300 + 12 * FPS * seconds + 9, 300 + 5 * FPS * seconds]]),
    )
    assert share_kept(outputs, truth) == 1
    assert outputs[-1].reported.tolist() == [True]
    # Its velocity is that in the picture, not against the scene.
    assert np.hypot(*outputs[-1].velocity[0]) < 30


def test_what_stands_in_the_scene_is_not_confirmed_by_a_pan() -> None:
    posts = np.array(
        [[x, y] for x in range(320, 700, 60) for y in range(330, 470, 60)], dtype=float
    )
    poses = [Pose(450 + 3 * k, 400 + k) for k in range(40)]

    def confirmed(camera_motion: str) -> int:
        outputs, _ = shown(camera_motion, poses, lambda _: posts)
        return len({i for tracks in outputs for i in tracks.track_id[tracks.reported].tolist()})

    assert confirmed("auto") == 0
    assert confirmed("off") > 5


def test_velocities_are_those_in_the_picture() -> None:
    poses = PANS["pan"]
    outputs, truth = shown("auto", poses, lambda seconds: crossing(poses, seconds))
    last = outputs[-1]
    speed = (truth[-1] - truth[-2]) * FPS
    for place, velocity in zip(truth[-1], speed, strict=True):
        row = np.hypot(*(last.xy - place).T).argmin()
        np.testing.assert_allclose(last.velocity[row], velocity, atol=40)
