"""Processes in the environments of the peers, which run one job after the other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue

from benchmarks.peers.exchange import Job
from streamer.types import StreamError

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENTS = ROOT / ".venv-peers"
_STOP_SECONDS = 10.0


class Workers:
    """As many processes for each package as are to work at a time; they start when needed.

    Args:
        jobs: processes at a time.
    """

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self._of: dict[str, list[_Worker]] = {}

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End the processes. Idempotent."""
        for workers in self._of.values():
            for worker in workers:
                worker.close()
        self._of = {}

    def run(self, package: str, jobs: Sequence[Job]) -> None:
        """Run all of them in the package's environment.

        Raises:
            StreamError: the environment is missing, or a tracker failed.
        """
        workers = self._of.setdefault(package, [])
        while len(workers) < min(self._jobs, len(jobs)):
            workers.append(_Worker(package))
        free: SimpleQueue[_Worker] = SimpleQueue()
        for worker in workers:
            free.put(worker)

        def run_one(job: Job) -> None:
            worker = free.get()
            try:
                worker.run(job)
            finally:
                free.put(worker)

        with ThreadPoolExecutor(max(1, len(workers))) as threads:
            pending = [threads.submit(run_one, job) for job in jobs]
            try:
                for each in pending:
                    each.result()
            finally:  # after a failure, or Ctrl-C, no further one begins
                threads.shutdown(wait=False, cancel_futures=True)


class _Worker:
    def __init__(self, package: str) -> None:
        self._name = package or "our tracker"
        python = interpreter(package)
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._process = subprocess.Popen(
            [str(python), "-m", "benchmarks.peers.run"],
            cwd=ROOT,
            # Matrices are 4 x 4: threads of the linear algebra would only wait.
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            start_new_session=True,  # Ctrl-C is the parent's: it ends them when it is done
        )

    def run(self, job: Job) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(job.line())
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except OSError:
            answer = ""
        if not answer:
            raise StreamError(f"{self._name} failed: {self._last_words()}")
        if (problem := json.loads(answer)) is not None:
            raise StreamError(f"{self._name} failed: {problem}")

    def close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            # A process that is gone leaves the line that it was sent in the pipe.
            with suppress(BrokenPipeError):
                if pipe is not None:
                    pipe.close()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def _last_words(self) -> str:
        code = self._process.wait()
        self._log.seek(0)
        lines = [line.strip() for line in self._log if line.strip()]
        return lines[-1] if lines else f"its process ended with {code}"


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
