"""Intensity from every palette, range and polarity."""

import logging

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from streamer.intensity import PALETTES, IntensityConverter, palette_table
from streamer.types import Image


def scene(seed: int = 1) -> NDArray[np.uint8]:
    """(120, 160) uint8: clouds over the whole range and a few hot points."""
    rng = np.random.default_rng(seed)
    clouds = cv2.GaussianBlur(rng.normal(size=(120, 160)), (0, 0), 9)
    clouds = (clouds - clouds.min()) / (clouds.max() - clouds.min())
    picture = clouds * 200 + rng.normal(0, 3, clouds.shape)
    picture[30:32, 40:42] = 255
    return np.asarray(np.clip(np.rint(picture), 0, 255), dtype=np.uint8)


def test_grey_full_range_white_hot_costs_no_copy() -> None:
    image = scene()
    assert IntensityConverter()(image) is image


@pytest.mark.parametrize("palette", PALETTES)
def test_a_palette_is_inverted(palette: str) -> None:
    image = scene()
    inverted = IntensityConverter(palette)(palette_table(palette)[image])  # type: ignore[arg-type]
    error = np.abs(inverted.astype(int) - image)
    assert inverted.dtype == np.uint8
    assert error.max() <= 4
    assert error.mean() <= 1.0


@pytest.mark.parametrize("palette", PALETTES)
def test_auto_finds_the_palette_behind_a_codec_and_text(
    palette: str, caplog: pytest.LogCaptureFixture
) -> None:
    image = scene()
    rgb = palette_table(palette)[image].copy()
    cv2.putText(rgb, "12:30:05", (4, 14), cv2.FONT_HERSHEY_PLAIN, 0.8, (255, 255, 255))
    cv2.line(rgb, (80, 55), (80, 65), (0, 255, 0))
    _, data = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])
    bgr = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert bgr is not None
    decoded = np.ascontiguousarray(bgr[..., ::-1], dtype=np.uint8)
    converter = IntensityConverter()
    with caplog.at_level(logging.INFO):
        inverted = converter(decoded)
    assert converter.palette == palette
    assert palette in caplog.text
    assert np.median(np.abs(inverted.astype(int) - image)) <= 6


def test_auto_keeps_its_choice() -> None:
    converter = IntensityConverter()
    first = palette_table("ironbow")[scene(1)]
    converter(first)
    converter(palette_table("jet")[scene(2)])
    assert converter.palette == "ironbow"


def test_auto_takes_grey_rgb_with_a_coloured_crosshair_as_grey() -> None:
    image = scene()
    rgb = np.repeat(image[..., None], 3, axis=2)
    rgb[60, 70:90] = (255, 0, 0)
    converter = IntensityConverter()
    result = converter(rgb)
    assert converter.palette == "auto"
    rest = np.arange(120) != 60
    np.testing.assert_array_equal(result[rest], image[rest])


def test_colour_in_no_palette_gives_luma_and_warns_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rng = np.random.default_rng(3)
    rgb = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    converter = IntensityConverter(name="front door")
    for _ in range(3):
        result = converter(rgb)
    assert len(caplog.records) == 1
    assert "front door" in caplog.text
    assert not converter.wants_colour
    luma = rgb @ np.array([0.299, 0.587, 0.114])
    assert np.abs(result - luma).max() <= 1


@pytest.mark.parametrize("bit_depth", [8, 10, 12, 16])
def test_limited_range_is_stretched_at_any_depth(bit_depth: int) -> None:
    scale = 2 ** (bit_depth - 8)
    codes = np.array([[0, 16 * scale, 235 * scale, 2**bit_depth - 1]])
    image: Image = codes.astype(np.uint8) if bit_depth == 8 else codes.astype(np.uint16)
    result = IntensityConverter()(image, limited=True, bit_depth=bit_depth)
    top = 2**bit_depth - 1
    assert result.dtype == image.dtype
    assert result.tolist() == [[0, 0, top, top]]


def test_the_setting_overrules_the_stream_but_never_stretches_twice() -> None:
    image = np.array([[16, 235]], dtype=np.uint8)
    assert IntensityConverter(luma_range="full")(image, limited=True).tolist() == [[16, 235]]
    limited = IntensityConverter(luma_range="limited")
    assert limited(image, limited=False).tolist() == [[0, 255]]
    assert limited(image, limited=None).tolist() == [[16, 235]]


def test_black_hot_is_turned_round_in_the_declared_depth() -> None:
    image = np.array([[0, 1, 16383, 20000]], dtype=np.uint16)
    turned = IntensityConverter(polarity="black_hot")(image, bit_depth=14)
    assert turned.dtype == np.uint16
    assert turned.tolist() == [[16383, 16382, 0, 0]]


def test_sixteen_bit_colour_is_inverted() -> None:
    image = scene()
    rgb = palette_table("inferno")[image].astype(np.uint16) * 257
    result = IntensityConverter()(rgb, bit_depth=16)
    assert np.abs(result.astype(int) - image).max() <= 4


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4)), np.zeros((4, 4, 4), np.uint8), np.zeros(4, np.uint8)]
)
def test_other_arrays_are_refused(image: Image) -> None:
    with pytest.raises(ValueError, match="shape"):
        IntensityConverter()(image)


def test_an_unknown_palette_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="ironbow"):
        IntensityConverter("iron")  # type: ignore[arg-type]
