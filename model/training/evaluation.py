"""Running a network over labelled pictures, whole and at their own size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

import numpy as np
import torch
from numpy.typing import NDArray

from model.checkpoint import LoadedNetwork
from model.engines import build_engine
from model.engines.base import Engine, EngineBatch
from model.training.data.noise import Noise
from model.training.data.published import PictureSet, Sample
from model.training.metrics import Evaluation


@contextmanager
def exact_engine(
    network: LoadedNetwork, device: torch.device, kind: str = "torch"
) -> Iterator[Engine]:
    """An engine in single precision, closed at the end.

    Args:
        network: what it runs.
        device: where.
        kind: torch or openvino.

    Raises:
        ValueError: the device cannot run so.
    """
    # Else a GPU would round to 10 bits in convolutions that are called single precision.
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        with closing(
            build_engine(network, device, kind=kind, precision="fp32", threads=None, in_flight=1)
        ) as engine:
            yield engine
    finally:
        torch.backends.cudnn.allow_tf32 = before


def probability_of(engine: Engine, sample: Sample) -> NDArray[np.float32]:
    """(H, W) probability, 0..1, that the network gives the picture's pixels."""
    gain = np.array([sample.gain], np.float32)
    batch = EngineBatch([sample.image], gain, np.zeros(1, np.float32))
    return np.asarray(engine.submit(batch).result()[0], dtype=np.float32)


def evaluate_pictures(
    engine: Engine, pictures: PictureSet, thresholds: Sequence[float], noise: Noise | None = None
) -> tuple[Evaluation, list[float]]:
    """Evaluate all pictures at the thresholds.

    Returns:
        The figures, and each picture's own IoU at the first threshold.

    Raises:
        ValueError: a picture cannot be read any more, or the network gives no numbers.
    """
    result = Evaluation(thresholds)
    sums = [0.0]
    for sample in pictures:
        seen = noise(sample) if noise else sample
        result.update(probability_of(engine, seen), sample.truth)
        sums.append(result.at(thresholds[0]).iou_sum)
    return result, np.diff(sums).tolist()
