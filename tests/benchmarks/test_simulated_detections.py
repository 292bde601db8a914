"""Simulated detections: misses, noise, scores, blobs and clutter as asked for."""

import math
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from simulated_material import PLAIN, errors, same, scene

from benchmarks.simulated_detections import (
    LOWEST_SCORE,
    centroid_sigma,
    clutter_frames,
    simulate,
)
from benchmarks.simulated_scenes import SceneSettings
from benchmarks.trajectories import HEIGHT, WIDTH
from streamer.types import Detections, FloatArray


@pytest.mark.parametrize("detected", [0.9, 0.7, 1.0])
def test_so_many_targets_are_detected(detected: float) -> None:
    made = scene(replace(PLAIN, targets=10, detected=detected))
    count = sum(map(len, made.detections))
    assert count / len(made.truth) == pytest.approx(detected, abs=0.02)


def test_misses_come_in_runs() -> None:
    made = scene(replace(PLAIN, targets=1, seconds=400, detected=0.7))
    missed = np.array([not len(d) for d in made.detections])
    shown = np.isin(np.arange(made.frames) + 1, made.truth.frame)
    both = shown[1:] & shown[:-1]
    again = missed[1:][both & missed[:-1]].mean()
    assert again > 0.35  # 0.3 if they did not know of each other


def test_a_detection_is_as_far_off_as_its_area_and_snr_say() -> None:
    made = scene(replace(PLAIN, targets=1, seconds=300))
    off = errors(made)
    area = np.concatenate([d.area_px for d in made.detections])
    snr = np.concatenate([d.peak_snr for d in made.detections])
    share = off / centroid_sigma(area, snr)[:, None]
    assert np.abs(share.mean(axis=0)).max() < 0.1
    assert share.std() == pytest.approx(1.0, abs=0.05)
    large, faint = area > np.median(area), snr < np.median(snr)
    assert off[large].std() > off[~large].std()
    assert off[large & faint].std() > off[large & ~faint].std()


def test_noise_grows_with_area_and_falls_with_snr() -> None:
    sigma = centroid_sigma(np.array([1.0, 9, 9]), np.array([10.0, 10, 4]))
    assert sigma[0] < sigma[1] < sigma[2]
    assert sigma[0] > 1 / math.sqrt(12)


def test_truth_and_detections_agree() -> None:
    made = scene(SceneSettings(targets=3, seconds=60, clutter=0, box_margin_px=4))
    off = errors(made)  # broken ones included
    assert np.percentile(np.hypot(*off.T), 95) < 3
    assert np.abs(off.mean(axis=0)).max() < 0.1
    truth = made.truth
    assert truth.frame.min() >= 1
    assert truth.frame.max() <= made.frames
    assert (np.diff(truth.frame) >= 0).all()
    assert len(np.unique(np.stack((truth.frame, truth.object_id)), axis=1).T) == len(truth)
    sides = truth.boxes_xyxy[:, 2:] - truth.boxes_xyxy[:, :2]
    assert sides.min() > 8.999
    assert (truth.centres >= -0.5).all()
    assert (truth.centres <= (WIDTH - 0.5, HEIGHT - 0.5)).all()


def test_scores_follow_the_snr() -> None:
    made = scene(replace(PLAIN, targets=10))
    score = np.concatenate([d.score for d in made.detections])
    snr = np.concatenate([d.peak_snr for d in made.detections])
    assert score.min() >= LOWEST_SCORE
    assert score.max() <= 1
    assert 0.01 < (score < 0.5).mean() < 0.25
    assert score[snr > 10].mean() > score[snr < 5].mean() + 0.2
    false = np.concatenate([d.score for d in clutter_frames(SceneSettings(clutter=5), 0)])
    assert np.median(false) < np.percentile(score, 10)
    assert 0.1 < (false > 0.5).mean() < 0.4


# ---------------------------------------------------------------- blobs


def test_blobs_break_in_two() -> None:
    settings = replace(PLAIN, targets=1, detected=1, blob_px=(6, 9), seconds=200)
    assert max(map(len, scene(settings).detections)) == 1
    made = scene(replace(settings, split=0.1))
    broken = [d for d in made.detections if len(d) == 2]
    assert len(broken) / len(made.truth) == pytest.approx(0.1, abs=0.02)
    apart = [float(np.hypot(*np.diff(d.xy, axis=0)[0])) for d in broken]
    assert 1.5 < min(apart) < max(apart) < 7
    assert min(d.area_px.min() for d in broken) >= 1


