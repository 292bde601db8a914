"""What a moving camera sees: views of one large picture of a scene, targets in it, real clips."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from shown_targets import seen

from configs.schema import TrackerSettings
from streamer.types import Image, Tracks
from tracking import build_tracker, kalman
from tracking.camera_motion import Motion

WIDTH, HEIGHT = 320, 256
FPS = 30.0
THRESHOLD = 0.5
NO_BOXES = np.empty((0, 4))
IDENTITY = np.eye(2, 3)

Array = NDArray[np.floating]
Scene = Literal["ground", "sky", "blank"]


@dataclass(frozen=True)
class Pose:
    """Where the camera looks: at ``x``, ``y`` of the scene, turned and magnified."""

    x: float = 550.0
    y: float = 450.0
    degrees: float = 0.0
    zoom: float = 1.0

    @property
    def warp(self) -> Array:
        """(2, 3) from the scene into the picture."""
        turn = np.deg2rad(self.degrees)
        linear = self.zoom * np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        middle = np.array([(WIDTH - 1) / 2, (HEIGHT - 1) / 2])
        return np.column_stack((linear, middle - linear @ (self.x, self.y)))

    def points(self, xy: Array) -> Array:
        """Where points (N, 2) of the scene are in the picture, px."""
        return xy @ self.warp[:, :2].T + self.warp[:, 2]


_SHAKES = np.random.default_rng(9).normal(0, (6, 6, 0.5), (45, 3))
PANS = {
    "pan": [Pose(300 + 12 * k, 300 + 5 * k) for k in range(40)],
    "there and back": [Pose(550 + 120 * np.sin(k / 5), 450) for k in range(45)],
    "turn": [Pose(degrees=55 * np.sin(k / 6)) for k in range(45)],
    "zoom": [Pose(zoom=1 + 0.25 * np.sin(k / 2)) for k in range(45)],
    "shake": [Pose(550 + x, 450 + y, turn) for x, y, turn in _SHAKES],
}

TARGETS = np.array([[450.0, 400], [600, 380], [650, 470], [480, 530], [548, 452]])
SPEEDS = np.array([[30.0, 10], [-20, 25], [-35, -10], [10, -30], [25, 0]])


def crossing(poses: Sequence[Pose], seconds: float) -> Array:
    """Five targets in slow flight, about where the camera looks half way."""
    middle = poses[len(poses) // 2]
    return TARGETS - (550, 450) + (middle.x, middle.y) + SPEEDS * (seconds - len(poses) / FPS / 2)


@functools.cache
def scene(kind: Scene, seed: int = 0) -> Array:
    """(900, 1100) grey levels: ``ground`` has texture of every size, ``sky`` faint soft clouds,
    ``blank`` nothing."""
    rng = np.random.default_rng(seed)

    def noise(sigma: float) -> Array:
        white = rng.normal(0, 1, (900, 1100))
        return cv2.GaussianBlur(white, (0, 0), sigma) * sigma

    if kind == "ground":
        picture = noise(1.5) + noise(4) + noise(12) + noise(40)
        return (100 + 25 * picture / picture.std()).astype(np.float32)
    if kind == "blank":
        return np.full((900, 1100), 70, dtype=np.float32)
    clouds = noise(12)
    return (70 + 4 * clouds / clouds.std()).astype(np.float32)


def view(
    world: Array,
    pose: Pose,
    rng: np.random.Generator,
    *,
    noise: float = 1.0,
    depth: int = 8,
    targets: Array | None = None,
) -> Image:
    """The (HEIGHT, WIDTH) picture, 8 or 16 bit, with spots at ``targets`` (N, 2) of the picture."""
    picture = cv2.warpAffine(world, pose.warp, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)
    picture += noise * rng.standard_normal(picture.shape, dtype=np.float32)
    for x, y in np.empty((0, 2)) if targets is None else targets:
        across = np.exp(-((np.arange(WIDTH) - x) ** 2) / 2)
        down = np.exp(-((np.arange(HEIGHT) - y) ** 2) / 2)
        picture += (60 * np.outer(down, across)).astype(np.float32)
    if depth == 8:
        return np.clip(picture, 0, 255).astype(np.uint8)
    return np.clip(picture * 40 + 3000, 0, 65535).astype(np.uint16)


def between(before: Pose, after: Pose) -> Array:
    """(2, 3) from the one view into the other."""
    linear = after.warp[:, :2] @ np.linalg.inv(before.warp[:, :2])
    return np.column_stack((linear, after.warp[:, 2] - linear @ before.warp[:, 2]))


def moved_by(motion: Motion, mean: Array, cov: Array) -> tuple[Array, Array]:
    """States (M, 4) and their covariances, which no time but a motion of the camera changes."""
    transition, offset, noise = motion.after(np.eye(4), np.zeros((4, 4)))
    mean, cov = kalman.predict(mean, cov, transition, noise)
    return mean + offset, cov


def distance(one: Array, other: Array) -> float:
    """How far apart two warps put the picture's corners at most, px."""
    corners = np.array([[0, 0], [WIDTH, 0], [0, HEIGHT], [WIDTH, HEIGHT]])
    apart = corners @ (one - other)[:, :2].T + (one - other)[:, 2]
    return float(np.hypot(*apart.T).max())


