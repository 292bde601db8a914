"""Clips through ``run_stream.py``, each in a process of its own, into a folder of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.schema import StreamSettings
from streamer.redact import redact
from streamer.types import StreamError
from tracking.mot import MotTable

RUN_STREAM = Path(__file__).resolve().parents[1] / "run_stream.py"
SAME_DETECTOR = ("weights_sha256", "device", "engine", "mode", "precision")
"""What a detector says of itself that must agree for results to be of one kind."""

_POLL_SECONDS = 0.05
_STOP_SECONDS = 10.0


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """A clip to run and score."""

    name: str
    path: Path
    """Absolute."""
    truth: MotTable
    """As it stands in its file, all of it."""


def what_counts(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings that tracks depend on, out of all of them as ``summary.json`` has them. The
    weights are not among them: they are known by their hash.
    """
    kept = {group: dict(settings[group]) for group in ("source", "detector", "tracker", "run")}
    for key in ("threads", "weights"):
        kept["detector"].pop(key, None)
    return kept


def is_there(folder: Path, clip: Clip, settings: StreamSettings, detector: dict[str, str]) -> bool:
    """Whether a folder holds the finished results of this clip, these settings and weights.

    Args:
        folder: the clip's.
        clip: of its results.
        settings: of the runs.
        detector: what it says of itself (``describe()``).

    Raises:
        StreamError: the folder holds something else, which must not be replaced.
    """
    if not folder.exists():
        return False
    if not (folder / "summary.json").is_file():
        raise StreamError(f"{folder} is in the way: no results of a clip; choose another --output")
    try:
        summary = read_summary(folder)
        return (
            summary["exit_reason"] == "finished"
            and summary["address"] == redact(str(clip.path))
            and all(summary[key] == detector[key] for key in SAME_DETECTOR)
            and what_counts(summary["settings"]) == what_counts(settings.model_dump(mode="json"))
        )
    except (StreamError, LookupError, TypeError, ValueError):
        return False


def read_summary(folder: Path) -> dict[str, Any]:
    """The ``summary.json`` of a run.

    Raises:
        StreamError: it cannot be read.
    """
    path = folder / "summary.json"
    try:
        summary = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise StreamError(f"cannot read {path}: {error}") from error
    if not isinstance(summary, dict):
        raise StreamError(f"cannot read {path}: not a summary")
    return summary


def run_clips(
    clips: Sequence[Clip], output: Path, overrides: Sequence[str], jobs: int
) -> Generator[tuple[Clip, str | None], None, None]:
    """Run clips; gives each as it ends, with why it failed or None.

    A clip's results are at ``output/NAME`` once it is finished, in place of older ones. However
    the iteration ends, no process and no unfinished folder is left.

    Args:
        clips: which.
        output: a folder that is there.
        overrides: settings as ``--set`` takes them.
        jobs: how many at a time.

    Raises:
        StreamError: ``output`` cannot be written to.
    """
    waiting, running = deque(clips), list[_Run]()
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                with writing_to(output):
                    running.append(_Run(waiting.popleft(), output, overrides))
            for run in [each for each in running if each.process.poll() is not None]:
                with writing_to(output):
                    failure = run.finish()
                running.remove(run)
                yield run.clip, failure
            time.sleep(_POLL_SECONDS)
    finally:
        for run in running:
            run.process.terminate()
        for run in running:
            run.close()


class _Run:
    """A clip's process in a folder that is gone afterwards; the results move out of it."""

    def __init__(self, clip: Clip, output: Path, overrides: Sequence[str]) -> None:
        self.clip = clip
        self._goal = output / clip.name
        self._folder = tempfile.TemporaryDirectory(prefix=f".{clip.name}-", dir=output)
        self._inside = Path(self._folder.name)
        self._results = self._inside / "results"
        settings = [part for override in overrides for part in ("--set", override)]
        command = [str(RUN_STREAM), str(clip.path), "--output", str(self._results), "--no-record"]
        with (self._inside / "stderr").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *command, *settings],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )

    def finish(self) -> str | None:
        """Move the results of the process, which has ended, to their place; why it failed."""
        try:
            if self.process.returncode:
                return self._last_words()
            reason = read_summary(self._results).get("exit_reason")
            if reason != "finished":
                return f"not run to its end: {reason}"
            if self._goal.exists():
                self._goal.rename(self._inside / "old")
            self._results.rename(self._goal)
            return None
        except StreamError as error:
            return str(error)
        finally:
            self.close()

    def close(self) -> None:
        """Wait for the process to end, not for ever, and remove its folder. Idempotent."""
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._folder.cleanup()

    def _last_words(self) -> str:
        with suppress(StreamError):  # a run that failed early wrote no summary
            if error := read_summary(self._results).get("error"):
                return str(error)
        text = (self._inside / "stderr").read_text(encoding="utf-8", errors="replace")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        said = [line for line in lines if line.startswith("run_stream: ")] or lines
        return said[-1] if said else f"run_stream.py ended with {self.process.returncode}"


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Say in one line what goes wrong with files within.

    Raises:
        StreamError: something did.
    """
    try:
        yield
    except OSError as error:
        raise StreamError(f"cannot write to {folder}: {error.strerror or error}") from error
