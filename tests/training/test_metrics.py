"""Metrics on masks small enough to count by hand, and against another implementation."""

import importlib.util
import math
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from model.training.metrics import (
    FA_LIMIT,
    Counts,
    Evaluation,
    ReferenceCounts,
    components,
    count,
    count_reference,
    match,
    match_reference,
)

SMALL_MASKS = arrays(np.bool_, (12, 14))
QUICK = settings(max_examples=60)


def mask(*pixels: tuple[int, int], shape: tuple[int, int] = (16, 20)) -> np.ndarray:
    made = np.zeros(shape, np.bool_)
    for row, column in pixels:
        made[row, column] = True
    return made


def block(row: int, column: int, height: int, width: int, shape=(16, 20)) -> np.ndarray:
    made = np.zeros(shape, np.bool_)
    made[row : row + height, column : column + width] = True
    return made


class TestComponents:
    def test_pixels_that_touch_by_a_corner_are_one(self) -> None:
        parts = components(mask((2, 2), (3, 3), (3, 6)))
        assert parts.areas.tolist() == [2, 1]
        assert parts.centroids.tolist() == [[2.5, 2.5], [3, 6]]
        assert parts.labels[2, 2] == parts.labels[3, 3] == 1
        assert parts.labels[3, 6] == 2

    def test_they_come_in_the_order_of_their_first_pixels(self) -> None:
        # By blocks of 2x2, as OpenCV goes, the one in row 1 would be found before that in row 0.
        parts = components(mask((1, 0), (0, 6), (3, 2)))
        assert parts.centroids.tolist() == [[0, 6], [1, 0], [3, 2]]

    def test_an_empty_mask_has_none(self) -> None:
        parts = components(mask())
        assert parts.areas.shape == (0,)
        assert parts.centroids.shape == (0, 2)

    @QUICK
    @given(SMALL_MASKS)
    def test_as_scipy_labels_them(self, drawn: np.ndarray) -> None:
        labels, _ = ndimage.label(drawn, np.ones((3, 3)))
        assert np.array_equal(components(drawn).labels, labels)


class TestMatching:
    def test_three_pixels_are_too_far_whatever_the_rounding(self) -> None:
        corner = [(0, 0), (0, 1), (1, 0)]  # its centroid has thirds in it
        for row in range(14):
            for column in range(12):
                here = components(mask(*((row + y, column + x) for y, x in corner)))
                there = components(mask(*((row + y, column + x + 3) for y, x in corner)))
                assert len(match(here, there)) == len(match_reference(here, there)) == 0
        assert len(match(components(mask((5, 5))), components(mask((7, 7))))) == 1

    def test_a_component_is_taken_by_one_target_only(self) -> None:
        counts = count(block(8, 10, 1, 1), mask((8, 8), (8, 12)))
        assert (sum(counts.targets), sum(counts.detected)) == (2, 1)

    def test_a_target_takes_one_component_only(self) -> None:
        counts = count(mask((8, 8), (8, 12)), mask((8, 10)))
        assert (sum(counts.detected), counts.false_components, counts.false_pixels) == (1, 1, 1)

    def test_as_many_pairs_as_can_be_where_the_first_choice_would_cost_one(self) -> None:
        truth = components(mask((10, 10), (10, 14)))
        predicted = components(mask((9, 12), (10, 8)))
        assert match(truth, predicted).tolist() == [[0, 1], [1, 0]]
        assert match_reference(truth, predicted).tolist() == [[0, 0]]

    def test_the_nearest_among_equally_many(self) -> None:
        assert match(components(mask((8, 8))), components(mask((8, 6), (8, 9)))).tolist() == [
            [0, 1]
        ]


