"""Whether the camera stood still between two pictures, at a small part of a registration's cost.

Both pictures are reduced to some 80 px and rid of their slow shades. A camera that moves by ``d``
changes each pixel by ``-g' d``, ``g`` being the gradient there, and whatever else happens in the
scene only adds to the change. So where the change is small against the gradients nothing has
moved, and that is all there is to compute. Otherwise the similarity that explains the change best
is fitted to blocks of the picture by least squares (Lucas and Kanade, "An Iterative Image
Registration Technique", 1981), one step of it, robustly: a cloud, a car or a bird is outvoted, if
more of the picture than it shows texture.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from streamer.types import FloatArray, Image

Picture = NDArray[np.float32]

SKETCH_PX = 80
"""The longest side of a sketch, about."""
_BLOCK_PX = 8
_BRIGHT_SHARE = 0.9
_BRIGHTEST = 3.0
"""Nothing counts for more than so many times what this share of the picture stays below, unless
told otherwise."""
_SHADE_PX = 9
"""Shades wider than this are taken out: they are the sky's, or the camera's own."""
ALIKE = 0.5
"""Blocks correlate by this much, or the pictures are too different for one step."""
_ROUNDS = 2
RICH_SHARE = 0.05
"""A block with less texture than this share of what strong ones have says nothing: there is noise,
or what an encoder copied from the picture before."""


@dataclass(frozen=True, slots=True, eq=False)
class Sketch:
    """A picture made small."""

    detail: Picture
    """(h, w) intensity without slow shades and without what moves by itself."""
    factor: int
    """A pixel of the sketch is a square of so many pixels of the picture."""


def sketch(
    image: Image, boxes_xyxy: FloatArray, side_px: int = SKETCH_PX, brightest: float = _BRIGHTEST
) -> Sketch:
    """Reduce a picture (H, W) to about ``side_px`` on its longest side; ``boxes_xyxy`` (N, 4), px,
    and ``brightest`` are those of :func:`details`."""
    factor = max(1, round(max(image.shape) / side_px))
    return Sketch(details(image, boxes_xyxy, factor, brightest), factor)


def details(
    image: Image, boxes_xyxy: FloatArray, factor: int, brightest: float = _BRIGHTEST
) -> Picture:
    """A picture reduced by ``factor``, without slow shades and without what moves by itself.

    What is in the boxes (N, 4), px, is blotted out. Of what is not detected nothing weighs more
    than ``brightest`` times the scene's own brighter parts: before a plain sky a bird would else
    be all there is to see.
    """
    small = reduced(image, factor)
    detail = np.asarray(small - cv2.blur(small, (_SHADE_PX, _SHADE_PX)), dtype=np.float32)
    size = np.abs(detail)
    rank = int(_BRIGHT_SHARE * (size.size - 1))
    limit = brightest * np.partition(size, rank, axis=None)[rank]
    np.clip(detail, -limit, limit, out=detail)
    for rows, columns in box_slices(boxes_xyxy, factor, detail.shape, margin=1):
        detail[rows, columns] = 0
    return detail


def box_slices(
    boxes_xyxy: FloatArray, factor: int, shape: tuple[int, ...], margin: int
) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of boxes (N, 4), px, in a picture reduced by ``factor`` to ``shape``."""
    height, width = shape
    finite = boxes_xyxy[np.isfinite(boxes_xyxy).all(axis=1)] / factor
    edges = np.clip(finite, -1, max(shape) + 1).round().astype(np.int64).tolist()
    for left, top, right, bottom in edges:
        yield (
            slice(max(0, top - margin), max(0, min(height, bottom + margin + 1))),
            slice(max(0, left - margin), max(0, min(width, right + margin + 1))),
        )


def reduced(image: Image, factor: int) -> Picture:
    """The means of squares of ``factor`` px; what is left over at the right and below is cut off.

    A side shorter than a square is one square.
    """
    height, width = image.shape
    rows, columns = max(1, height // factor), max(1, width // factor)
    whole = image[: rows * factor, : columns * factor]
    small = cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA)
    return small.astype(np.float32)


def likeness(before: Picture, after: Picture) -> float:
    """The correlation, -1..1, of two sketches' details; 0 where one has none."""
    power = float(np.vdot(before, before)) * float(np.vdot(after, after))
    return float(np.vdot(before, after)) / power**0.5 if power > 0 else 0.0


