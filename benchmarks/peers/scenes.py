"""The scenes on which trackers are tuned and compared: what they get, and the truth kept back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from benchmarks.peers.exchange import Stream
from benchmarks.simulated import CELLS
from benchmarks.simulated_detections import simulate
from benchmarks.simulated_scenes import SceneSettings
from benchmarks.trajectories import HEIGHT, WIDTH, Trajectory
from streamer.types import IntArray
from tracking.mot import MotTable

PROPERTIES = ("targets", "detected", "clutter", "fps", "jumps")


@dataclass(frozen=True, slots=True)
class PeerCell:
    """A kind of scene."""

    name: str
    settings: SceneSettings
    every_other: bool = False
    """Of the frames that would arrive only every second one does."""

    @property
    def rate(self) -> str:
        """The stream's nominal frame rate, for which trackers are tuned."""
        return f"{self.settings.fps:g}"

    def properties(self) -> dict[str, Any]:
        """What it differs in from other cells, by ``PROPERTIES``."""
        s = self.settings
        values = (s.targets, s.detected, s.clutter, s.fps, "yes" if s.jumps_per_minute else "no")
        return dict(zip(PROPERTIES, values, strict=True))

    def entry(self) -> dict[str, Any]:
        """For the JSON."""
        return {
            "cell": self.name,
            "every_other": self.every_other,
            "blob_px": list(self.settings.blob_px),
            **self.properties(),
            "settings": asdict(self.settings),
        }


@dataclass(frozen=True, slots=True, eq=False)
class PeerScene:
    """A scene as trackers see it, and its truth."""

    cell: PeerCell
    seed: int
    stream: Stream
    truth: MotTable
    """Of the frames that arrived, which count from 1 without gaps (``numbered``)."""
    arrived: IntArray
    """(F,) the number of each frame that arrived, in the stream, from 1."""
    minutes: float

    @property
    def frames(self) -> int:
        """So many arrived."""
        return len(self.arrived)

    def numbered(self, tracks: MotTable) -> MotTable:
        """Tracks whose frames count as those of the truth: what did not arrive is not measured.

        Raises:
            ValueError: a line is of a frame that did not arrive.
        """
        return _numbered(tracks, self.arrived)


def cells(seconds: float, *, few: bool) -> list[PeerCell]:
    """All kinds of scenes: those of ``CELLS``, and those of them at 30 fps whose camera does not
    jump once more with every other frame dropped.

    Args:
        seconds: length of a scene.
        few: half of each, in which every two properties are independent of each other: of a half
            fraction of the factorial design (the number of targets apart).
    """
    plain = [PeerCell(cell.name, replace(cell.settings, seconds=seconds)) for cell in CELLS]
    smooth = [
        each for each in plain if each.settings.fps == 30 and not each.settings.jumps_per_minute
    ]
    dropped = [PeerCell(f"{c.name}, every other dropped", c.settings, True) for c in smooth]
    if not few:
        return plain + dropped
    return [each for each in plain + dropped if _in_fraction(each)]


def _in_fraction(cell: PeerCell) -> bool:
    s = cell.settings
    levels = [s.detected < 0.8, s.clutter > 1, s.fps < 20, s.jumps_per_minute > 0]
    return sum([*levels, s.targets == 5]) % 2 == 0


def make_scene(cell: PeerCell, trajectories: Sequence[Trajectory], seed: int) -> PeerScene:
    """A scene of a kind; other cells with the same seed have the same targets."""
    scene = simulate(cell.settings, trajectories, seed)
    detections = scene.detections
    if cell.every_other:
        detections = [each for each in detections if each.frame_index % 2 == 0]
    arrived = np.array([each.frame_index + 1 for each in detections], dtype=np.int64)
    truth = scene.truth.keep(np.isin(scene.truth.frame, arrived))
    return PeerScene(
        cell=cell,
        seed=seed,
        stream=Stream(cell.settings.fps, WIDTH, HEIGHT, detections),
        truth=_numbered(truth, arrived),
        arrived=arrived,
        minutes=cell.settings.seconds / 60,
    )


def _numbered(table: MotTable, arrived: IntArray) -> MotTable:
    place = np.searchsorted(arrived, table.frame)
    known = place < len(arrived)
    if not known.all() or (arrived[place] != table.frame).any():
        raise ValueError("a line is of a frame that did not arrive")
    return MotTable(place + 1, table.object_id, table.boxes_xyxy, table.confidence)
