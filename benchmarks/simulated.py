"""Our tracker on simulated scenes of real trajectories: ``python -m benchmarks.simulated DIR``.

How scenes are made is in :mod:`benchmarks.simulated_scenes` and
:mod:`benchmarks.simulated_detections`; other trackers run on the same cells by ``run_tracker``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import Column, Part, percentile, say
from benchmarks.simulated_detections import SimulatedScene, simulate
from benchmarks.simulated_scenes import SceneSettings
from benchmarks.trajectories import HEIGHT, WIDTH, Trajectory, read_split, read_trajectories
from configs.schema import TrackerSettings
from streamer.protocols import Tracker
from streamer.types import StreamError, Tracks
from tracking import build_tracker
from tracking.arguments import positive_count, positive_number
from tracking.estimates import Estimates
from tracking.evaluate import read_names, write_report
from tracking.metrics import Tally, measure_clip, rates
from tracking.mot import MotTable

THRESHOLD = 0.5
"""The score of a strong detection in simulated scenes."""
_JUMPS_PER_MINUTE = 10.0

_ABOUT = """\
The tracker at its default settings on simulated scenes of real trajectories, {seconds:g} s each,
seeds 0 to {last}. A target is tracked in a frame when a track's centre lies in its box, which
reaches {margin:g} px beyond the blob; a track is false when it was in no box for 3 frames or more.
Times are those of the tracker's step alone."""

_COLUMNS = (
    Column("cell", "cell"),
    Column("labelled", "targets x frames", "{:d}"),
    Column("tracked_share", "tracked", "{:.2%}"),
    Column("false_tracks_per_minute", "false a minute", "{:.2f}"),
    Column("identity_switches", "id switches", "{:d}"),
    Column("ids_per_found_target", "ids a target", "{:.2f}"),
    Column("hota", "HOTA", "{:.3f}"),
    Column("idf1", "IDF1", "{:.3f}"),
    Column("gospa_px", "GOSPA, px", "{:.2f}"),
    Column("nees", "NEES (2 is right)", "{:.2f}"),
    Column("step_ms", "step ms, median", "{:.3f}"),
    Column("step_ms_p99", "p99", "{:.3f}"),
)

EPILOG = """\
TRAJECTORIES_DIR holds NAME.gt.txt, the MOTChallenge truth of one target each, in pictures of
640 x 512 px at 30 frames a second. Unless --list says otherwise, those of the training part are
used (benchmarks/splits/trajectories.train.txt): settings may be tuned on them.

exit code: 0 finished, 1 a file is missing or wrong, 2 wrong usage, 130 Ctrl-C.
"""


@dataclass(frozen=True, slots=True)
class Cell:
    """One kind of scene of the comparison."""

    name: str
    settings: SceneSettings


@dataclass(frozen=True, slots=True)
class Run:
    """What a tracker made of a scene."""

    tracks: MotTable
    """Confirmed and coasting ones, frames from 1."""
    estimates: Estimates
    """The same with their covariances."""
    step_seconds: list[float]
    """How long each step took."""


def _cells() -> list[Cell]:
    cells = []
    for targets, detected, clutter, fps, jumps in product(
        (1, 5, 20), (0.9, 0.7), (0.1, 5.0), (30.0, 10.0), (0.0, _JUMPS_PER_MINUTE)
    ):
        name = f"targets {targets}, Pd {detected:g}, clutter {clutter:g}, {fps:g} fps"
        settings = SceneSettings(
            targets=targets, detected=detected, clutter=clutter, fps=fps, jumps_per_minute=jumps
        )
        cells.append(Cell(f"{name}, jumps" if jumps else name, settings))
    return cells


CELLS = _cells()
"""The comparison's: every number of targets with every Pd, clutter and frame rate, and each of
these with a camera that jumps."""


def run_tracker(tracker: Tracker, scene: SimulatedScene) -> MotTable:
    """The confirmed and coasting tracks of a scene, frames from 1.

    Args:
        tracker: a fresh one.
        scene: whose frames it gets in order, with a black picture: its size is all that is known.
    """
    return timed_run(tracker, scene).tracks


