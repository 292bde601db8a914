"""``python -m model.train``: train MPCNet on a published set or on a pack of pictures."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import TypeVar

import torch
from rich.console import Console

from model.checkpoint import resolve_weights
from model.training.curves import CurveLog
from model.training.data.crops import CropSettings
from model.training.data.packs import Pack, load_pack, pack_of
from model.training.data.published import names_in, open_set
from model.training.loop import Watcher, run
from model.training.progress import progress
from model.training.recipe import PRECISIONS, Recipe
from model.training.train import Training
from model.training.validation import Validation
from model.training.world import World, joined

FINISHED, FAILED, INTERRUPTED = 0, 1, 130

_Number = TypeVar("_Number", int, float)

_NETWORKS = {32: "mpcnet", 16: "mpcnet-s"}
_EPOCHS, _STEPS = 1000, 6000
_PUBLISHED_CROP = (256,)
_VALIDATE_EVERY = 500


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    recipe, crops = Recipe(), CropSettings()
    made = argparse.ArgumentParser(
        prog="python -m model.train",
        description="Train MPCNet on a set laid out like NUAA-SIRST (by default as published: "
        f"width 32, {_EPOCHS} epochs of 256x256 crops), or on a pack of pictures, clips and scenes "
        "made by `python -m model.training.pack` (by default the small network for streams). "
        "Ctrl-C saves and stops. Several GPUs: torchrun --nproc-per-node=N -m model.train ...",
    )
    add = made.add_argument
    source = made.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", type=Path, metavar="DIR", help="a set: image/ and mask/ in it")
    source.add_argument("--pack", type=Path, metavar="FILE", help="a pack of pictures (.npz)")
    add("--split", metavar="NAME", help="of --data: train (as unless given), or a file of names")
    add("--skip-bad", action="store_true", help="of --data: leave faulty pictures out")
    add("--validate", type=Path, metavar="FILE",
        help="of --data: a file of names to keep apart; the weights of the best IoU on them are "
        "kept, not the last")  # fmt: skip
    add("--validate-every", type=int, metavar="N", help=f"steps ({_VALIDATE_EVERY})")
    add("--patience", type=int, metavar="N",
        help="stop after N validations without a better IoU (never)")  # fmt: skip
    add("--output", type=Path, metavar="DIR", help="for what is written (runs/NAME)")
    add("--name", help="of the weights (mpcnet or mpcnet-s, then the set's name or live)")
    add("--width", type=int, metavar="N", help="32 is mpcnet, 16 mpcnet-s (--data 32, --pack 16)")
    length = made.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=float, metavar="N",
        help=f"as many crops as N times the pictures there are (--data {_EPOCHS})")  # fmt: skip
    length.add_argument("--steps", type=int, metavar="N",
        help=f"optimiser steps (--pack {_STEPS})")  # fmt: skip
    add("--batch", type=int, default=recipe.batch, metavar="N",
        help=f"crops a step, of all processes together ({recipe.batch}); sizes of --crop other "
        "than the middle one give as many pixels")  # fmt: skip
    add("--crop", type=int, nargs="+", metavar="PX",
        help=f"sides of crops, one of them a step (--data {_PUBLISHED_CROP[0]}, "
        f"--pack {' '.join(map(str, crops.sizes))})")  # fmt: skip
    add("--hard", type=float, metavar="SHARE",
        help="of the crops, where --pack holds mined false alarms: around one of them "
        f"({crops.hard:g})")  # fmt: skip
    add("--copied", type=float, default=crops.copied, metavar="SHARE",
        help="of the crops: with a target of another picture in them, turned, zoomed and dimmed "
        "(0)")  # fmt: skip
    add("--warped", type=float, default=crops.warped, metavar="SHARE",
        help="of the crops: turned by any angle, zoomed and stretched a little (0)")  # fmt: skip
    add("--zoom", type=float, nargs=2, default=crops.zoom, metavar=("LEAST", "MOST"),
        help="of those, by which they are magnified "
        f"({' '.join(map(str, crops.zoom))})")  # fmt: skip
    add("--learning-rate", type=float, default=recipe.learning_rate, metavar="X",
        help=f"the highest, after the warm-up ({recipe.learning_rate:g})")  # fmt: skip
    add("--frozen-statistics", type=float, default=recipe.frozen_statistics, metavar="SHARE",
        help="of the steps, at the end: normalise with the running statistics (0)")  # fmt: skip
    add("--ema", type=float, default=recipe.ema, metavar="X",
        help="decay of the moving average of the weights, which is what is written "
        f"({recipe.ema:g})")  # fmt: skip
    add("--seed", type=int, default=recipe.seed, metavar="N", help=f"({recipe.seed})")
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N (auto: CUDA where it is)")
    add("--precision", choices=("auto", *PRECISIONS), default="auto",
        help="auto: bf16 on CUDA, fp32 on a CPU")  # fmt: skip
    add("--threads", type=int, metavar="N", help="of the CPU (all cores)")
    add("--finetune", metavar="NAME|PATH",
        help="start from these weights; those of half the width are widened")  # fmt: skip
    add("--resume", action="store_true", help="go on from OUTPUT/checkpoint.pt")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Run the command. Exit code 0: done; 1: data or weights are at fault; 2: wrong usage; 130:
    stopped by a signal, saved."""
    command = parser()
    options = command.parse_args(arguments)
    _check_usage(command, options)
    try:
        with ExitStack() as stack:
            world, device = stack.enter_context(joined(_device(options.device)))
            stopping = stack.enter_context(_stop_requests())
            return _train(options, world, device, stopping)
    except KeyboardInterrupt:
        print("model.train: stopped at once; what was saved is there", file=sys.stderr)
        return INTERRUPTED
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"model.train: {' '.join(str(error).split())}", file=sys.stderr)
        return FAILED


