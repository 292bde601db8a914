"""Frames in, detections out: an engine with the scaling before it and the components after it."""

from __future__ import annotations

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from configs.schema import DetectorSettings
from model.checkpoint import (
    WeightsError,
    file_sha256,
    load_network,
    resolve_weights,
)
from model.engines import build_engine
from model.engines.base import Engine, EngineBatch, EngineTicket
from model.gating import Gate, Glance, window_sides
from model.mpcnet import attention_grid_of
from model.postprocess import detections_from_mask
from model.preprocess import RangeEstimator
from model.windows import Mosaic, Window, scan_windows
from streamer.types import Detections, FocusHints, Frame, Image, StreamError

_log = logging.getLogger(__name__)

_AUTO_WEIGHTS = {
    "cuda": ("mpcnet-live", "mpcnet-s-live"),
    "cpu": ("mpcnet-s-live", "mpcnet-live"),
}
"""What ``detector.weights=auto`` means on a device: the first that is shipped."""

NOT_FINITE_IN_A_ROW = 25
"""A network that gives nothing finite for so many frames in a row sees nothing at all."""


class _SourceState:
    """What the detector remembers of one source."""

    def __init__(self, settings: DetectorSettings, scan_px: int) -> None:
        self.range = RangeEstimator(settings.range16)
        self.gate = Gate(settings.gate, scan_px)


@dataclass(frozen=True, slots=True, eq=False)
class _Look:
    """A frame that was glanced at."""

    frame: Frame
    gain: float
    offset: float
    gate: Gate
    """Its source's."""
    glance: Glance | None
    """None: the network sees all of it."""


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
    """What the network sees at once: a frame or a window of one."""

    position: int
    """Of its frame in the batch."""
    image: Image
    window: Window | None
    gain: float
    offset: float


_Part = tuple[list[_Piece], EngineTicket]
"""Pieces of one size on their way through the engine."""


