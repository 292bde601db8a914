"""Training goes on where it stopped, and boxes become masks."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from model.checkpoint import load_network
from model.train import main
from model.training.data.boxes import mask_from_box
from model.training.data.crops import CropSettings
from model.training.data.packs import TARGET, Pack, load_pack, save_pack
from model.training.loop import run
from model.training.losses import segmentation_loss
from model.training.recipe import Recipe
from model.training.train import Training

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


class Told(list[float]):
    """Keeps the losses that a watcher is told."""

    def stepped(self, training: Training, loss: float) -> None:
        self.append(loss)

    def validated(self, training: Training, counts: object) -> None:
        """Not kept."""


@pytest.mark.parametrize("checkpoint_every", [1, 3, 100])
def test_losses_that_come_late_are_the_same_and_none_is_left_out(
    pack: Pack, tmp_path: Path, checkpoint_every: int
) -> None:
    told = []
    for late in (False, True):
        training, losses = Training(pack, RECIPE), Told()
        training.late = late
        folder = tmp_path / str(late)
        assert run(training, folder, checkpoint_every=checkpoint_every, watchers=[losses])
        told.append(losses)
    assert len(told[0]) == RECIPE.steps
    assert told[1] == told[0]


@pytest.mark.parametrize("late", [False, True])
def test_a_loss_that_is_no_number_ends_it_before_anything_is_written(
    pack: Pack, tmp_path: Path, late: bool
) -> None:
    training = Training(pack, RECIPE)
    training.late = late
    with torch.no_grad():
        training.network.head1.activation.bn.bias.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="loss of step 1 is nan: lower the learning rate"):
        run(training, tmp_path, checkpoint_every=1)
    assert not list(tmp_path.iterdir())
    if late:  # nor later, by somebody who goes on
        with pytest.raises(FloatingPointError):
            training.save_weights(tmp_path / "tiny.safetensors")


def test_a_checkpoint_brings_the_optimiser_and_not_how_another_device_ran_it(
    pack: Pack, tmp_path: Path
) -> None:
    path = tmp_path / "checkpoint.pt"
    first = Training(pack, RECIPE)
    first.advance()
    first.save_checkpoint(path)
    state = torch.load(path, weights_only=True)
    for group in state["optimiser"]["param_groups"]:
        group["fused"] = True
    torch.save(state, path)
    second = Training(pack, RECIPE)
    second.resume(path)
    assert not any(group["fused"] for group in second.optimiser.param_groups)
    kept = second.optimiser.state_dict()["state"]
    for number, moments in first.optimiser.state_dict()["state"].items():
        for name, value in moments.items():
            assert torch.equal(kept[number][name], value), name


def test_another_recipes_checkpoint_is_refused(pack: Pack, tmp_path: Path) -> None:
    Training(pack, RECIPE).save_checkpoint(tmp_path / "checkpoint.pt")
    other = Training(pack, Recipe(name="tiny", width=4, steps=9, batch=2, crops=RECIPE.crops))
    with pytest.raises(ValueError, match="another recipe: steps"):
        other.resume(tmp_path / "checkpoint.pt")


def test_a_checkpoint_of_before_there_was_a_setting_goes_on(pack: Pack, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    Training(pack, RECIPE).save_checkpoint(path)
    state = torch.load(path, weights_only=True)
    recipe = json.loads(state["recipe"])
    del recipe["crops"]["warped"], recipe["precision"]
    torch.save({**state, "recipe": json.dumps(recipe)}, path)
    Training(pack, RECIPE).resume(path)
    warping = replace(RECIPE, crops=replace(RECIPE.crops, warped=0.5))
    with pytest.raises(ValueError, match="another recipe: crops"):
        Training(pack, warping).resume(path)


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


@pytest.mark.parametrize(
    ("given", "code", "told"),
    [
        ("--validate kept.txt", 2, "--validate goes with --data"),
        ("--skip-bad", 2, "--skip-bad goes with --data"),
        ("--patience 3", 2, "--patience needs --validate"),
        ("--name a/b", 2, "--name 'a/b' is no name"),
        ("--steps 3 --epochs 1", 2, "not allowed with"),
        ("--device gpu", 1, "expected auto, cpu, cuda or cuda:N"),
        ("--device cuda:99", 1, "PyTorch sees"),
        ("--threads 0", 1, "threads of a training is 0"),
        ("--hard 0.5", 1, "holds no mined false alarms; python -m model.training.mine makes"),
        ("--steps 0", 1, "steps of a training is 0"),
        ("--epochs 0", 1, "steps of a training is 0"),
        ("--width 0", 1, "width must be a positive multiple of 4"),
        ("--steps -1", 1, "steps of a training is -1"),
        ("--batch 0", 1, "batch of a training is 0"),
        ("--learning-rate nan", 1, "the learning rate is nan"),
        ("--frozen-statistics 2", 1, "frozen statistics is 2, expected 0 to 1"),
        ("--resume", 1, "is not there: nothing to resume"),
        ("--steps 3 --learning-rate 1e30", 1, "is nan: lower the learning rate"),
    ],
)
def test_mistakes_are_told_in_a_line(
    pack: Pack, tmp_path: Path, capsys: pytest.CaptureFixture[str], given: str, code: int, told: str
) -> None:
    save_pack(tmp_path / "pack.npz", pack)
    arguments = ["--pack", str(tmp_path / "pack.npz"), "--output", str(tmp_path / "out")]
    arguments += ["--width", "4", "--crop", "32", *given.split()]
    try:
        assert main(arguments) == code
    except SystemExit as end:
        assert (code, end.code) == (2, 2)
    written = capsys.readouterr().err
    assert told in written.splitlines()[-1]
    assert "Traceback" not in written


def test_mined_false_alarms_are_a_packs_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--data", "SET", "--hard", "0.5"])
    assert "--hard goes with --pack, not with --data" in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["text", "empty", "cut off", "of something else"])
def test_a_damaged_checkpoint_is_told_and_kept(pack: Pack, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "checkpoint.pt"
    Training(pack, RECIPE).save_checkpoint(path)
    whole = path.read_bytes()
    if damage == "of something else":
        torch.save({"step": 3}, path)
    else:
        path.write_bytes({"text": b"nothing", "empty": b""}.get(damage, whole[: len(whole) // 2]))
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"not a (readable )?checkpoint"):
        Training(pack, RECIPE).resume(path)
    assert path.read_bytes() == before


def test_the_last_steps_leave_the_running_statistics_alone(pack: Pack) -> None:
    training = Training(pack, replace(RECIPE, frozen_statistics=0.5))
    seen = []
    for _ in range(4):
        training.advance()
        seen.append(int(training.network.encoder1.bn.num_batches_tracked))
    assert seen == [1, 2, 2, 2]


def test_brain_floats_train_too(pack: Pack) -> None:
    exact, half = (Training(pack, replace(RECIPE, precision=p)) for p in ("fp32", "bf16"))
    assert half.advance() == pytest.approx(exact.advance(), rel=0.05)
    assert all(p.dtype == torch.float32 for p in half.network.parameters())


def test_a_training_may_start_from_weights_of_half_its_width(pack: Pack, tmp_path: Path) -> None:
    narrow = Training(pack, RECIPE)
    narrow.advance()
    narrow.save_weights(tmp_path / "narrow.safetensors")
    wide = Training(pack, replace(RECIPE, width=8))
    wide.finetune_from(tmp_path / "narrow.safetensors")
    x = torch.randn(1, 1, 32, 32)
    theirs = load_network(tmp_path / "narrow.safetensors")
    with torch.no_grad():
        torch.testing.assert_close(wide.average.eval()(x), theirs(x), rtol=1e-4, atol=1e-5)
    assert str(wide.weights().info.recipe["from"]).startswith("tiny, sha256 ")
    with pytest.raises(ValueError, match="expected the same or half of it"):
        Training(pack, replace(RECIPE, width=12)).finetune_from(tmp_path / "narrow.safetensors")


def test_pictures_are_normalised_as_the_weights_it_starts_from_are_used_to(
    pack: Pack, tmp_path: Path
) -> None:
    first = Training(replace(pack, mean=100.0, std=30.0), RECIPE)
    first.save_weights(tmp_path / "first.safetensors")
    on_their_own = Training(pack, RECIPE)
    for training in (again := Training(pack, RECIPE)), on_their_own:
        training.finetune_from(tmp_path / "first.safetensors")
    assert (again.weights().info.mean, again.weights().info.std) == (100.0, 30.0)
    on_their_own.normalisation = pack.mean, pack.std
    assert again.advance() != on_their_own.advance()
    again.save_checkpoint(tmp_path / "checkpoint.pt")
    resumed = Training(pack, RECIPE)
    resumed.resume(tmp_path / "checkpoint.pt")
    assert resumed.weights().info.mean == 100.0
    assert resumed.advance() == again.advance()


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
