"""A training keeps the weights that do best on pictures it never sees, and ends when none do."""

from pathlib import Path

import numpy as np
import pytest

from model.checkpoint import LoadedNetwork, load_network
from model.training.data.crops import CropSettings
from model.training.data.packs import TARGET, Pack
from model.training.data.published import PictureSet
from model.training.metrics import Counts
from model.training.train import Recipe, Training, run
from model.training.validation import Validation

NOTHING = PictureSet("none", ())


class Scripted(Validation):
    """Gives one IoU after the other, in hundredths."""

    def __call__(self, weights: LoadedNetwork, device: object) -> Counts:
        hits = SCRIPT[int(weights.info.recipe["step"]) // self.every - 1]
        return Counts(true_positives=hits, false_negatives=100 - hits)


SCRIPT = [10, 40, 30, 20, 15, 60]


def training() -> Training:
    images = [np.random.default_rng(0).integers(60, 90, (48, 64)).astype(np.uint8)]
    labels = [np.zeros((48, 64), np.uint8)]
    images[0][20:23, 30:33], labels[0][20:23, 30:33] = 200, TARGET
    crops = CropSettings(sizes=(32,), share=(("set", 1.0),))
    recipe = Recipe(name="tiny", width=4, steps=6, batch=1, warmup_steps=1, threads=1, crops=crops)
    return Training(Pack(images, labels, ["set"], mean=75.0, std=12.0), recipe)


@pytest.mark.parametrize(
    ("patience", "best", "last"), [(None, 6, 6), (4, 6, 6), (3, 2, 5), (1, 2, 3)]
)
def test_the_best_weights_are_kept_and_patience_ends_it(
    tmp_path: Path, patience: int | None, best: int, last: int
) -> None:
    subject = training()
    run(subject, tmp_path, validation=Scripted(NOTHING, 1, patience))
    assert subject.step == last
    assert (subject.best_step, subject.best_iou) == (best, SCRIPT[best - 1] / 100)
    kept = load_network(tmp_path / "tiny.safetensors")
    assert kept.info.recipe["step"] == best


def test_what_was_best_is_known_after_a_resume(tmp_path: Path) -> None:
    first = training()
    for _ in range(3):
        first.advance()
    first.best_iou, first.best_step = 0.4, 2
    first.save_checkpoint(tmp_path / "checkpoint.pt")
    second = training()
    second.resume(tmp_path / "checkpoint.pt")
    run(second, tmp_path, validation=Scripted(NOTHING, 1, 3))
    assert (second.step, second.best_step) == (5, 2)
    assert not (tmp_path / "tiny.safetensors").exists()


@pytest.mark.parametrize(("every", "patience"), [(0, None), (10, 0)])
def test_numbers_under_one_are_refused(every: int, patience: int | None) -> None:
    with pytest.raises(ValueError, match="expected 1 or more"):
        Validation(NOTHING, every, patience)