class NetworkDetector:
    """Runs a network on frames of any number of sources; see :class:`streamer.protocols.Detector`.

    Args:
        engine: what runs the network.
        settings: thresholds and limits.
        threshold: probability a target must reach.
        max_batch: frames a batch at most.
        mode: full or gated.
        scan_px: side of the pictures that the network was trained on, px: much larger ones are
            scanned in windows of that size.
        description: of the weights, for :meth:`describe`.
    """

    def __init__(
        self,
        engine: Engine,
        settings: DetectorSettings,
        *,
        threshold: float,
        max_batch: int,
        mode: str,
        scan_px: int,
        description: dict[str, str],
    ) -> None:
        self._engine = engine
        self.health = _Health()
        self._settings = settings
        self._states: dict[str, _SourceState] = {}
        self.mode = mode
        self._scan_px = scan_px
        self._description = description
        self.threshold = threshold
        self.max_batch = max_batch

    @property
    def max_in_flight(self) -> int:
        """How many tickets may be looked at and not fetched at once; one more may have begun."""
        return self._engine.max_in_flight

    @property
    def begins_ahead(self) -> bool:
        """Whether a part of a frame runs by itself before its tracks are known."""
        return self.mode == "gated"

    def begin(self, frames: Sequence[Frame]) -> _Ticket:
        """Start on frames, which may differ in size, depth and source, as far as no hints are
        needed.

        Args:
            frames: those of one source in order of time.
        """
        return _Ticket(self, [self._first_look(frame) for frame in frames])

    def submit(self, frames: Sequence[Frame], hints: Sequence[FocusHints] | None = None) -> _Ticket:
        """Start on frames at once; without hints no track is expected anywhere."""
        ticket = self.begin(frames)
        ticket.look(hints or [FocusHints.empty(frame.index) for frame in frames])
        return ticket

    def _first_look(self, frame: Frame) -> _Look:
        state = self._states.get(frame.source)
        if state is None:
            state = self._states[frame.source] = _SourceState(self._settings, self._scan_px)
        gain, offset = state.range.gain_and_offset(frame)
        glance = state.gate.glance(frame.image, gain) if self.mode == "gated" else None
        return _Look(frame, gain, offset, state.gate, glance)

    def run_windows(
        self, looks: Sequence[_Look], windows: Sequence[list[Window] | None]
    ) -> list[_Part]:
        """Start the engine on windows of frames, those of one size together.

        Args:
            looks: the frames.
            windows: of each; None: all of it.
        """
        pieces: dict[tuple[object, ...], list[_Piece]] = defaultdict(list)
        for position, (look, wanted) in enumerate(zip(looks, windows, strict=True)):
            for piece in self._pieces(position, look, wanted):
                pieces[(piece.image.shape, piece.image.dtype, piece.window is None)].append(piece)
        return [(group, self._engine.submit(self._batch(group))) for group in pieces.values()]

    def _pieces(self, position: int, look: _Look, windows: list[Window] | None) -> list[_Piece]:
        frame, gain, offset = look.frame, look.gain, look.offset
        if windows is None:
            windows = scan_windows(frame.height, frame.width, self._scan_px)
        if windows is None:
            return [_Piece(position, frame.image, None, gain, offset)]
        return [_Piece(position, w.cut(frame.image), w, gain, offset) for w in windows]

    def finish(self, frame: Frame, probability: NDArray[np.float32] | None) -> Detections:
        """The detections of a frame in what the network gave: (H, W), or None where it gave
        nothing, or nothing finite."""
        if probability is None:
            return Detections.empty(frame.index, frame.pts_seconds)
        return detections_from_mask(probability, frame, self._settings, self.threshold)

    def _batch(self, pieces: Sequence[_Piece]) -> EngineBatch:
        window = pieces[0].window
        return EngineBatch(
            images=[piece.image for piece in pieces],
            gain=np.array([piece.gain for piece in pieces], dtype=np.float32),
            offset=np.array([piece.offset for piece in pieces], dtype=np.float32),
            attention_grid=None if window is None else attention_grid_of(window.side),
        )

    def describe(self) -> dict[str, str]:
        """What ran: weights, weights_sha256, threshold, device, engine, mode, precision."""
        return {
            **self._description,
            "threshold": f"{self.threshold:g}",
            "device": self._engine.device,
            "engine": self._engine.name,
            "mode": self.mode,
            "precision": self._engine.precision,
        }

    def close(self) -> None:
        """Let go of the device."""
        self._engine.close()


class _Health:
    """Whether the network still gives numbers for the frames of each source."""

    def __init__(self) -> None:
        self._in_a_row: Counter[str] = Counter()

    def note(self, frame: Frame, *, finite: bool) -> None:
        """Report a frame for which it does not: the first of a row, lest a log be all there is.

        Raises:
            StreamError: for so many frames in a row that nothing would ever be seen.
        """
        if finite:
            self._in_a_row.pop(frame.source, None)
            return
        self._in_a_row[frame.source] += 1
        count = self._in_a_row[frame.source]
        what = f"the network gave numbers that are not finite for frame {frame.index} of"
        if count >= NOT_FINITE_IN_A_ROW:
            raise StreamError(
                f"{what} {frame.source}, the {count}th in a row: try detector.precision=fp32"
            )
        if count == 1:
            _log.warning("%s %s: nothing is detected in it", what, frame.source)


