"""The network alone, in every engine that is there, beside the published network."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from benchmarks.report import Column, Part, Plan, paired_ratio, say
from model.checkpoint import LoadedNetwork, NetworkInfo
from model.engines import build_engine
from model.engines.base import Engine, EngineBatch
from model.engines.torch_cuda import TorchCudaEngine

PUBLISHED_WIDTH = 32
_SEED = 2026
_WIDTHS = (32, 16, 8)
_QUICK_WIDTHS = {"cpu": (16,), "cuda": (32, 16)}
_WARM_UP_CALLS = {"cpu": 1, "cuda": 5}

_ABOUT = """\
Random weights of a fixed seed; no weights file is needed. `ratio` is how many times as fast as the
published network of the same pictures on the same device, which runs in the same rounds: width 32,
unfolded, eval mode, contiguous, eager fp32, one picture at a time (with the fewer and larger steps
of `model/mpcnet.py`; windows at the same attention grid). It is the median over rounds of the
paired ratio; `ms` is the median over rounds for all pictures of a call, from pixels on the host to
probabilities on the host; the `device's` figures are of the GPU's own time for scaling and network,
by events. PyTorch's own defaults hold: on a GPU the fp32 of convolutions rounds to TF32."""

_COLUMNS = (
    Column("case", "pictures"),
    Column("network", "network"),
    Column("ratio", "ratio", "{:.2f}x"),
    Column("ms", "ms", "{:.2f}"),
    Column("device_ratio", "device's ratio", "{:.2f}x"),
    Column("device_ms_each", "device ms a picture", "{:.3f}"),
    Column("per_second", "pictures/s", "{:.1f}"),
    Column("rounds", "rounds", "{:d}"),
)

Call = Callable[[], float | None]
"""Runs a case once, to the end; gives the device's own seconds where it has a clock."""


@dataclass(frozen=True, slots=True)
class Case:
    """What goes in at once."""

    title: str
    height: int
    """px"""
    width: int
    """px"""
    count: int
    """Pictures."""
    grid: int
    """Side of the attention grid."""


FRAMES = (Case("256x256", 256, 256, 1, 32), Case("512x640", 512, 640, 1, 32))
WINDOWS = Case("4 windows of 64x64", 64, 64, 4, 8)
ON_GPU = (
    FRAMES[1],
    *(Case(f"{count} of 512x640 at once", 512, 640, count, 32) for count in (2, 4, 8, 16)),
)
"""For GPUs, which want more than one picture to be busy, also in a quick run."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured."""

    rounds: int
    min_rounds: int
    slot_seconds: float
    """A short call is repeated for so long in a round."""
    budget_seconds: float
    """No new round of a case begins after so long, once there are ``min_rounds``."""


_FULL = Effort(rounds=9, min_rounds=3, slot_seconds=0.25, budget_seconds=120.0)
_QUICK = Effort(rounds=5, min_rounds=2, slot_seconds=0.05, budget_seconds=5.0)


class Candidate(Protocol):
    """Something that runs the network."""

    @property
    def title(self) -> str:
        """For people."""

    @property
    def kind(self) -> str:
        """The device's: cpu or cuda."""

    def bind(self, case: Case) -> Call:
        """What runs a case."""


class Published:
    """The published network as the public test loop runs it: one picture at a time, eager fp32."""

    title = f"published: width {PUBLISHED_WIDTH}, eager fp32"

    def __init__(self, network: LoadedNetwork, device: torch.device) -> None:
        self.kind = device.type
        self._device = device
        self._network = copy.deepcopy(network).to(device).eval()

    def bind(self, case: Case) -> Call:
        """What runs a case: copy in, network, copy out, a picture after the other."""
        generator = torch.Generator().manual_seed(_SEED)
        shape = (1, 1, case.height, case.width)
        pictures = [torch.randn(shape, generator=generator) for _ in range(case.count)]
        cuda = self.kind == "cuda"

        def mark() -> torch.cuda.Event | None:
            if not cuda:
                return None
            event: torch.cuda.Event
            event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            event.record()
            return event

        @torch.no_grad()
        def call() -> float | None:
            seconds = 0.0
            for picture in pictures:
                x = picture.to(self._device)
                began = mark()
                probability = self._network(x, attention_grid=case.grid)
                ended = mark()
                probability.cpu().numpy()
                if began is not None and ended is not None:
                    seconds += began.elapsed_time(ended) / 1e3
            return seconds if cuda else None

        return call


class InEngine:
    """The folded network in one of the product's engines."""

    def __init__(self, engine: Engine, width: int, kind: str, note: str = "") -> None:
        self.kind = kind
        self.engine = engine
        self.title = f"{engine.name} {engine.precision}{note}, width {width}"

    def bind(self, case: Case) -> Call:
        """What runs a case, as one batch."""
        pixels = np.random.default_rng(_SEED)
        shape = (case.height, case.width)
        batch = EngineBatch(
            images=[pixels.integers(0, 256, shape, dtype=np.uint8) for _ in range(case.count)],
            gain=np.ones(case.count, dtype=np.float32),
            offset=np.zeros(case.count, dtype=np.float32),
            attention_grid=case.grid,
        )

        def call() -> float | None:
            ticket = self.engine.submit(batch)
            ticket.result()
            return ticket.stage_seconds["network"] if self.kind == "cuda" else None

        return call