def stands_still(before: Sketch, after: Sketch, still_px: float) -> bool:
    """Whether the pictures show that the camera moved by less than ``still_px`` px between them.

    False where it moved and where they do not tell: they differ too much, or show too little.
    The movement is the root mean square over the parts that show it.
    """
    change = after.detail - before.detail
    changed = float(np.vdot(change, change))
    if changed == 0.0:
        return True
    mean = 0.5 * (before.detail + after.detail)
    gx, gy = np.zeros_like(mean), np.zeros_like(mean)
    gx[:, 1:-1] = 0.5 * (mean[:, 2:] - mean[:, :-2])
    gy[1:-1] = 0.5 * (mean[2:] - mean[:-2])
    # Along each axis a shift d changes a pixel by d times the gradient.
    weaker = min(float(np.vdot(gx, gx)), float(np.vdot(gy, gy)))
    if changed < (still_px / before.factor) ** 2 * weaker:
        return True
    if min(mean.shape) < _BLOCK_PX:
        return False
    blocks = _blocks(gx, gy, change, before.detail, after.detail)
    if _alike(blocks) < ALIKE:
        return False
    rows, columns = (side // _BLOCK_PX for side in mean.shape)
    moved = _movement(blocks, *_geometry(*mean.shape), (rows, columns))
    return moved * before.factor < still_px


def _blocks(
    gx: Picture, gy: Picture, change: Picture, before: Picture, after: Picture
) -> FloatArray:
    """(7, B) means over each block of gx^2, gx gy, gy^2, gx t, gy t, a b and (a^2 + b^2) / 2."""
    energy = np.float32(0.5) * (before * before + after * after)
    products = (gx * gx, gx * gy, gy * gy, gx * change, gy * change, before * after, energy)
    return block_means(*products).reshape(len(products), -1)


def block_means(*pictures: Picture) -> FloatArray:
    """(K, R, C) means over square blocks of pictures (h, w), of those smaller than one over smaller
    ones; what is left over is cut off."""
    block = min(_BLOCK_PX, *pictures[0].shape)
    rows, columns = (side // block for side in pictures[0].shape)
    means = [
        cv2.resize(
            picture[: rows * block, : columns * block],
            (columns, rows),
            interpolation=cv2.INTER_AREA,
        )
        for picture in pictures
    ]
    return np.array(means, dtype=np.float64)


def _alike(blocks: FloatArray) -> float:
    """The median correlation of the half of the blocks that show most."""
    both, energy = blocks[5:]
    rich = energy >= _median(energy)
    return _median(both[rich] / np.maximum(energy[rich], 1e-9))


def _median(values: FloatArray) -> float:
    """The upper one; ``np.median`` takes ten times as long over as few."""
    middle = len(values) // 2
    return float(np.partition(values, middle)[middle])


@functools.lru_cache(maxsize=8)
def _geometry(height: int, width: int) -> tuple[FloatArray, FloatArray]:
    """How a block at (x, y) about the middle moves by a similarity's four parameters.

    Returns:
        (4, B) of the shift along x, and of that along y.
    """
    rows, columns = height // _BLOCK_PX, width // _BLOCK_PX
    y, x = np.mgrid[:rows, :columns].reshape(2, -1) * float(_BLOCK_PX)
    x, y = x - x.mean(), y - y.mean()
    one, none = np.ones_like(x), np.zeros_like(x)
    return np.stack((one, none, x, -y)), np.stack((none, one, y, x))


def usual_strongest(texture: FloatArray) -> float:
    """What the strongest block of a column, or of a row, (R, C) of them, has in the middle case: a
    skyline has it in every column, a single thing in a few."""
    return max(float(np.median(texture.max(axis=axis))) for axis in (0, 1))


def _movement(
    blocks: FloatArray, along_x: FloatArray, along_y: FloatArray, shape: tuple[int, int]
) -> float:
    """How far, px of the sketch, the similarity moves the picture that explains most blocks."""
    # Each block that has texture gets about the same say, and one without it gets none.
    texture = blocks[0] + blocks[2]
    rich = texture >= RICH_SHARE * usual_strongest(texture.reshape(shape))
    blocks, texture = blocks[:, rich], texture[rich]
    along_x, along_y = along_x[:, rich], along_y[:, rich]
    xx, xy, yy, xt, yt = blocks[:5] / (texture + _median(texture) + 1e-9)
    # A block's own shift, to see which blocks are outvoted. In the weak direction of an edge it
    # means nothing; the small term keeps it at nought.
    firm_xx, firm_yy = xx + 1e-3, yy + 1e-3
    determinant = firm_xx * firm_yy - xy * xy
    own_x = (xy * yt - firm_yy * xt) / determinant
    own_y = (xy * xt - firm_xx * yt) / determinant
    pull_x, pull_y = xx * along_x + xy * along_y, xy * along_x + yy * along_y
    weight = np.ones(len(xx))
    shift_x = shift_y = weight
    for _ in range(_ROUNDS):
        normal = (weight * pull_x) @ along_x.T + (weight * pull_y) @ along_y.T
        right = -(along_x @ (weight * xt) + along_y @ (weight * yt))
        parameters = np.linalg.solve(normal + 1e-9 * np.eye(4), right)
        shift_x, shift_y = parameters @ along_x, parameters @ along_y
        off_x, off_y = shift_x - own_x, shift_y - own_y
        error = xx * off_x**2 + 2.0 * xy * off_x * off_y + yy * off_y**2
        weight = 1.0 / (1.0 + error / (_median(error) + 1e-12))
    return float(np.sqrt(np.mean(shift_x**2 + shift_y**2)))