class _Ticket:
    def __init__(self, detector: NetworkDetector, looks: Sequence[_Look]) -> None:
        self._detector = detector
        self._looks = looks
        windows = [None if look.glance is None else look.glance.windows for look in looks]
        self._parts = detector.run_windows(looks, windows)
        self._looked = 0.0
        self.stage_seconds: dict[str, float] = {}

    def look(self, hints: Sequence[FocusHints]) -> None:
        self._looked = time.perf_counter()
        windows = [
            [] if look.glance is None else look.gate.focus(look.glance, expected)
            for look, expected in zip(self._looks, hints, strict=True)
        ]
        self._parts += self._detector.run_windows(self._looks, windows)

    def result(self) -> list[Detections]:
        seconds: dict[str, float] = defaultdict(float)
        maps: dict[int, NDArray[np.float32]] = {}
        mosaics: dict[int, Mosaic] = {}
        broken: set[int] = set()
        for pieces, ticket in self._parts:
            probability = ticket.result()
            for stage, duration in ticket.stage_seconds.items():
                seconds[stage] += duration
            started = time.perf_counter()
            # Parts run beside each other, and the first ones while the frame before was tracked.
            seconds["network"] = min(seconds["network"], started - self._looked)
            for piece, seen in zip(pieces, probability, strict=True):
                frame = self._looks[piece.position].frame
                if not np.isfinite(seen).all():
                    broken.add(piece.position)
                elif piece.window is None:
                    maps[piece.position] = seen
                else:
                    if piece.position not in mosaics:
                        mosaics[piece.position] = Mosaic(frame.height, frame.width)
                    mosaics[piece.position].add(piece.window, seen)
            seconds["postprocess"] += time.perf_counter() - started
        started = time.perf_counter()
        maps |= {position: mosaic.probability for position, mosaic in mosaics.items()}
        found = []
        for position, look in enumerate(self._looks):
            finite = position not in broken
            self._detector.health.note(look.frame, finite=finite)
            found.append(self._detector.finish(look.frame, maps.get(position) if finite else None))
        seconds["postprocess"] += time.perf_counter() - started
        self.stage_seconds = dict(seconds)
        return found


def build_detector(settings: DetectorSettings, *, sources: int = 1) -> NetworkDetector:
    """The detector that the settings ask for.

    Args:
        settings: weights, device, precision, thresholds.
        sources: how many will be served: a GPU's batch is never larger by default.

    Raises:
        WeightsError: the weights cannot be found or read.
        StreamError: the device is not there or cannot do what is asked.
    """
    device = device_of(settings)
    path = weights_of(settings)
    network = load_network(path)
    # Decided once and never from timing, so that a replay sees what the first run saw.
    gated = settings.mode == "gated" or (settings.mode == "auto" and device.type == "cpu")
    scan_px = network.info.picture_size
    sides = (scan_px, *(window_sides(settings.gate, scan_px) if gated else ()))
    try:
        engine = build_engine(
            network,
            device,
            kind=settings.engine,
            precision=settings.precision,
            threads=settings.threads,
            in_flight=settings.batch.in_flight,
            window_sides=sides,
        )
    except ValueError as error:
        raise StreamError(str(error)) from error
    threshold = settings.threshold if settings.threshold is not None else network.info.threshold
    default_batch = min(8, sources) if device.type == "cuda" else 1
    mode = "gated" if gated else "full"
    _log.info(
        "%s on %s (%s, %s, mode %s), threshold %.2f",
        network.info.name,
        engine.device,
        engine.name,
        engine.precision,
        mode,
        threshold,
    )
    return NetworkDetector(
        engine,
        settings,
        threshold=threshold,
        max_batch=settings.batch.max_size or default_batch,
        mode=mode,
        scan_px=scan_px,
        description={"weights": network.info.name, "weights_sha256": file_sha256(path)},
    )


def device_of(settings: DetectorSettings) -> torch.device:
    """The device that the settings mean on this machine."""
    if settings.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(settings.device)


def weights_of(settings: DetectorSettings) -> Path:
    """The weights file that the settings mean on this machine.

    Raises:
        WeightsError: there is none.
    """
    if settings.weights != "auto":
        return resolve_weights(settings.weights)
    names = _AUTO_WEIGHTS[device_of(settings).type]
    for name in names:
        try:
            return resolve_weights(name)
        except WeightsError:
            continue
    return resolve_weights(names[0])
