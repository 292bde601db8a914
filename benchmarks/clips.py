"""How well a folder of clips is tracked: ``python -m benchmarks.clips CLIPS_DIR --output DIR``.

Every clip runs through ``run_stream.py``, end to end, in a process of its own, so that no tracker
or clock is shared. Its results come to ``DIR/NAME`` only when it is finished: the same command runs
again what was interrupted, and does not run what is there with the same settings and weights.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import time
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks.runs import Clip, is_there, read_summary, run_clips, what_counts, writing_to
from configs.load import SettingsError, load_settings, override
from configs.schema import DetectorSettings
from streamer.redact import redact
from streamer.types import StreamError
from tracking import evaluate
from tracking.arguments import positive_count
from tracking.estimates import read_estimates
from tracking.metrics import Tally, pooled
from tracking.mot import read_mot
from tracking.report import table_of, tables_of

ENOUGH_TRACKED = 0.6
"""Clips with a smaller share of tracked frames are listed by name."""

EPILOG = """\
CLIPS_DIR holds NAME.mp4 with its truth NAME.gt.txt (MOTChallenge) beside it; clips without labels
are left out. DIR gets a folder a clip, report.json and report.md. The same command goes on where
it was interrupted. A target is tracked in a frame when a track's centre lies in its box; a track
is false when it was in no box for 3 frames or more.

exit code: 0 finished, 1 a clip or something else failed, 2 wrong usage, 130 Ctrl-C, 143 SIGTERM.
"""


@dataclass(frozen=True, slots=True)
class Score:
    """What came of a clip."""

    tally: Tally
    seconds: float
    """Length by the stream's own clock; 0 where a single frame says nothing of it."""


class _Stopped(KeyboardInterrupt):
    """A signal, of this number, asks the command to end."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit code, which ``--help`` explains."""
    options = _parser().parse_args(argv)
    try:
        with _signals_raise():
            return _measure(options)
    except (SettingsError, StreamError) as error:
        for line in redact(str(error)).splitlines():
            _say(f"error: {line}")
        return 2 if isinstance(error, SettingsError) else 1
    except _Stopped as stopped:
        _say(f"stopped by {stopped}: what is finished stays, the same command goes on from there")
        return stopped.exit_code


