"""The folded network in OpenVINO on a CPU: the fast engine of machines without a GPU.

The network goes from torch to OpenVINO in memory. That takes seconds, so the converted graph is
kept in the user's cache folder under a name made of everything that went into it.
"""

from __future__ import annotations

import hashlib
import inspect
import logging
import os
import sys
import tempfile
import time
import warnings
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model import deploy, mpcnet
from model.checkpoint import LoadedNetwork
from model.deploy import fold
from model.engines.base import EngineBatch, EngineTicket
from model.mpcnet import attention_grid_of
from model.preprocess import PAD_MULTIPLE, normalise

# OpenVINO reports its use over the network when it is imported, unless this package is missing. A
# program that watches a camera keeps to itself.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
import openvino  # noqa: E402

_log = logging.getLogger(__name__)

_HINTS = {"fp32": "f32", "bf16": "bf16"}
_HANGS_MS = 60_000
_AT_ONCE = 4
"""Windows of a side that run at once, at most: a frame has few, and many cores share each."""


@dataclass(slots=True)
class _Done:
    probability: NDArray[np.float32]
    stage_seconds: dict[str, float]

    def result(self) -> NDArray[np.float32]:
        return self.probability


class _AtGrid(nn.Module):
    """The network with its attention grid fixed, as a traced graph needs it."""

    def __init__(self, network: nn.Module, grid: int) -> None:
        super().__init__()
        self.network = network
        self.grid = grid

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.network(x, attention_grid=self.grid)
        return y


class OpenVinoEngine:
    """Runs windows of given sides beside each other, and any other batch on all threads.

    On few cores a window has a thread of its own: two threads that share it take longer than two
    windows beside each other. Any other batch is done when ``submit`` returns.

    Args:
        network: what it runs.
        precision: auto, fp32 or bf16.
        threads: that work at once on windows of one side, or on any other batch; None: one a core.
        window_sides: of the square windows that will come, px: their graphs have fixed shapes,
            which is faster, and are made ready now. Other batches share one graph an attention
            grid, of any shape; that of whole pictures is made ready, too.

    Raises:
        ValueError: the precision is none of those, or the processor lacks it.
    """

    name = "openvino"
    device = "cpu"
    # Windows would run while the next frame is made ready, but then tracks would tell a frame later
    # where they are expected, and a target that a scan finds would be missed in the next frame.
    max_in_flight = 1

    def __init__(
        self,
        network: LoadedNetwork,
        *,
        precision: str,
        threads: int | None,
        window_sides: Sequence[int] = (),
    ) -> None:
        self._core = openvino.Core()
        self.precision = _precision(self._core, precision)
        self._threads = threads or os.cpu_count() or 1
        if threads is not None:
            torch.set_num_threads(threads)
        self._info = network.info
        self._network = network
        self._requests: dict[int, openvino.InferRequest] = {}
        self._any_shape(network.info.attention_grid)
        self._windows = {side: self._of_windows(side) for side in sorted(set(window_sides))}

    @torch.inference_mode()
    def submit(self, batch: EngineBatch) -> EngineTicket:
        """Start on windows, or run the network on any other batch."""
        started = time.perf_counter()
        height, width = batch.images[0].shape
        grid = batch.attention_grid or self._info.attention_grid
        x = normalise(*batch.stacked(), self._info).contiguous().numpy()
        prepared = time.perf_counter()
        windows = self._windows.get(height)
        if windows is not None and height == width and grid == attention_grid_of(height):
            return windows.start(x, prepared - started)
        # The request's own memory comes back, which the next batch overwrites.
        probability = self._any_shape(grid).infer({0: x}, share_inputs=True)[0]
        mask: NDArray[np.float32] = probability[:, 0, :height, :width].copy()
        finished = time.perf_counter()
        return _Done(mask, {"preprocess": prepared - started, "network": finished - prepared})

    def trim(self) -> None:
        """There is nothing that no ticket needs."""

    def close(self) -> None:
        """Let go of the compiled graphs. Idempotent."""
        self._requests.clear()
        self._windows.clear()

    def _any_shape(self, grid: int) -> openvino.InferRequest:
        request = self._requests.get(grid)
        if request is None:
            graph = _graph(self._core, self._network, grid)
            compiled = self._compiled(graph, PERFORMANCE_HINT="LATENCY")
            request = self._requests[grid] = compiled.create_infer_request()
        return request

    def _of_windows(self, side: int) -> _Windows:
        graph = _graph(self._core, self._network, attention_grid_of(side))
        padded = side + -side % PAD_MULTIPLE
        graph.reshape([1, 1, padded, padded])
        at_once = min(self._threads, _AT_ONCE)
        return _Windows(self._compiled(graph, NUM_STREAMS=at_once), side, at_once)

    def _compiled(self, graph: openvino.Model, **more: str | int) -> openvino.CompiledModel:
        properties = {
            "INFERENCE_PRECISION_HINT": _HINTS[self.precision],
            "INFERENCE_NUM_THREADS": self._threads,
            # Pinned, two programs would share the first cores and leave the others idle.
            "ENABLE_CPU_PINNING": False,
            **more,
        }
        return self._core.compile_model(graph, "CPU", properties)


