"""A published set in memory, to train on as it is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model.training.data import TARGET, Pack
from model.training.dataset import PUBLISHED_NORMALISATION, Normalisation, PictureSet, Sample


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
    normalisation = PUBLISHED_NORMALISATION.get(pictures.name) or _measured(images)
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


def _measured(images: list[NDArray[np.uint8]]) -> Normalisation:
    pixels = sum(image.size for image in images)
    mean = sum(float(image.sum(dtype=np.float64)) for image in images) / pixels
    squares = sum(float(np.square(image, dtype=np.float64).sum()) for image in images)
    return Normalisation(mean, max(1.0, (squares / pixels - mean**2) ** 0.5))