class TestOnePicture:
    def test_every_figure_by_hand(self) -> None:
        truth = block(2, 2, 2, 2) | block(10, 4, 3, 4)  # 4 and 12 px
        predicted = block(2, 3, 2, 2) | block(6, 15, 1, 5)  # half of the first, and 5 px beside
        counts = count(predicted, truth)
        assert counts == Counts(
            pictures=1,
            pixels=320,
            true_positives=2,
            false_positives=7,
            false_negatives=14,
            iou_sum=2 / 23,
            targets=(1, 1, 0, 0),
            detected=(1, 0, 0, 0),
            predicted=2,
            false_pixels=5,
        )
        assert counts.true_negatives == 297
        assert counts.iou == counts.niou == 2 / 23
        assert counts.precision == 2 / 9
        assert counts.recall == 2 / 16
        assert counts.f1 == pytest.approx(2 * (2 / 9) * (2 / 16) / (2 / 9 + 2 / 16))
        assert counts.false_positive_rate == 7 / 304
        assert counts.pd == 1 / 2
        assert counts.pd_by_size == (1.0, 0.0, None, None)
        assert counts.fa == 5 / 320
        assert counts.false_components == 1

    def test_the_ends_of_the_sizes(self) -> None:
        sizes = {9: 0, 10: 1, 25: 1, 26: 2, 80: 2, 81: 3}
        for area, group in sizes.items():
            truth = block(1, 1, 1, area, shape=(3, 90))
            expected = [0, 0, 0, 0]
            expected[group] = 1
            assert list(count(truth, truth).targets) == expected, area

    def test_an_empty_prediction(self) -> None:
        counts = count(mask(), block(2, 2, 2, 2))
        assert (counts.iou, counts.niou, counts.f1, counts.recall, counts.pd) == (0, 0, 0, 0, 0)
        assert counts.fa == 0
        assert counts.precision is None

    def test_an_empty_truth(self) -> None:
        counts = count(block(2, 2, 2, 2), mask())
        assert (counts.iou, counts.niou, counts.precision, counts.f1) == (0, 0, 0, 0)
        assert counts.fa == 4 / 320
        assert counts.pd is counts.recall is None

    def test_nothing_there_and_nothing_found_counts_one_for_the_picture_alone(self) -> None:
        counts = count(mask(), mask())
        assert counts.niou == 1
        assert counts.iou is counts.f1 is counts.pd is counts.precision is None
        assert counts.fa == 0
        both = counts + count(block(2, 2, 1, 2), block(2, 2, 1, 4))
        assert (both.iou, both.niou) == (1 / 2, 3 / 4)

    def test_shapes_must_agree(self) -> None:
        with pytest.raises(ValueError, match=r"\(16, 20\) does not fit a truth of \(4, 4\)"):
            count(mask(), mask(shape=(4, 4)))


class TestTheReference:
    def test_a_false_component_as_large_as_a_found_one_is_forgiven(self) -> None:
        truth = block(2, 2, 2, 2)
        predicted = truth | block(10, 10, 2, 2) | block(6, 15, 1, 3)
        assert count(predicted, truth).false_pixels == 7
        assert count_reference(predicted, truth) == ReferenceCounts(320, 1, 1, 3)

    def test_it_may_even_count_more_where_it_pairs_the_farther_one(self) -> None:
        truth = mask((10, 10))
        predicted = mask((8, 10)) | block(10, 8, 1, 5)  # the first by rows; the nearest
        assert count(predicted, truth).false_pixels == 1
        assert count_reference(predicted, truth).false_pixels == 5

    def test_areas_are_forgiven_within_a_picture_only(self) -> None:
        target, elsewhere = block(2, 2, 2, 2), block(10, 10, 2, 2)
        total = count_reference(target, target) + count_reference(elsewhere, mask())
        assert (total.fa, total.detected) == (4 / 640, 1)


class TestProperties:
    @QUICK
    @given(SMALL_MASKS)
    def test_the_truth_finds_itself(self, truth: np.ndarray) -> None:
        assume(truth.any())
        counts, reference = count(truth, truth), count_reference(truth, truth)
        assert (counts.pd, counts.fa, counts.iou, counts.niou, counts.f1) == (1, 0, 1, 1, 1)
        assert (reference.detected, reference.fa) == (sum(counts.targets), 0)

    @QUICK
    @given(SMALL_MASKS, SMALL_MASKS, st.integers(0, 30), st.integers(0, 30))
    def test_where_in_the_picture_makes_no_difference(
        self, predicted: np.ndarray, truth: np.ndarray, down: int, right: int
    ) -> None:
        def placed(drawn: np.ndarray, y: int, x: int) -> np.ndarray:
            page = np.zeros((44, 46), np.bool_)
            page[y : y + 12, x : x + 14] = drawn
            return page

        here = placed(predicted, 0, 0), placed(truth, 0, 0)
        there = placed(predicted, down, right), placed(truth, down, right)
        assert count(*here) == count(*there)
        assert count_reference(*here) == count_reference(*there)

    @QUICK
    @given(SMALL_MASKS, SMALL_MASKS)
    def test_bounds(self, predicted: np.ndarray, truth: np.ndarray) -> None:
        counts = count(predicted, truth)
        found = sum(counts.detected)
        assert count_reference(predicted, truth).detected <= found
        assert found <= min(sum(counts.targets), counts.predicted)
        assert 0 <= counts.false_pixels <= np.count_nonzero(predicted)

    @QUICK
    @given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(1, 4)), max_size=9))
    def test_strict_fa_is_no_less_than_the_references_where_pairs_are_clear(
        self, drawn: list[tuple[int, int, int]]
    ) -> None:
        # Cells of 8 px keep components of different cells 3 px apart: there is no choice of pairs.
        truth, predicted = np.zeros((2, 32, 32), np.bool_)
        for row, column, kind in drawn:
            y, x = 8 * row + 1, 8 * column + 1
            truth[y : y + 2, x : x + 2] |= kind != 1
            predicted[y : y + kind, x : x + 2] |= kind != 2
        assert (
            count(predicted, truth).false_pixels >= count_reference(predicted, truth).false_pixels
        )


