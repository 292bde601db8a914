"""Labelled single pictures on disk, as NUAA-SIRST, NUDT-SIRST and IRSTD-1K are published.

Two layouts are read, and any set laid out alike::

    NAME/image/PICTURE.png  NAME/mask/PICTURE.png  NAME/train_NAME.txt  NAME/test_NAME.txt
    NAME/images/...         NAME/masks/...         NAME/img_idx/train_NAME.txt ...

What is wrong with a set is found before anything runs, all of it at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from model.checkpoint import NUAA_SIRST_MEAN, NUAA_SIRST_STD
from streamer.types import Image

SUFFIXES = (".png", ".bmp", ".jpg", ".jpeg", ".tif", ".tiff")
"""Endings of pictures, in lower case; where a name has several files, the first of these wins."""

_LOSSY = frozenset({".jpg", ".jpeg"})
_OTHER_SPLIT = {"train": "test", "test": "train"}
_PROBLEMS_SHOWN = 20


class DatasetError(ValueError):
    """A data set is missing or faulty. The message is one line and names what is wrong.

    Attributes:
        problems: everything that was found, one text each.
    """

    def __init__(self, where: str, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        shown = "; ".join(self.problems[:_PROBLEMS_SHOWN])
        more = len(self.problems) - _PROBLEMS_SHOWN
        super().__init__(f"{where}: {shown}" + (f"; and {more} more" if more > 0 else ""))


@dataclass(frozen=True, slots=True)
class Normalisation:
    """Mean and standard deviation of a set's pictures, grey levels (8-bit scale, 0..255)."""

    mean: float
    std: float


PUBLISHED_NORMALISATION = {
    "NUAA-SIRST": Normalisation(NUAA_SIRST_MEAN, NUAA_SIRST_STD),
    "NUDT-SIRST": Normalisation(107.80905151367188, 33.02274703979492),
    "IRSTD-1K": Normalisation(87.4661865234375, 39.71953201293945),
}
"""What the public code (BasicIRSTD) normalises each set with."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A picture and its truth."""

    name: str
    image: Image
    """(H, W) grey, uint8 or uint16."""
    truth: NDArray[np.bool_]
    """(H, W), True on targets."""

    @property
    def gain(self) -> float:
        """``image * gain`` is the grey level on the 8-bit scale, 0..255."""
        return 1.0 if self.image.dtype == np.uint8 else 1 / 257


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a picture and its mask are."""

    name: str
    image: Path
    mask: Path


@dataclass(frozen=True, slots=True)
class PictureSet:
    """The checked pictures of one split, read when they are asked for; see `open_set`."""

    name: str
    entries: tuple[Entry, ...]
    problems: tuple[str, ...] = ()
    """What was wrong, where it was to be skipped."""

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Sample:
        """Read one picture.

        Raises:
            DatasetError: it changed or went away since it was checked.
        """
        try:
            return _read(self.entries[index])
        except _PictureError as error:
            raise DatasetError(self.name, [str(error)]) from None


def open_set(
    folder: str | Path,
    split: str,
    *,
    skip_bad: bool = False,
    limit: int | None = None,
    leave_out: Collection[str] = (),
) -> PictureSet:
    """Find the pictures of a split and check all of them.

    Args:
        folder: the set; the folder's name is the set's.
        split: "train", "test" or another NAME of a list ``NAME_SET.txt``, or the path of a text
            file of names, one a line; ``#`` begins a comment.
        skip_bad: leave faulty pictures out, count one that is listed twice once, and keep in
            ``problems`` what was wrong.
        limit: take so many names, from the list's start.
        leave_out: names in the list that are not taken: a validation part of one's own.

    Raises:
        DatasetError: the set or the list is not there, nothing is left of it, or, unless skip_bad,
            anything is wrong: a file that is missing or unreadable, a mask of another size than
            its picture, a name that is listed twice or in both splits.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DatasetError(str(folder), ["no such folder"])
    images, masks = (_pictures(folder, kind) for kind in ("image", "mask"))
    path = list_of(folder, split)
    if path is None:
        raise DatasetError(
            str(folder), [f"no list {split}_{_set_name(folder)}.txt, no file {split}"]
        )
    times = Counter(names_in(path))
    names = [name for name in times if name not in leave_out][:limit]
    other = list_of(folder, _OTHER_SPLIT[split]) if split in _OTHER_SPLIT else None
    shared = set(names_in(other)) if other else set[str]()

    repeated = [f"{name} is listed {times[name]} times" for name in names if times[name] > 1]
    faults: list[str] = []
    entries: list[Entry] = []
    for name in names:
        lacking = [
            kind for kind, files in (("image", images), ("mask", masks)) if name not in files
        ]
        if name in shared:
            faults.append(f"{name} is in both splits")
        elif lacking:
            faults.append(f"{name} has no {' and no '.join(lacking)}")
        else:
            entry = Entry(name, images[name], masks[name])
            try:
                _read(entry)
            except _PictureError as error:
                faults.append(str(error))
            else:
                entries.append(entry)
    problems = (*repeated, *faults)
    if problems and not skip_bad:
        raise DatasetError(str(folder), problems)
    if not entries:
        raise DatasetError(str(folder), [f"{split} has no picture that can be used", *problems])
    return PictureSet(_set_name(folder), tuple(entries), problems)


