"""Tracks from detections alone: ``python -m tracking.run DETECTIONS --fps F --output TRACKS``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from configs.load import SettingsError, load_settings
from streamer.types import StreamError
from tracking import build_tracker
from tracking.arguments import positive_number
from tracking.mot import detections_by_frame, read_mot, track_lines

# Where neither the settings nor a network's weights say what a strong detection is.
DEFAULT_THRESHOLD = 0.5

EPILOG = """\
Both files are MOTChallenge text. DETECTIONS has lines frame,-1,x,y,w,h,score with the score from 0
to 1 (missing or -1: 1); TRACKS gets frame,id,x,y,w,h,confidence,-1,-1,-1 for every confirmed and
coasting track. --set tracker.KEY=VALUE changes the tracker; --set detector.threshold=P (0.5) is
the score that a detection needs to start a track, detector.low_threshold the one to continue it.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Exit code 0: done; 1: a file is missing or wrong; 2: wrong usage or settings."""
    parser = _parser()
    options = parser.parse_args(argv)
    try:
        settings = load_settings(options.config, options.set)
    except SettingsError as error:
        parser.exit(2, f"error: {error}\n")
    threshold = settings.detector.threshold or DEFAULT_THRESHOLD
    tracker = build_tracker(settings.tracker, threshold)
    try:
        table = read_mot(options.detections)
        strong_enough = table.keep(table.confidence >= settings.detector.low_threshold)
        with options.output.open("w", encoding="utf-8") as output:
            for detections in detections_by_frame(strong_enough, options.fps, table.last_frame):
                output.write(track_lines(detections.frame_index, tracker.step(detections)))
    except StreamError as error:
        parser.exit(1, f"error: {error}\n")
    except OSError as error:
        parser.exit(1, f"error: cannot write {options.output}: {error.strerror or error}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tracking.run",
        description="Track detections that were made before; no pictures are needed.",
        epilog=EPILOG,
    )
    parser.add_argument("detections", type=Path, metavar="DETECTIONS", help="a file of detections")
    parser.add_argument("--fps", type=positive_number, required=True, help="frames per second")
    parser.add_argument("--output", type=Path, required=True, metavar="TRACKS", help="the tracks")
    parser.add_argument("--config", metavar="FILE", help="a preset's name or a YAML file")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a setting on top of it"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