def clips_parser(name: str, description: str | None, epilog: str, output: str) -> ArgumentParser:
    """The options that every command over a folder of clips has: ``clips``, ``output``, ``list``
    and ``matlab_pixels``.

    Args:
        name: of the module in this package.
        description: what the command does.
        epilog: what it reads and writes, and its exit codes.
        output: what goes into the folder for results.
    """
    parser = ArgumentParser(
        prog=f"python -m benchmarks.{name}",
        description=description,
        epilog=epilog,
        formatter_class=RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("clips", type=Path, metavar="CLIPS_DIR", help="folder of clips and their truth")
    add("--output", type=Path, required=True, metavar="DIR", help=output)
    add("--list", type=Path, metavar="FILE", help="names of the clips, one a line (all)")
    matlab = "the truth counts pixels from 1: subtract 1 from x and y"
    add("--matlab-pixels", action="store_true", help=matlab)
    return parser


def _parser() -> ArgumentParser:
    about = "Run the product over a folder of clips and score its tracks."
    parser = clips_parser("clips", about, EPILOG, "a folder a clip comes here")
    add = parser.add_argument
    add("--jobs", type=positive_count, default=1, metavar="N", help="so many clips at a time (1)")
    add("--set", action="append", default=[], metavar="K=V", help="a setting of run_stream.py")
    add("--weights", metavar="NAME|PATH", help="the network's weights")
    add("--max-frames", type=int, metavar="N", help="only the first N frames of each clip")
    add("--json", type=Path, metavar="FILE", help="all numbers (DIR/report.json)")
    add("--markdown", type=Path, metavar="FILE", help="the tables, also printed (DIR/report.md)")
    return parser


def _measure(options: Namespace) -> int:
    """Run, score and report; returns the exit code."""
    overrides = _overrides(options)
    settings = load_settings(None, overrides)
    if settings.source.start_seconds:
        raise SettingsError("source.start_seconds is refused: truth counts from the first frame")
    clips, unlabelled = find_clips(options.clips, options.list)
    output: Path = options.output
    json_path: Path = options.json or output / "report.json"
    markdown_path: Path = options.markdown or output / "report.md"
    with writing_to(output):
        output.mkdir(parents=True, exist_ok=True)
    for path in (json_path, markdown_path):  # not only after hours
        if not path.parent.is_dir():
            raise StreamError(f"cannot write {path}: {path.parent} is not a folder")
    detector = _describe(settings.detector)
    waiting = [c for c in clips if not is_there(output / c.name, c, settings, detector)]

    scores: dict[str, Score] = {}
    failed: dict[str, str] = {}

    def score(clip: Clip) -> str:
        try:
            scores[clip.name] = found = score_folder(output / clip.name, clip, options)
        except StreamError as error:
            failed[clip.name] = str(error)
            return str(error)
        c = found.tally.counts
        return f"{c.tracked} of {c.labelled} tracked, {c.false_tracks} of {c.tracks} tracks false"

    for clip in clips:
        if clip not in waiting:
            score(clip)
    _say(f"{len(clips)} clips, {len(clips) - len(waiting)} of them there already")
    started = time.monotonic()
    with closing(run_clips(waiting, output, overrides, options.jobs)) as runs:
        for done, (clip, failure) in enumerate(runs, start=1):
            if failure is not None:
                failed[clip.name] = failure
            said = f"failed: {failure}" if failure is not None else score(clip)
            left = (time.monotonic() - started) / done * (len(waiting) - done)
            _say(f"[{done}/{len(waiting)}] {clip.name}: {said}; {_duration(left)} left")

    report = {
        "ran": detector,
        "settings": what_counts(settings.model_dump(mode="json")),
        "matlab_pixels": options.matlab_pixels,
        **_numbers(scores),
        "failed": failed,
        "unlabelled": unlabelled,
    }
    tables = markdown(scores, failed, unlabelled)
    evaluate.write_report(json_path, json.dumps(report, indent=2, allow_nan=False) + "\n")
    evaluate.write_report(markdown_path, tables)
    sys.stdout.write(tables)
    return 1 if failed else 0


def _overrides(options: Namespace) -> list[str]:
    """The settings of every run, as ``--set`` takes them; later ones win."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = min(256, max(1, (cores or 1) // options.jobs))
    ours = [override("logs.dashboard", "off"), override("detector.threads", threads)]
    by_option = {"detector.weights": options.weights, "run.max_frames": options.max_frames}
    given = [override(key, value) for key, value in by_option.items() if value is not None]
    return [*ours, *options.set, *given]


def find_clips(folder: Path, names: Path | None) -> tuple[list[Clip], list[str]]:
    """The clips to run, and the names of those that have no labels and are left out.

    Args:
        folder: NAME.mp4 with NAME.gt.txt beside it.
        names: a list of those to run; None: all.

    Raises:
        StreamError: there are none, the list names one that is not there, or a truth is wrong.
    """
    if not folder.is_dir():
        raise StreamError(f"{folder} is not a folder")
    paths = {path.stem: path.resolve() for path in sorted(folder.glob("*.mp4"))}
    wanted = list(paths) if names is None else list(dict.fromkeys(evaluate.read_names(names)))
    for name in wanted:
        if name not in paths:
            raise StreamError(f"{names} names {name}, but {folder} has no {name}.mp4")
    clips = [Clip(name, paths[name], evaluate.read_truth(folder, name)) for name in wanted]
    labelled = [clip for clip in clips if len(clip.truth)]
    if not labelled:
        raise StreamError(f"nothing to run: no NAME.mp4 with labels in NAME.gt.txt in {folder}")
    return labelled, [clip.name for clip in clips if not len(clip.truth)]


def _describe(settings: DetectorSettings) -> dict[str, str]:
    """What will run. What is wrong with weights or device shows here, and not once a clip."""
    from model.checkpoint import WeightsError
    from model.detector import build_detector

    try:
        with closing(build_detector(settings)) as detector:
            return detector.describe()
    except WeightsError as error:
        raise StreamError(str(error)) from error


def score_folder(folder: Path, clip: Clip, options: Namespace) -> Score:
    """Score the finished results of a clip.

    Args:
        folder: tracks.txt, summary.json and frames.jsonl of run_stream.py.
        clip: with its truth.
        options: the command's, for ``matlab_pixels``.

    Raises:
        StreamError: the results cannot be read.
    """
    tracks = read_mot(folder / "tracks.txt")
    try:
        frames = int(read_summary(folder)["frames"]["captured"])
        lines = (folder / "frames.jsonl").read_bytes().splitlines()
        first, last = (json.loads(lines[row]) for row in (0, -1))
        between = last["index"] - first["index"]
        seconds = (last["pts"] - first["pts"]) / between * frames if between else 0.0
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise StreamError(f"{folder}: results cannot be read: {error!r}") from error
    matlab: bool = options.matlab_pixels
    estimates = read_estimates(folder / "frames.jsonl")
    tally = evaluate.score_clip(
        clip.truth, tracks, frames, matlab_pixels=matlab, estimates=estimates
    )
    return Score(tally, seconds)


def markdown(scores: dict[str, Score], failed: dict[str, str], unlabelled: Sequence[str]) -> str:
    """For people: by class and pooled, the clips to look at, and what is missing.

    Args:
        scores: by the clips' names.
        failed: why, by the clips' names.
        unlabelled: names of clips that were left out.
    """
    parts = [tables_of((name, *each) for name, each in _pools(scores).items())]
    if listed := _to_look_at(scores):
        rows = ((name, scores[name].tally, _fps([scores[name]])) for name in listed)
        parts.append(f"Less than {ENOUGH_TRACKED:.0%} tracked, or a false track:\n")
        parts.append(table_of(rows))
    if failed:
        parts.append("".join(f"* failed: {name}: {why}\n" for name, why in failed.items()))
    if unlabelled:
        parts.append(f"Without labels, not run: {', '.join(unlabelled)}\n")
    return "\n".join(parts)


def _numbers(scores: dict[str, Score]) -> dict[str, Any]:
    groups = {name: tally.entry(fps) for name, (tally, fps) in _pools(scores).items()}
    return {
        "pooled": groups.pop("all"),
        "groups": groups,
        "clips": {name: s.tally.entry(_fps([s])) for name, s in sorted(scores.items())},
        "to_look_at": _to_look_at(scores),
    }


def _pools(scores: dict[str, Score]) -> dict[str, tuple[Tally, float]]:
    """What was counted and frames per second of every class, then of "all"."""
    tallies = {name: score.tally for name, score in sorted(scores.items())}
    pools = {
        group: (sums, _fps(s for name, s in scores.items() if evaluate.group_of(name) == group))
        for group, sums in evaluate.by_group(tallies).items()
    }
    return {**pools, "all": (pooled(tallies.values()), _fps(scores.values()))}


def _fps(scores: Iterable[Score]) -> float:
    """Frames per second over clips; infinite where they have no known length."""
    lengths = [(score.tally.counts.frames, score.seconds) for score in scores]
    seconds = math.fsum(each for _, each in lengths)
    return sum(frames for frames, _ in lengths) / seconds if seconds > 0 else math.inf


def _to_look_at(scores: dict[str, Score]) -> list[str]:
    """Names of clips of which too little is tracked, or with a false track."""
    counts = {name: score.tally.counts for name, score in sorted(scores.items())}
    return [
        n for n, c in counts.items() if c.tracked < ENOUGH_TRACKED * c.labelled or c.false_tracks
    ]


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


@contextmanager
def _signals_raise() -> Iterator[None]:
    """Ctrl-C and SIGTERM raise :class:`_Stopped` within."""

    def handle(number: int, _frame: FrameType | None) -> None:
        raise _Stopped(number)

    before = {each: signal.signal(each, handle) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
