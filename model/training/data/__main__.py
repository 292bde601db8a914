"""``python -m model.training.data check DIR``: what a data set holds, and what is wrong with it."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from model.training.data.packs import grey8, normalisation_of
from model.training.data.published import (
    DatasetError,
    Normalisation,
    PictureSet,
    list_of,
    open_set,
)
from model.training.metrics import SIZES_PX, components
from model.training.pictures import contact_sheet, png

_SPLITS = ("train", "test")


@dataclass(slots=True)
class Holdings:
    """What one split holds."""

    pictures: int = 0
    without_target: int = 0
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    """Pictures by width and height, px."""
    bits: Counter[int] = field(default_factory=Counter)
    """Pictures by bits a pixel."""
    areas: list[int] = field(default_factory=list)
    """Of every target, px."""


def holdings(pictures: PictureSet) -> Holdings:
    """Count what a split holds; a target is an 8-connected component of its mask.

    Raises:
        DatasetError: a picture changed or went away since it was checked.
    """
    found = Holdings()
    for sample in pictures:
        height, width = sample.image.shape
        areas = components(sample.truth).areas.tolist()
        found.pictures += 1
        found.without_target += not areas
        found.sizes[width, height] += 1
        found.bits[8 * sample.image.dtype.itemsize] += 1
        found.areas += areas
    return found


def told(split: str, found: Holdings, normalisation: Normalisation) -> str:
    """The holdings of a split for people, some lines."""
    (width, height), often = found.sizes.most_common(1)[0]
    low, high = min(found.sizes), max(found.sizes)
    bits = ", ".join(f"{count} of {depth} bit" for depth, count in sorted(found.bits.items()))
    lines = [
        f"{split}: pictures {found.pictures} ({bits}), targets {len(found.areas)}, "
        f"pictures without a target {found.without_target}",
        f"  size: {low[0]}x{low[1]} to {high[0]}x{high[1]} px by width, "
        f"{len(found.sizes)} different, most often {width}x{height} ({often})",
        f"  normalisation: mean {normalisation.mean:.2f}, deviation {normalisation.std:.2f}",
    ]
    areas = np.array(found.areas)
    if len(areas):
        lines.append(
            f"  area of targets: {areas.min()} to {areas.max()} px, median {np.median(areas):g}"
        )
    for least, most in SIZES_PX:
        inside = areas[(areas >= least) & (areas <= (most or np.inf))] if len(areas) else areas
        name = f"{least} to {most} px" if most else f"{least} px and more"
        bar = "#" * round(40 * len(inside) / max(1, len(areas)))
        lines.append(f"    {name:>15} {len(inside):6d}  {bar}".rstrip())
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Exit code 0: the set is sound; 1: something is wrong with it; 2: wrong usage."""
    made = argparse.ArgumentParser(prog="python -m model.training.data", description=__doc__)
    commands = made.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check", help="what a set holds, and what is wrong with it")
    check.add_argument("data", type=Path, metavar="DIR", help="NAME/ with image/ and mask/")
    check.add_argument(
        "--sheet",
        type=Path,
        metavar="FILE.png",
        help="pictures of the training split, or of the test split where there is no other",
    )
    options = made.parse_args(arguments)
    try:
        if options.sheet is not None:
            options.sheet.parent.mkdir(parents=True, exist_ok=True)
        lists = {split: list_of(options.data, split) for split in _SPLITS}
        there = [split for split in _SPLITS if lists[split]] or ["train"]
        sets = {split: open_set(options.data, split, skip_bad=True) for split in there}
        for split, pictures in sets.items():
            normalisation = normalisation_of(pictures.name, map(grey8, pictures))
            print(told(split, holdings(pictures), normalisation))
        for split in set(_SPLITS) - set(there):
            print(f"{split}: not there, no list {split}_{options.data.absolute().name}.txt")
        problems = {problem: None for pictures in sets.values() for problem in pictures.problems}
        for problem in problems:
            print(f"wrong: {problem}", file=sys.stderr)
        if options.sheet is not None:
            options.sheet.write_bytes(png(contact_sheet(sets[there[0]])))
    except KeyboardInterrupt:
        print("model.training.data: interrupted", file=sys.stderr)
        return 130
    except (DatasetError, OSError) as error:
        print(f"model.training.data: {error}", file=sys.stderr)
        return 1
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
