"""A training keeps the weights that do best on pictures it never sees, and ends when none do."""

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from model.checkpoint import LoadedNetwork, load_network
from model.training.data.crops import CropSettings
from model.training.data.packs import TARGET, Pack
from model.training.data.published import PictureSet, open_set
from model.training.loop import run
from model.training.metrics import Counts, Evaluation
from model.training.recipe import Recipe
from model.training.train import Training
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


def test_a_validation_that_was_cut_off_is_made_up_for(tmp_path: Path) -> None:
    class CutOff(Scripted):
        def __call__(self, weights: LoadedNetwork, device: object) -> Counts:
            raise KeyboardInterrupt

    subject = training()
    with pytest.raises(KeyboardInterrupt):
        run(subject, tmp_path, checkpoint_every=6, validation=CutOff(NOTHING, 6))
    again = training()
    again.resume(tmp_path / "checkpoint.pt")
    assert again.step == 6
    assert run(again, tmp_path, validation=Scripted(NOTHING, 1))
    assert load_network(tmp_path / "tiny.safetensors").info.recipe["step"] == 6


def test_a_stop_where_a_validation_is_due_leaves_it_to_the_resumed_training(tmp_path: Path) -> None:
    subject = training()
    stops = iter([False, True])
    assert not run(subject, tmp_path, validation=Scripted(NOTHING, 2), stopping=lambda: next(stops))
    assert (subject.step, subject.validated) == (2, 0)
    again = training()
    again.resume(tmp_path / "checkpoint.pt")
    run(again, tmp_path, validation=Scripted(NOTHING, 2, patience=1))
    assert (again.best_step, again.best_iou) == (4, 0.4)


def test_what_could_not_be_saved_is_not_the_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = training()

    def full(path: Path) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(subject, "save_weights", full)
    with pytest.raises(OSError, match="no space"):
        run(subject, tmp_path, validation=Scripted(NOTHING, 1))
    assert subject.best_step == 0


def test_a_training_validated_on_pictures_kept_apart_goes_on_only_with_them(tmp_path: Path) -> None:
    first = training()
    first.origin = {"validation": "kept.txt, 3 pictures"}
    first.save_checkpoint(tmp_path / "checkpoint.pt")
    for other in ({}, {"validation": "kept.txt, 4 pictures"}):
        second = training()
        second.origin = {**other}
        with pytest.raises(ValueError, match="3 pictures: give --validate as"):
            second.resume(tmp_path / "checkpoint.pt")


def test_a_validation_counts_as_an_evaluation_of_the_saved_weights_does(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for folder in ("image", "mask"):
        (tmp_path / "SET" / folder).mkdir(parents=True)
    for name in "ab":
        picture, mask = rng.integers(60, 90, (40, 52)), np.zeros((40, 52))
        picture[20:23, 30:33], mask[20:23, 30:33] = 200, 255
        cv2.imwrite(str(tmp_path / f"SET/image/{name}.png"), picture)
        cv2.imwrite(str(tmp_path / f"SET/mask/{name}.png"), mask)
    (tmp_path / "SET/kept.txt").write_text("a\nb\n")
    pictures = open_set(tmp_path / "SET", str(tmp_path / "SET/kept.txt"))
    subject = training()
    seen: list[Counts] = []
    watcher = SimpleNamespace(
        stepped=lambda *_: None, validated=lambda _, counts: seen.append(counts)
    )
    run(subject, tmp_path, validation=Validation(pictures, 6), watchers=[watcher])
    weights = subject.weights()
    expected = Evaluation([0.5])
    with torch.no_grad():
        for sample in pictures:
            x = torch.from_numpy((sample.image.astype(np.float32) - 75) / 12)[None, None]
            padded = torch.nn.functional.pad(x, (0, 12, 0, 24))
            probability = weights(padded, attention_grid=4)[0, 0, :40, :52]
            expected.update(probability.numpy(), sample.truth)
    assert seen == [expected.at(0.5)]
    assert (seen[0].pictures, sum(seen[0].targets)) == (2, 2)
