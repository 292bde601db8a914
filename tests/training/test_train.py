"""Training goes on where it stopped, and boxes become masks."""

from pathlib import Path

import numpy as np
import pytest
import torch

from model.checkpoint import load_network
from model.train import main
from model.training.data.boxes import mask_from_box
from model.training.data.crops import CropSampler, CropSettings
from model.training.data.packs import IGNORE, TARGET, Pack, load_pack, save_pack
from model.training.losses import segmentation_loss
from model.training.train import Recipe, Training, run

RECIPE = Recipe(
    name="tiny",
    width=4,
    steps=4,
    batch=2,
    warmup_steps=1,
    threads=1,
    crops=CropSettings(sizes=(32,), share=(("clip", 1.0),)),
)


@pytest.fixture
def pack() -> Pack:
    rng = np.random.default_rng(0)
    images = [rng.integers(60, 90, (48, 64)).astype(np.uint8) for _ in range(3)]
    labels = [np.zeros((48, 64), np.uint8) for _ in images]
    for image, label in zip(images, labels, strict=True):
        image[20:23, 30:33] = 200
        label[20:23, 30:33] = TARGET
    return Pack(images, labels, ["clip"] * 3, mean=75.0, std=12.0)


def test_a_resumed_training_equals_one_that_was_not_stopped_to_the_bit(
    pack: Pack, tmp_path: Path
) -> None:
    whole = Training(pack, RECIPE)
    for _ in range(4):
        whole.advance()
    first = Training(pack, RECIPE)
    for _ in range(2):
        first.advance()
    first.save_checkpoint(tmp_path / "checkpoint.pt")
    second = Training(pack, RECIPE)
    second.resume(tmp_path / "checkpoint.pt")
    for _ in range(2):
        second.advance()
    assert second.step == 4
    for name, value in whole.average.state_dict().items():
        assert torch.equal(value, second.average.state_dict()[name]), name


def test_another_recipes_checkpoint_is_refused(pack: Pack, tmp_path: Path) -> None:
    Training(pack, RECIPE).save_checkpoint(tmp_path / "checkpoint.pt")
    other = Training(pack, Recipe(name="tiny", width=4, steps=9, batch=2, crops=RECIPE.crops))
    with pytest.raises(ValueError, match="another recipe: steps"):
        other.resume(tmp_path / "checkpoint.pt")


def test_what_is_written_loads_with_its_normalisation(pack: Pack, tmp_path: Path) -> None:
    run(Training(pack, RECIPE), tmp_path)
    network = load_network(tmp_path / "tiny.safetensors")
    assert (network.info.mean, network.info.std, network.width) == (75.0, 12.0, 4)
    assert network.info.recipe["step"] == 4


