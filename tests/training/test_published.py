"""Data sets on disk: layouts, kinds of pictures, splits, and everything that can be wrong."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from model.checkpoint import NUAA_SIRST_MEAN, NUAA_SIRST_STD
from model.training.data.noise import Noise
from model.training.data.published import PUBLISHED_NORMALISATION, DatasetError, Sample, open_set

GREY = np.arange(20 * 12, dtype=np.uint8).reshape(12, 20)


def write(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture)


def square(top: int = 255, dtype: type = np.uint8) -> np.ndarray:
    mask = np.zeros((12, 20), dtype)
    mask[4:6, 7:10] = top
    return mask


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A set in the published layout: a, b and c for training, d and e for testing."""
    made = tmp_path / "SETS" / "TINY"
    for name in "abcde":
        write(made / "image" / f"{name}.png", GREY)
        write(made / "mask" / f"{name}.png", square())
    (made / "train_TINY.txt").write_text("a\nb\nc\n")
    (made / "test_TINY.txt").write_text("d\ne\n")
    return made


def names(folder: Path, split: str, **options: object) -> list[str]:
    return [sample.name for sample in open_set(folder, split, **options)]  # type: ignore[arg-type]


class TestSplits:
    def test_the_published_layout(self, folder: Path) -> None:
        pictures = open_set(folder, "train")
        assert (pictures.name, len(pictures), pictures.problems) == ("TINY", 3, ())
        assert [sample.name for sample in pictures] == ["a", "b", "c"]
        assert np.array_equal(pictures[1].image, GREY)
        assert np.array_equal(pictures[1].truth, square() > 0)
        assert names(folder, "test") == ["d", "e"]

    def test_the_layout_with_img_idx(self, folder: Path) -> None:
        (folder / "image").rename(folder / "images")
        (folder / "mask").rename(folder / "masks")
        (folder / "img_idx").mkdir()
        for split in ("train", "test"):
            (folder / f"{split}_TINY.txt").rename(folder / "img_idx" / f"{split}_TINY.txt")
        assert names(folder, "train") == ["a", "b", "c"]

    def test_a_folder_of_another_name_than_its_lists(self, folder: Path) -> None:
        moved = folder.rename(folder.with_name("copy"))
        assert names(moved, "test") == ["d", "e"]

    def test_a_list_of_ones_own(self, folder: Path, tmp_path: Path) -> None:
        own = tmp_path / "own.txt"
        own.write_text("\ufeff# a comment\n\n  c.png  \nd # from the other split\r\n")
        assert names(folder, str(own)) == ["c", "d"]
        (folder / "val_TINY.txt").write_text("b\n")
        assert names(folder, "val") == ["b"]

    def test_a_limit(self, folder: Path) -> None:
        (folder / "mask" / "c.png").unlink()
        assert names(folder, "train", limit=2) == ["a", "b"]


