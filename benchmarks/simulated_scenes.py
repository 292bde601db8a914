"""Scenes of several real trajectories: what is asked for, and where the targets are.

What a detector would see of them is in :mod:`benchmarks.simulated_detections`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

from benchmarks.trajectories import FPS, HEIGHT, WIDTH, Trajectory, credible
from streamer.types import BoolArray, FloatArray, IntArray
from tracking.mot import MotTable

# Every purpose draws from a generator of its own, so that scenes that differ in one setting only
# have everything else in common.
MOTION, CAMERA, DROPS, BLOBS, CLUTTER, PLACES = range(6)

_PAUSE_SECONDS = 1.0
"""At most so long after a target's end the next one begins."""
_SHORTEST_PASSAGE_SECONDS = 1.5
_LONGEST_PASSAGE_SECONDS = 8.0
"""Else targets that hover, which never leave, would soon be all there is."""
_DRAWS = 20
"""So often another passage is drawn in the place of one that is too short."""
_FADE_SECONDS = 0.3
"""How long a target's SNR remembers what it was."""
_FADE = 0.25
"""Standard deviation of the logarithm of a target's SNR."""
_BREATH_SECONDS = 2.0
_BREATH = 0.15
"""Those of a target's area."""
_FARTHEST_JUMP_PX = 120.0
"""Jumps lead no farther from where the camera looked first: the targets are there."""


@dataclass(frozen=True, slots=True)
class SceneSettings:
    """What a simulated scene is like. Defaults are those of an easy scene with everything in it.

    Raises:
        ValueError: a number is out of range.
    """

    targets: int = 5
    """Present at a time, less short pauses after one left; 0: clutter only."""
    seconds: float = 60.0
    fps: float = 30.0
    """Frames per second: 30 or a whole part of it, by taking every second, third, ... frame."""
    steady: bool = True
    """Trajectories are freed of their camera's motion (``Trajectory.steady_path``); False: each
    target jerks by itself, as its camera did."""
    detected: float = 0.9
    """Probability that a visible target is detected in a frame, above 0 to 1."""
    clutter: float = 0.1
    """False detections a frame on average (Poisson)."""
    clustered: float = 0.5
    """Share of those that come from a few fixed places along a line, such as treetops."""
    blob_px: tuple[float, float] = (1.0, 9.0)
    """Smallest and largest area of a target, px, from 1."""
    snr: tuple[float, float] = (4.0, 14.0)
    """Smallest and largest mean SNR of a target."""
    split: float = 0.02
    """Probability that a detected blob of two pixels or more breaks into two."""
    merge_px: float = 3.0
    """Detected targets as near to each other are one blob, px."""
    dropped: float = 0.01
    """Share of frames that never arrive."""
    occlusions_per_minute: float = 4.0
    """Of each target."""
    occlusion_seconds: tuple[float, float] = (0.3, 2.0)
    """Shortest and longest. A target that was away for longer than that comes back as another."""
    jumps_per_minute: float = 0.0
    """Of the camera: the whole picture shifts from one frame to the next."""
    jump_px: tuple[float, float] = (10.0, 60.0)
    """Smallest and largest jump."""
    box_margin_px: float = 4.0
    """How far the truth's boxes reach beyond the blob on each side: people's boxes around targets
    of 1 to 3 px are as loose, and one no larger than the blob would ask for luck."""

    def __post_init__(self) -> None:
        stride = FPS / self.fps if self.fps > 0 else 0.0
        for good, said in (
            (self.targets >= 0, f"targets {self.targets}: expected 0 or more"),
            (0 < self.seconds < math.inf, f"seconds {self.seconds}: expected more than 0"),
            (stride >= 1 and stride == round(stride), f"fps {self.fps}: expected {FPS:g} / n"),
            (0 < self.detected <= 1, f"detected {self.detected}: expected above 0 to 1"),
            (0 <= self.clutter < math.inf, f"clutter {self.clutter}: expected 0 or more"),
            (0 <= self.clustered <= 1, f"clustered {self.clustered}: expected 0 to 1"),
            (0 <= self.split <= 1, f"split {self.split}: expected 0 to 1"),
            (0 <= self.dropped < 1, f"dropped {self.dropped}: expected 0 to below 1"),
            (self.merge_px >= 0, f"merge_px {self.merge_px}: expected 0 or more"),
            (self.box_margin_px >= 0, f"box_margin_px {self.box_margin_px}: expected 0 or more"),
            (1 <= self.blob_px[0] <= self.blob_px[1], f"blob_px {self.blob_px}: expected from 1"),
            (0 < self.snr[0] <= self.snr[1], f"snr {self.snr}: expected from above 0"),
            (
                0 <= self.occlusion_seconds[0] <= self.occlusion_seconds[1],
                f"occlusion_seconds {self.occlusion_seconds}: expected shortest, longest",
            ),
            (
                0 <= self.jump_px[0] <= self.jump_px[1] <= _FARTHEST_JUMP_PX,
                f"jump_px {self.jump_px}: expected up to {_FARTHEST_JUMP_PX:g}",
            ),
            (
                min(self.occlusions_per_minute, self.jumps_per_minute) >= 0,
                "occlusions_per_minute and jumps_per_minute: expected 0 or more",
            ),
        ):
            if not good:
                raise ValueError(said)

    @property
    def stride(self) -> int:
        """Every so many-th frame of the trajectories is a frame of the stream."""
        return round(FPS / self.fps)

    @property
    def frames(self) -> int:
        """Of the stream, with those that never arrive."""
        return max(1, round(self.seconds * self.fps))


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """Every visible target in every frame that arrives: a struct of arrays, by frame."""

    frame: IntArray
    """(L,) of the stream, from 0."""
    object_id: IntArray
    """(L,) from 1."""
    xy: FloatArray
    """(L, 2) px."""
    area_px: FloatArray
    """(L,) of the blob."""
    snr: FloatArray
    """(L,) with its fading."""
    fade: FloatArray
    """(L,) the fading alone: a standard normal number, low where the target is faint."""

    @classmethod
    def none(cls) -> Targets:
        """No targets."""
        no, number = np.empty(0, dtype=np.int64), np.empty(0)
        return cls(no, no, np.empty((0, 2)), number, number, number)

    def table(self, margin_px: float) -> MotTable:
        """The truth: boxes of the blob's size and a margin on each side."""
        reach = (np.sqrt(self.area_px) / 2 + margin_px)[:, None]
        boxes = np.hstack((self.xy - reach, self.xy + reach))
        return MotTable(self.frame + 1, self.object_id, boxes, np.ones(len(self.frame)))


