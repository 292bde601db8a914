"""Frames in, detections out: an engine with the scaling before it and the components after it."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch

from configs.schema import DetectorSettings
from model.checkpoint import (
    WeightsError,
    file_sha256,
    load_network,
    resolve_weights,
)
from model.engines import build_engine
from model.engines.base import Engine, EngineBatch, EngineTicket
from model.postprocess import detections_from_mask
from model.preprocess import RangeEstimator
from streamer.types import Detections, Frame, StreamError

_log = logging.getLogger(__name__)

_AUTO_WEIGHTS = {
    "cuda": ("mpcnet-live", "mpcnet-s-live"),
    "cpu": ("mpcnet-s-live", "mpcnet-live"),
}
"""What ``detector.weights=auto`` means on a device: the first that is shipped."""


class NetworkDetector:
    """Runs a network on frames of any number of sources; see :class:`streamer.protocols.Detector`.

    Args:
        engine: what runs the network.
        settings: thresholds and limits.
        threshold: probability a target must reach.
        max_batch: frames a batch at most.
        description: of the weights, for :meth:`describe`.
    """

    def __init__(
        self,
        engine: Engine,
        settings: DetectorSettings,
        *,
        threshold: float,
        max_batch: int,
        description: dict[str, str],
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._ranges: dict[str, RangeEstimator] = {}
        self._description = description
        self.threshold = threshold
        self.max_batch = max_batch

    @property
    def max_in_flight(self) -> int:
        """How many tickets may be open at once."""
        return self._engine.max_in_flight

    def submit(self, frames: Sequence[Frame]) -> _Ticket:
        """Start on frames, which may differ in size, depth and source."""
        groups: dict[tuple[object, ...], list[int]] = defaultdict(list)
        for position, frame in enumerate(frames):
            groups[(frame.image.shape, frame.image.dtype)].append(position)
        scales = [self._scale(frame) for frame in frames]
        parts = [
            (
                positions,
                self._engine.submit(
                    EngineBatch(
                        images=[frames[i].image for i in positions],
                        gain=np.array([scales[i][0] for i in positions], dtype=np.float32),
                        offset=np.array([scales[i][1] for i in positions], dtype=np.float32),
                    )
                ),
            )
            for positions in groups.values()
        ]
        return _Ticket(frames, parts, self._settings, self.threshold)

    def _scale(self, frame: Frame) -> tuple[float, float]:
        estimator = self._ranges.get(frame.source)
        if estimator is None:
            estimator = self._ranges[frame.source] = RangeEstimator(self._settings.range16)
        return estimator.gain_and_offset(frame)

    def describe(self) -> dict[str, str]:
        """What ran: weights, weights_sha256, device, engine, mode, precision."""
        return {
            **self._description,
            "device": self._engine.device,
            "engine": self._engine.name,
            "mode": "full",
            "precision": self._engine.precision,
        }

    def close(self) -> None:
        """Let go of the device."""
        self._engine.close()


class _Ticket:
    def __init__(
        self,
        frames: Sequence[Frame],
        parts: list[tuple[list[int], EngineTicket]],
        settings: DetectorSettings,
        threshold: float,
    ) -> None:
        self._frames = frames
        self._parts = parts
        self._settings = settings
        self._threshold = threshold
        self.stage_seconds: dict[str, float] = {}

    def result(self) -> list[Detections]:
        found: dict[int, Detections] = {}
        seconds: dict[str, float] = defaultdict(float)
        for positions, ticket in self._parts:
            probability = ticket.result()
            for stage, duration in ticket.stage_seconds.items():
                seconds[stage] += duration
            started = time.perf_counter()
            for row, position in enumerate(positions):
                frame = self._frames[position]
                if not np.isfinite(probability[row]).all():
                    raise StreamError(
                        f"the network gave numbers that are not finite for frame {frame.index} of "
                        f"{frame.source}: try detector.precision=fp32"
                    )
                found[position] = detections_from_mask(
                    probability[row], frame, self._settings, self._threshold
                )
            seconds["postprocess"] += time.perf_counter() - started
        self.stage_seconds = dict(seconds)
        return [found[position] for position in range(len(self._frames))]


def build_detector(settings: DetectorSettings, *, sources: int = 1) -> NetworkDetector:
    """The detector that the settings ask for.

    Args:
        settings: weights, device, precision, thresholds.
        sources: how many will be served: a GPU's batch is never larger by default.

    Raises:
        WeightsError: the weights cannot be found or read.
        StreamError: the device is not there or cannot do what is asked.
    """
    device = _device(settings.device)
    path = resolve_weights(_weights_name(settings.weights, device))
    network = load_network(path)
    try:
        engine = build_engine(
            network,
            device,
            precision=settings.precision,
            threads=settings.threads,
            in_flight=settings.batch.in_flight,
        )
    except ValueError as error:
        raise StreamError(str(error)) from error
    threshold = settings.threshold if settings.threshold is not None else network.info.threshold
    default_batch = min(8, sources) if device.type == "cuda" else 1
    _log.info(
        "%s on %s (%s, %s), threshold %.2f",
        network.info.name,
        engine.device,
        engine.name,
        engine.precision,
        threshold,
    )
    return NetworkDetector(
        engine,
        settings,
        threshold=threshold,
        max_batch=settings.batch.max_size or default_batch,
        description={"weights": network.info.name, "weights_sha256": file_sha256(path)},
    )


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def _weights_name(asked: str, device: torch.device) -> str:
    if asked != "auto":
        return asked
    for name in _AUTO_WEIGHTS[device.type]:
        try:
            resolve_weights(name)
        except WeightsError:
            continue
        return name
    return _AUTO_WEIGHTS[device.type][0]
