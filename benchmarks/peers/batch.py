"""Trackers over scenes, each in the environment of its package, and what comes out measured."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.exchange import Job, Parameters, write_jobs, write_stream
from benchmarks.peers.measures import Figures, measure_tracks
from benchmarks.peers.scenes import PeerScene
from streamer.types import StreamError

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENTS = ROOT / ".venv-peers"


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
        jobs: processes at a time.
    """

    def __init__(self, scenes: Sequence[PeerScene], jobs: int) -> None:
        self.scenes = scenes
        self._jobs = jobs
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
            # By scene, so that the runner reads each stream once.
            of_package = sorted(
                (k for k, task in enumerate(tasks) if task.package == package),
                key=lambda k: tasks[k].scene,
            )
            self._run(package, [jobs[k] for k in of_package])
        return [
            measure_tracks(self.scenes[task.scene], Path(job.tracks), job.seconds)
            for task, job in zip(tasks, jobs, strict=True)
        ]

    def _stream(self, number: int) -> Path:
        return self._inside / f"scene-{number}.npz"

    def _run(self, package: str, jobs: Sequence[Job]) -> None:
        python = interpreter(package)
        processes: list[subprocess.Popen[str]] = []
        try:
            for part in range(min(self._jobs, len(jobs))):
                listed = self._inside / f"jobs-{part}.json"
                write_jobs(listed, jobs[part :: self._jobs])
                processes.append(
                    subprocess.Popen(
                        [str(python), "-m", "benchmarks.peers.run", str(listed)],
                        cwd=ROOT,
                        # Matrices are 4 x 4: threads of the linear algebra would only wait.
                        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.DEVNULL,
                        stderr=subprocess.PIPE,
                        text=True,
                    )
                )
            for process in processes:
                _, errors = process.communicate()
                if process.returncode:
                    said = errors.strip().splitlines() or [f"exit code {process.returncode}"]
                    raise StreamError(f"{package or 'our tracker'} failed: {said[-1]}")
        finally:
            for process in processes:
                if process.poll() is None:
                    process.kill()
                    process.communicate()


def interpreter(package: str) -> Path:
    """The Python of a package's environment; "" is the one that runs.

    Raises:
        StreamError: it is not there.
    """
    if not package:
        return Path(sys.executable)
    python = ENVIRONMENTS / package / "bin" / "python"
    if not python.is_file():
        raise StreamError(f"no environment of {package}: `make bench-peers` builds it")
    return python
