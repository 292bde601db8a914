"""What is done to a batch of training crops, on the device that trains."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own habit)
from numpy.typing import NDArray
from torch import Tensor

from model.training.data.boxes import SHARE_OF_PEAK
from model.training.data.packs import BACKGROUND, IGNORE, TARGET

_REACH_PX = 6
"""A synthetic target lies in a window of 13x13 px."""
_SIDE_PX = 2 * _REACH_PX + 1


@dataclass(frozen=True, slots=True)
class Warps:
    """Another distance and attitude of the camera for some crops: K of them."""

    crop: NDArray[np.int64]
    """(K,) which crop of the batch each is for; none twice."""
    matrix: NDArray[np.float64]
    """(K, 2, 2) from (x, y) in the new crop to (x, y) in the old one, both from the pivot."""
    pivot: NDArray[np.float64]
    """(K, 2) row and column of what stays where it is, px."""

    @classmethod
    def drawn(
        cls,
        crop: NDArray[np.int64],
        pivot: NDArray[np.float64],
        zoom: tuple[float, float],
        rng: np.random.Generator,
    ) -> Warps:
        """One for each of those crops: turned by any angle that quarter turns leave, zoomed within
        the two factors, all of them equally often by their logarithm, and stretched a little."""
        count = len(crop)
        angle = rng.uniform(-math.pi / 4, math.pi / 4, count)
        least, most = np.log(zoom)
        scale = np.exp(-rng.uniform(least, most, count))
        stretch = np.exp(rng.normal(0, 0.06, (count, 1, 1)) * np.array([1, -1]))
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        return cls(crop, scale[:, None, None] * turn.transpose(2, 0, 1) * stretch, pivot)


def warp(pictures: Tensor, labels: Tensor, warps: Warps) -> None:
    """Show what a camera elsewhere would have shown, in place.

    What lies outside the old crop is its mirror image, labelled IGNORE.

    Args:
        pictures: (N, S, S) float32 grey levels.
        labels: (N, S, S) uint8 labels.
        warps: what is another.
    """
    if not len(warps.crop):
        return
    device = pictures.device
    which = torch.from_numpy(warps.crop).to(device)
    size = pictures.shape[-1]
    pivot = 2 * warps.pivot[:, ::-1, None] / (size - 1) - 1  # (K, 2, 1) x and y, -1 to 1
    matrix = np.concatenate([warps.matrix, pivot - warps.matrix @ pivot], axis=2)
    places = F.affine_grid(
        as_tensor(matrix, device), [len(which), 1, size, size], align_corners=True
    )
    old, truth = pictures[which][:, None], labels[which][:, None]
    bilinear = partial(F.grid_sample, grid=places, padding_mode="reflection", align_corners=True)
    pictures[which] = bilinear(old)[:, 0]
    # Interpolated, not nearest: an outline of a few pixels must not jump by one.
    share = bilinear((truth == TARGET).float())[:, 0]
    target = target_where_most(share)
    ignored = bilinear((truth == IGNORE).float())[:, 0] > 0
    outside = (places.abs() > 1 + 1e-6).any(dim=3)
    made = torch.where(target, TARGET, BACKGROUND).masked_fill(outside | ignored, IGNORE)
    labels[which] = made.to(labels.dtype)


def target_where_most(share: Tensor) -> Tensor:
    """(N, S, S) True where an interpolated mask, (N, S, S) 0..1, has half of what is the most
    around: a target of one pixel may fall between four."""
    return share > 0.5 * F.max_pool2d(share[:, None], 3, stride=1, padding=1)[:, 0]


@dataclass(frozen=True, slots=True)
class SensorChange:
    """Another contrast and brightness and a noisier sensor for each of N crops, grey levels."""

    gain: NDArray[np.float64]
    """(N,) by which what differs from the crop's mean is multiplied."""
    offset: NDArray[np.float64]
    """(N,), added."""
    noise: NDArray[np.float64]
    """(N,) deviation of white noise that is added; 0: none."""

    @classmethod
    def drawn(cls, count: int, rng: np.random.Generator) -> SensorChange:
        """One for each of so many crops."""
        noisy = rng.random(count) < 0.4
        return cls(
            np.exp(rng.uniform(-0.6, 0.4, count)),
            rng.normal(0, 15, count),
            np.where(noisy, rng.uniform(0.5, 6.0, count), 0.0),
        )


