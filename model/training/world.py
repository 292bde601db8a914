"""The processes of one training: one, or as many as ``torchrun`` started, a device each."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed
from torch import Tensor


@dataclass(frozen=True, slots=True)
class World:
    """All processes that train one network together, and which of them this is."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes and tells; the others only train."""
        return self.rank == 0

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace float32 tensors, all on one device, by their mean over the processes, in place.

        Every process must call it, with tensors of the same shapes.
        """
        if self.size == 1:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        torch.distributed.all_reduce(flat)
        flat /= self.size
        parts = torch.split(flat, [tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view(tensor.shape))

    def any(self, flag: bool, device: torch.device) -> bool:
        """Whether any process says so; every process must ask."""
        if self.size == 1:
            return flag
        told = torch.tensor(float(flag), device=device)
        torch.distributed.all_reduce(told)
        return bool(told)


@contextmanager
def joined(device: str) -> Iterator[tuple[World, str]]:
    """Join the processes that ``torchrun`` started; without it, be alone.

    Args:
        device: cpu, cuda or cuda:N. Under ``torchrun``, cuda is the process's own device.

    Yields:
        The world, and the device of this process.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield World(), device
        return
    if device == "cuda":
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    torch.distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        yield World(torch.distributed.get_rank(), torch.distributed.get_world_size()), device
    finally:
        torch.distributed.destroy_process_group()