def timed_run(tracker: Tracker, scene: SimulatedScene) -> Run:
    """The same with what the tracker says of its own error, and how long each step took."""
    picture = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    seen: list[tuple[int, Tracks]] = []
    seconds = []
    for detections in scene.detections:
        began = time.perf_counter()
        tracks = tracker.step(detections, picture)
        seconds.append(time.perf_counter() - began)
        seen.append((detections.frame_index + 1, tracks))
    frame = np.concatenate([np.full(int(t.reported.sum()), number) for number, t in seen])
    columns = [
        np.concatenate([getattr(tracks, name)[tracks.reported] for _, tracks in seen])
        for name in ("track_id", "boxes_xyxy", "score", "xy", "position_cov")
    ]
    track_id, boxes, score, xy, cov = columns
    table = MotTable(frame.astype(np.int64), track_id, boxes, score)
    return Run(table, Estimates(table.frame, track_id, xy, cov), seconds)


def measure(
    cell: Cell,
    trajectories: Sequence[Trajectory],
    seeds: int,
    build: Callable[[], Tracker],
) -> dict[str, Any]:
    """A row of the table: everything that is counted, over all seeds.

    Args:
        cell: the kind of scene.
        trajectories: of which scenes are made.
        seeds: so many scenes.
        build: gives a fresh tracker for each.
    """
    tally, seconds = Tally(), list[float]()
    for seed in range(seeds):
        scene = simulate(cell.settings, trajectories, seed)
        run = timed_run(build(), scene)
        tally += measure_clip(scene.truth, run.tracks, scene.frames, estimates=run.estimates)
        seconds += run.step_seconds
    rate = rates(tally.counts, cell.settings.fps)
    return {
        "cell": cell.name,
        "labelled": tally.counts.labelled,
        "tracked_share": rate.tracked_share,
        "false_tracks_per_minute": rate.false_tracks_per_minute,
        "identity_switches": tally.counts.identity_switches,
        "ids_per_found_target": rate.ids_per_found_target,
        "hota": tally.hota.figures().hota,
        "idf1": tally.identity.figures().idf1,
        "gospa_px": tally.gospa.figures().gospa_px,
        "nees": tally.consistency.figures().nees,
        "step_ms": statistics.median(seconds) * 1e3,
        "step_ms_p99": percentile(seconds, 99) * 1e3,
        "settings": asdict(cell.settings),
        "all": tally.entry(cell.settings.fps),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit code, which ``--help`` explains."""
    options = _parser().parse_args(argv)
    try:
        names = read_names(options.list) if options.list else read_split("train")
        trajectories = read_trajectories(options.trajectories, names)
        rows = []
        for number, cell in enumerate(CELLS, start=1):
            say(f"[{number}/{len(CELLS)}] {cell.name}")
            longer = replace(cell, settings=replace(cell.settings, seconds=options.seconds))
            rows.append(measure(longer, trajectories, options.seeds, _ours))
        part = Part("simulated", _about(options.seconds, options.seeds), _COLUMNS, rows)
        if options.json:
            write_report(options.json, json.dumps(part.numbers(), indent=2) + "\n")
    except StreamError as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        say("interrupted: no report is written")
        return 130
    sys.stdout.write(part.markdown())
    return 0


def _ours() -> Tracker:
    return build_tracker(TrackerSettings(), THRESHOLD)


def _about(seconds: float, seeds: int) -> str:
    margin = SceneSettings().box_margin_px
    said = _ABOUT.format(seconds=seconds, last=seeds - 1, margin=margin)
    return said.replace("\n", " ")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.simulated",
        description="Run the tracker over simulated scenes of real trajectories.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("trajectories", type=Path, metavar="TRAJECTORIES_DIR", help="folder of trajectories")
    add("--seeds", type=positive_count, default=1, metavar="N", help="scenes of each cell (1)")
    seconds = "length of a scene (60)"
    add("--seconds", type=positive_number, default=60.0, metavar="S", help=seconds)
    add("--list", type=Path, metavar="FILE", help="names of the trajectories, one a line")
    add("--json", type=Path, metavar="FILE", help="all numbers")
    return parser


if __name__ == "__main__":
    sys.exit(main())
