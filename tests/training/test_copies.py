"""Targets that are copied into other pictures look there as they did, and are labelled so."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.training.data.copies import Copies, TargetBank
from model.training.data.crops import CropSampler, CropSettings
from model.training.data.packs import BACKGROUND, FLOCK, IGNORE, TARGET, Pack

CPU = torch.device("cpu")
KINDS = ("clip", FLOCK)
SIZE = 64


def bar(height: int, width: int, *, contrast: float = 90.0) -> tuple[np.ndarray, np.ndarray]:
    """A hot bar in the middle of a picture of 80x100 px at 60 grey levels, and its label."""
    label = np.zeros((80, 100), np.uint8)
    label[40 - height // 2 : 40 - height // 2 + height, 50 - width // 2 :][:, :width] = TARGET
    return (60 + contrast * (label == TARGET)).astype(np.uint8), label


def bank_of(*pictures: tuple[np.ndarray, np.ndarray], kind: str = "clip") -> TargetBank:
    pack = Pack(
        [each[0] for each in pictures], [each[1] for each in pictures], [kind] * len(pictures),
        mean=0.0, std=1.0,
    )  # fmt: skip
    return TargetBank(pack, KINDS, CPU)


def copies(
    matrix: np.ndarray | None = None, gain: float = 1.0, centre: tuple[float, float] = (31.0, 40.0)
) -> Copies:
    turn = np.eye(2) if matrix is None else matrix
    one = np.zeros(1, np.int64)
    return Copies(one, one, np.array([centre]), turn[None], np.array([gain]))


def field(level: float = 120.0, noise: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(1)
    picture = (
        level + rng.normal(0, noise, (1, SIZE, SIZE)) if noise else np.full((1, SIZE, SIZE), level)
    )
    return torch.from_numpy(picture.astype(np.float32)), torch.zeros(1, SIZE, SIZE).byte()


def test_a_copy_rises_as_much_above_its_new_surround() -> None:
    pictures, labels = field()
    bank_of(bar(5, 15)).paste(pictures, labels, copies())
    target = labels[0] == TARGET
    assert int(target.sum()) == pytest.approx(75, abs=8)
    rows, columns = (where.numpy() for where in torch.nonzero(target, as_tuple=True))
    assert (rows.mean(), columns.mean()) == pytest.approx((31, 40), abs=1)
    assert np.ptp(columns) > 2 * np.ptp(rows)
    assert float(pictures[0][31, 40]) == pytest.approx(210, abs=2)
    far = torch.ones_like(target)
    far[20:43, 25:56] = False
    assert bool((pictures[0][far] == 120).all())


def test_a_copy_may_be_dimmer_and_lie_across() -> None:
    pictures, labels = field()
    quarter_turn = np.array([[0.0, -1.0], [1.0, 0.0]])
    bank_of(bar(5, 15)).paste(pictures, labels, copies(quarter_turn, gain=0.5))
    rows, columns = torch.nonzero(labels[0] == TARGET, as_tuple=True)
    assert np.ptp(rows.numpy()) > 2 * np.ptp(columns.numpy())
    assert float(pictures[0][31, 40]) == pytest.approx(165, abs=2)


@given(zoom=st.floats(0.5, 2.0), angle=st.floats(-math.pi, math.pi))
@settings(max_examples=30)
def test_labels_grow_with_the_zoom(zoom: float, angle: float) -> None:
    pictures, labels = field()
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    bank_of(bar(9, 15)).paste(pictures, labels, copies(turn / zoom))
    assert int((labels == TARGET).sum()) == pytest.approx(135 * zoom**2, rel=0.25)


@pytest.mark.parametrize("there", [TARGET, IGNORE])
def test_nothing_is_copied_over_what_is_labelled(there: int) -> None:
    pictures, labels = field()
    labels[0, 33, 44] = there
    before, known = pictures.clone(), labels.clone()
    bank_of(bar(5, 15)).paste(pictures, labels, copies())
    assert torch.equal(pictures, before)
    assert torch.equal(labels, known)


def test_a_copy_that_would_not_stand_out_is_made_brighter_or_not_at_all() -> None:
    bank = bank_of(bar(5, 15))
    pictures, labels = field(noise=5)
    bank.paste(pictures, labels, copies(gain=0.1))
    above = float(pictures[0][labels[0] == TARGET].mean()) - 120
    assert 18 < above < 90  # not a tenth of 90 levels: six times the noise
    pictures, labels = field(noise=40)
    before = pictures.clone()
    bank.paste(pictures, labels, copies(gain=0.1))
    assert torch.equal(pictures, before)
    assert not bool((labels == TARGET).any())


def test_only_targets_that_stand_alone_and_are_small_enough_are_taken() -> None:
    crowded, label = bar(5, 15)
    label[40, 60] = IGNORE
    with pytest.raises(ValueError, match="no target of clip, flock that can be copied"):
        bank_of((crowded, label), bar(5, 50))
    with pytest.raises(ValueError, match="can be copied"):
        bank_of(bar(5, 15), kind="scene")
    assert len(bank_of(bar(5, 15), (crowded, label), bar(3, 3))) == 2


def test_targets_at_the_rim_are_taken_without_what_nobody_saw() -> None:
    picture, label = bar(5, 15)
    with pytest.raises(ValueError, match="can be copied"):
        bank_of((picture[:, 45:], label[:, 45:]))


def test_as_many_crops_as_asked_get_a_copy_the_same_for_the_same_generator() -> None:
    picture, label = bar(5, 9)
    empty = np.full_like(picture, 60)
    pack = Pack(
        [empty, picture], [np.zeros_like(label), label], ["background", "clip"], mean=0.0, std=1.0
    )
    share = (("background", 1.0),)
    sampler = CropSampler(pack, CropSettings(sizes=(SIZE,), share=share, pasted=0.0, copied=0.5))
    _, labels = sampler.batch(200, np.random.default_rng(0))
    shown = (labels == TARGET).any(dim=3).any(dim=2).any(dim=1)
    assert float(shown.float().mean()) == pytest.approx(0.5, abs=0.12)
    assert set(labels.unique().tolist()) == {BACKGROUND, TARGET}
    _, again = sampler.batch(200, np.random.default_rng(0))
    assert torch.equal(labels, again)


def test_a_set_s_own_targets_are_copied_whatever_its_name() -> None:
    picture, label = bar(5, 9)
    pack = Pack([picture], [label], ["IRSTD-1K"], mean=0.0, std=1.0)
    settings = CropSettings(sizes=(SIZE,), share=(("IRSTD-1K", 1.0),), pasted=0.0, copied=1.0)
    _, labels = CropSampler(pack, settings).batch(20, np.random.default_rng(0))
    assert int((labels == TARGET).sum(dim=(1, 2, 3)).max()) > 45


def test_near_targets_which_are_rare_are_shown_often_and_white() -> None:
    bank = bank_of(*[bar(3, 4) for _ in range(60)], bar(12, 30))
    rng = np.random.default_rng(2)
    drawn = bank.drawn(np.arange(4000), SIZE, rng)
    near = drawn.target == 60
    assert 0.2 < near.mean() < 0.3
    assert np.median(drawn.gain[near]) > 0.9 > np.median(drawn.gain[~near])

    pictures, labels = field()
    bank.paste(pictures, labels, copies(gain=3.0))
    assert 250 < float(pictures.max()) <= 255