def test_near_targets_are_one_blob() -> None:
    settings = replace(PLAIN, targets=20, detected=1)
    apart, merged = scene(settings), scene(replace(settings, merge_px=6))
    assert sum(map(len, merged.detections)) < sum(map(len, apart.detections))
    for one, other in zip(merged.detections, apart.detections, strict=True):
        assert one.area_px.sum() == other.area_px.sum()
        if len(one) < len(other):
            assert one.area_px.max() > other.area_px.min()
    assert any(distance(d) < 6 for d in apart.detections)


def distance(detections: Detections) -> float:
    """Between the two nearest, px."""
    xy = detections.xy
    if len(xy) < 2:
        return math.inf
    between = np.hypot(*(xy[:, None] - xy[None, :]).T)
    return float(between[~np.eye(len(xy), dtype=bool)].min())


def test_boxes_are_whole_pixels_around_the_centroid() -> None:
    for detections in scene(SceneSettings(clutter=3, seconds=10)).detections:
        boxes, xy = detections.boxes_xyxy, detections.xy
        assert np.array_equal(boxes + 0.5, np.rint(boxes + 0.5))
        assert (np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) >= detections.area_px).all()
        assert ((xy >= boxes[:, :2]) & (xy <= boxes[:, 2:])).all()
        assert (np.diff(detections.score) <= 0).all()


# ---------------------------------------------------------------- frames, clutter, camera


def test_dropped_frames_are_missing_and_the_clock_tells_it() -> None:
    made = scene(replace(PLAIN, dropped=0.1))
    index = np.array([d.frame_index for d in made.detections])
    assert 1 - len(index) / made.frames == pytest.approx(0.1, abs=0.02)
    assert np.allclose([d.pts_seconds for d in made.detections], index / 30, atol=1e-12)
    assert np.isin(made.truth.frame - 1, index).all()
    whole = scene(PLAIN).truth
    there = whole.keep(np.isin(whole.frame - 1, index))
    assert np.array_equal(there.boxes_xyxy, made.truth.boxes_xyxy)


@pytest.mark.parametrize("rate", [0.1, 5.0])
def test_false_detections_are_poisson(rate: float) -> None:
    settings = SceneSettings(targets=0, clutter=rate, seconds=300, dropped=0)
    counts = np.array([len(d) for d in clutter_frames(settings, 3)])
    assert len(counts) == 9000
    assert counts.mean() == pytest.approx(rate, rel=0.12)
    assert counts.var() == pytest.approx(rate, rel=0.15)


def test_a_share_of_the_clutter_comes_from_few_places() -> None:
    settings = SceneSettings(targets=0, clutter=5, clustered=0.5, seconds=100)
    spots = cells_hit(settings, 1)
    # 80 x 64 cells of 8 px: eight places and their sway reach some 100 of them at most.
    busiest = np.sort(spots)[::-1]
    assert busiest[:100].sum() / spots.sum() == pytest.approx(0.5, abs=0.06)
    even = np.sort(cells_hit(replace(settings, clustered=0), 1))[::-1]
    assert even[:100].sum() / even.sum() < 0.08


def cells_hit(settings: SceneSettings, seed: int) -> FloatArray:
    """How many false detections in each 8 x 8 px."""
    xy = np.concatenate([d.xy for d in clutter_frames(settings, seed)])
    assert (xy >= -0.5).all()
    assert (xy <= (WIDTH - 0.5, HEIGHT - 0.5)).all()
    cell = np.floor((xy + 0.5) / 8).astype(int)
    return np.bincount(cell[:, 0] * 64 + cell[:, 1], minlength=80 * 64).astype(np.float64)


def test_hours_of_clutter_come_one_by_one() -> None:
    settings = SceneSettings(seconds=10000 * 3600, clutter=0.1, jumps_per_minute=6)
    first = list(islice(clutter_frames(settings, 2), 2500))
    first = [d for d in first if d.frame_index < 2500]
    assert len(first) > 2400
    short = replace(settings, seconds=2500 / 30)
    assert same(first, list(clutter_frames(short, 2)))
    assert same(first, simulate(replace(short, targets=0), [], 2).detections)
    assert not len(simulate(replace(short, targets=0), [], 2).truth)
