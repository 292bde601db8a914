"""Exclusion masks."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.schema import ExcludeSettings
from streamer.sources.exclude import ExclusionMask
from streamer.types import BoolArray, StreamError


def mask_of(height: int, width: int, **settings: Any) -> BoolArray | None:
    exclusion = ExclusionMask(ExcludeSettings.model_validate(settings))
    exclusion.load()
    return exclusion.mask(height, width)


def test_nothing_is_excluded_by_default() -> None:
    assert mask_of(10, 10) is None


@given(*(st.integers(-5, 30) for _ in range(4)), st.integers(1, 20), st.integers(1, 20))
def test_a_rectangle_holds_its_edges(
    x: int, y: int, other_x: int, other_y: int, height: int, width: int
) -> None:
    x0, x1 = sorted((x, other_x))
    y0, y1 = sorted((y, other_y))
    mask = mask_of(height, width, rectangles=[[x0, y0, x1, y1]])
    expected = [[x0 <= c <= x1 and y0 <= r <= y1 for c in range(width)] for r in range(height)]
    np.testing.assert_array_equal(mask, expected)


def test_a_polygon_holds_the_pixels_whose_centres_it_holds() -> None:
    mask = mask_of(20, 20, polygons=[[[2, 2], [12, 2], [2, 12]]])
    assert mask is not None
    y, x = np.mgrid[:20, :20]
    inside = (x >= 2) & (y >= 2) & (x + y <= 14)
    np.testing.assert_array_equal(mask, inside)


def test_a_polygon_far_outside_does_not_overflow() -> None:
    mask = mask_of(8, 8, polygons=[[[-1e12, -1e12], [1e12, -1e12], [1e12, 1e12], [-1e12, 1e12]]])
    assert mask is not None
    assert mask.all()


@pytest.mark.parametrize("size", [(40, 60), (20, 30), (80, 120)])
def test_an_image_is_resized_and_loses_no_thin_line(tmp_path: Path, size: tuple[int, int]) -> None:
    picture = np.zeros((40, 60, 3), dtype=np.uint8)
    picture[10, :, 2] = 1  # a thin, nearly black, red line
    cv2.imwrite(str(tmp_path / "mask.png"), picture)
    mask = mask_of(*size, image=str(tmp_path / "mask.png"))
    assert mask is not None
    assert mask.shape == size
    assert mask[size[0] // 4].all()
    assert mask.any(axis=1).sum() <= 3


def test_regions_add_up_and_the_mask_is_read_only() -> None:
    mask = mask_of(
        10, 10, rectangles=[[0, 0, 1, 1], [8, 8, 9, 9]], polygons=[[[4, 4], [5, 4], [4, 5]]]
    )
    assert mask is not None
    assert mask[0, 0]
    assert mask[9, 9]
    assert mask[4, 4]
    assert not mask[0, 9]
    assert not mask.flags.writeable


def test_an_image_that_cannot_be_read_names_itself_and_the_setting(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"nothing")
    for name in ("bad.png", "missing.png"):
        with pytest.raises(StreamError, match=rf"{name}.*source\.exclude\.image"):
            mask_of(10, 10, image=str(tmp_path / name))
