"""Connected components of the pixels of a map that may be a target."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from streamer.types import BoolArray, FloatArray

Indices = NDArray[np.int64]
_MOST_BLOCKS = 32


@dataclass(frozen=True, slots=True, eq=False)
class Components:
    """N components of a map of H rows and W columns."""

    labels: NDArray[np.int32]
    """(H, W) 0 for no component, else its place in the other arrays + 1."""
    peak: FloatArray
    """(N,) the highest probability in it."""
    area: Indices
    """(N,) pixels."""
    boxes: Indices
    """(N, 4) left, top, right and bottom, pixel indices, the last two exclusive."""


def find_components(
    probability: NDArray[np.float32], candidate: BoolArray, threshold: float
) -> Components:
    """The 8-connected components of the pixels at or above ``threshold``, and, where none of those
    is near, of the candidates.

    So two strong targets do not merge because of the weak bridge between them.

    Args:
        probability: (H, W) 0..1.
        candidate: (H, W) which pixels may belong to a target at all.
        threshold: what a target must reach.
    """
    # Few pixels are candidates: what is done to each of those alone costs next to nothing.
    places = np.flatnonzero(candidate)
    value = probability.ravel()[places]
    rows, columns = np.divmod(places, candidate.shape[1])
    label, count = _labelled(rows, columns)
    strong = value >= threshold
    has_strong = np.zeros(count, dtype=np.bool_)
    has_strong[label[strong]] = True
    kept = strong | ~has_strong[label]
    if not kept.all():
        places, value = places[kept], value[kept]
        rows, columns = rows[kept], columns[kept]
        label, count = _labelled(rows, columns)
    labels = np.zeros(candidate.shape, np.int32)
    labels.ravel()[places] = label + 1
    peak = np.zeros(count)
    np.maximum.at(peak, label, value.astype(np.float64))
    first = np.tile(np.array(candidate.shape)[:, None], count)
    last = np.zeros_like(first)
    for axis, index in enumerate((rows, columns)):
        np.minimum.at(first[axis], label, index)
        np.maximum.at(last[axis], label, index + 1)
    boxes = np.stack([first[1], first[0], last[1], last[0]], axis=1)
    return Components(labels, peak, np.bincount(label, minlength=count), boxes)


def _labelled(rows: Indices, columns: Indices) -> tuple[Indices, int]:
    """(K,) the component of each of K pixels, from 0, and how many there are."""
    label = np.empty(len(rows), np.int64)
    count = 0
    for block in _blocks(rows, columns):
        down, right = rows[block] - rows[block].min(), columns[block] - columns[block].min()
        mask = np.zeros((int(down.max()) + 1, int(right.max()) + 1), np.uint8)
        mask[down, right] = 1
        found, labels = cv2.connectedComponents(mask, connectivity=8)
        label[block] = labels[down, right] - 1 + count
        count += found - 1
    return label, count


def _blocks(rows: Indices, columns: Indices) -> list[Indices]:
    """Pixels, their rows rising, in parts with an empty row or column between any two: no
    component is in two, and the emptiness around them costs nothing."""
    blocks: list[Indices] = []
    for band in _parted(np.arange(len(rows)), rows):
        across = band[np.argsort(columns[band], kind="stable")]
        blocks += _parted(across, columns[across])
        if len(blocks) > _MOST_BLOCKS:  # specks all over: to go through them would cost more
            return [np.arange(len(rows))]
    return blocks


def _parted(places: Indices, rising: Indices) -> list[Indices]:
    return np.split(places, np.flatnonzero(np.diff(rising) > 1) + 1) if len(places) else []
