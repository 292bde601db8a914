"""Packs: pictures with their labels, decoded once and kept in memory and in a file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from tokenize import TokenError
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from model.training.data.published import (
    PUBLISHED_NORMALISATION,
    Normalisation,
    PictureSet,
    Sample,
)

FLOCK = "flock"
"""Collection of pictures of birds, of which one is labelled: the others are no background."""
BACKGROUND, TARGET, IGNORE = 0, 1, 2
"""Values of a label picture; IGNORE takes no part in the loss."""


@dataclass(frozen=True, slots=True)
class Pack:
    """Pictures decoded once and kept in memory.

    Made by ``python -m model.training.pack``; read with :func:`load_pack`.
    """

    images: list[NDArray[np.uint8]]
    """(H, W) uint8 white-hot intensity each."""
    labels: list[NDArray[np.uint8]]
    """(H, W) of BACKGROUND, TARGET or IGNORE each."""
    kinds: list[str]
    """Which collection each picture is of: the sampler draws collections by their share."""
    mean: float
    std: float
    """Of the pixels of the pack, grey levels: the normalisation that travels in the weights."""
    hard: NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 3), dtype=np.int64))
    """(K, 3) picture, row and column of background that a network took for a target; from
    ``python -m model.training.mine``."""

    def digest(self) -> str:
        """SHA-256 of pictures, labels and mined places, 64 hexadecimal digits."""
        made = hashlib.sha256()
        arrays: list[NDArray[Any]] = [*self.images, *self.labels, self.hard]
        for array in arrays:
            made.update(repr(array.shape).encode())
            made.update(np.ascontiguousarray(array).data)
        return made.hexdigest()


# What numpy and zipfile raise over damaged files.
_UNREADABLE = (
    *(OSError, EOFError, LookupError, TypeError, ValueError),
    *(BadZipFile, NotImplementedError, TokenError),
)


def load_pack(path: Path) -> Pack:
    """Read a pack.

    Raises:
        ValueError: the file is missing or is not a pack.
    """
    try:
        with np.load(path) as data:
            shapes, pixels, labels = data["shapes"], data["pixels"], data["labels"]
            kinds, hard = data["kinds"], data["hard"].astype(np.int64).reshape(-1, 3)
            if len(kinds) != len(shapes) or not np.isin(hard[:, 0], np.arange(len(shapes))).all():
                raise ValueError("its parts do not belong together")
            ends = np.cumsum(shapes.prod(axis=1))[:-1]
            return Pack(
                images=[p.reshape(s) for p, s in zip(np.split(pixels, ends), shapes, strict=True)],
                labels=[p.reshape(s) for p, s in zip(np.split(labels, ends), shapes, strict=True)],
                kinds=[str(kind) for kind in kinds],
                mean=float(data["mean"]),
                std=float(data["std"]),
                hard=hard,
            )
    except _UNREADABLE as error:
        raise ValueError(f"{path} is not a readable pack of training pictures: {error}") from error


def save_pack(path: Path, pack: Pack) -> None:
    """Write a pack, all of it or nothing, uncompressed: it is read at every start of a training."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            np.savez(
                file,
                mean=pack.mean,
                std=pack.std,
                hard=pack.hard,
                kinds=np.array(pack.kinds),
                shapes=np.array([image.shape for image in pack.images]),
                pixels=np.concatenate([image.ravel() for image in pack.images]),
                labels=np.concatenate([label.ravel() for label in pack.labels]),
            )
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def pack_of(pictures: PictureSet) -> Pack:
    """All pictures of a split, 8 bit, with their labels.

    Args:
        pictures: the split. Its name decides the normalisation: the published one where there is
            one, else mean and deviation of all its pixels. All are of the kind of that name.

    Raises:
        DatasetError: a picture changed or went away since it was checked.
    """
    samples = list(pictures)
    images = [grey8(sample) for sample in samples]
    normalisation = normalisation_of(pictures.name, images)
    return Pack(
        images=images,
        labels=[label_of(sample) for sample in samples],
        kinds=[pictures.name] * len(samples),
        mean=normalisation.mean,
        std=normalisation.std,
    )


def grey8(sample: Sample) -> NDArray[np.uint8]:
    """(H, W) uint8: the picture; of 16 bit the upper 8, rounded."""
    return np.asarray(np.rint(sample.image * sample.gain), dtype=np.uint8)


def label_of(sample: Sample) -> NDArray[np.uint8]:
    """(H, W) of BACKGROUND and TARGET."""
    return np.where(sample.truth, TARGET, 0).astype(np.uint8)


def normalisation_of(name: str, images: Iterable[NDArray[np.uint8]]) -> Normalisation:
    """The published normalisation of a set of that name, else mean and deviation of its pixels.

    Args:
        name: of the set.
        images: its pictures, (H, W) each, one or more; not looked at where it is published.
    """
    if name in PUBLISHED_NORMALISATION:
        return PUBLISHED_NORMALISATION[name]
    pixels, total, squares = 0, 0.0, 0.0
    for image in images:
        grey = image.astype(np.float64)
        pixels += grey.size
        total += float(grey.sum())
        squares += float(np.square(grey).sum())
    mean = total / pixels
    return Normalisation(mean, max(1.0, (squares / pixels - mean**2) ** 0.5))