def change_sensor(pictures: Tensor, change: SensorChange, generator: torch.Generator) -> None:
    """Show what another sensor would have shown, in place.

    Args:
        pictures: (N, S, S) float32 grey levels.
        change: what is another.
        generator: of the noise; on the pictures' device.
    """
    device = pictures.device
    gain, offset = (as_tensor(v, device)[:, None, None] for v in (change.gain, change.offset))
    mean = pictures.mean(dim=(1, 2), keepdim=True)
    pictures.sub_(mean).mul_(gain).add_(mean + offset)
    noisy = np.flatnonzero(change.noise)
    shape = (len(noisy), *pictures.shape[1:])
    white = torch.randn(shape, generator=generator, device=device)
    which = torch.from_numpy(noisy).to(device)
    pictures[which] += white * as_tensor(change.noise[noisy], device)[:, None, None]


@dataclass(frozen=True, slots=True)
class PointTargets:
    """Synthetic point targets, one a crop: K of them, blurred by a Gaussian PSF."""

    crop: NDArray[np.int64]
    """(K,) which crop of the batch each is for; none twice."""
    centre: NDArray[np.float64]
    """(K, 2) row and column, px."""
    sigma: NDArray[np.float64]
    """(K,) of the PSF, px."""
    contrast: NDArray[np.float64]
    """(K,) peak over the noise of what is around."""

    @classmethod
    def drawn(cls, crop: NDArray[np.int64], size: int, rng: np.random.Generator) -> PointTargets:
        """One for each of those crops, anywhere in its S = size px."""
        count = len(crop)
        return cls(
            crop,
            rng.uniform(_REACH_PX, size - _REACH_PX - 1, (count, 2)),
            rng.uniform(0.6, 1.6, count),
            rng.uniform(4.5, 14.0, count),
        )


def paste_targets(pictures: Tensor, labels: Tensor, targets: PointTargets) -> None:
    """Add synthetic targets, in place, where nothing but background is.

    Args:
        pictures: (N, S, S) float32 grey levels.
        labels: (N, S, S) uint8 labels.
        targets: what to add.
    """
    if not len(targets.crop):
        return
    device = pictures.device
    whole = np.rint(targets.centre)
    corner = torch.from_numpy(whole.astype(np.int64)).to(device) - _REACH_PX
    reach = torch.arange(_SIDE_PX, device=device)
    crop = torch.from_numpy(targets.crop).to(device)[:, None, None]
    window = (crop, corner[:, :1, None] + reach[:, None], corner[:, 1:, None] + reach)

    around, truth = pictures[window], labels[window]  # (K, 13, 13)
    free = (truth == BACKGROUND).all(dim=2).all(dim=1)
    amplitude = as_tensor(targets.contrast, device) * clutter(around) * free
    sigma = as_tensor(targets.sigma, device)[:, None] * math.sqrt(2)
    edges = torch.arange(-_REACH_PX - 0.5, _REACH_PX + 1.0, device=device)
    off = as_tensor(targets.centre - whole, device)
    along_y, along_x = (
        torch.diff(torch.erf((edges - off[:, axis, None]) / sigma), dim=1) for axis in (0, 1)
    )
    spot = along_y[:, :, None] * along_x[:, None, :]
    spot = spot / spot.amax(dim=(1, 2), keepdim=True)
    pictures[window] = around + amplitude[:, None, None] * spot
    shown = (spot > SHARE_OF_PEAK) & free[:, None, None]
    labels[window] = truth.masked_fill(shown, TARGET)


def clutter(windows: Tensor) -> Tensor:
    """(K,) grey levels that a target in the middle of (K, H, W) has to stand out from."""
    padded = F.pad(windows[:, None], (1, 1, 1, 1), mode="replicate")
    neighbours = F.unfold(padded, 3)  # (K, 9, H W)
    rest = windows.flatten(1) - neighbours.median(dim=1).values
    noise = 1.4826 * rest.abs().median(dim=1).values
    # Over textured ground a faint point is no target that anybody could tell apart.
    spread = 0.5 * windows.std(dim=(1, 2), correction=0)
    return torch.maximum(noise, spread).clamp(min=1.5)


def as_tensor(values: NDArray[np.float64], device: torch.device) -> Tensor:
    """The numbers as float32 on the device."""
    return torch.from_numpy(values.astype(np.float32)).to(device)
