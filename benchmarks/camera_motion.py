"""How well a camera's motion is seen: ``python -m benchmarks.camera_motion CLIPS --output DIR``.

Every picture of real clips goes through ``tracking.camera_motion`` in mode auto, and what it tells
is held against a slow registration at full size (:mod:`benchmarks.reference_motion`).
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.clips import clips_parser, find_clips
from benchmarks.reference_motion import LEAST_LIKENESS, reference_shift
from benchmarks.report import Column, Part, percentile, say
from benchmarks.runs import Clip, writing_to
from configs.schema import SourceSettings
from streamer.protocols import Source
from streamer.sources.factory import open_source
from streamer.types import Frame, StreamError
from tracking.arguments import positive_count
from tracking.camera_motion import CameraMotion
from tracking.evaluate import MATLAB_SHIFT_PX, write_report

MOVED_PX = 0.5
"""A camera that moves by more between two pictures does not stand, and an error that is larger is
counted."""
FAR_PX = 2.0
"""So are larger errors than this."""

_ABOUT = f"""\
The camera's motion between successive pictures in the middle of the picture, against the shift of
an enhanced correlation coefficient at full size; labelled targets are left out of both. Pictures on
which that does not reach {LEAST_LIKENESS:g} do not count, nor does the first motion after one that
was not trusted, for it may be since an earlier picture. Moved: by more than {MOVED_PX:g} px, by the
reference; wrong: taken to stand, but moved. Errors are of the motions that were trusted. Time is
the thread's, a picture, median."""

_COLUMNS = (
    Column("clip", "clip"),
    Column("pictures", "pictures", "{:d}"),
    Column("moved", "moved", "{:d}"),
    Column("still", "taken to stand", "{:d}"),
    Column("wrong", "of those wrong", "{:d}"),
    Column("not_trusted", "not trusted", "{:d}"),
    Column("mean_error_px", "mean error, px", "{:.3f}"),
    Column("median_error_px", "median", "{:.3f}"),
    Column("p90_error_px", "90 %", "{:.3f}"),
    Column("over_half_px", f"over {MOVED_PX:g} px", "{:.1%}"),
    Column("over_two_px", f"over {FAR_PX:g} px", "{:.1%}"),
    Column("estimate_ms", "ms", "{:.2f}"),
)

EPILOG = """\
CLIPS_DIR holds NAME.mp4 with its truth NAME.gt.txt (MOTChallenge) beside it; clips without labels
are left out. DIR gets report.json and report.md. The reference takes several times as long as
what it measures: --list and --max-frames keep it short.

exit code: 0 finished, 1 a clip or something else failed, 2 wrong usage, 130 Ctrl-C.
"""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture whose motion the reference knows."""

    moved_px: float
    """By the reference."""
    error_px: float
    """How far the motion that was told is from that."""
    still: bool = False
    trusted: bool = True


@dataclass(frozen=True, slots=True)
class Tally:
    """What was seen in some clips."""

    pictures: list[Picture] = field(default_factory=list)
    left_out: int = 0
    """Pictures whose motion cannot be compared."""
    seconds: list[float] = field(default_factory=list)
    """Thread time of every estimate, compared or not."""

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.pictures + other.pictures,
            self.left_out + other.left_out,
            self.seconds + other.seconds,
        )

    def row(self, clip: str) -> dict[str, Any]:
        """A row of the table, and of the JSON file; None where nothing was compared."""
        errors = [each.error_px for each in self.pictures if each.trusted]
        still = [each for each in self.pictures if each.still]
        return {
            "clip": clip,
            "pictures": len(self.pictures),
            "left_out": self.left_out,
            "moved": sum(each.moved_px > MOVED_PX for each in self.pictures),
            "still": len(still),
            "wrong": sum(each.moved_px > MOVED_PX for each in still),
            "not_trusted": len(self.pictures) - len(errors),
            "mean_error_px": _of(statistics.fmean, errors),
            "median_error_px": _of(statistics.median, errors),
            "p90_error_px": _of(lambda values: percentile(values, 90), errors),
            "over_half_px": _of(statistics.fmean, [each > MOVED_PX for each in errors]),
            "over_two_px": _of(statistics.fmean, [each > FAR_PX for each in errors]),
            "estimate_ms": _of(statistics.median, [1e3 * each for each in self.seconds]),
        }


def _of(measure: Callable[[Sequence[float]], float], values: Sequence[float]) -> float | None:
    return measure(values) if values else None


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit code, which ``--help`` explains."""
    options = _parser().parse_args(argv)
    try:
        with _one_thread():
            return _measure(options)
    except StreamError as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        say("interrupted: no report is written")
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = clips_parser("camera_motion", __doc__, EPILOG, "for the reports")
    add = parser.add_argument
    frames = "only the first N frames of each clip"
    add("--max-frames", type=positive_count, metavar="N", help=frames)
    return parser


