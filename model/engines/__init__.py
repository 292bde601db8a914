"""What runs the network: one file a runtime, one entry here."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Sequence

import torch

from model.checkpoint import LoadedNetwork
from model.engines.base import Engine
from model.engines.memory import MemoryGuard
from model.engines.torch_cpu import TorchCpuEngine
from model.engines.torch_cuda import TorchCudaEngine

_log = logging.getLogger(__name__)


def build_engine(
    network: LoadedNetwork,
    device: torch.device,
    *,
    kind: str = "auto",
    precision: str,
    threads: int | None,
    in_flight: int,
    window_sides: Sequence[int] = (),
) -> Engine:
    """The engine for a device.

    Args:
        kind: auto, openvino or torch; auto is OpenVINO on a CPU (torch with a warning where it is
            not installed) and torch on CUDA, which gives way to the CPU where its memory is full.
        precision: auto, fp32, fp16 or bf16; auto is fp16 on CUDA, and on a CPU bf16 in OpenVINO
            where the processor has tiles for it (AMX), else fp32.
        threads: of the CPU; None: one a core.
        in_flight: batches that may be on a GPU at once.
        window_sides: of the square windows that batches will hold, px: made ready now, not in
            mid-stream.

    Raises:
        ValueError: the device cannot run so.
    """
    if device.type == "cuda":
        if kind == "openvino":
            raise ValueError("detector.engine openvino runs on a CPU: use auto or torch on CUDA")
        return MemoryGuard(
            TorchCudaEngine(network, device, precision=precision, in_flight=in_flight),
            lambda: _cpu_engine(network, "auto", "auto", threads, window_sides),
        )
    return _cpu_engine(network, kind, precision, threads, window_sides)


def _cpu_engine(
    network: LoadedNetwork,
    kind: str,
    precision: str,
    threads: int | None,
    window_sides: Sequence[int],
) -> Engine:
    there = importlib.util.find_spec("openvino") is not None
    if kind == "torch" or (kind == "auto" and not there):
        if kind == "auto":
            _log.warning("OpenVINO is not installed: the network runs in PyTorch, which is slower")
        return TorchCpuEngine(network, precision=precision, threads=threads)
    if not there:
        raise ValueError("detector.engine openvino: it is not installed (pip install openvino)")
    from model.engines.openvino_cpu import OpenVinoEngine

    return OpenVinoEngine(network, precision=precision, threads=threads, window_sides=window_sides)
