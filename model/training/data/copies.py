"""Targets of some pictures, copied into others: what a target looks like, whatever is around it.

A network that sees airplanes before plain sky alone takes what stands before clouds for a cloud.

Source: Ghiasi et al., "Simple Copy-Paste is a Strong Data Augmentation Method for Instance
Segmentation", CVPR 2021; here with soft edges, and turned, zoomed and dimmed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own habit)
from numpy.typing import NDArray
from torch import Tensor

from model.training.data.augment import as_tensor, clutter, target_where_most
from model.training.data.packs import BACKGROUND, TARGET, Pack

_PATCH_PX = 64
"""Side of the picture around a target that is kept."""
_MOST_PX = 44
"""Longest side of a target that is copied."""
_GUARD_PX = 3
"""What the optics spread around a target belongs to it."""
_EDGE_PX = 1.0
"""Deviation of the blur of a copy's edge."""
_AROUND_PX = 6
_LEAST_CONTRAST = 6.0
"""Peak over the clutter around that a copy is given where it is less."""
_MOST_GAIN = 1.5
"""If a copy needs more than that to stand out, none is made."""
_BY_SIZE = 0.5
"""Share of the copies that show each octave of size as often: near targets are rare in any data."""
_WHITE = 255.0


@dataclass(frozen=True, slots=True)
class Copies:
    """Which targets go where: K of them, one a crop."""

    crop: NDArray[np.int64]
    """(K,) which crop of the batch each is for; none twice."""
    target: NDArray[np.int64]
    """(K,) which of the bank."""
    centre: NDArray[np.float64]
    """(K, 2) row and column, px."""
    matrix: NDArray[np.float64]
    """(K, 2, 2) from (x, y) in the crop to (x, y) in the target's picture, both from the centre."""
    gain: NDArray[np.float64]
    """(K,) of the contrast."""


class TargetBank:
    """Real targets of a pack, cut out.

    Args:
        pack: whose targets.
        kinds: of its pictures.
        device: where crops are made.

    Raises:
        ValueError: there is none that can be copied.
    """

    def __init__(self, pack: Pack, kinds: tuple[str, ...], device: torch.device) -> None:
        cuts = [
            cut
            for picture, truth, kind in zip(pack.images, pack.labels, pack.kinds, strict=True)
            if kind in kinds
            for cut in _cut_out(picture, truth)
        ]
        if not cuts:
            raise ValueError(f"the pack holds no target of {', '.join(kinds)} that can be copied")
        # (T, 3, P, P): grey levels above the surround, opacity, and 1 on the target.
        patches = np.stack([np.stack(cut[:3]).astype(np.float16) for cut in cuts])
        self._patches = torch.from_numpy(patches).to(device)
        self._sides = np.array([cut[3] for cut in cuts], dtype=np.float64)
        octave = np.floor(np.log2(self._sides)).astype(np.int64)
        often = 1.0 / np.bincount(octave)[octave]
        self._by_size = often / often.sum()

    def __len__(self) -> int:
        return len(self._sides)

    def drawn(self, crop: NDArray[np.int64], size: int, rng: np.random.Generator) -> Copies:
        """A target for each of those crops of S = size px, anywhere in it, turned by any angle,
        mirrored or not, of half to twice its size, and mostly dimmer; but of those that are drawn
        by size, many so bright that they are white all over, as what is near can be."""
        count = len(crop)
        by_size = rng.random(count) < _BY_SIZE
        target = np.where(
            by_size,
            rng.choice(len(self), count, p=self._by_size),
            rng.integers(0, len(self), count),
        )
        angle = rng.uniform(-math.pi, math.pi, count)
        zoom = np.exp(rng.uniform(math.log(0.5), math.log(2.0), count))
        zoom = np.minimum(zoom, _MOST_PX / self._sides[target])
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        turn[:, 0] *= rng.choice([-1.0, 1.0], count)
        return Copies(
            crop,
            target,
            rng.uniform(4, size - 5, (count, 2)),
            turn.transpose(2, 0, 1) / zoom[:, None, None],
            np.exp(rng.uniform(-1.2, np.where(by_size, 1.2, 0.2), count)),
        )

    def paste(self, pictures: Tensor, labels: Tensor, copies: Copies) -> None:
        """Put copies, in place, where nothing but background is.

        Args:
            pictures: (N, S, S) float32 grey levels.
            labels: (N, S, S) uint8 labels.
            copies: what goes where.
        """
        if not len(copies.crop):
            return
        device, size = pictures.device, pictures.shape[-1]
        crop = torch.from_numpy(copies.crop).to(device)
        target = torch.from_numpy(copies.target).to(device)
        # What affine_grid calls -1 and 1 are the middles of the first and the last pixel.
        half_crop, half_patch = (size - 1) / 2, (_PATCH_PX - 1) / 2
        centre = copies.centre[:, ::-1, None] / half_crop - 1  # (K, 2, 1) x and y, -1 to 1
        scaled = copies.matrix * half_crop / half_patch
        theta = np.concatenate([scaled, -scaled @ centre], axis=2)
        places = F.affine_grid(
            as_tensor(theta, device), [len(crop), 3, size, size], align_corners=True
        )
        patches = self._patches[target].float()
        excess, alpha, share = F.grid_sample(patches, places, align_corners=True).unbind(dim=1)
        before, truth = pictures[crop], labels[crop]
        level, needed = _surroundings(before, copies.centre)
        peak = (excess * alpha).amax(dim=(1, 2)).clamp(min=1e-3)
        least = needed / peak
        gain = torch.maximum(as_tensor(copies.gain, device), least)
        covered = alpha > 0.02
        fits = (least <= _MOST_GAIN) & ~(covered & (truth != BACKGROUND)).any(dim=2).any(dim=1)
        alpha = alpha * fits[:, None, None]
        copied = (level[:, None, None] + gain[:, None, None] * excess).clamp(max=_WHITE)
        pictures[crop] = before + alpha * (copied - before)
        shown = target_where_most(share) & fits[:, None, None]
        labels[crop] = truth.masked_fill(shown, TARGET)


