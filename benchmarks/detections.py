"""What weights see before any tracking: ``python -m benchmarks.detections CLIPS_DIR --output DIR``.

Frames of clips are scanned whole, each by itself, and its detections held against the labels: how
many targets are found and how many false alarms there are a frame, at a row of thresholds.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.clips import clips_parser, find_clips
from benchmarks.runs import writing_to
from configs.schema import DetectorSettings, SourceSettings
from model.checkpoint import WeightsError
from model.detector import NetworkDetector, build_detector
from streamer.sources.factory import open_source
from streamer.types import Detections, FloatArray, Frame, IntArray, StreamError
from tracking.evaluate import MATLAB_SHIFT_PX, group_of, read_names, write_report
from tracking.metrics import wilson_interval
from tracking.mot import MotTable

BACKGROUND = "background"
THRESHOLDS = (0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)
_WORST_FRAMES = 3
_SCALE = 2
_HIT, _MISS, _FALSE = (60, 200, 60), (60, 60, 255), (0, 165, 255)  # BGR

EPILOG = """\
CLIPS_DIR holds NAME.mp4 with its truth NAME.gt.txt (MOTChallenge) beside it. A target is found when
the centre of a detection lies in its box; a detection is false when its centre lies in no box. DIR
gets report.json, report.md and, of each clip, NAME.png with its worst frames: targets that were
found in green, those that were missed in red, false alarms in orange.

exit code: 0 finished, 1 something failed, 2 wrong usage, 130 Ctrl-C.
"""


@dataclass(slots=True)
class Seen:
    """What was counted in some frames, at T thresholds."""

    frames: int = 0
    megapixels: float = 0.0
    labelled: int = 0
    """Pairs of a target and a frame."""
    found: IntArray = field(default_factory=lambda: np.zeros(1, dtype=np.int64))
    """(T,) of those."""
    false: IntArray = field(default_factory=lambda: np.zeros(1, dtype=np.int64))
    """(T,) detections that are no target."""

    def __add__(self, other: Seen) -> Seen:
        return Seen(
            self.frames + other.frames,
            self.megapixels + other.megapixels,
            self.labelled + other.labelled,
            self.found + other.found,
            self.false + other.false,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """A frame, its truth and what was detected in it."""

    frame: Frame
    boxes: FloatArray
    """(K, 4) of the targets, continuous edges, px."""
    detections: Detections

    def inside(self, threshold: float) -> NDArray[np.bool_]:
        """(N, K) which of the N detections of that score lies in which box."""
        xy = self.detections.xy[self.detections.score >= threshold][:, None, :]
        within = (xy >= self.boxes[:, :2]) & (xy <= self.boxes[:, 2:])
        return np.asarray(within.all(axis=2))

    def seen(self, thresholds: Sequence[float]) -> Seen:
        """The counts."""
        inside = [self.inside(each) for each in thresholds]
        return Seen(
            1,
            self.frame.image.size / 1e6,
            len(self.boxes),
            np.array([int(each.any(axis=0).sum()) for each in inside]),
            np.array([int((~each.any(axis=1)).sum()) for each in inside]),
        )

    def errors(self, threshold: float) -> int:
        """Missed targets and false alarms."""
        counts = self.seen([threshold])
        return int(counts.labelled - counts.found[0] + counts.false[0])

    def picture(self, threshold: float) -> NDArray[np.uint8]:
        """(H, W, 3) BGR, twice as large: targets' boxes and false alarms."""
        grey = _shown(self.frame)
        size = (grey.shape[1] * _SCALE, grey.shape[0] * _SCALE)
        large = cv2.resize(grey, size, interpolation=cv2.INTER_NEAREST)
        page = np.repeat(np.asarray(large, np.uint8)[..., None], 3, axis=2)
        inside = self.inside(threshold)
        hit, false = np.any(inside, axis=0, keepdims=True)[0], ~inside.any(axis=1)
        for box, found in zip(self.boxes, hit, strict=True):
            corners = np.rint((box + 0.5) * _SCALE).astype(int).tolist()
            cv2.rectangle(page, corners[:2], corners[2:], _HIT if found else _MISS, 1)
        strong = self.detections.xy[self.detections.score >= threshold]
        for x, y in strong[false]:
            centre = (round((x + 0.5) * _SCALE), round((y + 0.5) * _SCALE))
            cv2.circle(page, centre, 12, _FALSE, 1, cv2.LINE_AA)
        strip = np.full((20, page.shape[1], 3), 255, np.uint8)
        text = f"frame {self.frame.index + 1}: {hit.sum()} of {len(self.boxes)} "
        text += f"found, {false.sum()} false"
        cv2.putText(strip, text, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (40, 40, 40), 1)
        return np.vstack((page, strip))


