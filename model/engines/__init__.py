"""What runs the network: one file a runtime, one entry here."""

from __future__ import annotations

import torch

from model.checkpoint import LoadedNetwork
from model.engines.base import Engine
from model.engines.torch_cpu import TorchCpuEngine
from model.engines.torch_cuda import TorchCudaEngine


def build_engine(
    network: LoadedNetwork,
    device: torch.device,
    *,
    precision: str,
    threads: int | None,
    in_flight: int,
) -> Engine:
    """The engine for a device.

    Args:
        precision: auto, fp32, fp16 or bf16; auto is fp16 on CUDA and fp32 on a CPU.
        threads: of the CPU; None leaves torch's own choice.
        in_flight: batches that may be on a GPU at once.

    Raises:
        ValueError: the device cannot run at that precision.
    """
    if device.type == "cuda":
        return TorchCudaEngine(network, device, precision=precision, in_flight=in_flight)
    return TorchCpuEngine(network, precision=precision, threads=threads)