def _check_usage(command: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """End the program over options that would do nothing."""
    if options.pack is not None:
        for name in ("split", "skip_bad", "validate"):
            if getattr(options, name):
                command.error(f"--{name.replace('_', '-')} goes with --data, not with --pack")
    elif options.hard is not None:
        command.error("--hard goes with --pack, not with --data")
    if options.validate is None:
        for name in ("validate_every", "patience"):
            if getattr(options, name) is not None:
                command.error(f"--{name.replace('_', '-')} needs --validate")
    if options.name is not None and Path(options.name).name != options.name:
        command.error(f"--name {options.name!r} is no name of a file without its folder")


def _device(text: str) -> str:
    if text == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, number = text.partition(":")
    if kind not in ("cpu", "cuda") or (number and not (kind == "cuda" and number.isdecimal())):
        raise ValueError(f"--device {text}: expected auto, cpu, cuda or cuda:N")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise ValueError(f"--device {text}: PyTorch sees {torch.cuda.device_count()} CUDA devices")
    return text


def _train(
    options: argparse.Namespace, world: World, device: str, stopping: Callable[[], bool]
) -> int:
    width = _given(options.width, 32 if options.data else 16)
    made_for = "live" if options.pack else options.data.absolute().name.lower()
    network = _NETWORKS.get(width, f"mpcnet-w{width}")
    name = options.name or f"{network}-{made_for.removeprefix('nuaa-')}"
    output = options.output or Path("runs") / name
    checkpoint = output / "checkpoint.pt"
    if checkpoint.exists() and not options.resume:
        raise ValueError(f"{output} holds a training: go on with --resume, or give another folder")
    crops = CropSettings(
        copied=options.copied,
        warped=options.warped,
        zoom=tuple(options.zoom),
    )
    if options.hard is not None:
        crops = replace(crops, hard=options.hard)
    if options.crop or options.data:
        crops = replace(crops, sizes=tuple(options.crop or _PUBLISHED_CROP))
    validation = None
    if options.data is not None:
        pack, validation = _set(options, loud=world.leads)
        # As published: the set's own targets and nothing else.
        crops = replace(crops, share=((pack.kinds[0], 1.0),), pasted=0.0)
    else:
        pack = load_pack(options.pack)
        if options.hard and not len(pack.hard):
            raise ValueError(
                f"--hard {options.hard:g}: {options.pack} holds no mined false alarms; "
                "python -m model.training.mine makes a pack that does"
            )
    steps = _given(options.steps, _STEPS)
    if options.steps is None and (options.data or options.epochs is not None):
        crops_wanted = _given(options.epochs, _EPOCHS) * len(pack.images)
        steps = ceil(crops_wanted / max(1, options.batch))
    precision = options.precision
    if precision == "auto":
        precision = "bf16" if device.startswith("cuda") else "fp32"
    recipe = Recipe(
        name=name,
        width=width,
        steps=steps,
        batch=options.batch,
        learning_rate=options.learning_rate,
        frozen_statistics=options.frozen_statistics,
        ema=options.ema,
        precision=precision,
        seed=options.seed,
        threads=options.threads,
        crops=crops,
    )
    training = Training(pack, recipe, device, world)
    training.origin = {
        "data": _told((options.data or options.pack).name, pack),
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else "cpu",
    }
    if validation is not None:
        training.origin["validation"] = _told(options.validate.name, pack_of(validation.pictures))
    if options.finetune is not None:
        training.finetune_from(resolve_weights(options.finetune))
    if options.resume:
        training.resume(checkpoint)
    with ExitStack() as stack:
        watchers: list[Watcher] = []
        if world.leads:
            watchers += stack.enter_context(progress(Console(stderr=True), recipe.steps))
            watchers.append(
                stack.enter_context(closing(CurveLog(output / "curves", training.step)))
            )
        else:
            logging.basicConfig(level=logging.ERROR, force=True)
        finished = run(
            training, output, validation=validation, watchers=watchers, stopping=stopping
        )
    if not finished and world.leads:
        print("stopped; the checkpoint is saved: go on with --resume", file=sys.stderr)
    return FINISHED if finished else INTERRUPTED


def _set(options: argparse.Namespace, *, loud: bool) -> tuple[Pack, Validation | None]:
    """The set to train on, and the pictures kept apart."""
    bad = options.skip_bad
    kept = names_in(options.validate) if options.validate is not None else []
    pictures = open_set(options.data, options.split or "train", skip_bad=bad, leave_out=kept)
    apart = options.validate and open_set(options.data, str(options.validate), skip_bad=bad)
    if loud:
        for problem in dict.fromkeys([*pictures.problems, *(apart.problems if apart else ())]):
            print(f"left out: {problem}", file=sys.stderr)
    if not apart:
        return pack_of(pictures), None
    every = _given(options.validate_every, _VALIDATE_EVERY)
    return pack_of(pictures), Validation(apart, every, options.patience)


def _given(value: _Number | None, default: _Number) -> _Number:
    return default if value is None else value


def _told(name: str, pack: Pack) -> str:
    return f"{name}, {len(pack.images)} pictures, sha256 {pack.digest()}"


@contextmanager
def _stop_requests() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C or SIGTERM came: the step at hand is finished first. A second one does not
    wait for that."""
    came: list[int] = []

    def handle(number: int, _frame: object) -> None:
        if came:
            raise KeyboardInterrupt
        came.append(number)

    before = {each: signal.signal(each, handle) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(came)
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


if __name__ == "__main__":
    sys.exit(main())
