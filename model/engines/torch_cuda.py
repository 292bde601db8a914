"""The folded network in PyTorch on an NVIDIA GPU: pinned memory, three streams, half precision.

A batch passes through three CUDA streams, ordered by events alone: copy-in (pinned host memory to
the device, raw pixels), compute (normalisation and network), copy-out (probabilities to pinned
host memory). While one batch computes, the next is copied in and the last one out. The host waits
for nothing but a result.

The network's most frequent steps are one kernel of ours (`cuda_kernels.py`).

A batch size that comes again has its kernels recorded as a CUDA graph, which the host starts in one
call instead of some three hundred: on a fast GPU they are what a small picture waits for.
"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.checkpoint import LoadedNetwork
from model.deploy import fold
from model.engines.base import EngineBatch
from model.engines.cuda_kernels import KernelError, with_kernels
from model.engines.pool import BufferPool
from model.preprocess import normalise

_log = logging.getLogger(__name__)

_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
_KEPT_SIZES = 32
"""Of batches, whose buffers are kept."""
_RECORDED_AT_USE = 3
"""A slot's kernels are recorded when it is used so often: what comes once is not worth it, and
libraries make their workspaces at their first calls, which must not be in a recording."""
_GRAPH_TOLERANCE = {"fp32": 1e-3, "fp16": 2e-2, "bf16": 1e-1}
"""By how much a probability that a graph gave may differ from the one of the same kernels."""
_RECORDING_SHARE = 0.1
"""Of the time at most: recording waits for the device, and a stream with many sizes must not stand
for that all the time."""
_PIXELS = {np.dtype(np.uint8): torch.uint8, np.dtype(np.uint16): torch.uint16}


@dataclass(slots=True, eq=False)
class _Slot:
    """The buffers of one batch in flight, made once for a size and used again."""

    host_in: Tensor
    """(B, H, W) pinned raw pixels."""
    host_scale: Tensor
    """(2, B) pinned gain and offset."""
    device_in: Tensor
    device_scale: Tensor
    device_out: Tensor
    """(B, H, W) float32 probabilities."""
    host_out: Tensor
    """The same, pinned."""
    copied_in: torch.cuda.Event
    started: torch.cuda.Event
    computed: torch.cuda.Event
    copied_out: torch.cuda.Event
    uses: int = 0
    graph: torch.cuda.CUDAGraph | None = None


_SlotKey = tuple[int, int, int, torch.dtype, int]
"""Pictures, their rows and columns, how a pixel is kept, and the side of the attention grid."""


class _Ticket:
    def __init__(self, engine: TorchCudaEngine, key: _SlotKey, slot: _Slot, host: float) -> None:
        self._engine = engine
        self._key = key
        self._slot = slot
        self.stage_seconds: dict[str, float] = {"preprocess": host}

    def result(self) -> NDArray[np.float32]:
        """Wait for the copy-out, and only for that."""
        slot = self._slot
        slot.copied_out.synchronize()
        self.stage_seconds["network"] = slot.started.elapsed_time(slot.computed) / 1e3
        probability: NDArray[np.float32] = slot.host_out.numpy().copy()
        self._engine.give_back(self._key, slot)
        return probability


class TorchCudaEngine:
    """Keeps up to ``in_flight`` batches on the device.

    Args:
        network: what it runs.
        device: on which GPU.
        precision: auto, fp32, fp16 or bf16; auto is fp16.
        in_flight: batches that may be on it at once.
        graphs: whether to record kernels as CUDA graphs.
        kernels: whether to use the kernel of ours, where it runs.

    Raises:
        ValueError: CUDA or the device is not there, or the precision is unknown.
    """

    name = "torch-cuda"

    def __init__(
        self,
        network: LoadedNetwork,
        device: torch.device,
        *,
        precision: str,
        in_flight: int,
        graphs: bool = True,
        kernels: bool = True,
    ) -> None:
        if not torch.cuda.is_available():
            raise ValueError("detector.device cuda: this machine or this torch has no CUDA")
        count = torch.cuda.device_count()
        if (device.index or 0) >= count:
            raise ValueError(f"detector.device {device}: this machine has {count} CUDA device(s)")
        self.precision = "fp16" if precision == "auto" else precision
        self._dtype = _DTYPES[self.precision]
        self._device = device
        self.device = torch.cuda.get_device_name(device)
        self.max_in_flight = in_flight
        self._info = network.info
        folded = fold(network).to(device, self._dtype)
        self._network = folded.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if kernels:
            try:
                with_kernels(self._network)
            except KernelError as error:
                _log.warning("%s runs slowly, without a kernel of ours: %s", self.device, error)
        self._copy_in = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._compute = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._copy_out = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._free: BufferPool[_SlotKey, _Slot] = BufferPool(_KEPT_SIZES)
        self._graphs = graphs
        self._next_recording = -math.inf
        self.recorded = 0
        """Batch sizes, each as often as it was in flight, whose kernels were recorded."""
        # Graphs run one after the other on one stream and keep nothing in it: they share memory.
        self._graph_memory = torch.cuda.graph_pool_handle() if graphs else None
        # The weights were put there on another stream than those that read them.
        torch.cuda.synchronize(device)

    @torch.inference_mode()
    def submit(self, batch: EngineBatch) -> _Ticket:
        """Queue copies and kernels; returns at once."""
        began = time.perf_counter()
        height, width = batch.images[0].shape
        grid = batch.attention_grid or self._info.attention_grid
        key = (len(batch.images), height, width, _PIXELS[batch.images[0].dtype], grid)
        slot = self._free.take(key) or self._new_slot(key)
        pixels = slot.host_in.numpy()
        for row, image in enumerate(batch.images):
            pixels[row] = image
        scale = slot.host_scale.numpy()
        scale[0], scale[1] = batch.gain, batch.offset
        prepared = time.perf_counter()

        with torch.cuda.stream(self._copy_in):
            slot.device_in.copy_(slot.host_in, non_blocking=True)
            slot.device_scale.copy_(slot.host_scale, non_blocking=True)
            slot.copied_in.record(self._copy_in)
        with torch.cuda.stream(self._compute):
            self._compute.wait_event(slot.copied_in)
            slot.started.record(self._compute)
            self._run(slot, grid)
            slot.computed.record(self._compute)
        with torch.cuda.stream(self._copy_out):
            self._copy_out.wait_event(slot.computed)
            slot.host_out.copy_(slot.device_out, non_blocking=True)
            slot.copied_out.record(self._copy_out)
        return _Ticket(self, key, slot, prepared - began)

    def _run(self, slot: _Slot, grid: int) -> None:
        """Queue what the network makes of a slot's pixels."""
        slot.uses += 1
        if slot.graph is not None and self._graphs:
            slot.graph.replay()
            return
        self._queue_kernels(slot, grid)
        began = time.monotonic()
        due = began >= self._next_recording
        if self._graphs and due and slot.uses >= _RECORDED_AT_USE:
            self._record(slot, grid)
            ended = time.monotonic()
            self._next_recording = ended + (ended - began) / _RECORDING_SHARE

    def _queue_kernels(self, slot: _Slot, grid: int) -> None:
        height, width = slot.device_out.shape[1:]
        gain, offset = slot.device_scale
        x = normalise(slot.device_in, gain, offset, self._info).to(self._dtype)
        probability = self._network(x, attention_grid=grid)
        slot.device_out.copy_(probability[:, 0, :height, :width])

    def _record(self, slot: _Slot, grid: int) -> None:
        """Record a slot's kernels; from then on they run as one, if that gives the same."""
        want = slot.device_out.clone()
        graph = torch.cuda.CUDAGraph()
        try:
            # Not by `torch.cuda.graph`, which first collects garbage and gives all free memory of
            # the device back: in mid-stream that costs frames. Other threads use the device
            # meanwhile, which only this thread's recording must not.
            graph.capture_begin(pool=self._graph_memory, capture_error_mode="thread_local")
            try:
                self._queue_kernels(slot, grid)
            finally:
                graph.capture_end()
            slot.device_out.fill_(-1.0)  # what a graph without the last copy would leave
            graph.replay()
            got, wanted = (each.nan_to_num(-2.0) for each in (slot.device_out, want))
            off = float((got - wanted).abs().max())
        except torch.OutOfMemoryError:
            # What is free is not given back while kernels are recorded: it is now, for another try.
            torch.cuda.empty_cache()
            slot.device_out.copy_(want)
            return
        except RuntimeError as error:
            self._graphs, reason = False, " ".join(str(error.__context__ or error).split())
        else:
            if off <= _GRAPH_TOLERANCE[self.precision]:
                slot.graph = graph
                self.recorded += 1
                return
            self._graphs, reason = False, f"probabilities differ by {off:.3g}"
        slot.device_out.copy_(want)
        _log.warning("%s runs without CUDA graphs: %s", self.device, reason)

    def give_back(self, key: _SlotKey, slot: _Slot) -> None:
        """Take a slot back whose batch is done."""
        self._free.give_back(key, slot)

    def _new_slot(self, key: _SlotKey) -> _Slot:
        count, height, width, pixel, _ = key
        shape = (count, height, width)

        def timed() -> torch.cuda.Event:
            return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]

        return _Slot(
            host_in=torch.empty(shape, dtype=pixel, pin_memory=True),
            host_scale=torch.empty((2, count), pin_memory=True),
            device_in=torch.empty(shape, dtype=pixel, device=self._device),
            device_scale=torch.empty((2, count), device=self._device),
            device_out=torch.empty(shape, device=self._device),
            host_out=torch.empty(shape, pin_memory=True),
            copied_in=torch.cuda.Event(),  # type: ignore[no-untyped-call]
            started=timed(),
            computed=timed(),
            copied_out=torch.cuda.Event(),  # type: ignore[no-untyped-call]
        )

    def trim(self) -> None:
        """Let go of the buffers and graphs of no batch that is on its way."""
        self._free.clear()

    def close(self) -> None:
        """Let go of every buffer once the device is idle."""
        torch.cuda.synchronize(self._device)
        self._free.clear()
