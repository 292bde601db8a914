"""The scene itself: what is where in frame k, what it looks like, and what is true about it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from configs.schema import SyntheticSettings
from streamer.scene.backdrop import Backdrop, Tower
from streamer.scene.paths import Bounds, plan_paths
from streamer.scene.sensor import Sensor
from streamer.types import BoolArray, FloatArray, Image, IntArray

_CROSSING_SECONDS = 6.0
_OCCLUSION_SECONDS = 0.7
_OCCLUSION_BETWEEN = (0.45, 0.75)
_TOWER_WIDTH = 0.05
"""Of the picture's width."""
_STORY_SECONDS = 20.0
"""What is to happen happens in the first 20 s (earlier in a shorter scene), however long it is."""


@dataclass(frozen=True, slots=True, eq=False)
class SceneTruth:
    """Where the targets are in one frame."""

    target_id: IntArray
    """(K,) from 1."""
    xy: FloatArray
    """(K, 2) true centres, px, also of those that are hidden."""
    visible: BoolArray
    """(K,) False where the tower, a tree or the ground hides the target: it leaves no trace."""
    snr: FloatArray
    """(K,) by how many standard deviations of the noise (sensor's, fixed pattern's and rounding's
    together) the target raises its brightest pixel above what is behind it; 0 where hidden."""


@dataclass(frozen=True, slots=True, eq=False)
class SceneFrame:
    """A rendered frame and the truth about it."""

    image: Image
    """(H, W) uint8, or uint16 for more than 8 bit; white-hot."""
    pts_seconds: float
    truth: SceneTruth


class Scene:
    """A long-wave infrared scene: a sky that warms towards the horizon, two layers of drifting
    cloud, a treeline, houses and meadow, and point targets, seen by an uncooled camera.

    A frame depends on the settings and its number alone: frames may be rendered in any order and
    from several threads. All targets are equally strong; ``snr`` of the settings is that of a
    target centred on a pixel (:class:`SceneTruth` has the frame's own). They fly within the
    picture, wherever the camera pans.
    """

    def __init__(self, settings: SyntheticSettings) -> None:
        self.settings = settings
        self.frames = max(1, round(settings.seconds * settings.fps))
        """How many there are."""
        paths_rng, backdrop_rng, sensor_rng = (
            np.random.default_rng(seed) for seed in np.random.SeedSequence(settings.seed).spawn(3)
        )
        story = min(settings.seconds, _STORY_SECONDS)
        crosses = settings.crossing and settings.targets >= 2
        self.crossing_seconds = 0.3 * story if crosses else None
        """When the first two targets are at the same place; None: they do not cross."""
        self._paths = plan_paths(
            settings.targets,
            _bounds(settings),
            paths_rng,
            manoeuvres=settings.manoeuvres,
            crossing_seconds=self.crossing_seconds,
        )
        tower = None
        if settings.occlusion and settings.targets:
            tower = self._place_tower(story)
        self._backdrop = Backdrop(settings, backdrop_rng, tower)
        self._sensor = Sensor(settings, sensor_rng)

    @property
    def noise_sigma(self) -> float:
        """What ``snr`` is relative to: standard deviation of sensor noise, fixed pattern and
        rounding together, grey levels of 8 bit."""
        return self._sensor.noise_sigma

    @property
    def dead_xy(self) -> IntArray:
        """(D, 2) columns and rows of dead and stuck pixels."""
        return self._sensor.dead_xy

    def truth(self, k: int) -> SceneTruth:
        """What is true in frame ``k``, without rendering it.

        Raises:
            IndexError: the scene has no such frame.
        """
        seconds = self._seconds(k)
        xy = self._paths.xy(seconds)
        visible = ~self._backdrop.hides(xy, seconds)
        ids = np.arange(1, len(xy) + 1, dtype=np.int64)
        return SceneTruth(ids, xy, visible, np.where(visible, self._sensor.peak_snr(xy), 0.0))

    def render(self, k: int, *, targets: bool = True) -> SceneFrame:
        """Frame ``k`` with its truth.

        Args:
            k: 0 to ``frames - 1``.
            targets: False leaves the targets out and all else, the noise included, as it is.

        Raises:
            IndexError: the scene has no such frame.
        """
        truth = self.truth(k)
        radiance = self._backdrop.radiance(self._seconds(k))
        if targets:
            self._sensor.add_points(radiance, truth.xy[truth.visible])
        noise = np.random.Generator(np.random.SFC64([self.settings.seed, k]))
        return SceneFrame(self._sensor.expose(radiance, noise), self._seconds(k), truth)

    def write_truth(self, path: Path, frames: int | None = None) -> None:
        """Write MOTChallenge truth: ``frame,id,x,y,w,h,seen,-1,seen``, frames from 1.

        Boxes are squares of four of the optics' sigmas and a pixel; seen is 0 where
        the target is hidden: such a line is not to be scored.

        Args:
            path: the file.
            frames: the first so many; None: all.
        """
        side = 4 * self.settings.psf_sigma_px + 1
        with path.open("w", encoding="utf-8") as file:
            for k in range(self.frames if frames is None else min(frames, self.frames)):
                truth = self.truth(k)
                for number, (x, y), seen in zip(
                    truth.target_id, truth.xy - side / 2, truth.visible, strict=True
                ):
                    box = f"{x:.3f},{y:.3f},{side:.3f},{side:.3f}"
                    file.write(f"{k + 1},{number},{box},{int(seen)},-1,{int(seen)}\n")

    def _seconds(self, k: int) -> float:
        if not 0 <= k < self.frames:
            raise IndexError(f"frame {k} is not in the scene: it has 0 to {self.frames - 1}")
        return k / self.settings.fps

    def _place_tower(self, story_seconds: float) -> Tower:
        """A tower for the last target to pass behind, as wide as it flies while it is hidden."""
        pan = self.settings.camera_drift_px_per_second
        last = self.settings.targets - 1

        def position(seconds: float) -> FloatArray:
            """In the panorama, px."""
            return np.asarray(self._paths.xy(seconds)[last] + (pan * seconds, 0.0))

        def passed(middle: float) -> tuple[float, float]:
            half = _OCCLUSION_SECONDS / 2
            ends = float(position(middle - half)[0]), float(position(middle + half)[0])
            return min(ends), max(ends)

        def ugliness(middle: float) -> float:
            """How far from slender, and how tall."""
            left, right = passed(middle)
            width = (right - left) / (_TOWER_WIDTH * self.settings.width)
            return abs(width - 1) - float(position(middle)[1]) / self.settings.height

        early, late = (share * story_seconds for share in _OCCLUSION_BETWEEN)
        middle = float(min(np.linspace(early, late, 60), key=ugliness))
        left, right = passed(middle)
        return Tower(left, right, roof=position(middle)[1] - 0.03 * self.settings.height)


def _bounds(settings: SyntheticSettings) -> Bounds:
    """The sky, but for a margin at the picture's edges and above the trees."""
    margin = min(14.0, 0.06 * min(settings.width, settings.height))
    bottom = Backdrop.treetops_px(settings.height) - margin / 2
    return Bounds(np.array([margin, margin]), np.array([settings.width - 1 - margin, bottom]))