class TestEvaluation:
    PROBABILITY = np.array([[0.9, 0.7, 0.4, 0.1]])
    TRUTH = np.array([[True, False, True, False]])

    def test_a_pixel_is_predicted_above_the_threshold_and_not_at_it(self) -> None:
        result = Evaluation([0.7, 0.69])
        result.update(self.PROBABILITY.astype(np.float32), self.TRUTH)
        assert result.at(0.69).false_positives == 1
        assert result.at(0.7).false_positives == 0

    def test_areas_by_hand(self) -> None:
        result = Evaluation([0.2, 0.6, 0.8])
        result.update(self.PROBABILITY, self.TRUTH)
        assert [each.precision for each in result.counts] == [2 / 3, 1 / 2, 1]
        assert [each.recall for each in result.counts] == [1, 1 / 2, 1 / 2]
        assert result.pr_area == pytest.approx(1 / 2 + 1 / 2 * 2 / 3)
        assert result.roc_area == pytest.approx(3 / 4)

    def test_the_area_under_pd_over_fa_by_hand(self) -> None:
        probability = np.zeros((100, 100))
        probability[50:52, 50:52] = 0.8  # 4 of 10,000 px are false, 0.4 of the limit
        probability[10, 10] = 0.5
        result = Evaluation([0.3, 0.6, 0.9])
        result.update(probability, mask((10, 10), shape=(100, 100)))
        assert FA_LIMIT == 1e-3
        assert result.pd_fa_area == pytest.approx(0.6)

    def test_a_perfect_network(self) -> None:
        truth = block(2, 2, 3, 3)
        result = Evaluation([0.25, 0.5, 0.75])
        for _ in range(2):
            result.update(truth.astype(np.float32), truth)
        assert (result.pr_area, result.roc_area, result.pd_fa_area) == (1, 1, pytest.approx(1))
        assert result.at(0.5).pictures == 2
        assert result.reference == ReferenceCounts(640, 2, 2, 0)

    def test_without_any_target_there_are_no_areas(self) -> None:
        result = Evaluation([0.5])
        result.update(np.zeros((8, 8)), mask(shape=(8, 8)))
        assert result.pr_area is result.roc_area is result.pd_fa_area is None

    @QUICK
    @given(arrays(np.float32, (9, 9), elements=st.floats(0, 1, width=32)), arrays(np.bool_, (9, 9)))
    def test_all_at_once_is_as_one_by_one(self, probability: np.ndarray, truth: np.ndarray) -> None:
        thresholds = (0.0, 0.25, 0.5, 0.5001, 0.9, 1.0)
        result = Evaluation(thresholds)
        result.update(probability, truth)
        assert result.counts == tuple(count(probability > t, truth) for t in thresholds)
        assert result.reference == count_reference(probability > 0.5, truth)

    @pytest.mark.parametrize("wrong", [math.nan, 1.5, -0.1])
    def test_what_is_no_probability(self, wrong: float) -> None:
        with pytest.raises(ValueError, match=r"numbers of 0\.\.1"):
            Evaluation([0.5]).update(np.full((4, 4), wrong), mask(shape=(4, 4)))

    @pytest.mark.parametrize("wrong", [[], [0.5, 1.2]])
    def test_what_is_no_threshold(self, wrong: list[float]) -> None:
        with pytest.raises(ValueError, match="thresholds"):
            Evaluation(wrong)


