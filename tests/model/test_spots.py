"""Bright spots are where targets are, and depend on the picture alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.schema import SyntheticSettings
from model.spots import BrightSpots
from streamer.scene import Scene


def noise(seed: int = 0, sigma: float = 3.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(90, sigma, (200, 310)).astype(np.uint8)


@pytest.mark.parametrize("depth", [8, 14])
def test_most_targets_of_the_scene_are_among_its_brightest_spots(depth: int) -> None:
    scene = Scene(SyntheticSettings(snr=12, targets=4, bit_depth=depth))
    gain = 1.0 if depth == 8 else 1 / 8
    found = targets = 0
    for k in range(0, 200, 20):
        frame = scene.render(k)
        spots = BrightSpots(3.0).find(frame.image, gain, most=6)
        for xy in frame.truth.xy[frame.truth.visible]:
            targets += 1
            found += bool(len(spots) and np.abs(spots - xy).max(axis=1).min() <= 2)
    assert targets >= 30
    assert found >= 0.7 * targets


def test_a_stuck_pixel_is_no_bright_spot() -> None:
    image = noise()
    image[100, 100] = 255
    image[60:62, 200:202] = 130
    spots = BrightSpots(3.0).find(image, 1.0, most=1)
    assert spots.tolist() == [[pytest.approx(200.5, abs=1), pytest.approx(60.5, abs=1)]]


def test_a_plain_noisy_sky_has_no_bright_spots() -> None:
    assert len(BrightSpots(4.0).find(noise(3), 1.0, most=50)) <= 2


@given(seed=st.integers(0, 50), gain=st.floats(0.01, 10), most=st.integers(0, 5))
def test_spots_lie_in_the_picture_and_are_at_most_so_many(
    seed: int, gain: float, most: int
) -> None:
    image = np.random.default_rng(seed).integers(0, 65536, (70, 90)).astype(np.uint16)
    spots = BrightSpots(1.0).find(image, gain, most)
    assert spots.shape[1] == 2 and len(spots) <= most
    assert ((spots >= 0) & (spots < (90, 70))).all()


def test_pictures_seen_before_change_nothing() -> None:
    pictures = [noise(k, sigma=15.0) for k in range(3)]
    pictures.insert(1, pictures[0][:90, :200])
    pictures.insert(3, pictures[0].astype(np.uint16) * 4)
    used = BrightSpots(2.0)
    for picture in pictures:
        expected = BrightSpots(2.0).find(picture, 1.0, most=40)
        assert len(expected) > 5
        assert used.find(picture, 1.0, most=40).tolist() == expected.tolist()
