"""What happens in a run, live: a table on a terminal, a log line now and then elsewhere."""

from __future__ import annotations

import logging
import time
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from streamer.redact import redact
from streamer.stats import LatencySummary, RunSnapshot, SourceSnapshot, SourceState

_log = logging.getLogger(__name__)

_REFRESH_SECONDS = 0.25
_NUMBERS = ("in", "out", "frames", "queue", "drop", "bad", "retry", "tracks")
_STATE_STYLES = {
    SourceState.STARTING: "",
    SourceState.RUNNING: "green",
    SourceState.BLOCKED: "yellow",
    SourceState.STALLED: "bold yellow",
    SourceState.WAITING: "yellow",
    SourceState.FAILED: "bold red",
    SourceState.ENDED: "dim",
}


class Dashboard(Protocol):
    """Shows snapshots while it is entered as a context."""

    def __enter__(self) -> Self:
        """Take the screen."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Give the screen back, the last numbers left on it."""

    def show(self, snapshot: RunSnapshot) -> None:
        """Take the newest numbers; cheap enough to be called at every tick."""


class LiveDashboard:
    """A live table for every source, on a terminal.

    Args:
        console: where; log lines must go through the same console, so that they scroll above.
        title: what runs: weights, device, output folder.
    """

    def __init__(self, console: Console, title: str) -> None:
        self._title = title
        self._live = Live(console=console, auto_refresh=False, transient=False)
        self._shown_at = float("-inf")
        self._last: RunSnapshot | None = None

    def __enter__(self) -> Self:
        """Take the screen."""
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Give the screen back, the last numbers left on it."""
        if self._last is not None:
            self._live.update(render(self._last, self._title), refresh=True)
        self._live.stop()

    def show(self, snapshot: RunSnapshot) -> None:
        """Draw the newest numbers, a few times a second at most."""
        self._last = snapshot
        now = time.monotonic()
        if now - self._shown_at >= _REFRESH_SECONDS:
            self._shown_at = now
            self._live.update(render(snapshot, self._title), refresh=True)


class LogDashboard:
    """A log line for every source each ``every_seconds``."""

    def __init__(self, every_seconds: float) -> None:
        self._every = every_seconds
        self._next = time.monotonic() + every_seconds

    def __enter__(self) -> Self:
        """Nothing to take."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Nothing to give back."""

    def show(self, snapshot: RunSnapshot) -> None:
        """Write the lines when they are due."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + self._every
        for source in snapshot.sources:
            _log.info("%s", status_line(source))


def status_line(source: SourceSnapshot) -> str:
    """One source's numbers in a line."""
    latency = source.latency_ms
    over = source.state in (SourceState.ENDED, SourceState.FAILED)
    rates = f"{source.fps_in:.1f} fps in, {source.fps_out:.1f} out"
    marked = {"frozen": source.frozen, "damaged": source.damaged}
    also = "".join(f"{count} {mark}, " for mark, count in marked.items() if count)
    return (
        f"{source.name}: {source.state}, {source.processed} frames, "
        f"{f'{source.fps_mean:.1f} fps' if over else rates}, "
        f"latency {latency.p50:.0f}/{latency.p95:.0f}/{latency.p99:.0f} ms p50/p95/p99, "
        f"queue {source.queue_depth}/{source.queue_capacity}, {source.dropped} dropped, "
        f"{source.corrupt} corrupt, {also}"
        f"{source.tracks_live} tracks ({source.tracks_total} so far)"
    )


def render(snapshot: RunSnapshot, title: str) -> Panel:
    """The dashboard's picture of a snapshot."""
    sources = Table(box=None, expand=True, pad_edge=False)
    sources.add_column("source", style="bold", overflow="ellipsis")
    sources.add_column("state", no_wrap=True, min_width=max(len(s) for s in _STATE_STYLES))
    rows = [_numbers(source) for source in snapshot.sources]
    for name, *cells in zip(_NUMBERS, *rows, strict=True):
        # Where room is short, it is the sources' names that give way.
        width = max(len(name), *(len(cell) for cell in cells))
        sources.add_column(name, justify="right", no_wrap=True, min_width=width)
    for source, row in zip(snapshot.sources, rows, strict=True):
        sources.add_row(Text(redact(source.name)), _state(source), *row)
    stages = Table(box=None, expand=True, pad_edge=False)
    stages.add_column("ms", style="bold", no_wrap=True)
    for name in ("p50", "p95", "p99", "max"):
        stages.add_column(name, justify="right")
    for source in snapshot.sources:
        prefix = f"{source.name} " if len(snapshot.sources) > 1 else ""
        _add_latency(stages, f"{prefix}latency", source.latency_ms, style="bold")
        if len(snapshot.sources) == 1:
            for stage, summary in source.stage_ms.items():
                _add_latency(stages, stage, summary)
    errors = [
        Text(f"{source.name}: {redact(source.error)}", style="red")
        for source in snapshot.sources
        if source.error is not None
    ]
    minutes, seconds = divmod(int(snapshot.elapsed_seconds), 60)
    return Panel(
        Group(sources, *errors, Text(""), stages),
        # Text and not a string: a folder may be called [old], which is no markup.
        title=Text(redact(title)),
        subtitle=f"{minutes:d}:{seconds:02d}  Ctrl-C ends the run and finishes every file",
        border_style="cyan",
    )


def _state(source: SourceSnapshot) -> Text:
    if source.state == SourceState.RUNNING and source.frozen_now:
        return Text("frozen", style="yellow")
    return Text(source.state, style=_STATE_STYLES[source.state])


def _numbers(source: SourceSnapshot) -> list[Text]:
    """A source's cells of the table, as :data:`_NUMBERS` names them."""
    return [
        Text(f"{source.fps_in:.1f}"),
        Text(f"{source.fps_out:.1f}"),
        Text(str(source.processed)),
        Text(f"{source.queue_depth}/{source.queue_capacity}"),
        _alarming(source.dropped),
        _alarming(source.corrupt),
        _alarming(source.reconnects),
        Text(f"{source.tracks_live} of {source.tracks_total}"),
    ]


def _alarming(count: int) -> Text:
    return Text(str(count), style="yellow" if count else "dim")


def _add_latency(table: Table, name: str, summary: LatencySummary, style: str = "") -> None:
    values = (summary.p50, summary.p95, summary.p99, summary.max)
    table.add_row(Text(name), *(f"{value:.1f}" for value in values), style=style)
