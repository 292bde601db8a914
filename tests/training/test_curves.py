"""The curves of a training can be read by TensorBoard, also those of one that was resumed."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from model.training.curves import CurveLog
from model.training.metrics import Counts
from model.training.recipe import Recipe
from model.training.train import Training

event_accumulator = pytest.importorskip(
    "tensorboard.backend.event_processing.event_accumulator", reason="needs tensorboard"
)


def at(step: int) -> Training:
    return cast(Training, SimpleNamespace(step=step, recipe=Recipe(steps=100)))


def test_a_resumed_training_goes_on_where_its_checkpoint_was(tmp_path: Path) -> None:
    first = CurveLog(tmp_path, 0)
    for step in range(1, 51):
        first.stepped(at(step), 1 / step)
    first.close()
    second = CurveLog(tmp_path, 30)
    for step in range(31, 61):
        second.stepped(at(step), 2 / step)
    second.close()
    read = event_accumulator.EventAccumulator(str(tmp_path))
    read.Reload()
    losses = [(event.step, event.value) for event in read.Scalars("loss")]
    expected = [(10, 1 / 10), (20, 1 / 20), (30, 1 / 30), (40, 2 / 40), (50, 2 / 50), (60, 2 / 60)]
    assert losses == [(step, pytest.approx(loss)) for step, loss in expected]
    rates = [event.value for event in read.Scalars("learning rate")]
    assert rates[0] == pytest.approx(Recipe(steps=100).rate_at(9))


def test_validations_are_written(tmp_path: Path) -> None:
    log = CurveLog(tmp_path, 0)
    log.validated(at(50), Counts(pictures=1, true_positives=3, false_negatives=1))
    log.close()
    read = event_accumulator.EventAccumulator(str(tmp_path))
    read.Reload()
    (event,) = read.Scalars("validation/iou")
    assert (event.step, event.value) == (50, 0.75)
