"""How fast the product is on this machine: ``python -m benchmarks``, or ``make bench``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from benchmarks.live import measure_live
from benchmarks.machine import in_words, surroundings
from benchmarks.network import measure_network
from benchmarks.report import Part, Plan, say
from benchmarks.streams import measure_pipeline, measure_stages
from benchmarks.tracker import measure_camera, measure_tracker
from model.checkpoint import WeightsError
from streamer.redact import redact
from streamer.types import StreamError

FINISHED, FAILED, INTERRUPTED = 0, 1, 130

PARTS: dict[str, Callable[[Plan], Part]] = {
    "network": measure_network,
    "stages": measure_stages,
    "pipeline": measure_pipeline,
    "live": measure_live,
    "tracker": measure_tracker,
    "camera": measure_camera,
}

_EPILOG = """\
parts:
  network   the network alone in every engine that is there, beside the published network
  stages    milliseconds a frame of each stage, recording on
  pipeline  the whole pipeline beside the network alone, and mode gated beside full
  live      1, 2, 4, 8, 16 cameras (320x256 at 30 fps; on a GPU 640x512 at 60): fps, dropped share,
            latency
  tracker   a step with 10, 100, 1000 targets
  camera    whether the camera moved, and how: standing and panning

The tables also go to standard output, progress to standard error. The files are written anew after
every part: Ctrl-C keeps what is finished. The first run converts networks for OpenVINO, which
takes a while; they stay in the user's cache folder, as those of run_stream.py do.

exit code: 0 finished, 1 something failed, 2 wrong usage, 130 Ctrl-C.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit code, which ``--help`` explains."""
    parser = _parser()
    options = parser.parse_args(argv)
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: this machine or this torch has no CUDA")
    plan = Plan(
        quick=options.quick,
        device=options.device,
        threads=options.threads,
        weights=options.weights,
    )
    try:
        return _measure(plan, options.only or list(PARTS), options.json, options.markdown)
    except (StreamError, WeightsError, OSError) as error:
        say(f"error: {redact(str(error))}")
        return FAILED
    except KeyboardInterrupt:
        say("interrupted: the parts that are finished stay")
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure how fast the product is on this machine.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--json", type=Path, metavar="FILE", help="all numbers, also of single rounds")
    add("--markdown", type=Path, metavar="FILE", help="the tables")
    add("--quick", action="store_true", help="about a minute: fewer sizes, shorter runs")
    only = "only these parts (all)"
    add("--only", nargs="+", choices=list(PARTS), metavar="PART", help=only)
    device = "where the network runs (auto); part network measures both where auto finds CUDA"
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help=device)
    weights = "of stages, pipeline and live (auto: the default of the device)"
    add("--weights", default="auto", metavar="NAME|PATH", help=weights)
    add("--threads", type=_count, metavar="N", help="of the network on a CPU (the default's)")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 256:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 256")
    return int(text)


def _measure(
    plan: Plan, names: Sequence[str], json_path: Path | None, markdown_path: Path | None
) -> int:
    for path in (json_path, markdown_path):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
    if plan.threads is not None:
        torch.set_num_threads(plan.threads)
    around = surroundings(plan.threads)
    title = f"# Speed{' (quick run)' if plan.quick else ''}\n\n{in_words(around)}"
    sys.stdout.write(title)
    parts: list[Part] = []
    for name in (each for each in PARTS if each in names):
        say(f"{name} ...")
        parts.append(PARTS[name](plan))
        sys.stdout.write(f"\n{parts[-1].markdown()}")
        sys.stdout.flush()
        numbers = {
            "quick": plan.quick,
            "device": plan.device,
            "weights": plan.weights,
            **around,
        }
        numbers["parts"] = {part.name: part.numbers() for part in parts}
        if json_path is not None:
            json_path.write_text(
                json.dumps(numbers, indent=2, allow_nan=False) + "\n", encoding="utf-8"
            )
        if markdown_path is not None:
            text = "\n".join([title, *(part.markdown() for part in parts)])
            markdown_path.write_text(text, encoding="utf-8")
    return FINISHED


if __name__ == "__main__":
    sys.exit(main())
