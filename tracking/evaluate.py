"""Score tracks against truth: ``python -m tracking.evaluate GT_DIR PRED_DIR --json FILE``."""

from __future__ import annotations

import argparse
import json
import logging
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from streamer.types import StreamError
from tracking.arguments import positive_number, positive_share
from tracking.estimates import Estimates, read_estimates
from tracking.metrics import SIMILARITY, Similarity, Tally, measure_clip, pooled
from tracking.mot import MotTable, read_mot
from tracking.report import tables_of

logger = logging.getLogger(__name__)

# MATLAB counts pixels from 1, we count from 0.
MATLAB_SHIFT_PX = -1.0

EPILOG = """\
GT_DIR holds NAME.gt.txt or NAME.txt, PRED_DIR holds NAME/tracks.txt or NAME.txt. Every clip that
has tracks is scored, or with --clips exactly those listed. A target is tracked in a frame when a
track's centre lies in its box; a track is false when it was in no box for 3 frames or more. HOTA,
IDF1 and MOTA take centres D px apart as max(0, 1 - D / DISTANCE) alike. NEES needs the covariances
in NAME/frames.jsonl. With --smoothed NAME/tracks_smoothed.txt is scored, which has no covariances.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Exit code 0: done; 1: a file is missing or wrong; 2: wrong usage."""
    options = _parser().parse_args(argv)
    similarity = Similarity(options.distance, options.threshold)
    try:
        clips = _score_clips(options, similarity)
        report = {
            "fps": options.fps,
            "similarity": asdict(similarity),
            "pooled": pooled(clips.values()).entry(options.fps),
            "groups": {name: c.entry(options.fps) for name, c in by_group(clips).items()},
            "clips": {name: c.entry(options.fps) for name, c in clips.items()},
        }
        tables = markdown(clips, options.fps)
        write_report(options.json, json.dumps(report, indent=2) + "\n")
        if options.markdown:
            write_report(options.markdown, tables)
    except StreamError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write(tables)
    return 0


def markdown(clips: dict[str, Tally], fps: float) -> str:
    """The tables for people: a row a group, then all of them.

    Args:
        clips: what was counted, by the clips' names.
        fps: frames per second of all clips.
    """
    groups = [*by_group(clips).items(), ("all", pooled(clips.values()))]
    return tables_of((name, tally, fps) for name, tally in groups)


def score_clip(
    truth: MotTable,
    tracks: MotTable,
    frames: int,
    *,
    matlab_pixels: bool,
    estimates: Estimates | None = None,
    similarity: Similarity = SIMILARITY,
) -> Tally:
    """Measure one clip.

    Args:
        truth: as it stands in its file; lines beyond the clip's end do not count.
        tracks: the clip's.
        frames: the clip's length.
        matlab_pixels: the truth counts pixels from 1.
        estimates: the tracks with their covariances, where these are known.
        similarity: of centres, for HOTA, IDF1 and MOTA.

    Raises:
        StreamError: an id is there twice in a frame.
    """
    if matlab_pixels:
        truth = truth.shifted(MATLAB_SHIFT_PX)
    return measure_clip(truth, tracks, frames, estimates=estimates, similarity=similarity)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tracking.evaluate",
        description="Score MOTChallenge tracks against MOTChallenge truth.",
        epilog=EPILOG,
    )
    parser.add_argument("truth", type=Path, metavar="GT_DIR", help="folder of truth files")
    parser.add_argument("tracks", type=Path, metavar="PRED_DIR", help="folder of track files")
    parser.add_argument("--json", type=Path, required=True, metavar="FILE", help="all numbers")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="the tables, also printed")
    parser.add_argument("--fps", type=positive_number, default=30.0, help="frames per second (30)")
    parser.add_argument("--clips", type=Path, metavar="FILE", help="names to score, one a line")
    parser.add_argument(
        "--lengths",
        type=Path,
        metavar="FILE",
        help="lines of NAME,FRAMES; without it a clip ends with its last label or track",
    )
    parser.add_argument(
        "--matlab-pixels",
        action="store_true",
        help="the truth counts pixels from 1: subtract 1 from x and y",
    )
    parser.add_argument(
        "--distance",
        type=positive_number,
        default=SIMILARITY.distance_px,
        metavar="PX",
        help=f"from here on centres are not alike at all ({SIMILARITY.distance_px:g})",
    )
    parser.add_argument(
        "--threshold",
        type=positive_share,
        default=SIMILARITY.threshold,
        metavar="S",
        help=f"MOTA and IDF1 pair what is so alike or more ({SIMILARITY.threshold:g})",
    )
    parser.add_argument(
        "--smoothed",
        action="store_true",
        help="score NAME/tracks_smoothed.txt in place of NAME/tracks.txt",
    )
    parser.add_argument(
        "--count-unlabelled",
        action="store_true",
        help="clips without a single label count, too: all their tracks are false",
    )
    return parser


