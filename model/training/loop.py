"""A training from where it is to its end: validations, checkpoints, and who is told of it."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from model.training.metrics import Counts
from model.training.train import Training
from model.training.validation import Validation

_log = logging.getLogger(__name__)


class Watcher(Protocol):
    """Is told how a training goes."""

    def stepped(self, training: Training, loss: float) -> None:
        """The loss of one more step is known; it is smoothed over some fifty."""

    def validated(self, training: Training, counts: Counts) -> None:
        """The average's weights were validated."""


def run(
    training: Training,
    output: Path,
    *,
    checkpoint_every: int = 100,
    validation: Validation | None = None,
    watchers: Sequence[Watcher] = (),
    stopping: Callable[[], bool] = lambda: False,
) -> bool:
    """Train to the end of the recipe, or to the step after which it shall stop.

    Writes ``checkpoint.pt`` (to resume) and ``NAME.safetensors`` into ``output``: the newest
    weights, or, with a validation, those of the best IoU so far.

    Args:
        training: what to run.
        output: folder for what is written; made if need be.
        checkpoint_every: steps.
        validation: what the weights are asked now and then; None: nothing.
        watchers: are told how it goes.
        stopping: asked after each step whether to stop there.

    Returns:
        Whether it came to its end; not if it was stopped.

    Raises:
        FloatingPointError: the loss is no number any more; the checkpoint is that of before.
    """
    output.mkdir(parents=True, exist_ok=True)
    weights = output / f"{training.recipe.name}.safetensors"
    steps, leads = training.recipe.steps, training.world.leads

    def save() -> None:
        if leads:
            training.save_checkpoint(output / "checkpoint.pt")
            if validation is None:
                training.save_weights(weights)

    smoothed = math.nan

    # What comes late is asked for by every process before one of them saves: where it is no number,
    # all of them stop.
    def tell(loss: float | None) -> None:
        nonlocal smoothed
        if loss is not None:
            smoothed = loss if math.isnan(smoothed) else 0.98 * smoothed + 0.02 * loss
            for watcher in watchers:
                watcher.stepped(training, smoothed)

    while True:
        if validation is not None and validation.due(training.step, steps, training.validated):
            tell(training.check_loss())
            if leads:
                counts = _validate(training, validation, weights)
                for watcher in watchers:
                    watcher.validated(training, counts)
            training.validated = training.step
            save()
            over = leads and validation.exhausted(training.step - training.best_step)
            if training.world.any(over, training.device):
                _log.info("stopped early: the best is that of step %d", training.best_step)
                return True
        if training.step >= steps:
            return True
        tell(training.advance())
        stop = training.world.any(stopping(), training.device)
        if stop or training.step % checkpoint_every == 0 or training.step == steps:
            tell(training.check_loss())
            pace = training.seconds / training.step
            _log.info(
                "step %d of %d, loss %.4f, %#.3g s a step", training.step, steps, smoothed, pace
            )
            save()
        if stop:
            return False


def _validate(training: Training, validation: Validation, best: Path) -> Counts:
    counts = validation(training.weights(), training.device)
    iou = counts.iou or 0.0
    _log.info(
        "validation at step %d: IoU %.4f, Pd %s of %d, Fa %.1fe-6%s",
        training.step,
        iou,
        sum(counts.detected),
        sum(counts.targets),
        1e6 * (counts.fa or 0.0),
        ", the best so far" if iou > training.best_iou else "",
    )
    if iou > training.best_iou:
        training.save_weights(best)
        training.best_iou, training.best_step = iou, training.step
    return counts
