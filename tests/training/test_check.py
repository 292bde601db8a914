"""``python -m model.training.data check``: what a set holds is said, and what is wrong with it."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from model.training.data.__main__ import main


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four pictures of two sizes for training, one of them empty, and one of 16 bit to test on."""
    made = tmp_path / "MINE"
    for kind in ("image", "mask"):
        (made / kind).mkdir(parents=True)
    for name, (height, width), areas in (
        ("a", (30, 40), (1, 2)),
        ("b", (30, 40), (12,)),
        ("c", (20, 64), ()),
        ("d", (30, 40), (30,)),
        ("e", (30, 40), (5,)),
    ):
        image, mask = np.full((height, width), 50, np.uint8), np.zeros((height, width), np.uint8)
        for row, area in enumerate(areas):
            mask[3 + 6 * row, 2 : 2 + area] = 255
        pixels = image.astype(np.uint16) * 257 if name == "e" else image
        cv2.imwrite(str(made / "image" / f"{name}.png"), pixels)
        cv2.imwrite(str(made / "mask" / f"{name}.png"), mask)
    (made / "train_MINE.txt").write_text("a\nb\nc\nd\n")
    (made / "test_MINE.txt").write_text("e\n")
    return made


def test_counts_sizes_and_areas_are_told(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sheet = tmp_path / "sheet.png"
    assert main(["check", str(folder), "--sheet", str(sheet)]) == 0
    train, test = capsys.readouterr().out.split("test: ")
    assert "train: pictures 4 (4 of 8 bit), targets 4, pictures without a target 1" in train
    assert "size: 40x30 to 64x20 px by width, 2 different, most often 40x30 (3)" in train
    assert "mean 50.00, deviation 1.00" in train
    assert "area of targets: 1 to 30 px, median 7" in train
    histogram = [line.split()[-2] for line in train.splitlines() if "#" in line]
    assert histogram == ["2", "1", "1"]
    assert test.startswith("pictures 1 (1 of 16 bit), targets 1, pictures without a target 0")
    picture = cv2.imread(str(sheet))
    rings = (np.abs(picture.astype(int) - (0, 165, 255)) < 60).all(axis=2)
    assert rings.any()


def test_everything_that_is_wrong_is_listed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "mask/b.png").unlink()
    (folder / "test_MINE.txt").write_text("e\na\n")
    assert main(["check", str(folder)]) == 1
    told = capsys.readouterr()
    assert "train: pictures 2 " in told.out
    assert told.err.splitlines() == ["wrong: a is in both splits", "wrong: b has no mask"]


def test_a_set_without_a_test_split_is_sound(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "test_MINE.txt").unlink()
    assert main(["check", str(folder)]) == 0
    assert "test: not there, no list test_MINE.txt" in capsys.readouterr().out


def test_what_is_no_set_is_said_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(tmp_path)]) == 1
    assert capsys.readouterr().err.count("\n") == 1