def _score_clips(options: argparse.Namespace, similarity: Similarity) -> dict[str, Tally]:
    for folder in (options.truth, options.tracks):
        if not folder.is_dir():
            raise StreamError(f"{folder} is not a folder")
    file = "tracks_smoothed.txt" if options.smoothed else "tracks.txt"
    names = read_names(options.clips) if options.clips else _names_with_tracks(options.tracks, file)
    lengths = _read_lengths(options.lengths) if options.lengths else {}
    clips: dict[str, Tally] = {}
    for name in names:
        truth = read_truth(options.truth, name)
        if not len(truth) and not options.count_unlabelled:
            logger.info("%s has no labels: not scored", name)
            continue
        tracks = _read_tracks(options.tracks, name, file)
        if options.lengths and name not in lengths:
            raise StreamError(f"{options.lengths} has no length of {name}")
        frames = lengths.get(name, max(truth.last_frame, tracks.last_frame))
        try:
            clips[name] = score_clip(
                truth,
                tracks,
                frames,
                matlab_pixels=options.matlab_pixels,
                estimates=None if options.smoothed else _read_estimates(options.tracks, name),
                similarity=similarity,
            )
        except StreamError as error:
            raise StreamError(f"{name}: {error}") from error
    if not clips:
        raise StreamError(f"nothing to score: no clip in {options.tracks} has tracks and labels")
    return clips


def read_names(path: Path) -> list[str]:
    """The names in a list, one a line; a line that begins with # is a remark.

    Raises:
        StreamError: the list cannot be read.
    """
    lines = (line.strip() for line in _read(path).splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _names_with_tracks(folder: Path, file: str) -> list[str]:
    files = {path.stem for path in folder.glob("*.txt")}
    return sorted(files | {path.parent.name for path in folder.glob(f"*/{file}")})


def _read_tracks(folder: Path, name: str, file: str) -> MotTable:
    inside, beside = folder / name / file, folder / f"{name}.txt"
    if not inside.exists() and not beside.exists():
        raise StreamError(f"no tracks of {name}: expected {inside} or {beside}")
    return read_mot(inside if inside.exists() else beside)


def _read_estimates(folder: Path, name: str) -> Estimates | None:
    path = folder / name / "frames.jsonl"
    return read_estimates(path) if path.exists() else None


def read_truth(folder: Path, name: str) -> MotTable:
    """A clip's truth, NAME.gt.txt or NAME.txt; no lines where there is neither.

    Lines whose seventh column is 0 are left out: MOTChallenge marks so what need not be found.

    Raises:
        StreamError: the file is not MOTChallenge.
    """
    for path in (folder / f"{name}.gt.txt", folder / f"{name}.txt"):
        if path.exists():
            truth = read_mot(path)
            return truth.keep(truth.confidence > 0)
    return MotTable.empty()


def _read_lengths(path: Path) -> dict[str, int]:
    lengths = {}
    for number, line in enumerate(_read(path).splitlines(), start=1):
        if not line.strip():
            continue
        name, _, count = line.rpartition(",")
        if not name or not count.strip().isdecimal():
            raise StreamError(f"{path}:{number}: {line.strip()!r}, expected NAME,FRAMES")
        lengths[name.strip()] = int(count)
    return lengths


def by_group(clips: dict[str, Tally]) -> dict[str, Tally]:
    """Pooled over the clips whose names differ only in the number at the end."""
    groups: dict[str, Tally] = {}
    for name, tally in sorted(clips.items()):
        groups[group_of(name)] = groups.get(group_of(name), Tally()) + tally
    return groups


def group_of(name: str) -> str:
    """A clip's name without the number at its end; "other" where nothing is left."""
    return re.sub(r"[-_ ]*\d[\d_-]*$", "", name) or "other"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StreamError(f"cannot read {path}: {error}") from error


def write_report(path: Path, text: str) -> None:
    """Write a file of results.

    Raises:
        StreamError: it cannot be written.
    """
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StreamError(f"cannot write {path}: {error.strerror or error}") from error


if __name__ == "__main__":
    sys.exit(main())