def _shown(frame: Frame) -> NDArray[np.uint8]:
    """(H, W): the picture; of more than 8 bit what lies between its extremes, stretched."""
    if frame.image.dtype == np.uint8:
        return frame.image.astype(np.uint8)
    low, high = np.percentile(frame.image, (0.5, 99.8))
    stretched = (frame.image - low) * (255 / max(1.0, high - low))
    return np.asarray(np.clip(stretched, 0, 255), dtype=np.uint8)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit code, which ``--help`` explains."""
    options = _parser().parse_args(argv)
    try:
        return _measure(options)
    except (StreamError, WeightsError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: no report is written", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = clips_parser("detections", __doc__, EPILOG, "for reports and pictures")
    add = parser.add_argument
    add("--background", type=Path, metavar="DIR", help="pictures in which no target is")
    add("--background-list", type=Path, metavar="FILE", help="names of those, one a line (all)")
    add("--weights", default="auto", metavar="NAME|PATH", help="the network's weights (auto)")
    add("--every", type=int, default=10, metavar="N", help="every Nth frame of a clip (10)")
    add("--device", default="auto", help="auto, cpu or cuda")
    return parser


def _measure(options: argparse.Namespace) -> int:
    if options.every < 1:
        raise StreamError(f"--every {options.every}: expected 1 or more")
    output: Path = options.output
    with writing_to(output):
        output.mkdir(parents=True, exist_ok=True)
    clips, unlabelled = find_clips(options.clips, options.list)
    pictures = _backgrounds(options.background, options.background_list)
    shift = MATLAB_SHIFT_PX if options.matlab_pixels else 0.0
    settings = DetectorSettings(weights=options.weights, device=options.device, mode="full")
    with closing(build_detector(settings)) as detector:
        thresholds = sorted({*THRESHOLDS, round(detector.threshold, 6)})
        own = thresholds.index(round(detector.threshold, 6))
        looked: list[tuple[str, Iterator[Look]]] = [
            (clip.name, _looks(detector, clip.path, clip.truth.shifted(shift), options.every))
            for clip in clips
        ]
        if pictures:
            parts = (_looks(detector, path, MotTable.empty(), 1) for path in pictures)
            looked.append((BACKGROUND, chain.from_iterable(parts)))
        counts: dict[str, Seen] = {}
        for name, looks in looked:
            worst: list[Look] = []
            total = Seen()
            for look in looks:
                total += look.seen(thresholds)
                worst = sorted([*worst, look], key=lambda each: -each.errors(thresholds[own]))
                worst = [each for each in worst[:_WORST_FRAMES] if each.errors(thresholds[own])]
            counts[name] = total
            _draw(output / f"{name}.png", worst, thresholds[own])
            said = f"{total.found[own]} of {total.labelled} found, {total.false[own]} false"
            print(f"[{len(counts)}/{len(looked)}] {name}: {said}", file=sys.stderr, flush=True)
        described = detector.describe()
    tables = markdown(counts, thresholds, own)
    report = {
        "ran": described,
        "every": options.every,
        "thresholds": thresholds,
        "threshold": thresholds[own],
        "groups": {name: _entry(seen) for name, seen in _pools(counts).items()},
        "clips": {name: _entry(seen) for name, seen in counts.items()},
        "unlabelled": unlabelled,
    }
    write_report(output / "report.json", json.dumps(report, indent=2, allow_nan=False) + "\n")
    write_report(output / "report.md", tables)
    sys.stdout.write(tables)
    return 0


def _backgrounds(folder: Path | None, names: Path | None) -> list[Path]:
    if folder is None:
        return []
    there = {path.stem: path for path in sorted(folder.glob("*")) if path.is_file()}
    wanted = list(there) if names is None else read_names(names)
    for name in wanted:
        if name not in there:
            raise StreamError(f"{names} names {name}, but {folder} has no such picture")
    if not wanted:
        raise StreamError(f"no pictures in {folder}")
    return [there[name] for name in wanted]


def _looks(
    detector: NetworkDetector, path: Path, truth: MotTable, every: int
) -> Generator[Look, None, None]:
    """Every so many frames of a file, with their truth and detections."""
    with closing(open_source(str(path), SourceSettings(), path.stem)) as source:
        source.open()
        while (frame := source.read()) is not None:
            if frame.index % every == every // 2:
                boxes = truth.boxes_xyxy[truth.frame == frame.index + 1]
                yield Look(frame, boxes, detector.submit([frame]).result()[0])


def _draw(path: Path, worst: Sequence[Look], threshold: float) -> None:
    if not worst:
        path.unlink(missing_ok=True)  # of an earlier run
        return
    pages = [look.picture(threshold) for look in worst]
    height, width = (max(page.shape[axis] for page in pages) for axis in (0, 1))
    padded = [
        np.pad(p, ((0, height - p.shape[0]), (0, width - p.shape[1] + 4), (0, 0))) for p in pages
    ]
    with writing_to(path.parent):
        path.write_bytes(cv2.imencode(".png", np.hstack(padded))[1].tobytes())


# ---------------------------------------------------------------- reports


def markdown(counts: dict[str, Seen], thresholds: Sequence[float], own: int) -> str:
    """The tables: by class at the weights' own threshold, then all clips at every threshold.

    Args:
        counts: by the names of clips; pictures without targets under ``BACKGROUND``.
        thresholds: at which they were taken.
        own: which of them is the weights'.
    """
    lines = [
        f"At the threshold {thresholds[own]:g}:\n",
        "| clips | frames | targets | found | 95 % interval | false | a frame | a megapixel |",
        "| --- " + "| ---: " * 7 + "|",
    ]
    pools = _pools(counts)
    for name, seen in pools.items():
        share = wilson_interval(int(seen.found[own]), seen.labelled)
        found = "-" if share is None else f"{seen.found[own] / seen.labelled:.2%}"
        between = "-" if share is None else f"{share[0]:.2%} to {share[1]:.2%}"
        false = int(seen.false[own])
        lines.append(
            f"| {name} | {seen.frames} | {seen.labelled} | {found} | {between} | {false} "
            f"| {false / seen.frames:.3f} | {false / seen.megapixels:.2f} |"
        )
    names = [name for name in pools if pools[name].frames]
    lines += [
        "\nFound, and false alarms a frame, by threshold:\n",
        f"| threshold | {' | '.join(names)} |",
        "| ---: " + "| ---: " * len(names) + "|",
    ]
    for place, threshold in enumerate(thresholds):
        cells = []
        for seen in (pools[name] for name in names):
            share_found = f"{seen.found[place] / seen.labelled:.1%}, " if seen.labelled else ""
            cells.append(f"{share_found}{seen.false[place] / seen.frames:.3f}")
        lines.append(f"| {threshold:g} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _pools(counts: dict[str, Seen]) -> dict[str, Seen]:
    """Of every class, of all clips, and of the pictures without targets."""
    groups: dict[str, Seen] = {}
    for name, seen in counts.items():
        if name != BACKGROUND:
            group = group_of(name)
            groups[group] = groups.get(group, Seen()) + seen
    pools = {**dict(sorted(groups.items())), "all": sum(groups.values(), start=Seen())}
    if BACKGROUND in counts:
        pools[BACKGROUND] = counts[BACKGROUND]
    return pools


def _entry(seen: Seen) -> dict[str, Any]:
    return {
        "frames": seen.frames,
        "megapixels": round(seen.megapixels, 6),
        "labelled": seen.labelled,
        "found": seen.found.tolist(),
        "false": seen.false.tolist(),
    }


if __name__ == "__main__":
    sys.exit(main())
