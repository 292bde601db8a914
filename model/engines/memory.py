"""An engine that lives with less memory: smaller batches first, then another engine."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from model.engines.base import Engine, EngineBatch, EngineTicket
from streamer.types import StreamError

_log = logging.getLogger(__name__)


class _Parts:
    """A batch that went through the engine in parts."""

    def __init__(self, tickets: Sequence[EngineTicket]) -> None:
        self._tickets = tickets
        self.stage_seconds: dict[str, float] = {}

    def result(self) -> NDArray[np.float32]:
        """Wait for all parts."""
        probability = np.concatenate([ticket.result() for ticket in self._tickets])
        seconds: Counter[str] = Counter()
        for ticket in self._tickets:
            seconds.update(ticket.stage_seconds)
        self.stage_seconds = dict(seconds)
        return probability


class MemoryGuard:
    """Runs an engine; where it is out of memory, with less at once from then on, and in the end on
    another engine. No batch is lost, and each step is one warning.

    Args:
        engine: the one to run.
        fallback: makes the one that takes over where there is no memory for a single picture.
    """

    def __init__(self, engine: Engine, fallback: Callable[[], Engine]) -> None:
        self._engine = engine
        self._fallback: Callable[[], Engine] | None = fallback
        self._most: int | None = None
        self._retired: Engine | None = None

    @property
    def name(self) -> str:
        """That of the engine that runs now."""
        return self._engine.name

    @property
    def device(self) -> str:
        """That of the engine that runs now."""
        return self._engine.device

    @property
    def precision(self) -> str:
        """That of the engine that runs now."""
        return self._engine.precision

    @property
    def max_in_flight(self) -> int:
        """Tickets that may be open at once, in the engine that runs now."""
        return self._engine.max_in_flight

    def submit(self, batch: EngineBatch) -> EngineTicket:
        """Start on a batch, in as many parts as the memory asks for.

        Raises:
            StreamError: there is no memory for a single picture, and no other engine.
        """
        tickets: list[EngineTicket] = []
        start, count = 0, len(batch.images)
        while start < count:
            stop = count if self._most is None else min(count, start + self._most)
            try:
                tickets.append(self._engine.submit(_part(batch, start, stop)))
            except torch.cuda.OutOfMemoryError as error:
                self._need_less(stop - start, error)
            else:
                start = stop
        return tickets[0] if len(tickets) == 1 else _Parts(tickets)

    def close(self) -> None:
        """Let go of both engines. Idempotent."""
        self._engine.close()
        if self._retired is not None:
            self._retired.close()

    def trim(self) -> None:
        """Have the engine that runs now give back what it does not need."""
        self._engine.trim()

    def _need_less(self, pictures: int, error: Exception) -> None:
        self._engine.trim()
        if torch.cuda.is_available():
            torch.cuda.synchronize()  # what the failed batch began still uses memory it gives back
            torch.cuda.empty_cache()
        where = self._engine.device
        if pictures > 1:
            self._most = pictures // 2
            _log.warning(
                "%s is out of memory with %d pictures at once: %d from now on",
                where,
                pictures,
                self._most,
            )
            return
        if self._fallback is None:
            raise StreamError(
                f"{where} is out of memory with a single picture: close what else runs on it"
            ) from error
        # What is in flight in the old one is still waited for: it is closed with everything.
        self._retired, self._engine = self._engine, self._fallback()
        self._fallback, self._most = None, None
        _log.warning(
            "%s is out of memory with a single picture: the network runs on %s (%s) from now on, "
            "which is slower",
            where,
            self._engine.device,
            self._engine.name,
        )


def _part(batch: EngineBatch, start: int, stop: int) -> EngineBatch:
    if (start, stop) == (0, len(batch.images)):
        return batch
    part = slice(start, stop)
    return EngineBatch(
        batch.images[part], batch.gain[part], batch.offset[part], batch.attention_grid
    )