class TestPictures:
    @pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".tiff", ".PNG"])
    def test_kinds_of_files(self, folder: Path, suffix: str) -> None:
        for kind in ("image", "mask"):
            for path in (folder / kind).glob("a.*"):
                path.unlink()
        write(folder / "image" / f"a{suffix}", GREY)
        write(folder / "mask" / f"a{suffix}", square())
        sample = open_set(folder, "train")[0]
        assert np.array_equal(sample.image, GREY)
        assert sample.truth.sum() == 6

    def test_jpeg_whose_empty_mask_is_not_quite_empty(self, folder: Path) -> None:
        (folder / "image" / "a.png").unlink()
        (folder / "mask" / "a.png").unlink()
        write(folder / "image" / "a.jpg", GREY)
        write(folder / "mask" / "a.jpeg", np.random.default_rng(0).integers(0, 4, (12, 20)))
        sample = open_set(folder, "train")[0]
        assert np.abs(sample.image.astype(int) - GREY).mean() < 20
        assert not sample.truth.any()

    def test_colours_and_transparency(self, folder: Path) -> None:
        write(folder / "image" / "a.png", np.stack([GREY] * 3, axis=2))
        clear = np.zeros_like(GREY)
        write(folder / "image" / "b.png", np.stack([GREY, GREY, GREY, clear], axis=2))
        write(folder / "image" / "c.png", np.full((12, 20, 3), (0, 0, 200), np.uint8))
        write(folder / "mask" / "c.png", np.stack([square()] * 3, axis=2))
        pictures = open_set(folder, "train")
        assert np.array_equal(pictures[0].image, GREY)
        assert np.array_equal(pictures[1].image, GREY)
        assert (pictures[2].image == round(0.299 * 200)).all()
        assert pictures[2].truth.sum() == 6

    def test_16_bit_is_scaled_to_8(self, folder: Path) -> None:
        write(folder / "image" / "a.png", GREY.astype(np.uint16) * 257)
        sample = open_set(folder, "train")[0]
        assert sample.image.dtype == np.uint16
        assert sample.image * sample.gain == pytest.approx(GREY)
        assert open_set(folder, "train")[1].gain == 1

    @pytest.mark.parametrize(
        "mask",
        [square(1), square(255), square(2), square(65535, np.uint16), square(4095, np.uint16)],
    )
    def test_masks_of_any_scale(self, folder: Path, mask: np.ndarray) -> None:
        write(folder / "mask" / "a.png", mask)
        assert np.array_equal(open_set(folder, "train")[0].truth, square() > 0)

    def test_a_mask_counts_above_half(self, folder: Path) -> None:
        mask = square()
        mask[0, :3] = 127, 128, 255
        write(folder / "mask" / "a.png", mask)
        assert open_set(folder, "train")[0].truth[0, :4].tolist() == [False, True, True, False]

    def test_an_empty_mask(self, folder: Path) -> None:
        write(folder / "mask" / "a.png", square(0))
        assert not open_set(folder, "train")[0].truth.any()


