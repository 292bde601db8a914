"""Who gets which detection: on matrices small enough to check by eye, and as an oracle says."""

import numpy as np
import pytest
from dense_association import dense_assign, dense_associate, dense_statistics
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.types import FloatArray
from tracking.association import assign, associate
from tracking.gating import Pairs, gated_pairs, overlapping

GATE = 11.6


def pairs_of(distance: FloatArray, log_det: FloatArray) -> Pairs:
    """Those of every track (a row) and every detection (a column) that lie in the gate."""
    track, detection = np.nonzero(distance <= GATE)
    return Pairs(
        track,
        detection,
        distance[track, detection],
        log_det[track, detection],
        np.zeros(len(track)),
    )


def rounds(
    distance: list[list[float]],
    confirmed: list[bool],
    strong: list[bool],
    settled: list[bool] | None = None,
    log_det: list[float] | None = None,
) -> list[int]:
    matrix = np.array(distance)
    matched = associate(
        pairs_of(matrix, np.zeros_like(matrix) + np.array(log_det or [0.0])[:, None]),
        gate=GATE,
        confirmed=np.array(confirmed),
        settled=np.array(settled or [False] * len(confirmed)),
        strong=np.array(strong),
    )
    return matched.tolist()


def test_a_stale_track_does_not_steal() -> None:
    """By d^2 alone the second track, uncertain by 20 px, would be the nearer one."""
    distance = np.array([[1.0], [0.2]])
    log_det = np.log(np.array([[1.0], [400.0]]) ** 2)
    assert assign(pairs_of(distance, log_det), GATE).tolist() == [0]


def test_the_set_of_pairs_is_the_cheapest_and_not_greedy() -> None:
    assert rounds([[1.0, 2.0], [1.5, 9.0]], [True, True], [True, True]) == [1, 0]


def test_a_good_match_is_not_broken_up_for_two_poor_ones() -> None:
    assert rounds([[0.1, 8.0], [9.0, 99.0]], [True, True], [True, True]) == [0, -1]


def test_nothing_is_paired_outside_the_gate() -> None:
    assert rounds([[GATE + 0.01]], [True], [True]) == [-1]
    assert rounds([[GATE - 0.01]], [True], [True]) == [0]


def test_rounds_come_in_their_order() -> None:
    assert rounds([[5.0], [0.1]], [True, False], [True]) == [0, -1]
    assert rounds([[5.0], [0.1]], [False, False], [True]) == [-1, 0]
    assert rounds([[5.0, 0.1]], [True], [True, False]) == [0]
    assert rounds([[0.1], [0.2]], [False, True], [False]) == [-1, 0]
    assert rounds([[0.1, 99.0], [99.0, 0.1]], [True, False], [False, False]) == [0, 1]


def test_what_a_settled_track_fits_incomparably_better_is_its_own() -> None:
    one_each = {"confirmed": [True, False], "settled": [False, True]}
    assert rounds([[5.0], [0.1]], strong=[True], **one_each) == [0, -1]
    assert rounds([[5.0], [0.1]], strong=[True], log_det=[7.0, 0.0], **one_each) == [-1, 0]
    # One that is not settled waits, however well it fits.
    assert rounds([[5.0], [0.1]], [True, False], [True], log_det=[7.0, 0.0]) == [0, -1]


@pytest.mark.parametrize(
    ("distance", "expected"),
    [
        ([[1.0, 8.0], [1.0, 99.0]], [0, -1]),
        ([[0.1, 4.0], [3.0, 99.0]], [0, -1]),
        ([[1.0, 8.0], [0.2, 10.0]], [0, 1]),
    ],
)
def test_a_confirmed_track_keeps_its_detection_though_another_is_in_its_gate(
    distance: list[list[float]], expected: list[int]
) -> None:
    for settled in (False, True):
        assert rounds(distance, [True, False], [True, True], [False, settled]) == expected


def test_tentative_tracks_elsewhere_change_nothing() -> None:
    """They were once what made to be left out dearer for all."""
    distance = [[0.1, 8.0, 99.0], [9.0, 99.0, 99.0], [99.0, 99.0, 1.0]]
    confirmed, strong = [True, True, False], [True, True, True]
    for settled in (False, True):
        assert rounds(distance, confirmed, strong, [False, False, settled]) == [0, -1, 2]


# -- against the oracle ------------------------------------------------------------------------


