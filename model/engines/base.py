"""What the detector asks of a runtime."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamer.types import Image


@dataclass(frozen=True, slots=True, eq=False)
class EngineBatch:
    """Pictures of one size and type, with the scaling of each.

    Raises:
        ValueError: the batch is empty or its pictures differ in size or type.
    """

    images: Sequence[Image]
    """(H, W) uint8 or uint16 each."""
    gain: NDArray[np.float32]
    """(B,) pixel * gain + offset is the grey level, 0..255, that the network was trained on."""
    offset: NDArray[np.float32]
    """(B,)"""
    attention_grid: int | None = None
    """Side of the attention grid; None: that of the weights, for whole pictures."""

    def __post_init__(self) -> None:
        kinds = {(image.shape, image.dtype) for image in self.images}
        if len(kinds) != 1:
            raise ValueError(f"a batch needs pictures of one size and type, got {len(kinds)} kinds")

    def stacked(self) -> tuple[Tensor, Tensor, Tensor]:
        """(B, H, W) pixels, (B,) gain and (B,) offset, on the host."""
        pixels = torch.from_numpy(np.stack(self.images))
        return pixels, torch.from_numpy(self.gain), torch.from_numpy(self.offset)


class EngineTicket(Protocol):
    """A batch on its way through an engine."""

    def result(self) -> NDArray[np.float32]:
        """Wait: (B, H, W) probability, 0..1, of the pictures' own size. Call once."""

    @property
    def stage_seconds(self) -> dict[str, float]:
        """After ``result``: seconds of ``preprocess`` and ``network``, for the whole batch."""


class Engine(Protocol):
    """Runs a network on a device."""

    @property
    def name(self) -> str:
        """For the summary: ``torch-cpu``, ``torch-cuda``, ..."""

    @property
    def device(self) -> str:
        """For the summary: the device's own name."""

    @property
    def precision(self) -> str:
        """fp32, fp16 or bf16."""

    @property
    def max_in_flight(self) -> int:
        """Frames' tickets that may be open at once, besides what the next frame begins with."""

    def submit(self, batch: EngineBatch) -> EngineTicket:
        """Start on a batch."""

    def trim(self) -> None:
        """Give back memory that no open ticket needs."""

    def close(self) -> None:
        """Let go of the device's memory. Idempotent."""
