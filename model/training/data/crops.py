"""Training samples: random crops of a pack's pictures, augmented, with their labels.

What is drawn is decided with numpy, crop by crop, and costs next to nothing. The pixels lie on the
device that trains, all of them where it has room, and are cut, turned and changed there, a whole
batch at once.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.training.data.augment import (
    PointTargets,
    SensorChange,
    Warps,
    change_sensor,
    paste_targets,
    warp,
)
from model.training.data.copies import TargetBank
from model.training.data.packs import FLOCK, IGNORE, TARGET, Pack

_MADE_UP = "scene"
"""The collection whose targets no camera saw."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CropSettings:
    """How crops are drawn and changed.

    Raises:
        ValueError: the sizes are not what a network can be trained on.
    """

    sizes: tuple[int, ...] = (64, 96, 128)
    """Sides of crops, px, smallest first, one of which each batch draws: gated inference looks
    through small windows, a scan at all of the picture."""
    share: tuple[tuple[str, float], ...] = (
        ("clip", 0.3),
        (FLOCK, 0.1),
        ("nuaa", 0.2),
        ("scene", 0.2),
        ("background", 0.2),
    )
    """How much of a batch each collection gives; a collection the pack lacks is left out."""
    hard: float = 0.3
    """Share of a collection's crops that lie around mined false alarms, where it has some."""
    centred: float = 0.75
    """Share of the other crops that lie around a target, where the picture has one."""
    pasted: float = 0.35
    """Share of crops that get one to three synthetic point targets."""
    copied: float = 0.0
    """Share of crops that get a target of another picture, where it stands out."""
    warped: float = 0.0
    """Share of crops that are turned by any angle, zoomed and stretched a little."""
    zoom: tuple[float, float] = (0.78, 1.65)
    """Least and most by which those are magnified."""

    def __post_init__(self) -> None:
        for name in ("hard", "centred", "pasted", "copied", "warped"):
            if not 0 <= (share := getattr(self, name)) <= 1:
                raise ValueError(f"the share of {name} crops is {share:g}, expected 0 to 1")
        if not 0 < self.zoom[0] <= self.zoom[1] < math.inf:
            raise ValueError(
                f"crops are zoomed {self.zoom[0]:g} to {self.zoom[1]:g} times, expected a number "
                "above 0 and one that is not smaller"
            )
        sizes = self.sizes
        if (
            not sizes
            or any(size < 32 or size % 8 for size in sizes)
            or list(sizes) != sorted(sizes)
        ):
            raise ValueError(
                f"sides of crops are {sizes}, expected multiples of 8, 32 or more, smallest first"
            )


@dataclass(frozen=True, slots=True)
class _Cut:
    """Which pixels a crop of S px shows: pixel (y, x) is number ``along_y[y] + along_x[x]`` of the
    pack. Outside the picture it is its mirror image, and not ``inside``."""

    along_y: NDArray[np.int64]
    along_x: NDArray[np.int64]
    inside_y: NDArray[np.bool_]
    inside_x: NDArray[np.bool_]
    anchor: tuple[int, int]
    """Row and column, in the crop, of what it was drawn to show; else of its middle."""


