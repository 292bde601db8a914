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
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model import deploy, mpcnet
from model.checkpoint import LoadedNetwork
from model.deploy import fold
from model.engines.base import EngineBatch
from model.preprocess import normalise

# OpenVINO reports its use over the network when it is imported, unless this package is missing. A
# program that watches a camera keeps to itself.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
import openvino  # noqa: E402

_log = logging.getLogger(__name__)

_HINTS = {"fp32": "f32", "bf16": "bf16"}


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
    """Runs a batch within ``submit``, whatever its size: shapes are dynamic.

    Raises:
        ValueError: the precision is neither auto, fp32 nor bf16, or the processor lacks it.
    """

    name = "openvino"
    device = "cpu"
    max_in_flight = 1

    def __init__(
        self,
        network: LoadedNetwork,
        *,
        precision: str,
        threads: int | None,
        attention_grids: Sequence[int],
    ) -> None:
        self._core = openvino.Core()
        has_bf16 = "BF16" in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        self.precision = ("bf16" if has_bf16 else "fp32") if precision == "auto" else precision
        if self.precision not in _HINTS:
            raise ValueError(
                f"detector.precision {precision} does not run on a CPU: use auto, fp32 or bf16"
            )
        if self.precision == "bf16" and not has_bf16:
            raise ValueError(
                "detector.precision bf16: this processor has no bf16, use auto or fp32"
            )
        self._properties = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": _HINTS[self.precision],
            "INFERENCE_NUM_THREADS": threads or os.cpu_count() or 1,
            # Pinned, two programs would share the first cores and leave the others idle.
            "ENABLE_CPU_PINNING": False,
        }
        if threads is not None:
            torch.set_num_threads(threads)
        self._info = network.info
        self._network = network
        self._requests: dict[int, openvino.InferRequest] = {}
        for grid in sorted(set(attention_grids)):
            self._request(grid)

    @torch.inference_mode()
    def submit(self, batch: EngineBatch) -> _Done:
        """Run the network; the ticket is done when this returns."""
        started = time.perf_counter()
        height, width = batch.images[0].shape
        x = normalise(*batch.stacked(), self._info)
        request = self._request(batch.attention_grid or self._info.attention_grid)
        prepared = time.perf_counter()
        # The request's own memory comes back, which the next batch overwrites.
        probability = request.infer({0: x.contiguous().numpy()}, share_inputs=True)[0]
        mask: NDArray[np.float32] = probability[:, 0, :height, :width].copy()
        finished = time.perf_counter()
        return _Done(mask, {"preprocess": prepared - started, "network": finished - prepared})

    def close(self) -> None:
        """Let go of the compiled graphs. Idempotent."""
        self._requests.clear()

    def _request(self, grid: int) -> openvino.InferRequest:
        request = self._requests.get(grid)
        if request is None:
            graph = _graph(self._core, self._network, grid)
            compiled = self._core.compile_model(graph, "CPU", self._properties)
            request = self._requests[grid] = compiled.create_infer_request()
        return request


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
