"""How a training goes, for people: a bar on a terminal, log lines elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from model.training.loop import Watcher
from model.training.metrics import Counts
from model.training.train import Training

_FORMAT = "%(asctime)s %(message)s"


@contextmanager
def progress(console: Console, steps: int) -> Iterator[list[Watcher]]:
    """Set up logging; on a terminal, give what draws a bar below the log lines.

    Args:
        console: where it all goes.
        steps: of the whole training.
    """
    if not console.is_terminal:
        logging.basicConfig(level=logging.INFO, format=_FORMAT, stream=console.file, force=True)
        yield []
        return
    logging.basicConfig(
        level=logging.INFO,
        format="%(message)s",
        handlers=[RichHandler(console=console, show_path=False, log_time_format="%H:%M:%S")],
        force=True,
    )
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]}, best IoU {task.fields[iou]}, {task.fields[pace]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        yield [_Bar(bar, bar.add_task("", total=steps, loss="-", iou="-", pace="-"))]


class _Bar:
    def __init__(self, bar: Progress, task: TaskID) -> None:
        self._bar, self._task = bar, task

    def stepped(self, training: Training, loss: float) -> None:
        pace = f"{training.seconds / training.step:#.3g} s a step"
        self._bar.update(self._task, completed=training.step, loss=f"{loss:.4f}", pace=pace)

    def validated(self, training: Training, counts: Counts) -> None:
        self._bar.update(self._task, iou=f"{training.best_iou:.4f}")