class CropSampler:
    """Draws augmented crops, the same ones for the same random generator.

    Args:
        pack: what crops are cut from.
        settings: how.
        device: where the batches are wanted.

    Raises:
        ValueError: the pack holds nothing of what the settings' crops show.
    """

    def __init__(
        self, pack: Pack, settings: CropSettings, device: torch.device | str = "cpu"
    ) -> None:
        self._settings = settings
        self._device = torch.device(device)
        self._members = {
            kind: [i for i, have in enumerate(pack.kinds) if have == kind]
            for kind, _ in settings.share
        }
        present = [(kind, share) for kind, share in settings.share if self._members[kind]]
        if not present:
            raise ValueError(f"the pack holds none of {[kind for kind, _ in settings.share]}")
        self._kinds = [kind for kind, _ in present]
        shares = np.array([share for _, share in present])
        self._shares = shares / shares.sum()
        self._places: dict[int, NDArray[np.int64]] = {
            int(which): pack.hard[pack.hard[:, 0] == which, 1:]
            for which in np.unique(pack.hard[:, 0])
        }
        # Picture by picture, or the few that are all texture would be most of what is seen.
        self._hard = {
            kind: [which for which in self._places if pack.kinds[which] == kind]
            for kind in self._kinds
        }
        seen = tuple(kind for kind in dict.fromkeys(pack.kinds) if kind != _MADE_UP)
        self._bank = TargetBank(pack, seen, self._device) if settings.copied else None
        self._targets = [np.argwhere(label == TARGET) for label in pack.labels]
        self._shapes = [image.shape for image in pack.images]
        self._starts = np.cumsum([0, *(image.size for image in pack.images)])
        home = _room_for(2 * int(self._starts[-1]), self._device)
        self._pixels = _flat(pack.images, home)
        self._labels = _flat(pack.labels, home)

    def batch(self, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Draw a batch of one of the settings' sizes S.

        Args:
            count: how many crops of the middle size; of another, about as many pixels.
            rng: decides everything.

        Returns:
            (N, 1, S, S) float32 grey levels, 0..255, and (N, 1, S, S) uint8 labels, on the device.
        """
        sizes = self._settings.sizes
        size = sizes[int(rng.integers(len(sizes)))]
        count = max(1, round(count * (sizes[len(sizes) // 2] / size) ** 2))
        cuts = [self._draw(size, rng) for _ in range(count)]
        pictures, labels = self._cut(cuts)
        if self._settings.warped:
            turned = np.flatnonzero(rng.random(count) < self._settings.warped)
            anchors = np.array([cut.anchor for cut in cuts], dtype=np.float64)
            warp(pictures, labels, Warps.drawn(turned, anchors[turned], self._settings.zoom, rng))
        if self._bank is not None:
            copied = np.flatnonzero(rng.random(count) < self._settings.copied)
            self._bank.paste(pictures, labels, self._bank.drawn(copied, size, rng))
        sensor = SensorChange.drawn(count, rng)
        generator = torch.Generator(self._device).manual_seed(int(rng.integers(1 << 62)))
        change_sensor(pictures, sensor, generator)
        chosen = rng.random(count) < self._settings.pasted
        for more in _rounds(np.where(chosen, rng.integers(1, 4, count), 0)):
            paste_targets(pictures, labels, PointTargets.drawn(more, size, rng))
        return pictures.clamp_(0, 255)[:, None], labels[:, None]

    def _draw(self, size: int, rng: np.random.Generator) -> _Cut:
        which, place = self._where(rng)
        height, width = self._shapes[which]
        if place is not None:
            top, left = (int(v - rng.integers(4, size - 4)) for v in place)
        else:
            top = int(rng.integers(0, max(1, height - size + 1)))
            left = int(rng.integers(0, max(1, width - size + 1)))
        rows = min(max(top, 0), max(0, height - size)) + np.arange(size)
        columns = min(max(left, 0), max(0, width - size)) + np.arange(size)
        if rng.random() < 0.5:
            columns = columns[::-1]
        if rng.random() < 0.5:
            rows = rows[::-1]
        along_y = self._starts[which] + _mirrored(rows, height) * width
        along_x = _mirrored(columns, width)
        inside_y, inside_x = rows < height, columns < width
        row = column = size // 2
        if place is not None:
            row, column = int(np.argmax(rows == place[0])), int(np.argmax(columns == place[1]))
        if rng.random() < 0.5:
            return _Cut(along_x, along_y, inside_x, inside_y, (column, row))
        return _Cut(along_y, along_x, inside_y, inside_x, (row, column))

    def _where(self, rng: np.random.Generator) -> tuple[int, NDArray[np.int64] | None]:
        """Which picture, and what row and column of it the crop must show; None: any."""
        kind = self._kinds[int(rng.choice(len(self._kinds), p=self._shares))]
        if self._hard[kind] and rng.random() < self._settings.hard:
            which = int(rng.choice(self._hard[kind]))
            places = self._places[which]
            return which, places[int(rng.integers(len(places)))]
        which = int(rng.choice(self._members[kind]))
        targets = self._targets[which]
        if len(targets) and (kind == FLOCK or rng.random() < self._settings.centred):
            return which, targets[int(rng.integers(len(targets)))]
        return which, None

    def _cut(self, cuts: list[_Cut]) -> tuple[Tensor, Tensor]:
        """(N, S, S) float32 grey levels and uint8 labels."""
        home = self._pixels.device
        along_y, along_x, inside_y, inside_x = (
            torch.from_numpy(np.stack([getattr(cut, name) for cut in cuts])).to(home)
            for name in ("along_y", "along_x", "inside_y", "inside_x")
        )
        address = along_y[:, :, None] + along_x[:, None, :]
        inside = inside_y[:, :, None] & inside_x[:, None, :]
        labels = self._labels[address].masked_fill_(~inside, IGNORE)
        return self._pixels[address].to(self._device).float(), labels.to(self._device)


def _mirrored(index: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Indices beyond the end of so many are those of the mirror image, edges not repeated."""
    folded = index % max(1, 2 * (length - 1))
    return np.minimum(folded, 2 * (length - 1) - folded)


def _rounds(counts: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Which crops get a first target, a second one, and so on."""
    return [np.flatnonzero(counts > k) for k in range(int(counts.max(initial=0)))]


def _room_for(size: int, device: torch.device) -> torch.device:
    """The device where it has room for so many bytes twice, else the host."""
    if device.type == "cuda" and torch.cuda.mem_get_info(device)[0] < 2 * size:
        _log.info("the pack stays in the host's memory: %.1f GB", size / 1e9)
        return torch.device("cpu")
    return device


def _flat(pictures: list[NDArray[np.uint8]], home: torch.device) -> Tensor:
    return torch.from_numpy(np.concatenate([each.ravel() for each in pictures])).to(home)