class TestProblems:
    def break_it(self, folder: Path) -> list[str]:
        for name in "fghij":
            write(folder / "image" / f"{name}.png", GREY)
            write(folder / "mask" / f"{name}.png", square())
        write(folder / "mask" / "b.png", square()[:, :10])
        (folder / "image" / "c.png").unlink()
        (folder / "mask" / "f.png").unlink()
        (folder / "image" / "g.png").write_bytes(b"no picture")
        (folder / "mask" / "h.png").write_bytes(b"")
        (folder / "image" / "i.png").unlink()
        write(folder / "image" / "i.tif", GREY.astype(np.float32))
        (folder / "train_TINY.txt").write_text("\n".join("abcdefghijkjj"))
        return [
            "j is listed 3 times",
            "b's mask is 10x12 and its image 20x12",
            "c has no image",
            "d is in both splits",
            "e is in both splits",
            "f has no mask",
            "g is damaged or no picture",
            "h's mask is damaged or no picture",
            "i has pixels of float32, and 8 and 16 bit are read",
            "k has no image and no mask",
        ]

    def test_all_are_found_before_anything_runs(self, folder: Path) -> None:
        expected = self.break_it(folder)
        with pytest.raises(DatasetError) as caught:
            open_set(folder, "train")
        assert list(caught.value.problems) == expected
        assert str(caught.value) == f"{folder}: {'; '.join(expected)}"

    def test_they_can_be_left_out(self, folder: Path) -> None:
        expected = self.break_it(folder)
        pictures = open_set(folder, "train", skip_bad=True)
        assert [sample.name for sample in pictures] == ["a", "j"]
        assert list(pictures.problems) == expected

    def test_a_long_list_of_them_stays_readable(self, folder: Path) -> None:
        (folder / "train_TINY.txt").write_text("\n".join(f"x{n}" for n in range(50)))
        with pytest.raises(DatasetError, match=r"x19 has no image and no mask; and 30 more$"):
            open_set(folder, "train")

    def test_nothing_is_left(self, folder: Path) -> None:
        (folder / "train_TINY.txt").write_text("x\n")
        with pytest.raises(DatasetError, match="train has no picture that can be used; x has no"):
            open_set(folder, "train", skip_bad=True)
        (folder / "train_TINY.txt").write_text("# nothing\n")
        with pytest.raises(DatasetError, match="train has no picture that can be used"):
            open_set(folder, "train")

    def test_a_picture_that_goes_away_later(self, folder: Path) -> None:
        pictures = open_set(folder, "train")
        (folder / "image" / "b.png").unlink()
        with pytest.raises(DatasetError, match="b cannot be read: no such file"):
            list(pictures)

    def test_no_such_set_list_or_folder(self, folder: Path, tmp_path: Path) -> None:
        with pytest.raises(DatasetError, match="no such folder"):
            open_set(tmp_path / "nowhere", "train")
        with pytest.raises(DatasetError, match=r"no list val_TINY\.txt, no file val"):
            open_set(folder, "val")
        (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
        with pytest.raises(DatasetError, match="not a readable list"):
            open_set(folder, str(tmp_path / "binary.txt"))
        (folder / "mask").rename(folder / "labels")
        with pytest.raises(DatasetError, match="no folder mask or masks"):
            open_set(folder, "train")


class TestNoise:
    def sample(self, name: str = "a", grey: int = 100) -> Sample:
        return Sample(name, np.full((100, 100), grey, np.uint8), np.zeros((100, 100), np.bool_))

    def test_it_is_the_same_every_time_and_another_for_another_picture(self) -> None:
        noise = Noise("gaussian", 10)
        first = noise(self.sample())
        assert np.array_equal(first.image, noise(self.sample()).image)
        assert not np.array_equal(first.image, noise(self.sample("b")).image)
        assert (self.sample().image == 100).all()

    def test_amounts(self) -> None:
        seen = Noise("gaussian", 10)(self.sample()).image.astype(float)
        assert (seen.mean(), seen.std()) == (
            pytest.approx(100, abs=0.5),
            pytest.approx(10, abs=0.3),
        )
        seen = Noise("speckle", 0.04)(self.sample()).image.astype(float)
        assert (seen.mean(), seen.std()) == (pytest.approx(100, abs=1), pytest.approx(20, abs=0.6))
        seen = Noise("salt-pepper", 0.1)(self.sample()).image
        assert np.mean(seen == 0) == pytest.approx(0.05, abs=0.01)
        assert np.mean(seen == 255) == pytest.approx(0.05, abs=0.01)

    def test_levels_are_of_8_bit_in_16_bit_pictures_too(self) -> None:
        deep = Sample("a", np.full((100, 100), 25700, np.uint16), np.zeros((100, 100), np.bool_))
        noisy = Noise("gaussian", 10)(deep)
        assert noisy.image.dtype == np.uint16
        assert (noisy.image * noisy.gain).std() == pytest.approx(10, abs=0.3)

    def test_it_is_clipped(self) -> None:
        assert Noise("gaussian", 50)(self.sample(grey=250)).image.max() == 255

    @pytest.mark.parametrize(
        ("kind", "amount"),
        [("fog", 1), ("gaussian", 0), ("gaussian", float("nan")), ("salt-pepper", 1.5)],
    )
    def test_what_there_is_not(self, kind: str, amount: float) -> None:
        with pytest.raises(ValueError, match="noise"):
            Noise(kind, amount)


def test_the_published_constants() -> None:
    known = PUBLISHED_NORMALISATION
    assert set(known) == {"NUAA-SIRST", "NUDT-SIRST", "IRSTD-1K"}
    assert (known["NUAA-SIRST"].mean, known["NUAA-SIRST"].std) == (NUAA_SIRST_MEAN, NUAA_SIRST_STD)
    assert (known["IRSTD-1K"].mean, known["IRSTD-1K"].std) == (87.4661865234375, 39.71953201293945)


def test_the_set_beside_the_checkout(shared_dir: Path) -> None:
    folder = shared_dir / "data" / "NUAA-SIRST"
    if not folder.is_dir():
        pytest.skip("needs NUAA-SIRST in the folder 'shared'")
    lists = Path(__file__).resolve().parents[2] / "model" / "training" / "splits"
    pictures = open_set(folder, str(lists / "NUAA-SIRST.val.txt"))
    assert len(pictures) == 43
    assert all(sample.image.dtype == np.uint8 and sample.truth.any() for sample in pictures)
