"""What a detector is worth to the tracker: ``python -m tracking.calibrate FRAMES_JSONL``.

The likelihood of tracks (``tracker.life=likelihood``) needs to know how often a target in view is
detected, and how many false detections there are. A recorded run tells both.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from streamer.types import FloatArray, IntArray, StreamError, TrackState
from tracking.arguments import positive_share
from tracking.evaluate import MATLAB_SHIFT_PX, write_report
from tracking.metrics.counts import points_in_boxes
from tracking.metrics.intervals import poisson_rate_interval, wilson_interval
from tracking.mot import MotTable, read_mot

EPILOG = """\
FRAMES_JSONL is frames.jsonl of a run with logs.detail=full. With --truth, MOTChallenge text of its
targets, a detection outside of all boxes is false, and a target is detected in a frame when a
detection lies in its box. Without, a detection is false unless a track took it that was confirmed
at some time, and Pd is the share of such tracks' frames, from the confirmation to the last
detection, that have one: too high where targets are lost, and false alarms are too many where
targets are never confirmed. Frozen pictures do not count. Intervals are 95 %, and take frames as
independent, which they are not: the truth is wider. exit code: 0 done, 1 a file is missing or
wrong, 2 wrong usage.
"""


@dataclass(frozen=True, slots=True)
class Counts:
    """What was counted in a clip."""

    frames: int
    """Those that the detector saw."""
    false_alarms: int
    """False detections at the threshold or above."""
    shown: int
    """Targets by frames in which they were in view."""
    detected: int
    """Those of them with a detection."""

    @property
    def false_alarms_per_frame(self) -> float:
        """The mean under Jeffreys' prior, which is above 0 also where there was none."""
        return (self.false_alarms + 0.5) / self.frames

    @property
    def detection_probability(self) -> float | None:
        """The mean under Jeffreys' prior, between 0 and 1; None where nothing was shown."""
        return (self.detected + 0.5) / (self.shown + 1) if self.shown else None

    def settings(self) -> list[str]:
        """What to give after ``--set``."""
        # Within what the settings take: hours without a false alarm come to less.
        alarms = min(max(self.false_alarms_per_frame, 1e-6), 1e6)
        lines = [f"tracker.false_alarms_per_frame={alarms:.3g}"]
        if self.detection_probability is not None:
            # Not rounded to 1, which no detector reaches and no setting may be.
            probability = min(self.detection_probability, 0.999)
            lines.append(f"tracker.detection_probability={max(probability, 0.001):.3f}")
        return lines

    def entry(self) -> dict[str, object]:
        """All of it, for a JSON."""
        return {
            **asdict(self),
            "false_alarms_per_frame": self.false_alarms / self.frames,
            "false_alarms_per_frame_interval": poisson_rate_interval(
                self.false_alarms, self.frames
            ),
            "detection_probability": self.detected / self.shown if self.shown else None,
            "detection_probability_interval": wilson_interval(self.detected, self.shown),
            "set": self.settings(),
        }


@dataclass(frozen=True, slots=True, eq=False)
class SeenFrame:
    """A frame of a run: its strong detections, and the tracks that were reported or not yet."""

    number: int
    """From 1, as in truth."""
    xy: FloatArray
    """(N, 2) strong detections, px."""
    track_id: IntArray
    """(M,)"""
    reported: list[bool]
    """(M,) confirmed or coasting."""
    detection: list[int]
    """(M,) rows of ``xy``, -1 where a track has no strong detection."""


def read_frames(path: Path, threshold: float) -> list[SeenFrame]:
    """The frames of a run that the detector saw.

    Args:
        path: ``frames.jsonl``, with every detection.
        threshold: score of a strong one.

    Raises:
        StreamError: the file cannot be read, or a line of it is no frame; with its number.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise StreamError(f"cannot read {path}: {error.strerror or error}") from error
    frames = []
    for number, line in enumerate(lines, start=1):
        where = f"{path}:{number}"
        try:
            record = json.loads(line)
            if not record.get("frozen", False):
                if "detections" not in record:
                    raise StreamError(f"{where}: no detections: record with logs.detail=full")
                frames.append(_frame(record, threshold))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise StreamError(f"{where}: not a frame's line: {error!r}") from error
    if not frames:
        raise StreamError(f"{path}: no frames that the detector saw")
    return frames


def _frame(record: dict[str, object], threshold: float) -> SeenFrame:
    found, tracks = record["detections"], record["tracks"]
    if not isinstance(found, list) or not isinstance(tracks, list):
        raise TypeError("detections and tracks are no lists")
    index = record["index"]
    if not isinstance(index, int):
        raise TypeError("the index is no whole number")
    # null, for what is not finite, is nowhere and in no box.
    xy = np.array([each["xy"] for each in found], dtype=np.float64).reshape(len(found), 2)
    strong = np.array([each["score"] >= threshold for each in found], dtype=np.bool_)
    row = np.where(strong, np.cumsum(strong) - 1, -1).tolist()
    return SeenFrame(
        number=index + 1,
        xy=xy[strong],
        track_id=np.array([each["id"] for each in tracks], dtype=np.int64),
        reported=[each["state"] != TrackState.TENTATIVE.label for each in tracks],
        detection=[
            row[each["detection_index"]] if each["detection_index"] >= 0 else -1 for each in tracks
        ],
    )


def count_with_truth(frames: Sequence[SeenFrame], truth: MotTable) -> Counts:
    """By the targets' boxes. Those that MOTChallenge marks with 0 are neither targets nor false."""
    order = np.argsort(truth.frame, kind="stable")
    numbers = truth.frame[order]
    false = shown = detected = 0
    for frame in frames:
        first, last = np.searchsorted(numbers, (frame.number, frame.number + 1))
        rows = order[first:last]
        inside = points_in_boxes(truth.boxes_xyxy[rows], frame.xy)
        wanted = truth.confidence[rows] > 0
        false += len(frame.xy) - int(inside.any(axis=0).sum())
        shown += int(wanted.sum())
        detected += int((inside.any(axis=1) & wanted).sum())
    return Counts(len(frames), false, shown, detected)