def random_network(width: int) -> LoadedNetwork:
    """A network of random weights, the same ones every time."""
    info = NetworkInfo(
        name=f"random-{width}", width=width, mean=100.0, std=40.0, picture_size=256, threshold=0.5
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        return LoadedNetwork(info).eval()


def measure_network(plan: Plan) -> Part:
    """Measure every candidate in every case."""
    cases = (FRAMES[0], WINDOWS) if plan.quick else (*FRAMES, WINDOWS)
    effort = _QUICK if plan.quick else _FULL
    rows: list[dict[str, Any]] = []
    with ExitStack() as engines:
        candidates = _candidates(plan, engines)
        for case in cases:
            say(f"  {case.title}: {len(candidates)} networks")
            rows += measure_case(case, candidates, effort)
        on_gpu = [candidate for candidate in candidates if candidate.kind == "cuda"]
        for case in [each for each in ON_GPU if each not in cases] if on_gpu else ():
            say(f"  {case.title}: {len(on_gpu)} networks")
            rows += measure_case(case, on_gpu, effort)
    return Part("network", _ABOUT.replace("\n", " "), _COLUMNS, rows)


def _candidates(plan: Plan, engines: ExitStack) -> list[Candidate]:
    """Of each device the published network first, then what engines and precisions there are."""
    kinds = ("cpu", "cuda") if plan.device == "auto" else (plan.device,)
    published = random_network(PUBLISHED_WIDTH)
    found: list[Candidate] = []
    for kind in kinds:
        device = torch.device(kind)
        if kind == "cuda" and plan.device == "auto" and not torch.cuda.is_available():
            continue
        found.append(Published(published, device))
        tries = (
            (("torch", "fp32"), ("torch", "fp16"))
            if kind == "cuda"
            else (("torch", "fp32"), ("openvino", "fp32"), ("openvino", "bf16"))
        )
        for width in _QUICK_WIDTHS[kind] if plan.quick else _WIDTHS:
            network = random_network(width)
            for runtime, precision in tries:
                say(f"  building {runtime} {precision} on {kind}, width {width}")
                try:
                    engine = build_engine(
                        network,
                        device,
                        kind=runtime,
                        precision=precision,
                        threads=plan.threads,
                        in_flight=1,
                        window_sides=(WINDOWS.height,),
                    )
                except ValueError as error:  # bf16 or OpenVINO are not everywhere
                    say(f"  left out: {error}")
                    continue
                engines.callback(engine.close)
                found.append(InEngine(engine, width, kind))
            if kind == "cuda":
                plain = TorchCudaEngine(
                    network, device, precision="fp16", in_flight=1, graphs=False
                )
                engines.callback(plain.close)
                found.append(InEngine(plain, width, kind, " without graphs"))
    return found


def measure_case(
    case: Case, candidates: Sequence[Candidate], effort: Effort
) -> list[dict[str, Any]]:
    """A row a candidate, each against the first of its own device.

    In every round each has its turn, and each round begins with another one: what the machine does
    meanwhile hits all alike.
    """
    calls = [candidate.bind(case) for candidate in candidates]
    for candidate, call in zip(candidates, calls, strict=True):
        for _ in range(_WARM_UP_CALLS[candidate.kind]):
            call()
    wall: list[list[float]] = [[] for _ in calls]
    device: list[list[float]] = [[] for _ in calls]
    began = time.perf_counter()
    for number in range(effort.rounds):
        enough = number >= effort.min_rounds
        if enough and time.perf_counter() - began > effort.budget_seconds:
            break
        for position in range(len(calls)):
            k = (position + number) % len(calls)
            wall_seconds, device_seconds = _slot(calls[k], wall[k], effort.slot_seconds)
            wall[k].append(wall_seconds)
            if device_seconds is not None:
                device[k].append(device_seconds)
    rows = []
    for k, candidate in enumerate(candidates):
        baseline = next(n for n, each in enumerate(candidates) if each.kind == candidate.kind)
        seconds = statistics.median(wall[k])
        rows.append(
            {
                "case": case.title,
                "network": f"{candidate.title} ({candidate.kind})",
                "ratio": paired_ratio(wall[baseline], wall[k]),
                "ms": seconds * 1e3,
                "device_ms": statistics.median(device[k]) * 1e3 if device[k] else None,
                "device_ms_each": statistics.median(device[k]) * 1e3 / case.count
                if device[k]
                else None,
                "device_ratio": paired_ratio(device[baseline], device[k]) if device[k] else None,
                "per_second": case.count / seconds,
                "rounds": len(wall[k]),
                "ms_of_rounds": [each * 1e3 for each in wall[k]],
            }
        )
    return rows


def _slot(call: Call, before: Sequence[float], slot_seconds: float) -> tuple[float, float | None]:
    """Mean seconds of a call, by the wall and by the device's clock, repeated to fill the slot."""
    if not before or before[-1] < slot_seconds:
        call()  # fetches back what the others pushed out of the caches
    count, device = 0, 0.0
    began = time.perf_counter()
    while True:
        seconds = call()
        count += 1
        device += seconds or 0.0
        elapsed = time.perf_counter() - began
        if elapsed >= slot_seconds:
            return elapsed / count, None if seconds is None else device / count
