"""Our tracker beside others: ``python -m benchmarks.peers TRAJECTORIES_DIR --output DIR``."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers.comparison import CellResult
from benchmarks.peers.effort import Effort, TuningResult, measure_cells, parameters_of, tune_all
from benchmarks.peers.scenes import cells
from benchmarks.peers.spaces import ROWS, Row
from benchmarks.peers.table import numbers, parts
from benchmarks.peers.workers import Workers, interpreter
from benchmarks.report import say
from benchmarks.trajectories import Trajectory, read_split, read_trajectories
from streamer.types import StreamError
from tracking.arguments import positive_count, positive_number
from tracking.evaluate import read_names, write_report

EPILOG = """\
TRAJECTORIES_DIR holds NAME.gt.txt, as for benchmarks.simulated. Every tracker but our defaults is
tuned, for each frame rate, on scenes of the training part of the trajectories, and all run on the
same scenes of the other part (benchmarks/splits). The others' environments are built by
`make bench-peers`.

DIR gets tuned.json, peers.json (every scene's figures, intervals, differences) and peers.md (the
tables); the latter two are written anew after every few cells: Ctrl-C keeps what is finished.

exit code: 0 finished, 1 a file or an environment is missing or wrong, 2 wrong usage, 130 Ctrl-C.
"""

_CELLS_AT_ONCE = 6
"""So often the report is written."""


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit code, which ``--help`` explains."""
    options = _parser().parse_args(argv)
    effort = Effort(
        options.seeds,
        options.seconds,
        options.few,
        options.candidates,
        options.tuning_scenes,
        options.tuning_seconds,
    )
    rows = [row for row in ROWS if not options.only or row.key in options.only]
    try:
        for row in rows:
            interpreter(row.package)  # before hours are spent
        train = _trajectories(options.trajectories, options.train, "train")
        held_out = _trajectories(options.trajectories, options.test, "val")
        output: Path = options.output
        _make(output)
        with Workers(options.jobs) as workers:
            if options.tuned:
                tuned = _read_tuned(options.tuned, rows, effort)
            else:
                tuned = tune_all(rows, train, effort, workers)
            write_report(output / "tuned.json", json.dumps(tuned, indent=2) + "\n")
            _compare(rows, tuned, held_out, effort, workers, output)
    except StreamError as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        say("interrupted: the cells that are finished stay")
        return 130
    sys.stdout.write((output / "peers.md").read_text(encoding="utf-8"))
    return 0


def _compare(
    rows: Sequence[Row],
    tuned: TuningResult,
    trajectories: Sequence[Trajectory],
    effort: Effort,
    workers: Workers,
    output: Path,
) -> None:
    kinds = cells(effort.seconds, few=effort.few)
    around = {
        "versions": {p: _version(p) for p in dict.fromkeys(r.package for r in rows) if p},
        "seeds": effort.seeds,
        "seconds": effort.seconds,
        "tuned": tuned,
    }
    results: list[CellResult] = []
    for first in range(0, len(kinds), _CELLS_AT_ONCE):
        some = kinds[first : first + _CELLS_AT_ONCE]
        say(f"cells {first + 1} to {first + len(some)} of {len(kinds)}, from {some[0].name}")
        results += measure_cells(rows, tuned, some, trajectories, effort, workers)
        report = {**around, **numbers(results, rows)}
        write_report(output / "peers.json", json.dumps(report, indent=1, allow_nan=False) + "\n")
        tables = "\n".join(part.markdown() for part in parts(results, rows))
        write_report(output / "peers.md", f"# Trackers side by side\n\n{_about(around)}\n{tables}")


def _about(around: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in around["versions"].items())
    return (
        f"{around['seeds']} seeds a cell, {around['seconds']:g} s a scene;"
        f" {versions or 'no peers'}. ± is half of a 95 % interval over seeds.\n"
    )


def _version(package: str) -> str:
    asked = f"import importlib.metadata as m; print(m.version({package!r}))"
    done = subprocess.run(
        [str(interpreter(package)), "-c", asked], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise StreamError(f"the environment of {package} is broken: remove it and build it anew")
    return done.stdout.strip()


def _trajectories(folder: Path, names: Path | None, part: str) -> list[Trajectory]:
    return read_trajectories(folder, read_names(names) if names else read_split(part))


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StreamError(f"cannot make {folder}: {error.strerror or error}") from error


def _read_tuned(path: Path, rows: Sequence[Row], effort: Effort) -> TuningResult:
    """What an earlier run found.

    Raises:
        StreamError: the file cannot be read, or lacks a tracker.
    """
    try:
        tuned: TuningResult = json.loads(path.read_text(encoding="utf-8"))
        for row in rows:
            for cell in cells(effort.seconds, few=effort.few):
                parameters_of(row, tuned, cell)
    except OSError as error:
        raise StreamError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, LookupError, TypeError) as error:
        raise StreamError(f"{path}: not what a run has tuned, or not of every tracker") from error
    return tuned


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers",
        description="Run our tracker and others over the same simulated scenes.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("trajectories", type=Path, metavar="TRAJECTORIES_DIR", help="folder of trajectories")
    add("--output", type=Path, required=True, metavar="DIR", help="where results go")
    add("--seeds", type=positive_count, default=10, metavar="N", help="scenes of each cell (10)")
    add("--seconds", type=positive_number, default=30.0, metavar="S", help="of a scene (30)")
    add("--few", action="store_true", help="half of the cells, a balanced fraction")
    candidates = "to begin tuning with (36); twice half as many follow"
    add("--candidates", type=positive_count, default=36, metavar="N", help=candidates)
    scenes = "of a frame rate, to tune on (24)"
    add("--tuning-scenes", type=positive_count, default=24, metavar="N", help=scenes)
    seconds = "of a scene to tune on (15)"
    add("--tuning-seconds", type=positive_number, default=15.0, metavar="S", help=seconds)
    add("--tuned", type=Path, metavar="FILE", help="tuned.json of an earlier run: do not tune")
    only = "only these trackers (all)"
    add("--only", nargs="+", choices=[row.key for row in ROWS], metavar="TRACKER", help=only)
    add("--jobs", type=positive_count, default=1, metavar="N", help="processes at a time (1)")
    add("--train", type=Path, metavar="FILE", help="names of trajectories to tune on, one a line")
    add("--test", type=Path, metavar="FILE", help="names of those to compare on")
    return parser


if __name__ == "__main__":
    sys.exit(main())
