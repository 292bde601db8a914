"""Masks become the detections that are in them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from configs.schema import DetectorSettings
from model.postprocess import detections_from_mask
from streamer.types import Detections, Frame


def frame_of(image: np.ndarray, ignore: np.ndarray | None = None) -> Frame:
    return Frame(
        image=image,
        bit_depth=8,
        index=3,
        pts_seconds=0.1,
        utc=0.0,
        captured_seconds=0.0,
        source="test",
        ignore=ignore,
    )


def detect(mask: np.ndarray, image: np.ndarray | None = None, **settings: object) -> Detections:
    picture = np.full(mask.shape, 50, np.uint8) if image is None else image
    return detections_from_mask(
        mask.astype(np.float32), frame_of(picture), DetectorSettings(**settings), 0.5
    )


def test_one_pixel_has_the_box_of_one_pixel() -> None:
    mask = np.zeros((40, 50))
    mask[20, 10] = 0.9
    found = detect(mask)
    assert found.xy.tolist() == [[10, 20]]
    assert found.boxes_xyxy.tolist() == [[9.5, 19.5, 10.5, 20.5]]
    assert found.score[0] == pytest.approx(0.9)
    assert found.area_px.tolist() == [1]


def test_a_diagonal_is_one_component() -> None:
    mask = np.zeros((40, 40))
    for k in range(3):
        mask[10 + k, 10 + k] = 0.8
    assert len(detect(mask)) == 1


def test_a_weak_bridge_does_not_merge_two_strong_targets() -> None:
    mask = np.zeros((40, 40))
    mask[10, 10:21] = 0.3
    mask[10, 10] = mask[10, 20] = 0.9
    found = detect(mask)
    assert sorted(found.xy[:, 0]) == [10, 20]


def test_weak_components_are_reported_with_their_score() -> None:
    mask = np.zeros((40, 40))
    mask[5, 5] = 0.2
    mask[30, 30] = 0.7
    mask[20, 20] = 0.05
    assert detect(mask).score.tolist() == pytest.approx([0.7, 0.2])


def test_the_centroid_follows_the_light_below_a_pixel() -> None:
    y, x = np.mgrid[:41, :41]
    spot = np.exp(-((x - 20.3) ** 2 + (y - 18.8) ** 2) / (2 * 1.2**2))
    image = np.round(60 + 150 * spot).astype(np.uint8)
    found = detect(np.where(spot > 0.05, 0.9, 0.0), image)
    assert found.xy[0] == pytest.approx([20.3, 18.8], abs=0.05)


def test_snr_is_the_peak_over_the_local_noise() -> None:
    rng = np.random.default_rng(1)
    image = np.clip(rng.normal(100, 5, (60, 60)), 0, 255).astype(np.uint8)
    image[30, 30] = 160
    mask = np.zeros((60, 60))
    mask[30, 30] = 0.9
    assert detect(mask, image).peak_snr[0] == pytest.approx(12, rel=0.35)


def test_what_is_too_large_is_marked_and_not_cut() -> None:
    mask = np.zeros((60, 60))
    mask[10:40, 10:40] = 0.9
    mask[50, 5:55] = 0.8
    found = detect(mask, max_area_px=400, max_elongation=6)
    assert found.area_px.tolist() == [900, 50]
    assert found.extended.tolist() == [True, True]


def test_excluded_pixels_detect_nothing() -> None:
    mask = np.zeros((40, 40))
    mask[5, 5] = mask[30, 30] = 0.9
    ignore = np.zeros((40, 40), np.bool_)
    ignore[:20] = True
    found = detections_from_mask(
        mask.astype(np.float32),
        frame_of(np.full((40, 40), 9, np.uint8), ignore),
        DetectorSettings(),
        0.5,
    )
    assert found.xy.tolist() == [[30, 30]]


@given(arrays(np.float32, (24, 31), elements=st.floats(0, 1, width=32)), st.integers(1, 20))
def test_any_mask_gives_valid_detections(mask: np.ndarray, limit: int) -> None:
    found = detect(mask, max_detections=limit)
    assert len(found) <= limit
    assert np.isfinite(found.xy).all() and np.isfinite(found.peak_snr).all()
    assert (np.diff(found.score) <= 0).all()
    left, top, right, bottom = found.boxes_xyxy.T
    assert ((left <= found.xy[:, 0]) & (found.xy[:, 0] <= right)).all()
    assert ((top <= found.xy[:, 1]) & (found.xy[:, 1] <= bottom)).all()
    assert (found.area_px <= (right - left) * (bottom - top)).all()