def _surroundings(pictures: Tensor, centre: NDArray[np.float64]) -> tuple[Tensor, Tensor]:
    """(K,) the grey level around places of (K, S, S) pictures, and what must rise above it."""
    size = pictures.shape[-1]
    corner = np.rint(centre).astype(np.int64).clip(_AROUND_PX, size - _AROUND_PX - 1) - _AROUND_PX
    first = torch.from_numpy(corner).to(pictures.device)
    reach = torch.arange(2 * _AROUND_PX + 1, device=pictures.device)
    which = torch.arange(len(pictures), device=pictures.device)[:, None, None]
    around = pictures[which, first[:, :1, None] + reach[:, None], first[:, 1:, None] + reach]
    return around.flatten(1).median(dim=1).values, _LEAST_CONTRAST * clutter(around)


_CutOut = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.uint8], int]


def _cut_out(picture: NDArray[np.uint8], truth: NDArray[np.uint8]) -> list[_CutOut]:
    """Of each target that stands alone: its grey levels above the surround, its opacity and its
    mask, (P, P) each, with the middle of its box in theirs, and its longest side."""
    found = []
    count, components, stats, _ = cv2.connectedComponentsWithStats(
        (truth == TARGET).astype(np.uint8), connectivity=8
    )
    margin = _PATCH_PX // 2
    kernel = np.ones((2 * _GUARD_PX + 1, 2 * _GUARD_PX + 1), np.uint8)
    grey = cv2.copyMakeBorder(picture, margin, margin, margin, margin, cv2.BORDER_REFLECT_101)
    # Beyond the picture nothing is known, and nothing may be copied.
    marks = cv2.copyMakeBorder(truth, margin, margin, margin, margin, cv2.BORDER_CONSTANT, value=9)
    for which in range(1, count):
        left, top, width, height, _ = (int(v) for v in stats[which])
        if max(width, height) > _MOST_PX:
            continue
        first_row, first_column = top + height // 2, left + width // 2  # of the bordered picture
        rows = slice(first_row, first_row + _PATCH_PX)
        columns = slice(first_column, first_column + _PATCH_PX)
        own = (components == which).astype(np.uint8)
        mask: NDArray[np.uint8] = np.pad(own, margin)[rows, columns]
        grown = np.asarray(cv2.dilate(mask, kernel), np.uint8)
        ring = (cv2.dilate(grown, kernel) > 0) & (grown == 0)
        around = marks[rows, columns]
        if ((around != BACKGROUND) & (grown > 0) & (mask == 0)).any() or not ring.any():
            continue
        patch = grey[rows, columns].astype(np.float32)
        alpha = cv2.GaussianBlur(cv2.erode(grown, np.ones((3, 3))).astype(np.float32), (0, 0),
                                 _EDGE_PX)  # fmt: skip
        excess = np.asarray(patch - np.median(patch[ring]), np.float32)
        found.append((excess, np.asarray(alpha, np.float32), mask, max(width, height)))
    return found