def count_by_tracks(frames: Sequence[SeenFrame]) -> Counts:
    """By the tracks that were confirmed at some time, all detections of which are true."""
    explained = 0
    seen: dict[int, list[bool]] = {}  # of each such track, frame by frame from its confirmation on
    hits: dict[int, int] = {}
    for frame in frames:
        columns = (frame.track_id.tolist(), frame.reported, frame.detection)
        for track, reported, detection in zip(*columns, strict=True):
            hits[track] = hits.get(track, 0) + (detection >= 0)
            if reported:
                seen.setdefault(track, []).append(detection >= 0)
    shown = detected = 0
    for track, history in seen.items():
        explained += hits[track]
        detected += sum(history)
        # After its last detection a track coasts until it is given up: the target may be gone.
        shown += len(history) - history[::-1].index(True) if any(history) else 0
    strong = sum(len(frame.xy) for frame in frames)
    return Counts(len(frames), strong - explained, shown, detected)


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Exit code 0: done; 1: a file is missing or wrong; 2: wrong usage."""
    options = _parser().parse_args(argv)
    try:
        threshold = options.threshold
        if threshold is None:
            threshold = _threshold_of_run(options.frames.parent / "summary.json")
        frames = read_frames(options.frames, threshold)
        if options.truth:
            truth = read_mot(options.truth)
            if options.matlab_pixels:
                truth = truth.shifted(MATLAB_SHIFT_PX)
            counts = count_with_truth(frames, truth)
        else:
            counts = count_by_tracks(frames)
        if options.json:
            report = {"threshold": threshold, "truth": bool(options.truth), **counts.entry()}
            write_report(options.json, json.dumps(report, indent=2) + "\n")
    except StreamError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write(_said(counts, threshold, bool(options.truth)))
    return 0


def _threshold_of_run(summary: Path) -> float:
    """The threshold that a run used, by its ``summary.json``."""
    try:
        threshold = float(json.loads(summary.read_bytes())["threshold"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise StreamError(
            f"{summary} does not tell the detector's threshold: give --threshold"
        ) from error
    if not 0 < threshold < 1:
        raise StreamError(f"{summary}: threshold is {threshold}, expected between 0 and 1")
    return threshold


def _said(counts: Counts, threshold: float, truth: bool) -> str:
    low, high = poisson_rate_interval(counts.false_alarms, counts.frames) or (0.0, 0.0)
    rate = counts.false_alarms / counts.frames
    lines = [
        f"threshold {threshold:g}, {counts.frames} frames, "
        f"judged by {'truth' if truth else 'confirmed tracks'}",
        f"false alarms a frame: {rate:.4g} ({low:.3g} to {high:.3g}), {counts.false_alarms} in all",
    ]
    interval = wilson_interval(counts.detected, counts.shown)
    if interval is None:
        nothing = "no labels" if truth else "no confirmed tracks"
        lines.append(f"detection probability: not known, there are {nothing}")
    else:
        share = counts.detected / counts.shown
        lines.append(
            f"detection probability: {share:.2%} ({interval[0]:.2%} to {interval[1]:.2%}), "
            f"{counts.detected} of {counts.shown}"
        )
    lines.append(" ".join(f"--set {each}" for each in counts.settings()))
    return "\n".join(lines) + "\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tracking.calibrate",
        description="Tell how often targets are detected and how many false detections there are.",
        epilog=EPILOG,
    )
    add = parser.add_argument
    add("frames", type=Path, metavar="FRAMES_JSONL", help="frames.jsonl of a run")
    add("--truth", type=Path, metavar="GT", help="the targets' boxes, MOTChallenge text")
    add(
        "--matlab-pixels",
        action="store_true",
        help="the truth counts pixels from 1: subtract 1 from x and y",
    )
    add(
        "--threshold",
        type=positive_share,
        metavar="P",
        help="score of a strong detection; without it that of the run, by summary.json beside",
    )
    add("--json", type=Path, metavar="FILE", help="all numbers")
    return parser


if __name__ == "__main__":
    sys.exit(main())
