"""A published set is trained on as it lies on the disk, normalised as published or by itself."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from model.checkpoint import load_network
from model.train import main
from model.training.data.packs import TARGET, pack_of
from model.training.data.published import PUBLISHED_NORMALISATION, open_set


def make_set(folder: Path, dtype: type = np.uint8) -> Path:
    """Five noisy pictures of 40x56 px with a target of 3x3 px each; e is the test split."""
    rng = np.random.default_rng(3)
    (folder / "image").mkdir(parents=True)
    (folder / "mask").mkdir()
    top = np.iinfo(dtype).max
    for number, name in enumerate("abcde"):
        image = rng.uniform(0.2, 0.3, (40, 56))
        mask = np.zeros((40, 56), np.uint8)
        mask[10 + number : 13 + number, 20:23] = 255
        image[mask > 0] = 0.8
        cv2.imwrite(str(folder / f"image/{name}.png"), (image * top).astype(dtype))
        cv2.imwrite(str(folder / f"mask/{name}.png"), mask)
    (folder / f"train_{folder.name}.txt").write_text("a\nb\nc\nd\n")
    (folder / f"test_{folder.name}.txt").write_text("e\n")
    return folder


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_set_of_ones_own_is_normalised_by_its_pixels(tmp_path: Path, dtype: type) -> None:
    pack = pack_of(open_set(make_set(tmp_path / "MINE", dtype), "train"))
    pixels = np.concatenate([image.ravel() for image in pack.images]).astype(float)
    assert (pack.mean, pack.std) == pytest.approx((pixels.mean(), pixels.std()))
    assert 60 < pack.mean < 70
    assert [(label == TARGET).sum() for label in pack.labels] == [9] * 4
    for image, label in zip(pack.images, pack.labels, strict=True):
        assert image[label == TARGET].min() > 190


def test_a_published_set_is_normalised_as_published(tmp_path: Path) -> None:
    pack = pack_of(open_set(make_set(tmp_path / "IRSTD-1K"), "train"))
    published = PUBLISHED_NORMALISATION["IRSTD-1K"]
    assert (pack.mean, pack.std) == (published.mean, published.std)


def test_the_command_trains_on_a_set_without_the_names_kept_for_validation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, kept = make_set(tmp_path / "MINE"), tmp_path / "kept.txt"
    kept.write_text("a\nc\n")
    arguments = ["--data", str(data), "--validate", str(kept), "--output", str(tmp_path / "out")]
    arguments += ["--width", "4", "--steps", "1", "--batch", "1", "--crop", "32", "--name", "tiny"]
    assert main(arguments) == 0
    weights = load_network(tmp_path / "out/tiny.safetensors")
    pack = pack_of(open_set(data, "train", leave_out=["a", "c"]))
    assert (len(pack.images), weights.info.mean) == (2, pytest.approx(pack.mean))
    assert "validation at step 1: IoU" in capsys.readouterr().err

    (data / "mask/b.png").unlink()
    assert main([*arguments[:5], str(tmp_path / "other"), *arguments[6:]]) == 1
    assert "b has no mask" in capsys.readouterr().err
