"""Crops show what the pack holds, turned and changed alike in picture and label."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from model.training.data import augment
from model.training.data.augment import (
    PointTargets,
    SensorChange,
    Warps,
    change_sensor,
    paste_targets,
    warp,
)
from model.training.data.crops import CropSampler, CropSettings
from model.training.data.packs import BACKGROUND, IGNORE, TARGET, Pack

PLAIN = CropSettings(sizes=(32,), share=(("clip", 1.0),), pasted=0.0)
ZOOM = CropSettings().zoom


def pack_of(*shapes: tuple[int, int], seed: int = 0) -> Pack:
    rng = np.random.default_rng(seed)
    images = [rng.integers(0, 256, shape).astype(np.uint8) for shape in shapes]
    labels = [(rng.random(shape) < 0.02).astype(np.uint8) * TARGET for shape in shapes]
    return Pack(images, labels, ["clip"] * len(shapes), mean=0.0, std=1.0)


@pytest.fixture
def unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    def drawn(count: int, rng: np.random.Generator) -> SensorChange:
        return SensorChange(np.ones(count), np.zeros(count), np.zeros(count))

    monkeypatch.setattr(augment.SensorChange, "drawn", drawn)


def turned(array: np.ndarray) -> list[np.ndarray]:
    """All eight ways that a square can lie."""
    return [
        np.rot90(each, quarter) for each, quarter in itertools.product((array, array.T), range(4))
    ]


@pytest.mark.usefixtures("unchanged")
def test_a_crop_is_a_part_of_a_picture_and_its_label_the_same_part() -> None:
    pack = pack_of((40, 57), (33, 36))
    pictures, labels = CropSampler(pack, PLAIN).batch(40, np.random.default_rng(1))
    ways = set()
    for picture, label in zip(pictures[:, 0].numpy(), labels[:, 0].numpy(), strict=True):
        found = [
            way
            for image, truth in zip(pack.images, pack.labels, strict=True)
            for top, left in itertools.product(range(len(image) - 31), range(image.shape[1] - 31))
            for way, (part, known) in enumerate(
                zip(
                    turned(image[top : top + 32, left : left + 32]),
                    turned(truth[top : top + 32, left : left + 32]),
                    strict=True,
                )
            )
            if np.array_equal(part, picture) and np.array_equal(known, label)
        ]
        assert len(found) == 1
        ways.add(found[0])
    assert ways == set(range(8))


@pytest.mark.usefixtures("unchanged")
@given(
    height=st.integers(1, 70), width=st.integers(1, 70), size=st.sampled_from([32, 64]),
    seed=st.integers(0, 99),
)  # fmt: skip
@settings(max_examples=60)
def test_beyond_its_end_a_picture_is_mirrored_and_ignored(
    height: int, width: int, size: int, seed: int
) -> None:
    pack = pack_of((height, width), seed=seed)
    plain = CropSettings(sizes=(size,), share=(("clip", 1.0),), pasted=0.0)
    pictures, labels = CropSampler(pack, plain).batch(3, np.random.default_rng(seed))
    lacking = ((0, max(0, size - height)), (0, max(0, size - width)))
    mirrored = np.pad(pack.images[0], lacking, mode="reflect")
    known = np.pad(pack.labels[0], lacking, constant_values=IGNORE)
    for picture, label in zip(pictures[:, 0].numpy(), labels[:, 0].numpy(), strict=True):
        assert (label != IGNORE).sum() == min(height, size) * min(width, size)
        assert any(
            np.array_equal(way[:size, :size], picture)
            and np.array_equal(truth[:size, :size], label)
            for top in range(len(mirrored) - size + 1)
            for left in range(mirrored.shape[1] - size + 1)
            for way, truth in zip(
                turned(mirrored[top : top + size, left : left + size]),
                turned(known[top : top + size, left : left + size]),
                strict=True,
            )
        )


def test_the_same_generator_draws_the_same_batch_and_another_another() -> None:
    sampler = CropSampler(pack_of((60, 80)), CropSettings(share=(("clip", 1.0),), pasted=1.0))
    first, again, other = (sampler.batch(4, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert first[0].shape != other[0].shape or not torch.equal(first[0], other[0])


def test_batches_are_of_every_size_and_of_about_as_many_pixels() -> None:
    sampler = CropSampler(
        pack_of((90, 90)), CropSettings(sizes=(32, 48, 80), share=(("clip", 1.0),))
    )
    rng = np.random.default_rng(0)
    shapes = {tuple(sampler.batch(4, rng)[0].shape) for _ in range(30)}
    assert shapes == {(9, 1, 32, 32), (4, 1, 48, 48), (1, 1, 80, 80)}


@pytest.mark.parametrize("sizes", [(), (16,), (64, 100), (96, 64)])
def test_sides_that_no_network_can_be_trained_on_are_refused(sizes: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected multiples of 8"):
        CropSettings(sizes=sizes)


@pytest.mark.parametrize("share", [30.0, -0.1, float("nan")])
@pytest.mark.parametrize("name", ["warped", "pasted", "centred", "hard"])
def test_shares_that_are_none_are_refused(name: str, share: float) -> None:
    with pytest.raises(ValueError, match=f"share of {name} crops is .*, expected 0 to 1"):
        CropSettings(**{name: share})  # type: ignore[arg-type]


@pytest.mark.parametrize("zoom", [(0.0, 1.0), (2.0, 1.0), (1.0, math.inf), (math.nan, 1.0)])
def test_zooms_that_are_none_are_refused(zoom: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="expected a number above 0 and one that is not smaller"):
        CropSettings(zoom=zoom)


def test_a_pack_without_what_the_crops_shall_show_is_refused() -> None:
    with pytest.raises(ValueError, match="holds none of"):
        CropSampler(pack_of((40, 40)), CropSettings(share=(("scene", 1.0),)))


def test_another_sensor_has_another_contrast_brightness_and_noise() -> None:
    pictures = torch.from_numpy(np.random.default_rng(0).normal(90, 10, (3, 64, 64))).float()
    before = pictures.clone()
    change = SensorChange(
        np.array([2.0, 1.0, 0.5]), np.array([0.0, 30.0, 0.0]), np.array([0, 0, 6.0])
    )
    change_sensor(pictures, change, torch.Generator().manual_seed(0))
    mean = before.mean(dim=(1, 2), keepdim=True)
    torch.testing.assert_close(pictures[0], mean[0] + 2 * (before[0] - mean[0]))
    torch.testing.assert_close(pictures[1], before[1] + 30)
    added = pictures[2] - (mean[2] + 0.5 * (before[2] - mean[2]))
    assert float(added.std()) == pytest.approx(6, rel=0.05)
    assert float(added.mean()) == pytest.approx(0, abs=0.3)


class TestWarping:
    """Two crops of 48 px with a disc of 6 px around row 20, column 28, the second one warped."""

    def scene(self) -> tuple[torch.Tensor, torch.Tensor]:
        rows, columns = np.mgrid[:48, :48]
        disc = np.hypot(rows - 20, columns - 28) < 6
        pictures = np.stack([60 + 100 * disc + rows / 4] * 2).astype(np.float32)
        return torch.from_numpy(pictures), torch.from_numpy(np.stack([disc * TARGET] * 2)).byte()

    def warped(self, matrix: np.ndarray, pivot: tuple[float, float]) -> tuple[np.ndarray, ...]:
        pictures, labels = self.scene()
        untouched, known = pictures[0].clone(), labels[0].clone()
        warp(pictures, labels, Warps(np.array([1]), matrix[None], np.array([pivot])))
        assert torch.equal(pictures[0], untouched)
        assert torch.equal(labels[0], known)
        return untouched.numpy(), known.numpy(), pictures[1].numpy(), labels[1].numpy()

    def test_a_quarter_turn_about_the_middle_is_what_numpy_calls_one(self) -> None:
        picture, label, turned_picture, turned_label = self.warped(
            np.array([[0.0, -1.0], [1.0, 0.0]]), (23.5, 23.5)
        )
        np.testing.assert_allclose(turned_picture, np.rot90(picture), atol=1e-2)
        assert np.array_equal(turned_label, np.rot90(label))

    @given(seed=st.integers(0, 999))
    @settings(max_examples=40)
    def test_the_pivot_stays_and_areas_grow_as_asked(self, seed: int) -> None:
        drawn = Warps.drawn(
            np.array([1]), np.array([[20.0, 28.0]]), ZOOM, np.random.default_rng(seed)
        )
        picture, label, warped_picture, warped_label = self.warped(drawn.matrix[0], (20.0, 28.0))
        assert warped_label[20, 28] == TARGET
        assert warped_picture[20, 28] == pytest.approx(picture[20, 28], abs=0.1)
        inside = warped_label != IGNORE
        grown = (label == TARGET).sum() / np.linalg.det(drawn.matrix[0])
        assert (warped_label == TARGET).sum() == pytest.approx(grown, rel=0.12)
        # Where it is labelled there is the disc, and nowhere else.
        assert warped_picture[warped_label == TARGET].min() > 105
        assert warped_picture[inside & (warped_label == BACKGROUND)].max() < 130

    @given(zoom=st.tuples(st.floats(0.2, 5), st.floats(1, 4)), seed=st.integers(0, 999))
    @settings(max_examples=40)
    def test_crops_are_magnified_as_much_as_asked(
        self, zoom: tuple[float, float], seed: int
    ) -> None:
        least, more = zoom
        drawn = Warps.drawn(
            np.arange(20), np.zeros((20, 2)), (least, least * more), np.random.default_rng(seed)
        )
        magnified = 1 / np.sqrt(np.linalg.det(drawn.matrix))
        assert (magnified >= least * (1 - 1e-9)).all()
        assert (magnified <= least * more * (1 + 1e-9)).all()

    def test_what_no_camera_saw_is_ignored_and_so_is_what_was(self) -> None:
        half = np.eye(2) * 2.0  # twice as far away: half the picture is made up
        _, _, _, label = self.warped(half, (23.5, 23.5))
        seen = np.zeros((48, 48), bool)
        seen[12:36, 12:36] = True
        assert np.array_equal(label != IGNORE, seen)
        pictures, labels = self.scene()
        labels[1, :10] = IGNORE
        warp(pictures, labels, Warps(np.array([1]), np.eye(2)[None], np.array([[9.0, 9.0]])))
        assert bool((labels[1, :10] == IGNORE).all())
        assert bool((labels[1, 11:] != IGNORE).all())

    @given(
        row=st.integers(12, 20), column=st.integers(12, 20), seed=st.integers(0, 999),
    )  # fmt: skip
    @settings(max_examples=60)
    def test_a_target_of_one_pixel_keeps_its_label(self, row: int, column: int, seed: int) -> None:
        pictures, labels = torch.full((1, 33, 33), 50.0), torch.zeros(1, 33, 33).byte()
        pictures[0, row, column], labels[0, row, column] = 150.0, TARGET
        drawn = Warps.drawn(
            np.array([0]), np.array([[16.0, 16.0]]), ZOOM, np.random.default_rng(seed)
        )
        warp(pictures, labels, drawn)
        shown = pictures.masked_fill(labels == IGNORE, 0.0)  # a mirror image may be brighter
        brightest = np.unravel_index(int(shown.argmax()), (33, 33))
        assert labels[0][brightest] == TARGET
        assert 1 <= int((labels == TARGET).sum()) <= 8

    def test_crops_are_warped_by_their_share_around_what_they_show(self) -> None:
        spot = np.zeros((96, 96), np.uint8)
        spot[40:43, 50:53] = TARGET
        pack = Pack([spot * 100], [spot], ["clip"], mean=0.0, std=1.0)
        settings = CropSettings(
            sizes=(64,), share=(("clip", 1.0),), pasted=0.0, centred=1.0, warped=0.5
        )
        _, labels = CropSampler(pack, settings).batch(200, np.random.default_rng(0))
        areas = (labels[:, 0] == TARGET).sum(dim=(1, 2)).numpy()
        assert areas.min() > 0
        assert (areas == 9).mean() == pytest.approx(0.5, abs=0.12)


class TestPasting:
    """Two crops, of which the first gets a target of ten times what is around it."""

    targets = PointTargets(
        np.array([0]), np.array([[20.3, 30.6]]), np.array([1.2]), np.array([10.0])
    )

    def scene(self) -> tuple[torch.Tensor, torch.Tensor]:
        rng = np.random.default_rng(3)
        pictures = rng.normal(80, 4, (2, 64, 64)).astype(np.float32)
        return torch.from_numpy(pictures), torch.zeros(2, 64, 64, dtype=torch.uint8)

    def test_it_has_the_shape_place_and_strength_asked_for(self) -> None:
        pictures, labels = self.scene()
        before = pictures.clone()
        paste_targets(pictures, labels, self.targets)
        added = (pictures - before).numpy()
        around = before[0, 14:27, 25:38].numpy()
        noise = 1.4826 * np.median(np.abs(around - ndimage.median_filter(around, 3)))
        assert added[0].max() == pytest.approx(10 * max(noise, around.std() / 2, 1.5), rel=1e-3)
        assert np.unravel_index(added[0].argmax(), added[0].shape) == (20, 31)
        assert ndimage.center_of_mass(added[0]) == pytest.approx((20.3, 30.6), abs=0.01)
        rows = np.arange(64)[:, None]
        spread = (added[0] * (rows - 20.3) ** 2).sum() / added[0].sum()
        assert spread == pytest.approx(1.2**2 + 1 / 12, rel=0.02)  # of the PSF and of a pixel
        assert not added[1].any()
        assert (labels[0].numpy() == TARGET)[20, 31]
        assert 4 <= int((labels[0] == TARGET).sum()) <= 16

    @pytest.mark.parametrize("other", [TARGET, IGNORE])
    def test_nothing_is_pasted_over_what_is_no_background(self, other: int) -> None:
        pictures, labels = self.scene()
        labels[0, 26, 25] = other  # a corner of its window
        before, known = pictures.clone(), labels.clone()
        paste_targets(pictures, labels, self.targets)
        assert torch.equal(pictures, before)
        assert torch.equal(labels, known)

    def test_crops_get_up_to_three_by_their_share(self) -> None:
        blank = Pack(
            [np.full((96, 96), 80, np.uint8)],
            [np.full((96, 96), BACKGROUND, np.uint8)],
            ["clip"], mean=0.0, std=1.0,
        )  # fmt: skip
        settings = CropSettings(sizes=(96,), share=(("clip", 1.0),), pasted=0.5)
        _, labels = CropSampler(blank, settings).batch(200, np.random.default_rng(0))
        counts = [ndimage.label(label == TARGET)[1] for label in labels[:, 0].numpy()]
        assert set(counts) == {0, 1, 2, 3}
        assert counts.count(0) / len(counts) == pytest.approx(0.5, abs=0.1)
