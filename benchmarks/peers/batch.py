"""Trackers over scenes, each in the environment of its package, and what comes out measured."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.exchange import Job, Parameters, write_stream
from benchmarks.peers.measures import Figures, measure_tracks
from benchmarks.peers.scenes import PeerScene
from benchmarks.peers.workers import Workers


@dataclass(frozen=True, slots=True)
class Task:
    """A tracker with parameters on the scene with that number."""

    tracker: str
    package: str
    parameters: Parameters
    scene: int


class Bench:
    """Scenes, written once for all trackers into a folder that is gone afterwards.

    Args:
        scenes: as trackers see them, and their truth.
        workers: who runs the trackers.
    """

    def __init__(self, scenes: Sequence[PeerScene], workers: Workers) -> None:
        self._scenes = scenes
        self._workers = workers
        self._folder = tempfile.TemporaryDirectory(prefix="peers-")
        self._inside = Path(self._folder.name)
        for number, scene in enumerate(scenes):
            write_stream(self._stream(number), scene.stream)

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *exc: object) -> None:
        self._folder.cleanup()

    def measure(self, tasks: Sequence[Task]) -> list[Figures]:
        """The figures of each task.

        Raises:
            StreamError: an environment is missing, or a tracker failed.
        """
        jobs = [
            Job(
                task.tracker,
                task.parameters,
                str(self._stream(task.scene)),
                str(self._inside / f"tracks-{number}.txt"),
            )
            for number, task in enumerate(tasks)
        ]
        for package in dict.fromkeys(task.package for task in tasks):
            # By scene, so that a process reads each stream once.
            of_package = sorted(
                (k for k, task in enumerate(tasks) if task.package == package),
                key=lambda k: tasks[k].scene,
            )
            self._workers.run(package, [jobs[k] for k in of_package])
        return [
            measure_tracks(self._scenes[task.scene], Path(job.tracks), job.seconds)
            for task, job in zip(tasks, jobs, strict=True)
        ]

    def _stream(self, number: int) -> Path:
        return self._inside / f"scene-{number}.npz"