def crowded(
    rng: np.random.Generator, tracks: int, detections: int, side: float
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """States, covariances, positions and noises; some certain, some not, some slanted."""
    mean = np.hstack((rng.uniform(0, side, (tracks, 2)), np.zeros((tracks, 2))))
    factor = rng.normal(0, 1, (tracks, 4, 4)) * np.exp(rng.normal(0, 1, (tracks, 1, 1)))
    cov = factor @ np.swapaxes(factor, 1, 2) + 0.1 * np.eye(4)
    xy = rng.uniform(0, side, (detections, 2))
    noise = np.exp(rng.normal(0, 1.5, (detections, 1, 1))) * np.eye(2)
    return mean, cov, xy, noise


sizes = st.sampled_from([0, 1, 2, 5, 20, 70, 150])
scenes = st.tuples(st.integers(0, 10_000), sizes, sizes, st.sampled_from([20.0, 200.0, 1000.0]))


@settings(max_examples=120)
@given(scenes)
def test_candidates_are_all_pairs_in_their_gates(scene: tuple[int, int, int, float]) -> None:
    seed, tracks, detections, side = scene
    mean, cov, xy, noise = crowded(np.random.default_rng(seed), tracks, detections, side)
    pairs = gated_pairs(mean, cov, xy, noise, GATE)
    distance, log_det = dense_statistics(mean, cov, xy, noise)
    rows, columns = np.nonzero(distance <= GATE)
    assert pairs.track.tolist() == rows.tolist()
    assert pairs.detection.tolist() == columns.tolist()
    np.testing.assert_allclose(pairs.distance, distance[rows, columns], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(pairs.log_det, log_det[rows, columns], rtol=1e-9, atol=1e-9)


@settings(max_examples=120)
@given(scenes)
def test_detections_are_given_out_as_by_one_dense_matrix(
    scene: tuple[int, int, int, float],
) -> None:
    seed, tracks, detections, side = scene
    rng = np.random.default_rng(seed)
    mean, cov, xy, noise = crowded(rng, tracks, detections, side)
    confirmed, strong = rng.random(tracks) < 0.6, rng.random(detections) < 0.6
    settled = ~confirmed & (rng.random(tracks) < 0.5)
    kinds = {"confirmed": confirmed, "settled": settled, "strong": strong}
    matched = associate(gated_pairs(mean, cov, xy, noise, GATE), gate=GATE, **kinds)
    distance, log_det = dense_statistics(mean, cov, xy, noise)
    expected = dense_associate(distance, log_det, gate=GATE, **kinds)
    assert matched.tolist() == expected.tolist()


@settings(max_examples=120)
@given(st.integers(0, 10_000), sizes, sizes, st.sampled_from([0.02, 0.1, 0.5]))
def test_of_equally_good_sets_one_is_chosen(
    seed: int, tracks: int, detections: int, share: float
) -> None:
    """Whole numbers make ties: which set is chosen may differ, what it costs may not."""
    rng = np.random.default_rng(seed)
    distance = np.where(rng.random((tracks, detections)) < share, 0.0, 99.0)
    distance += rng.integers(0, 4, distance.shape)
    log_det = rng.integers(0, 3, distance.shape).astype(float)
    pairs = pairs_of(distance, log_det)
    made = assign(pairs, GATE)
    for side in (pairs.track[made], pairs.detection[made]):
        assert len(np.unique(side)) == len(side)
    if not len(pairs):
        assert not len(made)
        return
    left_out = GATE + pairs.log_det.max()
    rows, columns = dense_assign(distance, log_det, GATE, np.ones_like(distance, dtype=np.bool_))
    best = (left_out - distance[rows, columns] - log_det[rows, columns]).sum()
    gain = (left_out - pairs.distance[made] - pairs.log_det[made]).sum()
    assert gain == pytest.approx(best, rel=1e-9, abs=1e-9)


@settings(max_examples=60)
@given(scenes, st.sampled_from([0.0, 1.0, 100.0]))
def test_boxes_that_touch_are_found(scene: tuple[int, int, int, float], large: float) -> None:
    seed, count, other_count, side = scene
    rng = np.random.default_rng(seed)
    one, other = (
        rng.integers(0, int(side), (count, 2)),
        rng.integers(0, int(side), (other_count, 2)),
    )
    # Whole numbers, so that many edges meet exactly; a few of the others are large.
    reach = rng.integers(0, 5, (count, 2)).astype(float)
    other_reach = rng.integers(0, 3, (other_count, 2)) + large * (
        rng.random((other_count, 1)) < 0.1
    )
    rows, columns = overlapping(one.astype(float), reach, other.astype(float), other_reach)
    apart = np.abs(one[:, None] - other[None])
    expected = np.nonzero((apart <= reach[:, None] + other_reach[None]).all(axis=2))
    assert rows.tolist() == expected[0].tolist()
    assert columns.tolist() == expected[1].tolist()
