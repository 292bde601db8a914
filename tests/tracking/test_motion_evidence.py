"""What bears a motion of the camera out, and what moves by itself and must not."""

import cv2
import numpy as np
import pytest
from camera_views import (
    HEIGHT,
    NO_BOXES,
    WIDTH,
    Pose,
    between,
    distance,
    scene,
    view,
)

from tracking.camera_motion import CameraMotion
from tracking.registration import follow_corners


def test_a_sky_that_an_encoder_copied_from_the_picture_before_does_not_hide_a_pan() -> None:
    """Faint clouds stay where they were in the picture; roofs below them tell of the camera."""
    rng = np.random.default_rng(7)
    clouds = 90 + 12 * cv2.GaussianBlur(rng.normal(0, 8, (HEIGHT, WIDTH)), (0, 0), 8)
    along = np.arange(WIDTH + 60)
    roofs = HEIGHT - 22 - 9.0 * np.sign(np.sin(along / 17)) - 5 * np.sin(along / 41)
    camera, moved = CameraMotion("auto"), 0.0
    for k in range(40):
        line = np.interp(np.arange(WIDTH) + 0.9 * k, along, roofs)
        rows = np.arange(HEIGHT)[:, None]
        picture = np.where(rows > line, 235.0, clouds) + rng.normal(0, 0.7, (HEIGHT, WIDTH))
        soft = cv2.GaussianBlur(picture, (0, 0), 0.8)
        motion = camera.estimate(np.clip(soft, 0, 255).astype(np.uint8), NO_BOXES)
        moved += motion.points(np.array([[WIDTH / 2, HEIGHT / 2]]))[0, 0] - WIDTH / 2
    assert moved == pytest.approx(-0.9 * 39, abs=3)


@pytest.mark.parametrize("speed", [(2, 0), (3, 0), (5, 0), (7, 0), (3, 3), (10, 4)])
def test_what_is_burnt_in_is_outvoted(speed: tuple[int, int]) -> None:
    """A camera's own text has the sharpest corners of all, and stands while the scene moves."""
    world, rng = scene("ground"), np.random.default_rng(3)
    camera = CameraMotion("auto")
    poses = [Pose(400 + speed[0] * k, 400 + speed[1] * k) for k in range(8)]
    right = 0
    for before, after in zip([poses[0], *poses], poses, strict=False):
        image = view(world, after, rng)
        for row in (20, 245):
            cv2.putText(image, "REC I:0 V:0 12:34", (5, row), 0, 0.7, 255, 2)
        motion = camera.estimate(image, NO_BOXES)
        right += distance(motion.warp, between(before, after)) < 0.5
    assert right >= len(poses) - 2


@pytest.mark.parametrize(
    ("length", "clouds"), [(20, 0.0), (38, 0.0), (38, 1.0), (38, 2.0), (50, 0.0)]
)
def test_a_large_target_that_was_not_detected_is_not_the_camera(length: int, clouds: float) -> None:
    texture = cv2.GaussianBlur(np.random.default_rng(3).normal(0, 1, (HEIGHT, WIDTH)), (0, 0), 2)
    camera = CameraMotion("auto")
    for k in range(20):
        picture = 90 + clouds * texture / texture.std()
        middle, axes = (30 + 4 * k, 160), (length // 2, length // 5)
        cv2.ellipse(picture, middle, axes, 20, 0, 360, 200.0, -1)
        picture = cv2.GaussianBlur(picture, (0, 0), 0.8)
        picture += np.random.default_rng(k).normal(0, 1.0, picture.shape)
        assert camera.estimate(picture.round().astype(np.uint8), NO_BOXES).still


def test_corners_are_off_the_detections() -> None:
    """Large bright things that move together are the only texture: with their boxes, none."""
    places = [(x, y) for x in range(30, 280, 40) for y in range(30, 220, 40)]
    images = []
    for shift in (0, 6):
        image = np.full((HEIGHT, WIDTH), 80, dtype=np.uint8)
        for x, y in places:
            image[y : y + 9, x + shift : x + shift + 9] = 200
        images.append(image)
    assert follow_corners(*images, NO_BOXES) is not None
    boxes = np.array([[x - 1.0, y - 1, x + 10, y + 10] for x, y in places])
    assert follow_corners(*images, boxes) is None