def _precision(core: openvino.Core, asked: str) -> str:
    has_bf16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    # Without tiles (AMX) bf16 is slower than fp32, even where the processor has instructions.
    has_tiles = bool(torch.cpu.get_capabilities().get("amx_bf16"))
    precision = ("bf16" if has_bf16 and has_tiles else "fp32") if asked == "auto" else asked
    if precision not in _HINTS:
        raise ValueError(
            f"detector.precision {asked} does not run on a CPU: use auto, fp32 or bf16"
        )
    if precision == "bf16" and not has_bf16:
        raise ValueError("detector.precision bf16: this processor has no bf16, use auto or fp32")
    return precision


class _Windows:
    """Windows of one side, each run by itself, so many at once. The thread that starts them also
    asks for what they show.

    Args:
        compiled: the graph of one window.
        side: of a window, px; the graph's own is padded.
        at_once: how many.
    """

    def __init__(self, compiled: openvino.CompiledModel, side: int, at_once: int) -> None:
        self._side = side
        self._free = [compiled.create_infer_request() for _ in range(at_once)]
        for request in self._free:
            # The first run sets up memory, for which the first frames of a camera would wait.
            request.infer({0: np.zeros(compiled.input(0).shape, np.float32)})
        self._open: deque[tuple[openvino.InferRequest, NDArray[np.float32], _Started]] = deque()

    def start(self, x: NDArray[np.float32], preprocess_seconds: float) -> _Started:
        """Start on (B, 1, S, S) windows, the last of them when the first are done."""
        probability = np.empty((len(x), self._side, self._side), np.float32)
        ticket = _Started(self, x, probability, preprocess_seconds, time.perf_counter(), len(x))
        for window, into in zip(x, probability, strict=True):
            if not self._free:
                self.finish_one()
            request = self._free.pop()
            # No callback: it would need Python's lock, which the thread that draws may hold.
            request.start_async({0: window[None]}, share_inputs=True)
            self._open.append((request, into, ticket))
        return ticket

    def finish_one(self) -> None:
        """Wait for the window that was started first.

        Raises:
            RuntimeError: it takes unreasonably long.
        """
        request, into, ticket = self._open.popleft()
        if not request.wait_for(_HANGS_MS):
            raise RuntimeError(f"a window of {self._side} px is not done in {_HANGS_MS} ms")
        into[:] = request.get_output_tensor(0).data[0, 0, : self._side, : self._side]
        self._free.append(request)
        ticket.left -= 1


@dataclass(slots=True)
class _Started:
    windows: _Windows
    x: NDArray[np.float32]
    """Kept until it has been read: the requests share its memory."""
    probability: NDArray[np.float32]
    preprocess_seconds: float
    started: float
    left: int
    """Windows that are not done."""
    stage_seconds: dict[str, float] = field(default_factory=dict)

    def result(self) -> NDArray[np.float32]:
        while self.left:
            self.windows.finish_one()
        seconds = time.perf_counter() - self.started
        self.stage_seconds = {"preprocess": self.preprocess_seconds, "network": seconds}
        return self.probability


def _graph(core: openvino.Core, network: LoadedNetwork, grid: int) -> openvino.Model:
    """The folded network as an OpenVINO graph, from the cache where it is there."""
    path = _cache_folder() / f"mpcnet-{_fingerprint(network, grid)}.xml"
    if path.is_file():
        try:
            return core.read_model(path)
        except RuntimeError as error:
            _log.warning("%s cannot be read (%s): made anew", path, str(error).splitlines()[0])
    with torch.inference_mode(), warnings.catch_warnings():
        # About checks of the input's shape, which may well be constants, and torch's plans.
        warnings.simplefilter("ignore")
        graph = openvino.convert_model(
            _AtGrid(fold(network), grid),
            example_input=torch.zeros(2, 1, 64, 96),
            input=[openvino.PartialShape([-1, 1, -1, -1])],
        )
    _keep(graph, path)
    return graph


def _keep(graph: openvino.Model, path: Path) -> None:
    """Into the cache, whole or not at all; a cache that cannot be written only costs time."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            made = Path(folder) / path.name
            openvino.save_model(graph, made, compress_to_fp16=False)
            # The weights first: where the graph's own file is, both are.
            made.with_suffix(".bin").replace(path.with_suffix(".bin"))
            made.replace(path)
    except (OSError, RuntimeError) as error:
        _log.info("the converted network is not kept: %s", error)


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "irtrack" / "openvino"


def _fingerprint(network: LoadedNetwork, grid: int) -> str:
    """Of everything that decides what the graph computes."""
    digest = hashlib.sha256(f"{openvino.__version__} {torch.__version__} {grid}".encode())
    for module in (mpcnet, deploy):
        digest.update(inspect.getsource(module).encode())
    for key, value in network.state_dict().items():
        digest.update(f"{key}{tuple(value.shape)}".encode())
        digest.update(value.cpu().numpy().tobytes())
    return digest.hexdigest()[:24]
