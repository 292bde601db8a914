"""Weights that are shipped differ from those that were trained by what they say of themselves."""

from pathlib import Path

import pytest
import torch

from model.checkpoint import NetworkInfo, file_sha256, load_network, save_network
from model.mpcnet import MPCNet
from model.training.release import main


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    info = NetworkInfo("run", 4, 100.0, 30.0, 128, 0.5, {"seed": 7})
    save_network(tmp_path / "run.safetensors", MPCNet(4), info)
    return tmp_path / "run.safetensors"


def test_name_and_threshold_travel_and_nothing_else_changes(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shipped = tmp_path / "weights" / "mine.safetensors"
    arguments = ["--weights", str(trained), "--output", str(shipped), "--threshold", "0.7"]
    arguments += ["--picture-size", "256"]
    assert main(arguments) == 0
    assert file_sha256(shipped) in capsys.readouterr().out
    before, after = load_network(trained), load_network(shipped)
    assert (after.info.name, after.info.threshold) == ("mine", 0.7)
    assert (after.info.mean, after.info.picture_size) == (100.0, 256)
    assert after.info.recipe == {"seed": 7}
    for key, value in before.state_dict().items():
        assert torch.equal(value, after.state_dict()[key]), key


def test_of_several_weights_the_mean_is_written(trained: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    other = tmp_path / "other.safetensors"
    info = NetworkInfo("other", 4, 100.0, 30.0, 128, 0.5, {"seed": 8, "name": "as trained"})
    save_network(other, MPCNet(4), info)
    shipped = tmp_path / "mean.safetensors"
    assert main(["--weights", str(trained), str(other), "--output", str(shipped)]) == 0
    states = [load_network(path).state_dict() for path in (trained, other, shipped)]
    for key, value in states[2].items():
        expected = (states[0][key].double() + states[1][key].double()) / 2
        torch.testing.assert_close(value.double(), expected, rtol=2e-3, atol=1e-3)
    told = load_network(shipped).info.recipe["mean_of"]
    assert [(each["name"], each["seed"]) for each in told] == [("run", 7), ("other", 8)]
    assert [each["sha256"] for each in told] == [file_sha256(trained), file_sha256(other)]


def test_weights_that_want_other_pictures_have_no_mean(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.safetensors"
    save_network(other, MPCNet(4), NetworkInfo("other", 4, 90.0, 30.0, 128, 0.5))
    shipped = tmp_path / "mean.safetensors"
    assert main(["--weights", str(trained), str(other), "--output", str(shipped)]) == 1
    assert "has mean 90" in capsys.readouterr().err
    assert not shipped.exists()


def test_the_probability_that_was_chosen_becomes_one_half(trained: Path, tmp_path: Path) -> None:
    shipped = tmp_path / "mine.safetensors"
    arguments = ["--weights", str(trained), "--output", str(shipped), "--recentre", "0.9"]
    assert main(arguments) == 0
    before, after = load_network(trained), load_network(shipped)
    assert (after.info.threshold, after.info.recipe["recentred"]) == (0.5, 0.9)
    x = torch.randn(1, 1, 32, 32)
    with torch.no_grad():
        for old, new in zip(before(x, all_heads=True), after(x, all_heads=True), strict=True):
            torch.testing.assert_close(new, old / (old + 9 * (1 - old)))


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (["--threshold", "1.5"], "threshold must lie between 0 and 1"),
        (["--output", "mine.bin"], "expected NAME.safetensors"),
        (["--weights", "none"], "no weights named"),
        (["--recentre", "1"], "1 cannot become 0.5"),
    ],
)
def test_mistakes_are_told_and_write_nothing(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], changed: list[str], told: str
) -> None:
    shipped = tmp_path / "mine.safetensors"
    assert main(["--weights", str(trained), "--output", str(shipped), *changed]) == 1
    assert told in capsys.readouterr().err
    assert not shipped.exists()
