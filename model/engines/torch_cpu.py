"""The folded network in plain PyTorch on a CPU."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from model.checkpoint import LoadedNetwork
from model.deploy import fold
from model.engines.base import EngineBatch
from model.preprocess import normalise

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(slots=True)
class _Done:
    probability: NDArray[np.float32]
    stage_seconds: dict[str, float] = field(default_factory=dict)

    def result(self) -> NDArray[np.float32]:
        return self.probability


class TorchCpuEngine:
    """Runs a batch within ``submit``.

    Raises:
        ValueError: the precision is neither auto, fp32 nor bf16.
    """

    name = "torch-cpu"
    device = "cpu"
    max_in_flight = 1

    def __init__(self, network: LoadedNetwork, *, precision: str, threads: int | None) -> None:
        self.precision = "fp32" if precision == "auto" else precision
        if self.precision not in _DTYPES:
            raise ValueError(
                f"detector.precision {precision} does not run on a CPU: use auto, fp32 or bf16"
            )
        if threads is not None:
            torch.set_num_threads(threads)
        self._info = network.info
        folded = fold(network)
        self._network = folded.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def submit(self, batch: EngineBatch) -> _Done:
        """Run the network; the ticket is done when this returns."""
        started = time.perf_counter()
        height, width = batch.images[0].shape
        x = normalise(*batch.stacked(), self._info)
        grid = batch.attention_grid or self._info.attention_grid
        prepared = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.precision == "bf16"):
            probability = self._network(x, attention_grid=grid)
        mask: NDArray[np.float32] = probability[:, 0, :height, :width].float().numpy()
        finished = time.perf_counter()
        return _Done(mask, {"preprocess": prepared - started, "network": finished - prepared})

    def trim(self) -> None:
        """There is nothing that no ticket needs."""

    def close(self) -> None:
        """Nothing to let go of: memory goes with the object."""
