"""Trajectories of real targets from their labels: read, split in two, and freed of the camera.

A file ``NAME.gt.txt`` is MOTChallenge truth of one target. Its boxes give centres only: how large
the target looked is of no interest here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import binary_dilation, median_filter
from scipy.signal import savgol_filter

from streamer.types import BoolArray, FloatArray, IntArray, StreamError
from tracking.evaluate import read_names
from tracking.mot import read_mot

FPS = 30.0
"""Of all trajectories."""
WIDTH, HEIGHT = 640, 512
"""Of the pictures in which they were labelled, px."""
SUFFIX = ".gt.txt"
SPLITS = Path(__file__).parent / "splits"
SPLIT_SEED = 2026

# A camera that follows its target turns for 3 to 5 frames at a time, up to half of all frames in
# a row: the median over so many frames is the target's own motion.
_OWN_MOTION_FRAMES = 21
# A step that differs from it by more is the camera's, px a frame. Drones change theirs by less.
_CAMERA_STEP_PX = 5.0
# What is left of longer turns is no drone's motion, px/s^2: where one of 40 cm is 37 px long, as
# here on the median, this is twice gravity.
_FASTEST_CHANGE = 1800.0
# Labels are whole pixels. A parabola through so many frames takes their jitter out, and leaves
# accelerations in.
_SMOOTH_FRAMES, _SMOOTH_ORDER = 7, 2


@dataclass(frozen=True, slots=True, eq=False)
class Trajectory:
    """Where one target was, in the frames in which it was in sight.

    Raises:
        ValueError: there is no frame, or frames are not in order, or shapes do not agree.
    """

    name: str
    frame: IntArray
    """(L,) rising, from 1; a gap is a time out of sight."""
    xy: FloatArray
    """(L, 2) centres, px."""

    def __post_init__(self) -> None:
        if self.xy.shape != (len(self.frame), 2):
            raise ValueError(f"{self.name}: {len(self.frame)} frames, xy of {self.xy.shape}")
        if not len(self.frame) or (np.diff(self.frame) <= 0).any():
            raise ValueError(f"{self.name}: its frames do not rise")

    def path(self) -> tuple[FloatArray, BoolArray]:
        """Every frame from the first to the last, T of them.

        Returns:
            (T, 2) centres, px, on a straight line where the target is out of sight, and (T,) True
            where it is in sight.
        """
        every = np.arange(self.frame[0], self.frame[-1] + 1)
        columns = [np.interp(every, self.frame, column) for column in self.xy.T]
        return np.stack(columns, axis=1), np.isin(every, self.frame)

    def steady_path(self) -> tuple[FloatArray, BoolArray]:
        """The path as a camera that does not turn would have seen it, which may leave the picture.

        The cameras that made these videos catch up with their target by jerks of 20 to 60 px a
        frame, which last for some frames, while the target itself goes on evenly. Steps that
        differ much from the median of those around them are taken as the camera's, and the median
        put in their place. What is left is smoothed (Savitzky and Golay, "Smoothing and
        Differentiation of Data by Simplified Least Squares Procedures", 1964), because the whole
        pixels of the labels would else look like a trembling target.

        Returns:
            As :meth:`path`.
        """
        xy, visible = self.path()
        steps = np.diff(xy, axis=0)
        if len(xy) < _SMOOTH_FRAMES:
            return xy, visible
        own = median_filter(steps, size=(_OWN_MOTION_FRAMES, 1), mode="nearest")
        turning = np.hypot(*(steps - own).T) > _CAMERA_STEP_PX
        # In the first and the last frame of a turn the camera moves for a part of the time only.
        turning = binary_dilation(turning)
        steps[turning] = own[turning]
        steady = np.vstack((xy[:1], xy[0] + np.cumsum(steps, axis=0)))
        smooth = savgol_filter(steady, _SMOOTH_FRAMES, _SMOOTH_ORDER, axis=0)
        return np.asarray(smooth, dtype=np.float64), visible


def credible(xy: FloatArray) -> BoolArray:
    """Where a steady path (T, 2) is a target's own, (T,): not where its camera turned for so long
    that the turn was taken for the target's motion, and velocity leaps at its ends.
    """
    leaps = np.zeros(len(xy), dtype=np.bool_)
    leaps[1:-1] = np.hypot(*np.diff(xy, 2, axis=0).T) * FPS**2 > _FASTEST_CHANGE
    return ~leaps


def read_trajectory(path: Path) -> Trajectory:
    """Read one file.

    Raises:
        StreamError: it is not MOTChallenge truth of one target with at most a line a frame.
    """
    table = read_mot(path)
    table = table.keep(table.confidence > 0)
    name = path.name.removesuffix(SUFFIX)
    if len(np.unique(table.object_id)) != 1:
        raise StreamError(f"{path}: expected lines of exactly one target")
    order = np.argsort(table.frame)
    try:
        return Trajectory(name, table.frame[order], table.centres[order])
    except ValueError as error:
        raise StreamError(f"{path}: a frame has two lines") from error


def read_trajectories(folder: Path, names: Iterable[str] | None = None) -> list[Trajectory]:
    """Read a folder, in the order of the names.

    Args:
        folder: of files NAME.gt.txt.
        names: which of them; None: all.

    Raises:
        StreamError: there are none, one that was named is missing, or one cannot be read.
    """
    if not folder.is_dir():
        raise StreamError(f"{folder} is not a folder")
    there = {path.name.removesuffix(SUFFIX): path for path in sorted(folder.glob(f"*{SUFFIX}"))}
    wanted = list(there) if names is None else list(names)
    if not wanted:
        raise StreamError(f"no trajectories NAME{SUFFIX} in {folder}")
    for name in wanted:
        if name not in there:
            raise StreamError(f"{folder} has no {name}{SUFFIX}")
    return [read_trajectory(there[name]) for name in wanted]


def read_split(part: str) -> list[str]:
    """The names of a part: ``train``, on which settings may be tuned, or ``val``.

    Raises:
        StreamError: the list cannot be read.
    """
    return read_names(SPLITS / f"trajectories.{part}.txt")


def recording_of(name: str) -> str:
    """Of what the trajectory is a part: its name without what follows the last underscore."""
    return name.rpartition("_")[0] or name


def split(names: Sequence[str], seed: int = SPLIT_SEED) -> tuple[list[str], list[str]]:
    """Two halves, about: trajectories of one recording stay together, recordings are shuffled.

    Returns:
        Names for training and for validation, both sorted.
    """
    recordings = sorted({recording_of(name) for name in names})
    np.random.default_rng(seed).shuffle(recordings)
    train: set[str] = set()
    for recording in recordings:
        if 2 * len(train) < len(names):
            train |= {name for name in names if recording_of(name) == recording}
    return sorted(train), sorted(set(names) - train)