@contextmanager
def _one_thread() -> Iterator[None]:
    """OpenCV computes in the thread that calls it, whose time is then all there is."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _measure(options: argparse.Namespace) -> int:
    output: Path = options.output
    clips, unlabelled = find_clips(options.clips, options.list)
    with writing_to(output):
        output.mkdir(parents=True, exist_ok=True)
    tallies: dict[str, Tally] = {}
    failed: dict[str, str] = {}
    for number, clip in enumerate(clips, start=1):
        try:
            tallies[clip.name] = tally = _watch(clip, options)
        except StreamError as error:
            failed[clip.name] = said = str(error)
        else:
            said = _said(tally.row(clip.name))
        say(f"[{number}/{len(clips)}] {clip.name}: {said}")
    rows = [tally.row(name) for name, tally in tallies.items()]
    pooled = sum(tallies.values(), start=Tally()).row("all")
    part = Part("camera motion", _ABOUT, _COLUMNS, [*rows, pooled])
    missing = "".join(f"* failed: {name}: {why}\n" for name, why in failed.items())
    if unlabelled:
        missing += f"Without labels, left out: {', '.join(unlabelled)}\n"
    tables = part.markdown() + (f"\n{missing}" if missing else "")
    report = {
        "about": _ABOUT,
        "matlab_pixels": options.matlab_pixels,
        "max_frames": options.max_frames,
        "pooled": pooled,
        "clips": {row["clip"]: row for row in rows},
        "failed": failed,
        "unlabelled": unlabelled,
    }
    write_report(output / "report.json", json.dumps(report, indent=2, allow_nan=False) + "\n")
    write_report(output / "report.md", tables)
    sys.stdout.write(tables)
    return 1 if failed else 0


def _said(row: dict[str, Any]) -> str:
    if row["mean_error_px"] is None:
        return f"{row['pictures']} pictures, nothing to compare"
    said = f"{row['pictures']} pictures, {row['moved']} moved, {row['wrong']} of {row['still']}"
    return f"{said} taken to stand wrong, mean error {row['mean_error_px']:.3f} px"


def _watch(clip: Clip, options: argparse.Namespace) -> Tally:
    """Hold the motions of a clip against the reference.

    Raises:
        StreamError: the clip cannot be read.
    """
    truth = clip.truth.shifted(MATLAB_SHIFT_PX if options.matlab_pixels else 0.0)
    camera = CameraMotion("auto")
    pictures: list[Picture] = []
    seconds: list[float] = []
    left_out = 0
    before: Frame | None = None
    boxes_before = np.empty((0, 4))
    successive = True
    with closing(open_source(str(clip.path), SourceSettings(), clip.name)) as source:
        source.open()
        for frame in islice(_frames(source), options.max_frames):
            boxes = truth.boxes_xyxy[truth.frame == frame.index + 1]
            started = time.thread_time()
            motion = camera.estimate(frame.image, boxes)
            if before is not None:
                seconds.append(time.thread_time() - started)
                shift = reference_shift(before.image, frame.image, boxes_before, boxes)
                if shift is None or (motion.trusted and not successive):
                    left_out += 1
                else:
                    middle = (np.array([frame.image.shape[::-1]]) - 1) / 2
                    told = (motion.points(middle) - middle)[0]
                    apart = float(np.hypot(*(told - shift)))
                    moved = float(np.hypot(*shift))
                    pictures.append(Picture(moved, apart, motion.still, motion.trusted))
            successive = motion.trusted and not motion.blank
            before, boxes_before = frame, boxes
    return Tally(pictures, left_out, seconds)


def _frames(source: Source) -> Iterator[Frame]:
    while (frame := source.read()) is not None:
        yield frame


if __name__ == "__main__":
    sys.exit(main())