def _set_name(folder: Path) -> str:
    return folder.absolute().name


def _pictures(folder: Path, kind: str) -> dict[str, Path]:
    """The pictures in the folder's ``image`` or ``images``, by name without ending."""
    there = [part for part in (folder / kind, folder / f"{kind}s") if part.is_dir()]
    if not there:
        raise DatasetError(str(folder), [f"no folder {kind} or {kind}s in it"])
    found = [path for path in there[0].rglob("*") if path.suffix.lower() in SUFFIXES]
    found.sort(key=lambda path: SUFFIXES.index(path.suffix.lower()), reverse=True)
    return {path.relative_to(there[0]).with_suffix("").as_posix(): path for path in found}


def list_of(folder: Path, split: str) -> Path | None:
    """The file with the names of a split: the set's own list, or split taken as a path; None: there
    is none."""
    for place in (folder, folder / "img_idx"):
        listed = place / f"{split}_{_set_name(folder)}.txt"
        if listed.is_file():
            return listed
        # The set's folder may have been given another name; a single list leaves no doubt.
        others = list(place.glob(f"{split}_*.txt")) if split in _OTHER_SPLIT else []
        if len(others) == 1:
            return others[0]
    return Path(split) if Path(split).is_file() else None


def names_in(path: Path) -> list[str]:
    """The names in a list, one a line; an ending that pictures have is dropped.

    Raises:
        DatasetError: the list cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(str(path), [f"not a readable list of names ({error})"]) from None
    bare = (line.partition("#")[0].strip() for line in lines)
    return [
        name[: -len(ending)] if (ending := Path(name).suffix).lower() in SUFFIXES else name
        for name in bare
        if name
    ]


class _PictureError(Exception):
    """A picture or mask cannot be used; the message names it."""


def _read(entry: Entry) -> Sample:
    image, mask = _grey(entry.image, entry.name), _grey(entry.mask, f"{entry.name}'s mask")
    if image.shape != mask.shape:
        sizes = [f"{shape[1]}x{shape[0]}" for shape in (mask.shape, image.shape)]
        raise _PictureError(f"{entry.name}'s mask is {sizes[0]} and its image {sizes[1]}")
    # Masks come as 0 and 255, 0 and 1, or 16 bit. In a JPEG an empty one is not all zeros.
    lossy = entry.mask.suffix.lower() in _LOSSY
    top = 255 if lossy else int(mask.max())
    return Sample(entry.name, image, mask > top / 2)


def _grey(path: Path, what: str) -> Image:
    """(H, W) uint8 or uint16; the luma of colours, transparency dropped."""
    try:
        picture = cv2.imdecode(np.fromfile(path, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    except OSError as error:
        reason = (error.strerror or "error").lower()
        raise _PictureError(f"{what} cannot be read: {reason}") from error
    except cv2.error:  # an empty file
        picture = None
    if picture is None:
        raise _PictureError(f"{what} is damaged or no picture")
    if picture.dtype not in (np.uint8, np.uint16):
        raise _PictureError(f"{what} has pixels of {picture.dtype}, and 8 and 16 bit are read")
    if picture.ndim == 3 and picture.shape[2] >= 3:
        # Exactly the channel where all three are equal, as they are in most sets.
        picture = cv2.cvtColor(np.ascontiguousarray(picture[..., :3]), cv2.COLOR_BGR2GRAY)
    elif picture.ndim == 3:
        picture = np.ascontiguousarray(picture[..., 0])
    if picture.dtype == np.uint8:
        return np.asarray(picture, dtype=np.uint8)
    return np.asarray(picture, dtype=np.uint16)