def shown(
    camera_motion: str,
    poses: Sequence[Pose],
    targets_at: Callable[[float], Array],
    *,
    kind: Scene = "ground",
    seed: int = 0,
    noise: float = 0.3,
    **settings: object,
) -> tuple[list[Tracks], list[Array]]:
    """Track targets that move in the scene, seen by a camera that moves.

    Args:
        camera_motion: the setting.
        poses: the camera's, one a frame.
        targets_at: (N, 2) of the scene at a time, s.
        kind: of scene.
        seed: decides scene and noise.
        noise: of the detections, px.
        settings: more settings of the tracker.

    Returns:
        The tracks of each frame, and where in it the targets were, px.
    """
    rng = np.random.default_rng(seed)
    subject = build_tracker(
        TrackerSettings.model_validate({"camera_motion": camera_motion, **settings}), THRESHOLD
    )
    world = scene(kind, seed)
    outputs, truth = [], []
    for k, pose in enumerate(poses):
        places = pose.points(targets_at(k / FPS))
        found = places + rng.normal(0, noise, places.shape)
        image = view(world, pose, np.random.default_rng((seed, k)), targets=places)
        outputs.append(subject.step(seen(found, k / FPS), image))
        truth.append(places)
    return outputs, truth


def share_kept(outputs: Sequence[Tracks], truth: Sequence[Array], skip: int = 8) -> float:
    """In how many of the targets' frames after the first ones they have their most usual id.

    A track has a target when it is nearest to it, within 3 px; tentative ones count.
    """
    ids = []
    for tracks, places in zip(outputs[skip:], truth[skip:], strict=True):
        apart = np.hypot(*np.moveaxis(places[:, None] - tracks.xy[None], 2, 0))
        row = []
        for each in apart:
            near = len(each) > 0 and each.min() < 3
            row.append(int(tracks.track_id[each.argmin()]) if near else 0)
        ids.append(row)
    kept = 0
    for column in np.array(ids).T:
        known = column[column > 0]
        kept += np.bincount(known).max() if len(known) else 0
    return float(kept / np.size(ids))


def real_pictures(shared_dir: Path, name: str, count: int) -> list[Image]:
    """The first pictures of a clip; without the clips the test is skipped."""
    path = shared_dir / "data" / "ir-video" / f"{name}.mp4"
    if not path.is_file():
        pytest.skip("needs the clips in the folder 'shared'")
    video = cv2.VideoCapture(str(path))
    images = []
    for _ in range(count):
        there, picture = video.read()
        assert there, name
        images.append(np.ascontiguousarray(picture[..., 0]))
    return images
