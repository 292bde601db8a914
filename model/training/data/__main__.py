"""``python -m model.training.data check DIR``: what a data set holds, and what is wrong with it."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from model.training.data.packs import grey8, normalisation_of
from model.training.data.published import (
    DatasetError,
    Normalisation,
    PictureSet,
    list_of,
    open_set,
)
from model.training.metrics import SIZES_PX, components

_SPLITS = ("train", "test")
_SHEET_COLUMNS, _SHEET_ROWS = 10, 8
_TILE = 120
_RING = (0, 165, 255)  # BGR


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


def contact_sheet(pictures: PictureSet) -> NDArray[np.uint8]:
    """(H, W, 3) BGR: pictures from all over the split, a ring around every target.

    Raises:
        DatasetError: a picture changed or went away since it was checked.
    """
    count = min(len(pictures), _SHEET_COLUMNS * _SHEET_ROWS)
    rows = -(-count // _SHEET_COLUMNS)
    cell = _TILE + 4
    sheet = np.full((rows * (cell + 14), _SHEET_COLUMNS * cell, 3), 255, np.uint8)
    for place, index in enumerate(np.linspace(0, len(pictures) - 1, count).round().astype(int)):
        sample = pictures[int(index)]
        grey = grey8(sample)
        scale = _TILE / max(grey.shape)
        height, width = (max(1, round(length * scale)) for length in grey.shape)
        small = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)
        tile = cv2.cvtColor(np.asarray(small, np.uint8), cv2.COLOR_GRAY2BGR)
        for row, column in components(sample.truth).centroids:
            centre = (round((column + 0.5) * scale), round((row + 0.5) * scale))
            cv2.circle(tile, centre, 7, _RING, 1, cv2.LINE_AA)
        top = (place // _SHEET_COLUMNS) * (cell + 14)
        left = (place % _SHEET_COLUMNS) * cell
        sheet[top : top + height, left : left + width] = tile
        at, face = (left, top + _TILE + 11), cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(sheet, sample.name[-18:], at, face, 0.34, (40, 40, 40), 1, cv2.LINE_AA)
    return sheet


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Exit code 0: the set is sound; 1: something is wrong with it; 2: wrong usage."""
    made = argparse.ArgumentParser(prog="python -m model.training.data", description=__doc__)
    commands = made.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check", help="what a set holds, and what is wrong with it")
    check.add_argument("data", type=Path, metavar="DIR", help="NAME/ with image/ and mask/")
    check.add_argument(
        "--sheet", type=Path, metavar="FILE.png", help="a picture of some of the training split"
    )
    options = made.parse_args(arguments)
    problems: list[str] = []
    try:
        lists = {split: list_of(options.data, split) for split in _SPLITS}
        there = [split for split in _SPLITS if lists[split]] or ["train"]
        for split in there:
            pictures = open_set(options.data, split, skip_bad=True)
            problems += pictures.problems
            normalisation = normalisation_of(pictures.name, map(grey8, pictures))
            print(told(split, holdings(pictures), normalisation))
            if split == "train" and options.sheet is not None:
                done = cv2.imencode(".png", contact_sheet(pictures))[1]
                options.sheet.write_bytes(done.tobytes())
    except (DatasetError, OSError) as error:
        print(f"model.training.data: {error}", file=sys.stderr)
        return 1
    for split in set(_SPLITS) - set(there):
        print(f"{split}: not there, no list {split}_{options.data.absolute().name}.txt")
    for problem in dict.fromkeys(problems):
        print(f"wrong: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
