"""Whether engines and precisions see the same: ``python -m benchmarks.agreement --data DIR``.

Every picture of a labelled set goes, whole, through each engine and precision that this machine
has; masks and detections are held against those of PyTorch on the CPU in single precision.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from benchmarks.report import Column, Part, say
from configs.schema import DetectorSettings
from model.checkpoint import LoadedNetwork, WeightsError, load_network, resolve_weights
from model.engines import build_engine
from model.engines.base import Engine
from model.postprocess import detections_from_mask
from model.training.data.packs import TARGET, load_pack
from model.training.data.published import Sample, open_set
from model.training.evaluation import exact_engine, probability_of
from streamer.types import FloatArray, Frame, StreamError

SAME_PX = 0.2
"""Detections no farther apart are the same."""

_COLUMNS = (
    Column("engine", "engine"),
    Column("mask_iou", "masks' IoU", "{:.5f}"),
    Column("detections", "detections", "{:d}"),
    Column("same", "the same", "{:d}"),
    Column("extra", "not in the reference", "{:d}"),
    Column("farthest_px", "farthest below 2 px", "{:.3f}"),
)
_TRIES = {
    "cpu": (("torch", "bf16"), ("openvino", "fp32"), ("openvino", "bf16")),
    "cuda": (("torch", "fp32"), ("torch", "fp16"), ("torch", "bf16")),
}


@dataclass(slots=True)
class Agreement:
    """How far what an engine sees is what the reference sees, over some pictures."""

    common: int = 0
    """Pixels in both masks."""
    either: int = 0
    """Pixels in one or the other."""
    detections: int = 0
    """The reference's."""
    same: int = 0
    """Of those, that the engine has within `SAME_PX`."""
    extra: int = 0
    """The engine's, that the reference has not."""
    distances: list[float] = field(default_factory=list)
    """Of the pairs, px."""

    def add(
        self,
        mask: NDArray[np.bool_],
        reference: NDArray[np.bool_],
        xy: FloatArray,
        reference_xy: FloatArray,
    ) -> None:
        """Count a picture: (H, W) masks, (N, 2) and (M, 2) places of detections, px."""
        self.common += int((mask & reference).sum())
        self.either += int((mask | reference).sum())
        apart = np.linalg.norm(reference_xy[:, None] - xy, axis=2)
        rows, columns = linear_sum_assignment(np.minimum(apart, 10 * SAME_PX))
        pairs = [d for d in apart[rows, columns].tolist() if d < 10 * SAME_PX]
        same = sum(d <= SAME_PX for d in pairs)
        self.detections += len(reference_xy)
        self.same += same
        self.extra += len(xy) - same
        self.distances += pairs

    def row(self, engine: str) -> dict[str, Any]:
        """A row of the table."""
        return {
            "engine": engine,
            "mask_iou": self.common / self.either if self.either else None,
            "detections": self.detections,
            "same": self.same,
            "extra": self.extra,
            "farthest_px": max(self.distances, default=None),
        }


def measure(
    network: LoadedNetwork, samples: list[Sample], kinds: Sequence[str]
) -> list[dict[str, Any]]:
    """A row for each engine and precision of some kinds of device, cpu and cuda."""
    threshold, settings = network.info.threshold, DetectorSettings()
    cpu = torch.device("cpu")
    with exact_engine(network, cpu) as engine:
        reference = [_seen(engine, sample, settings, threshold) for sample in samples]
    rows = []
    for title, engine in _engines(network, kinds):
        say(f"  {title}")
        agreement = Agreement()
        with closing(engine):
            for sample, (truth, truth_xy) in zip(samples, reference, strict=True):
                mask, xy = _seen(engine, sample, settings, threshold)
                agreement.add(mask, truth, xy, truth_xy)
        rows.append(agreement.row(title))
    return rows


def _engines(network: LoadedNetwork, kinds: Sequence[str]) -> Iterator[tuple[str, Engine]]:
    for kind in kinds:
        for runtime, precision in _TRIES[kind]:
            try:
                engine = build_engine(
                    network,
                    torch.device(kind),
                    kind=runtime,
                    precision=precision,
                    threads=None,
                    in_flight=1,
                )
            except ValueError as error:  # bf16 or OpenVINO are not everywhere
                say(f"  left out: {error}")
                continue
            yield f"{engine.name} {engine.precision} ({kind})", engine


def _seen(
    engine: Engine, sample: Sample, settings: DetectorSettings, threshold: float
) -> tuple[NDArray[np.bool_], FloatArray]:
    """The mask, (H, W), and where the detections are, (N, 2) px."""
    probability = probability_of(engine, sample)
    if not np.isfinite(probability).all():
        raise ValueError(f"{engine.name} {engine.precision} gives no numbers for {sample.name}")
    bits = 8 * sample.image.dtype.itemsize
    frame = Frame(sample.image, bits, 0, 0.0, 0.0, 0.0, sample.name)
    return probability >= threshold, detections_from_mask(
        probability, frame, settings, threshold
    ).xy


def main(arguments: list[str] | None = None) -> int:
    """Run the command. Exit code 0: done; 1: data or weights are at fault; 2: wrong usage."""
    parser = _parser()
    options = parser.parse_args(arguments)
    there = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    kinds = there if options.device == "auto" else [options.device]
    if not set(kinds) <= set(there):
        parser.error("--device cuda: this machine or this torch has no CUDA")
    try:
        samples = _samples(options)
        path = resolve_weights(options.weights)
        network = load_network(path)
        rows = measure(network, samples, kinds)
        about = (
            f"{network.info.name} on {len(samples)} pictures, whole, at threshold "
            f"{network.info.threshold:g}, against PyTorch on the CPU in single precision. The "
            f"same: no more than {SAME_PX:g} px apart."
        )
        part = Part("agreement", about, _COLUMNS, rows)
        print(part.markdown(), end="")
        if options.json is not None:
            options.json.write_text(json.dumps(part.numbers(), indent=2) + "\n", encoding="utf-8")
    except (ValueError, WeightsError, StreamError, OSError) as error:
        print(f"benchmarks.agreement: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


def _samples(options: argparse.Namespace) -> list[Sample]:
    if options.pack is None:
        return list(open_set(options.data, options.split))
    pack = load_pack(options.pack)
    return [
        Sample(str(k), image, label == TARGET)
        for k, (image, label) in enumerate(zip(pack.images, pack.labels, strict=True))
    ]


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m benchmarks.agreement", description=__doc__)
    add = made.add_argument
    source = made.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", type=Path, metavar="DIR", help="a set: image/ and mask/ in it")
    source.add_argument("--pack", type=Path, metavar="FILE", help="a pack of pictures (.npz)")
    add("--split", default="test", help="of --data: train, test, or a text file of names (test)")
    add("--weights", default="mpcnet-s-sirst", metavar="NAME|PATH", help="(mpcnet-s-sirst)")
    devices = ("auto", "cpu", "cuda")
    add("--device", choices=devices, default="auto", help="whose engines (auto: of all there are)")
    add("--json", type=Path, metavar="FILE", help="the figures")
    return made


if __name__ == "__main__":
    sys.exit(main())