class Camera:
    """How far the picture has shifted, frame of the trajectories by frame.

    Args:
        settings: how often and how far it jumps.
        seed: the scene's.
    """

    def __init__(self, settings: SceneSettings, seed: int) -> None:
        self._settings = settings
        self._rng = np.random.default_rng([seed, CAMERA])
        self._offset = np.zeros(2)
        self._now = 0
        self._next = self._until_next()

    def offsets(self, count: int) -> FloatArray:
        """(count, 2) px, of the next ``count`` frames; in however many parts they are asked for."""
        offsets = np.empty((count, 2))
        done = 0
        while (jump := self._next - self._now) < count:
            first = math.ceil(jump)
            offsets[done:first] = self._offset
            done = first
            self._jump()
            self._next += self._until_next()
        offsets[done:] = self._offset
        self._now += count
        return offsets

    def _until_next(self) -> float:
        """Frames to the next jump, at least one."""
        rate = self._settings.jumps_per_minute / 60 / FPS
        return max(1.0, self._rng.exponential(1 / rate)) if rate else math.inf

    def _jump(self) -> None:
        length, angle = self._rng.uniform(*self._settings.jump_px), self._rng.uniform(0, math.tau)
        step = length * np.array([math.cos(angle), math.sin(angle)])
        if np.hypot(*(self._offset + step)) > _FARTHEST_JUMP_PX:
            step = -step
        self._offset = self._offset + step


def inside(xy: FloatArray) -> BoolArray:
    """(N,) True where a point (N, 2) lies in the picture."""
    return np.asarray(((xy >= -0.5) & (xy <= (WIDTH - 0.5, HEIGHT - 0.5))).all(axis=1))


class Arrivals:
    """Which frames of the stream arrive. The first always does.

    Args:
        settings: how many do not.
        seed: the scene's.
    """

    def __init__(self, settings: SceneSettings, seed: int) -> None:
        self._dropped = settings.dropped
        self._rng = np.random.default_rng([seed, DROPS])
        self._begun = False

    def of(self, count: int) -> BoolArray:
        """(count,) True where one of the next ``count`` frames arrives; in however many parts."""
        arriving = self._rng.random(count) >= self._dropped
        if not self._begun:
            arriving[:1] = True
        self._begun = True
        return np.asarray(arriving, dtype=np.bool_)