def stand_in_for_skimage() -> ModuleType:
    """The two functions that pyirstdmetrics takes of scikit-image, which needs much to install."""

    def label(image: np.ndarray, connectivity: int) -> np.ndarray:
        assert connectivity == 2
        labels, _ = ndimage.label(image, np.ones((3, 3)))
        return labels

    def regionprops(labels: np.ndarray) -> list[SimpleNamespace]:
        places = [np.argwhere(labels == k) for k in range(1, labels.max() + 1)]
        return [SimpleNamespace(area=len(p), centroid=tuple(p.mean(axis=0))) for p in places]

    package = ModuleType("skimage")
    package.measure = SimpleNamespace(label=label, regionprops=regionprops)  # type: ignore[attr-defined]
    return package


@pytest.fixture
def oracle(monkeypatch: pytest.MonkeyPatch) -> Any:
    if importlib.util.find_spec("py_irstd_metrics") is None:
        pytest.skip("needs pyirstdmetrics (pip install --no-deps pyirstdmetrics)")
    if importlib.util.find_spec("skimage") is None:
        monkeypatch.setitem(sys.modules, "skimage", stand_in_for_skimage())
    return importlib.import_module("py_irstd_metrics")


def scenes(spacing: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Probabilities and truths: blurred blobs of which some are moved, missed or false."""
    rng = np.random.default_rng(7)
    for _ in range(12):
        truth, heat = np.zeros((64, 64), np.bool_), np.zeros((64, 64))
        for y in range(4, 60, spacing):
            for x in range(4, 60, spacing):
                kind, height, width = rng.integers(0, 8), *rng.integers(1, 4, 2)
                dy, dx = rng.integers(-1, 2, 2)
                if kind in (0, 1):
                    truth[y : y + height, x : x + width] = True
                if kind in (0, 2):
                    heat[y + dy : y + dy + height, x + dx : x + dx + width] = rng.uniform(0.2, 1)
        yield heat, truth


class TestAgainstPyIrstdMetrics:
    """It differs from ours in three ways: F1 has beta² 0.3 unless told, a picture without target
    and prediction counts 0 in nIoU, and its Pd and Fa pair greedily by rows; its Fa then forgives
    no areas. So it is compared with beta² 1, with targets in every picture, and apart by 3 px."""

    def test_pixels(self, oracle: Any) -> None:
        pooled: dict[str, Any] = {"with_dynamic": False, "with_binary": True, "sample_based": False}
        theirs = oracle.CMMetrics(
            metric_handlers={
                "iou": oracle.IoUHandler(**pooled),
                "niou": oracle.IoUHandler(**(pooled | {"sample_based": True})),
                "precision": oracle.PrecisionHandler(**pooled),
                "recall": oracle.RecallHandler(**pooled),
                "f1": oracle.FmeasureHandler(**pooled, beta=1.0),
                "false_positive_rate": oracle.FPRHandler(**pooled),
            }
        )
        ours = Evaluation([0.5])
        for probability, truth in scenes(spacing=9):
            assert truth.any()
            theirs.update(probability, truth)
            ours.update(probability, truth)
        for name, value in theirs.get().items():
            assert getattr(ours.at(0.5), name) == pytest.approx(float(value["binary"])), name

    def test_targets_apart(self, oracle: Any) -> None:
        theirs = oracle.ProbabilityDetectionAndFalseAlarmRate(num_bins=4)
        ours = Evaluation([0.0, 0.25, 0.5, 0.75])
        for probability, truth in scenes(spacing=9):
            theirs.update(probability, truth)
            ours.update(probability, truth)
        values = theirs.get()
        assert [each.pd for each in ours.counts] == pytest.approx(values["probability_detection"])
        assert [each.fa for each in ours.counts] == pytest.approx(values["false_alarm"])
        assert 0 < sum(ours.at(0.5).detected) < sum(ours.at(0.5).targets)

    def test_crowded_targets_are_paired_as_our_reference_pairs_them(self, oracle: Any) -> None:
        for probability, truth in scenes(spacing=4):
            theirs = oracle.ProbabilityDetectionAndFalseAlarmRate()
            theirs.update(probability, truth)
            true_parts, parts = components(truth), components(probability > 0.5)
            pairs = match_reference(true_parts, parts)
            assert len(pairs) == theirs.tp_objs[0]
            unpaired = np.delete(parts.areas, pairs[:, 1])
            assert unpaired.sum() == theirs.fp_area[0]