def test_a_pack_comes_back_as_it_was_saved(pack: Pack, tmp_path: Path) -> None:
    save_pack(tmp_path / "pack.npz", pack)
    again = load_pack(tmp_path / "pack.npz")
    assert all(np.array_equal(a, b) for a, b in zip(pack.images, again.images, strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(pack.labels, again.labels, strict=True))
    assert (again.kinds, again.mean, again.std) == (pack.kinds, pack.mean, pack.std)


@pytest.mark.parametrize(
    "damage",
    ["text", "empty", "cut off", "another array", "too short", "no such picture", "a kind too few"],
)
def test_something_else_is_no_pack(pack: Pack, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "pack.npz"
    save_pack(path, pack)
    if damage == "another array":
        np.save(path.with_suffix(".npy"), np.arange(3))
        path = path.with_suffix(".npy")
    elif damage in ("too short", "no such picture", "a kind too few"):
        with np.load(path) as data:
            other = {
                "too short": {"pixels": data["pixels"][:-1]},
                "no such picture": {"hard": np.array([[3, 1, 1]])},
                "a kind too few": {"kinds": data["kinds"][:-1]},
            }
            np.savez(path, **{**data, **other[damage]})
    else:
        whole = path.read_bytes()
        path.write_bytes({"text": b"nothing", "empty": b""}.get(damage, whole[: len(whole) // 2]))
    with pytest.raises(ValueError, match="not a readable pack"):
        load_pack(path)


@pytest.mark.parametrize("sizes", [(), (16,), (64, 100), (96, 64)])
def test_sides_that_no_network_can_be_trained_on_are_refused(sizes: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected multiples of 8"):
        CropSettings(sizes=sizes)


def test_the_command_overwrites_no_other_training(
    pack: Pack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_pack(tmp_path / "pack.npz", pack)
    arguments = ["--pack", str(tmp_path / "pack.npz"), "--output", str(tmp_path / "out")]
    arguments += ["--width", "4", "--batch", "1", "--crop", "32", "--name", "tiny"]
    assert main([*arguments, "--steps", "1", "--crop", "8"]) == 1
    assert "expected multiples of 8" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main([*arguments, "--steps", "1"]) == 0
    written = {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.*")}
    assert set(written) == {"checkpoint.pt", "tiny.safetensors"}
    assert main([*arguments, "--steps", "1"]) == 1
    assert "holds a training: go on with --resume" in capsys.readouterr().err
    assert written == {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.*")}


def test_batches_are_of_every_size_and_of_about_as_many_pixels(pack: Pack) -> None:
    settings = CropSettings(sizes=(32, 48, 80), share=(("clip", 1.0),))
    sampler = CropSampler(pack, settings, np.random.default_rng(0))
    shapes = {sampler.batch(4)[0].shape for _ in range(30)}
    assert shapes == {(9, 1, 32, 32), (4, 1, 48, 48), (1, 1, 80, 80)}


def test_small_pictures_are_padded_with_what_the_loss_ignores() -> None:
    small = Pack([np.full((20, 25), 80, np.uint8)], [np.zeros((20, 25), np.uint8)], ["clip"], 80, 9)
    settings = CropSettings(sizes=(32,), share=(("clip", 1.0),), pasted=0.0)
    pictures, labels = CropSampler(small, settings, np.random.default_rng(0)).batch(2)
    assert pictures.shape == labels.shape == (2, 1, 32, 32)
    assert [(label != IGNORE).sum() for label in labels] == [500, 500]


def test_the_loss_falls_with_the_answer_and_does_not_look_where_it_must_not() -> None:
    target = torch.zeros(1, 1, 8, 8)
    target[..., 3:5, 3:5] = 1
    weight = torch.ones_like(target)
    right = (target * 2 - 1) * 9
    assert segmentation_loss((right,), target, weight) < 0.05
    assert segmentation_loss((-right,), target, weight) > 5
    elsewhere = right.clone()
    elsewhere[..., 0, 0] = 9
    weight[..., 0, 0] = 0
    same = segmentation_loss((elsewhere,), target, weight)
    assert same == pytest.approx(float(segmentation_loss((right,), target, weight)))


class TestBoxes:
    def picture(self) -> np.ndarray:
        y, x = np.mgrid[:60, :80]
        noise = np.random.default_rng(0).normal(0, 2, (60, 80))
        spot = 90 * np.exp(-((x - 40) ** 2 + (y - 30) ** 2) / (2 * 1.5**2))
        return np.clip(70 + 0.4 * x + spot + noise, 0, 255).astype(np.uint8)

    def test_the_blob_and_not_the_box(self) -> None:
        mask = mask_from_box(self.picture(), (32, 22, 17, 17))
        assert mask is not None
        assert mask[30, 40]
        assert 9 <= mask.sum() <= 25

    def test_nothing_stands_out(self) -> None:
        assert mask_from_box(self.picture(), (8, 5, 15, 15)) is None

    def test_a_box_outside_the_picture(self) -> None:
        assert mask_from_box(self.picture(), (200, 200, 10, 10)) is None
