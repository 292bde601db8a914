"""A training says how it goes: by a bar on a terminal, by log lines elsewhere."""

import io
import logging
import re
from types import SimpleNamespace
from typing import cast

import pytest
from rich.console import Console

from model.training.metrics import Counts
from model.training.progress import progress
from model.training.train import Training


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_gets_a_bar_and_both_get_the_log(terminal: bool) -> None:
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=120)
    state = cast(Training, SimpleNamespace(step=30, seconds=45.0, best_iou=0.625))
    with progress(console, 60) as watchers:
        logging.getLogger("model").info("validation at step 20")
        assert len(watchers) == terminal
        for watcher in watchers:
            watcher.validated(state, Counts())
            watcher.stepped(state, 0.4321)
    said = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text.getvalue())
    assert "validation at step 20" in said
    assert ("30/60" in said) == terminal
    assert ("loss 0.4321, best IoU 0.6250, 1.50 s a step" in said) == terminal