def compose(settings: SceneSettings, trajectories: Sequence[Trajectory], seed: int) -> Targets:
    """Put targets into a scene, each a mirrored passage of a trajectory at a place of its own.

    A passage begins or ends where the path crosses the picture's border, where the trajectory
    does or is not credible, or, so that those who hover do not stay for ever, after 8 seconds.
    Then another one takes its place.

    Raises:
        ValueError: targets are asked for and there are no trajectories.
    """
    if settings.targets and not trajectories:
        raise ValueError("a scene with targets needs trajectories")
    rng = np.random.default_rng([seed, MOTION])
    length = settings.frames * settings.stride
    offsets = Camera(settings, seed).offsets(length)
    arriving = Arrivals(settings, seed).of(settings.frames)
    parts: list[Targets] = []
    ids = 0
    for xy, visible, start in _passages(settings, trajectories, length, rng):
        count = len(xy)
        area = math.exp(rng.uniform(*np.log(settings.blob_px)))
        area_px = area * np.exp(_BREATH * _wander(count, _BREATH_SECONDS, rng))
        area_px = np.clip(area_px, *settings.blob_px)
        fade = _wander(count, _FADE_SECONDS, rng)
        snr = math.exp(rng.uniform(*np.log(settings.snr))) * np.exp(_FADE * fade)
        shown = visible & ~_hidden(count, settings, rng)
        native = np.arange(start, start + count)
        within = (native >= 0) & (native < length)
        shown[within] &= inside(xy[within] + offsets[native[within]])
        rows = np.flatnonzero(shown & within)
        absent = np.diff(native[rows], prepend=native[rows][:1]) - 1
        returns = absent > settings.occlusion_seconds[1] * FPS
        object_id = ids + 1 + np.cumsum(returns)
        ids = int(object_id.max(initial=ids))
        taken = native[rows] % settings.stride == 0
        taken &= arriving[native[rows] // settings.stride]
        rows, object_id = rows[taken], object_id[taken]
        frame = native[rows] // settings.stride
        moved = xy[rows] + offsets[native[rows]]
        parts.append(Targets(frame, object_id, moved, area_px[rows], snr[rows], fade[rows]))
    return _together(parts)


def _passages(
    settings: SceneSettings,
    trajectories: Sequence[Trajectory],
    length: int,
    rng: np.random.Generator,
) -> Iterator[tuple[FloatArray, BoolArray, int]]:
    """Passages of all targets: (T, 2) positions, (T,) in sight, the first's frame, maybe below 0.

    Frames are those of the trajectories, ``length`` of them.
    """
    for _ in range(settings.targets):
        now = 0
        while now < length:
            xy, visible = _passage(settings, trajectories, rng)
            if now == 0:  # in the midst of it
                now = -int(rng.integers(len(xy)))
            yield xy, visible, now
            now = max(1, now + len(xy)) + int(rng.integers(round(_PAUSE_SECONDS * FPS)))


def _passage(
    settings: SceneSettings, trajectories: Sequence[Trajectory], rng: np.random.Generator
) -> tuple[FloatArray, BoolArray]:
    """(T, 2) positions in the picture, in T frames on end, and (T,) in sight."""
    best: tuple[FloatArray, BoolArray] = np.empty((0, 2)), np.empty(0, dtype=np.bool_)
    for _ in range(_DRAWS):
        trajectory = trajectories[int(rng.integers(len(trajectories)))]
        xy, visible = trajectory.steady_path() if settings.steady else trajectory.path()
        usable = credible(xy) if settings.steady else np.ones(len(xy), dtype=np.bool_)
        anchor = int(rng.choice(np.flatnonzero(usable)))
        xy = (xy - xy[anchor]) * rng.choice([-1.0, 1.0], 2)
        if rng.random() < 0.5:  # a quarter turn
            xy = xy[:, ::-1]
        xy = xy + rng.uniform(0, (WIDTH - 1, HEIGHT - 1))
        outside = np.flatnonzero(~(usable & inside(xy)))
        place = int(np.searchsorted(outside, anchor))
        first = int(outside[place - 1]) + 1 if place else 0
        last = int(outside[place]) if place < len(outside) else len(xy)
        longest = round(_LONGEST_PASSAGE_SECONDS * FPS)
        if last - first > longest:
            first += int(rng.integers(last - first - longest))
            last = first + longest
        if last - first > len(best[0]):
            best = xy[first:last], visible[first:last]
        if len(best[0]) >= _SHORTEST_PASSAGE_SECONDS * FPS:
            break
    return best


def _wander(count: int, seconds: float, rng: np.random.Generator) -> FloatArray:
    """(count,) standard normal numbers, one a frame of the trajectories, which forget exponentially
    in so many seconds: a stationary autoregressive process of first order.
    """
    keep = math.exp(-1 / (seconds * FPS))
    news = rng.standard_normal(count)
    news[1:] *= math.sqrt(1 - keep * keep)
    return np.asarray(lfilter([1.0], [1.0, -keep], news), dtype=np.float64)


def _hidden(count: int, settings: SceneSettings, rng: np.random.Generator) -> BoolArray:
    """(count,) True in the frames of the trajectories in which something is before the target."""
    hidden = np.zeros(count, dtype=np.bool_)
    if not settings.occlusions_per_minute:
        return hidden
    mean = 60 * FPS / settings.occlusions_per_minute
    begins = rng.exponential(mean)
    while begins < count:
        ends = begins + rng.uniform(*settings.occlusion_seconds) * FPS
        hidden[math.ceil(begins) : math.ceil(ends)] = True
        begins = ends + rng.exponential(mean)
    return hidden


def _together(parts: Sequence[Targets]) -> Targets:
    """All of them in order of frame, then of id."""
    columns = {
        name: np.concatenate([getattr(part, name) for part in (Targets.none(), *parts)])
        for name in Targets.__dataclass_fields__
    }
    order = np.lexsort((columns["object_id"], columns["frame"]))
    return Targets(**{name: column[order] for name, column in columns.items()})
