"""A training on an NVIDIA GPU, which is not waited for."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from model.checkpoint import load_network
from model.training.data.crops import CropSettings
from model.training.data.packs import TARGET, Pack
from model.training.loop import run
from model.training.recipe import Recipe
from model.training.train import Training

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

RECIPE = Recipe(
    name="tiny",
    width=8,
    steps=60,
    batch=8,
    learning_rate=5e-3,
    warmup_steps=5,
    ema=0.9,
    precision="bf16",
    crops=CropSettings(sizes=(32,), share=(("clip", 1.0),), pasted=0.0, copied=0.2, warped=0.2),
)


@pytest.fixture
def pack() -> Pack:
    rng = np.random.default_rng(0)
    images = [rng.integers(60, 90, (80, 96)).astype(np.uint8) for _ in range(3)]
    labels = [np.zeros((80, 96), np.uint8) for _ in images]
    for image, label in zip(images, labels, strict=True):
        image[40:43, 50:53] = 200
        label[40:43, 50:53] = TARGET
    return Pack(images, labels, ["clip"] * 3, mean=75.0, std=12.0)


class Losses(list):
    def stepped(self, training: Training, loss: float) -> None:
        self.append(loss)

    def validated(self, training: Training, counts: object) -> None:
        """Not asked for."""


def test_it_learns_and_writes_what_a_cpu_reads(pack: Pack, tmp_path: Path) -> None:
    losses = Losses()
    assert run(Training(pack, RECIPE, "cuda"), tmp_path, watchers=[losses])
    assert len(losses) == RECIPE.steps
    assert np.mean(losses[-10:]) < 0.85 * np.mean(losses[:10])
    assert load_network(tmp_path / "tiny.safetensors").width == 8


def test_it_goes_on_from_its_checkpoint(pack: Pack, tmp_path: Path) -> None:
    first = Training(pack, RECIPE, "cuda")
    for _ in range(3):
        first.advance()
    first.save_checkpoint(tmp_path / "checkpoint.pt")
    second = Training(pack, RECIPE, "cuda")
    second.resume(tmp_path / "checkpoint.pt")
    assert second.step == 3
    assert all(group["fused"] for group in second.optimiser.param_groups)
    kept = second.optimiser.state_dict()["state"]
    for number, moments in first.optimiser.state_dict()["state"].items():
        for name, value in moments.items():
            assert torch.equal(kept[number][name], value), name
    for each in (first, second):
        each.advance()
        assert each.check_loss() is not None
    # What runs side by side on a GPU is added up in any order.
    for name, value in first.average.state_dict().items():
        torch.testing.assert_close(second.average.state_dict()[name], value, rtol=0.1, atol=0.02)


def test_a_loss_that_is_no_number_leaves_the_checkpoint_of_before(
    pack: Pack, tmp_path: Path
) -> None:
    recipe = replace(RECIPE, steps=10)
    training = Training(pack, recipe, "cuda")
    training.save_checkpoint(tmp_path / "checkpoint.pt")
    before = (tmp_path / "checkpoint.pt").read_bytes()
    with torch.no_grad():
        training.network.head1.activation.bn.bias.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="loss of step 1 is nan: lower the learning rate"):
        run(training, tmp_path, checkpoint_every=1)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    assert not (tmp_path / "tiny.safetensors").exists()
