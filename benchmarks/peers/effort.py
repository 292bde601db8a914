"""How all trackers are tuned and measured on the same scenes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.peers.batch import Bench, Task
from benchmarks.peers.comparison import CellResult
from benchmarks.peers.exchange import Parameters
from benchmarks.peers.measures import gospa_of_nothing, merit
from benchmarks.peers.scenes import PeerCell, cells, make_scene
from benchmarks.peers.spaces import SPACES, START, Row
from benchmarks.peers.tuning import tune
from benchmarks.peers.workers import Workers
from benchmarks.report import say
from benchmarks.trajectories import Trajectory

TuningResult = dict[str, dict[str, dict[str, Any]]]
"""By row, then by frame rate: what ``Tuned.entry`` says."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is spent."""

    seeds: int
    """Scenes of each cell."""
    seconds: float
    """Of a scene."""
    few: bool
    """Half of the cells."""
    candidates: int
    tuning_scenes: int
    """Of each frame rate."""
    tuning_seconds: float


class _Evaluation:
    """The merit of a row's candidates on the scenes of a bench."""

    def __init__(self, row: Row, bench: Bench, nothing: Sequence[float]) -> None:
        self._row = row
        self._bench = bench
        self._nothing = nothing

    def __call__(
        self, candidates: Sequence[Parameters], scenes: Sequence[int]
    ) -> list[list[float]]:
        row = self._row
        tasks = [
            Task(row.tracker, row.package, candidate, scene)
            for candidate in candidates
            for scene in scenes
        ]
        merits = [
            merit(figures, self._nothing[task.scene])
            for task, figures in zip(tasks, self._bench.measure(tasks), strict=True)
        ]
        return [merits[k : k + len(scenes)] for k in range(0, len(merits), len(scenes))]


def tune_all(
    rows: Sequence[Row], trajectories: Sequence[Trajectory], effort: Effort, workers: Workers
) -> TuningResult:
    """Tune every row that is to be tuned, for each frame rate by itself, on the same scenes.

    Raises:
        StreamError: a tracker failed.
    """
    wanted = [row for row in rows if row.fixed is None]
    found: TuningResult = {row.key: {} for row in wanted}
    for fps, kinds in _tuning_cells(effort).items() if wanted else ():
        scenes = [make_scene(cell, trajectories, seed) for seed, cell in enumerate(kinds)]
        nothing = [gospa_of_nothing(scene) for scene in scenes]
        with Bench(scenes, workers) as bench:
            for row in wanted:
                say(f"tuning {row.title} at {fps} fps on {len(scenes)} scenes")
                result = tune(
                    SPACES[row.tracker],
                    START[row.tracker],
                    _Evaluation(row, bench, nothing),
                    scenes=len(scenes),
                    candidates=effort.candidates,
                )
                say(f"  {result.start_merit:.4f} to {result.merit:.4f}: {result.parameters}")
                found[row.key][fps] = result.entry()
    return found


def _tuning_cells(effort: Effort) -> dict[str, list[PeerCell]]:
    """By frame rate: cells in an order that mixes them, each again and again where more scenes are
    asked for than there are cells."""
    groups: dict[str, list[PeerCell]] = {}
    for cell in cells(effort.tuning_seconds, few=False):
        if not cell.every_other:
            groups.setdefault(cell.rate, []).append(cell)
    rng = np.random.default_rng(0)
    return {
        fps: [
            group[k]
            for _ in range(-(-effort.tuning_scenes // len(group)))
            for k in rng.permutation(len(group)).tolist()
        ][: effort.tuning_scenes]
        for fps, group in groups.items()
    }


def parameters_of(row: Row, tuned: TuningResult, cell: PeerCell) -> Parameters:
    """What a row runs with on a kind of scene."""
    if row.fixed is not None:
        return row.fixed
    found: Parameters = tuned[row.key][cell.rate]["parameters"]
    return found


def measure_cells(
    rows: Sequence[Row],
    tuned: TuningResult,
    kinds: Sequence[PeerCell],
    trajectories: Sequence[Trajectory],
    effort: Effort,
    workers: Workers,
) -> list[CellResult]:
    """Run every row over ``effort.seeds`` scenes of each of these kinds.

    Raises:
        StreamError: a tracker failed.
    """
    seeds = effort.seeds
    scenes = [make_scene(cell, trajectories, seed) for cell in kinds for seed in range(seeds)]
    with Bench(scenes, workers) as bench:
        figures = bench.measure(
            [
                Task(row.tracker, row.package, parameters_of(row, tuned, scene.cell), number)
                for row in rows
                for number, scene in enumerate(scenes)
            ]
        )
    results = []
    for k, cell in enumerate(kinds):
        starts = [r * len(scenes) + k * seeds for r in range(len(rows))]
        of_row = {
            row.key: figures[start : start + seeds] for row, start in zip(rows, starts, strict=True)
        }
        results.append(CellResult(cell, of_row))
    return results
