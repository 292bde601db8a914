"""Trajectories and scenes for the tests of simulated scenes."""

import numpy as np

from benchmarks.simulated_detections import SimulatedScene, simulate
from benchmarks.simulated_scenes import SceneSettings
from benchmarks.trajectories import Trajectory
from streamer.types import Detections, FloatArray

PLAIN = SceneSettings(
    seconds=100, clutter=0, split=0, merge_px=0, dropped=0, occlusions_per_minute=0
)
"""Nothing but targets that are detected or not."""


def trajectories() -> list[Trajectory]:
    """Six that turn slowly, at 1 to 4 px a frame, each once out of sight for 12 frames."""
    made = []
    for k in range(6):
        t = np.arange(600)
        heading = k + 0.8 * np.sin(t / 90 + k)
        step = (1 + 0.6 * k) * np.stack((np.cos(heading), np.sin(heading)), axis=1)
        seen = (t < 200) | (t >= 212)
        made.append(Trajectory(f"made_{k}", (t + 1)[seen], np.cumsum(step, axis=0)[seen]))
    return made


def scene(settings: SceneSettings, seed: int = 0) -> SimulatedScene:
    return simulate(settings, trajectories(), seed)


def same(one: list[Detections], other: list[Detections]) -> bool:
    names = ("xy", "boxes_xyxy", "score", "area_px", "peak_snr", "extended")
    return len(one) == len(other) and all(
        a.frame_index == b.frame_index
        and a.pts_seconds == b.pts_seconds
        and all(np.array_equal(getattr(a, name), getattr(b, name)) for name in names)
        for a, b in zip(one, other, strict=True)
    )


def errors(made: SimulatedScene) -> FloatArray:
    """(D, 2) of each detection, from the target that is nearest to it."""
    found = []
    for detections in made.detections:
        centres = made.truth.centres[made.truth.frame == detections.frame_index + 1]
        for xy in detections.xy:
            away = xy - centres
            found.append(away[np.hypot(*away.T).argmin()])
    return np.array(found)
