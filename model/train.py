"""``python -m model.train``: train MPCNet on a published set or on a pack of pictures."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from model.training.curves import CurveLog
from model.training.data.crops import CropSettings
from model.training.data.packs import Pack, load_pack, pack_of
from model.training.data.published import names_in, open_set
from model.training.progress import progress
from model.training.train import Recipe, Training, run, with_overrides
from model.training.validation import Validation


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    defaults = Recipe()
    made = argparse.ArgumentParser(
        prog="python -m model.train",
        description="Train MPCNet on a set laid out like NUAA-SIRST, or on a pack of pictures, "
        "clips and scenes made by `python -m model.training.pack`.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    source = made.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--data", type=Path, metavar="DIR", help="a set: DIR/ with image/ and mask/"
    )
    source.add_argument("--pack", type=Path, help="a pack of pictures (.npz)")
    made.add_argument("--split", default="train", help="with --data: train, or a file of names")
    made.add_argument(
        "--validate",
        type=Path,
        metavar="FILE",
        help="with --data: names to keep apart; the weights of the best IoU on them are kept",
    )
    made.add_argument("--validate-every", type=int, default=500, metavar="N", help="steps")
    made.add_argument(
        "--patience", type=int, metavar="N", help="stop after N validations without a better IoU"
    )
    made.add_argument(
        "--skip-bad", action="store_true", help="with --data: leave faulty pictures out"
    )
    made.add_argument("--output", type=Path, required=True, help="folder for what is written")
    made.add_argument("--name", default=defaults.name, help="name of the weights")
    made.add_argument("--width", type=int, default=defaults.width, help="32: mpcnet, 16: mpcnet-s")
    made.add_argument("--steps", type=int, default=defaults.steps, help="optimiser steps")
    made.add_argument(
        "--batch", type=int, default=defaults.batch, help="crops of the middle size a step"
    )
    sizes = CropSettings().sizes
    made.add_argument(
        "--crop", type=int, nargs="+", default=sizes, metavar="PX", help="sides of crops, px"
    )
    made.add_argument("--learning-rate", type=float, default=defaults.learning_rate)
    made.add_argument("--seed", type=int, default=defaults.seed)
    made.add_argument("--threads", type=int, help="of the CPU; all cores unless given")
    made.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    made.add_argument("--finetune", type=Path, help="start from these weights")
    made.add_argument("--resume", action="store_true", help="go on from OUTPUT/checkpoint.pt")
    return made


def _set(options: argparse.Namespace) -> tuple[Pack, Validation | None]:
    """The set to train on, and the pictures kept apart."""
    bad = options.skip_bad
    kept = names_in(options.validate) if options.validate is not None else []
    pictures = open_set(options.data, options.split, skip_bad=bad, leave_out=kept)
    for problem in pictures.problems:
        print(f"left out: {problem}", file=sys.stderr)
    if not kept:
        return pack_of(pictures), None
    apart = open_set(options.data, str(options.validate), skip_bad=bad)
    return pack_of(pictures), Validation(apart, options.validate_every, options.patience)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    options = parser().parse_args(arguments)
    checkpoint = options.output / "checkpoint.pt"
    try:
        if checkpoint.exists() and not options.resume:
            raise ValueError(
                f"{options.output} holds a training: go on with --resume, or give another folder"
            )
        crops = CropSettings(sizes=tuple(options.crop))
        validation = None
        if options.data is not None:
            pack, validation = _set(options)
            # As published: the set's own targets and nothing else.
            crops = replace(crops, share=((pack.kinds[0], 1.0),), pasted=0.0)
        else:
            pack = load_pack(options.pack)
        recipe = with_overrides(
            Recipe(crops=crops),
            name=options.name,
            width=options.width,
            steps=options.steps,
            batch=options.batch,
            learning_rate=options.learning_rate,
            seed=options.seed,
            threads=options.threads,
        )
        training = Training(pack, recipe, options.device)
        if options.finetune is not None:
            training.finetune_from(options.finetune)
        if options.resume:
            training.resume(checkpoint)
        with (
            progress(Console(stderr=True), recipe.steps) as watchers,
            closing(CurveLog(options.output / "curves", training.step)) as curves,
        ):
            run(training, options.output, validation=validation, watchers=[*watchers, curves])
    except KeyboardInterrupt:
        print("stopped; the checkpoint is saved: go on with --resume", file=sys.stderr)
        return 130
    except (ValueError, OSError) as error:
        print(f"model.train: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
