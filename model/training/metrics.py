"""How well masks of small targets are found: overlap, detected targets, false pixels, curves.

Pixels are pooled over all pictures of a set (IoU, precision, recall, F1) or averaged by picture
(nIoU; Dai et al., WACV 2021). Targets are 8-connected components, found when a predicted component
has its centroid within 3 px (Pd) or not; pixels of components that found nothing are false (Fa; Li
et al., "Dense Nested Attention Network", TIP 2023). Rates are fractions, and None where there is
nothing to divide by: no rate is made up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

MATCH_DISTANCE_PX = 3.0
"""Centroids nearer than this, in px, belong to the same target; at exactly 3 they do not."""

REFERENCE_THRESHOLD = 0.5
"""The only probability at which the public code's own way of counting is repeated."""

SIZES_PX = ((1, 9), (10, 25), (26, 80), (81, None))
"""Areas in px, ends included, by which Pd is broken down; 80 is SPIE's limit of a small target."""

FA_LIMIT = 1e-3
"""Where the area under the curve of Pd over Fa ends."""

_DECIMALS = 6
"""Distances are rounded to so many decimals, px: a tie must not hang on where it is in a picture,
and two sums of the same pixels in another place differ in their last bits."""


@dataclass(frozen=True, slots=True, eq=False)
class Components:
    """The 8-connected components of a mask, in the order of their first pixels, row by row."""

    labels: NDArray[np.int32]
    """(H, W), 0 on the background, k + 1 on the k-th component."""
    areas: NDArray[np.int64]
    """(N,) px."""
    centroids: NDArray[np.float64]
    """(N, 2) row and column, px."""


def components(mask: NDArray[np.bool_]) -> Components:
    """Find the components of a (H, W) mask."""
    _, raw = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8, ltype=cv2.CV_32S)
    rows, columns = np.nonzero(mask)
    found, first, inverse = np.unique(raw[rows, columns], return_index=True, return_inverse=True)
    # OpenCV numbers by blocks of 2x2 pixels; the public code depends on the order by rows.
    rank = np.empty(len(found), np.int64)
    rank[np.argsort(first)] = np.arange(len(found))
    member = rank[inverse]
    areas = np.bincount(member, minlength=len(found))
    sums = [np.bincount(member, axis, minlength=len(found)) for axis in (rows, columns)]
    labels = np.zeros(mask.shape, np.int32)
    labels[rows, columns] = member + 1
    return Components(labels, areas.astype(np.int64), np.stack(sums, axis=1) / areas[:, None])


def match(truth: Components, predicted: Components) -> NDArray[np.int64]:
    """Pair true and predicted components one to one, as many as can be.

    Among the pairings with the most pairs, the one with the least total distance is taken.

    Returns:
        (M, 2) indices of a true and of a predicted component.
    """
    distance = _distances(truth, predicted)
    near = np.flatnonzero((distance < MATCH_DISTANCE_PX).any(axis=0))
    distance = distance[:, near]
    # No sum of distances outweighs a pair that is missing.
    forbidden = MATCH_DISTANCE_PX * (len(distance) + 1)
    cost = np.where(distance < MATCH_DISTANCE_PX, distance, forbidden)
    i, j = linear_sum_assignment(cost)
    kept = cost[i, j] < MATCH_DISTANCE_PX
    return np.stack((i[kept], near[j[kept]]), axis=1).astype(np.int64)


def match_reference(truth: Components, predicted: Components) -> NDArray[np.int64]:
    """Pair as the public code does: each true component takes the first free one within 3 px.

    Returns:
        (M, 2) indices of a true and of a predicted component.
    """
    near = _distances(truth, predicted) < MATCH_DISTANCE_PX
    pairs: list[tuple[int, int]] = []
    for i, row in enumerate(near):
        for j in np.flatnonzero(row):
            pairs.append((i, int(j)))
            near[:, j] = False
            break
    return np.array(pairs, np.int64).reshape(-1, 2)


def _distances(truth: Components, predicted: Components) -> NDArray[np.float64]:
    """(N, M) between centroids, px."""
    difference = truth.centroids[:, None] - predicted.centroids[None]
    distance: NDArray[np.float64] = np.sqrt((difference**2).sum(axis=2)).round(_DECIMALS)
    return distance


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _added(one: Counts | ReferenceCounts, other: Counts | ReferenceCounts) -> Iterator[Any]:
    """Sums of the fields of two of a kind, in the fields' order."""
    for field in fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        pair = isinstance(a, tuple)
        yield tuple(x + y for x, y in zip(a, b, strict=True)) if pair else a + b


@dataclass(frozen=True, slots=True)
class Counts:
    """What was counted at one threshold; counts of several pictures are added with ``+``."""

    pictures: int = 0
    pixels: int = 0
    true_positives: int = 0
    """Pixels that are target and predicted to be; false positives and negatives likewise."""
    false_positives: int = 0
    false_negatives: int = 0
    iou_sum: float = 0.0
    """Of the pictures' own IoU. A picture without a target counts 1 if nothing was predicted in
    it and else 0."""
    targets: tuple[int, ...] = (0,) * len(SIZES_PX)
    """True components, by SIZES_PX."""
    detected: tuple[int, ...] = (0,) * len(SIZES_PX)
    """Those of them that were found."""
    predicted: int = 0
    """Predicted components."""
    false_pixels: int = 0
    """Pixels of predicted components that found no target."""

    def __add__(self, other: Counts) -> Counts:
        return Counts(*_added(self, other))

    @property
    def true_negatives(self) -> int:
        """Pixels that are neither target nor predicted to be."""
        positives = self.true_positives + self.false_positives + self.false_negatives
        return self.pixels - positives

    @property
    def false_components(self) -> int:
        """Predicted components that found no target."""
        return self.predicted - sum(self.detected)

    @property
    def iou(self) -> float | None:
        """Intersection over union of all pixels of the set."""
        union = self.true_positives + self.false_positives + self.false_negatives
        return _ratio(self.true_positives, union)

    @property
    def niou(self) -> float | None:
        """Mean of the pictures' own IoU; see ``iou_sum`` for a picture without a target."""
        return _ratio(self.iou_sum, self.pictures)

    @property
    def precision(self) -> float | None:
        """Share of the predicted pixels that are target."""
        return _ratio(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float | None:
        """Share of the target pixels that are predicted."""
        return _ratio(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def false_positive_rate(self) -> float | None:
        """Share of the background pixels that are predicted."""
        return _ratio(self.false_positives, self.false_positives + self.true_negatives)

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall, of pixels."""
        wrong = self.false_positives + self.false_negatives
        return _ratio(2 * self.true_positives, 2 * self.true_positives + wrong)

    @property
    def pd(self) -> float | None:
        """Probability of detection: the share of the targets that were found."""
        return _ratio(sum(self.detected), sum(self.targets))

    @property
    def pd_by_size(self) -> tuple[float | None, ...]:
        """Pd of the targets of each of SIZES_PX."""
        pairs = zip(self.detected, self.targets, strict=True)
        return tuple(_ratio(found, there) for found, there in pairs)

    @property
    def fa(self) -> float | None:
        """Strict false alarm rate: the share of all pixels in components that found nothing."""
        return _ratio(self.false_pixels, self.pixels)


def count(
    predicted: NDArray[np.bool_], truth: NDArray[np.bool_], true_parts: Components | None = None
) -> Counts:
    """Count one picture.

    Args:
        predicted: (H, W).
        truth: (H, W).
        true_parts: those of the truth, where they are known.

    Raises:
        ValueError: the two differ in shape.
    """
    _check_shapes(predicted, truth)
    true_parts = components(truth) if true_parts is None else true_parts
    parts = components(predicted)
    pairs = match(true_parts, parts)
    hit = int(np.count_nonzero(predicted & truth))
    false_positives = int(np.count_nonzero(predicted)) - hit
    false_negatives = int(np.count_nonzero(truth)) - hit
    union = hit + false_positives + false_negatives
    return Counts(
        pictures=1,
        pixels=truth.size,
        true_positives=hit,
        false_positives=false_positives,
        false_negatives=false_negatives,
        iou_sum=hit / union if union else 1.0,
        targets=_by_size(true_parts.areas),
        detected=_by_size(true_parts.areas[pairs[:, 0]]),
        predicted=len(parts.areas),
        false_pixels=int(parts.areas.sum() - parts.areas[pairs[:, 1]].sum()),
    )


def _check_shapes(predicted: NDArray[np.generic], truth: NDArray[np.bool_]) -> None:
    if predicted.shape != truth.shape or truth.ndim != 2:
        raise ValueError(f"a prediction of {predicted.shape} does not fit a truth of {truth.shape}")


def _by_size(areas: NDArray[np.int64]) -> tuple[int, ...]:
    bins = np.searchsorted([low for low, _ in SIZES_PX], areas, side="right") - 1
    return tuple(int(n) for n in np.bincount(bins, minlength=len(SIZES_PX)))


@dataclass(frozen=True, slots=True)
class ReferenceCounts:
    """What the public code counts (``PD_FA`` of DNANet and BasicIRSTD), at probability 0.5.

    Two of its habits differ from the strict way: pairs are taken greedily in order of rows, and a
    component is false only if its AREA is not among the areas of those that were paired, so that a
    false component as large as a found one is forgiven. Published figures of Fa are made so.
    """

    pixels: int = 0
    targets: int = 0
    detected: int = 0
    false_pixels: int = 0

    def __add__(self, other: ReferenceCounts) -> ReferenceCounts:
        return ReferenceCounts(*_added(self, other))

    @property
    def fa(self) -> float | None:
        """Share of all pixels that are in components of an area that no paired one has."""
        return _ratio(self.false_pixels, self.pixels)


def count_reference(
    predicted: NDArray[np.bool_], truth: NDArray[np.bool_], true_parts: Components | None = None
) -> ReferenceCounts:
    """Count one picture as the public code does; see `count` for the arguments."""
    _check_shapes(predicted, truth)
    true_parts = components(truth) if true_parts is None else true_parts
    parts = components(predicted)
    pairs = match_reference(true_parts, parts)
    forgiven = np.isin(parts.areas, parts.areas[pairs[:, 1]])
    false_pixels = int(parts.areas[~forgiven].sum())
    return ReferenceCounts(truth.size, len(true_parts.areas), len(pairs), false_pixels)


class Evaluation:
    """Adds up pictures at a list of thresholds, and once as the public code does.

    Args:
        thresholds: probabilities, 0..1; a pixel is predicted where its probability is above.

    Raises:
        ValueError: there is no threshold, or one is outside 0..1.
    """

    def __init__(self, thresholds: Sequence[float]) -> None:
        if not thresholds or not all(0 <= each <= 1 for each in thresholds):
            raise ValueError(f"thresholds must be one or more of 0..1, not {list(thresholds)}")
        self._totals = dict.fromkeys(sorted(set(thresholds)), Counts())
        self.reference = ReferenceCounts()

    def update(self, probability: NDArray[np.floating], truth: NDArray[np.bool_]) -> None:
        """Take in one picture.

        Args:
            probability: (H, W), 0..1.
            truth: (H, W).

        Raises:
            ValueError: the two differ in shape, or a probability is outside 0..1 or not a number.
        """
        _check_shapes(probability, truth)
        if not bool(((probability >= 0) & (probability <= 1)).all()):
            raise ValueError("probabilities must be numbers of 0..1")
        parts = components(truth)
        above, counted = -1, Counts()
        for threshold, total in self._totals.items():
            predicted = probability > threshold
            # Masks of ascending thresholds are nested: of the same size they are the same.
            if (size := int(np.count_nonzero(predicted))) != above:
                above, counted = size, count(predicted, truth, parts)
            self._totals[threshold] = total + counted
        predicted = probability > REFERENCE_THRESHOLD
        self.reference += count_reference(predicted, truth, parts)

    def at(self, threshold: float) -> Counts:
        """The counts at one of the thresholds.

        Raises:
            KeyError: it is none of them.
        """
        return self._totals[threshold]

    @property
    def thresholds(self) -> tuple[float, ...]:
        """In ascending order."""
        return tuple(self._totals)

    @property
    def counts(self) -> tuple[Counts, ...]:
        """At each of the thresholds: the curves' points."""
        return tuple(self._totals.values())

    @property
    def pr_area(self) -> float | None:
        """Average precision: precision weighted with the recall that each threshold adds.

        No line is drawn between points: under one the area would be too large (Davis and Goadrich,
        ICML 2006).
        """
        area, before = 0.0, 0.0
        for each in reversed(self.counts):
            if each.recall is None:
                return None
            area += (each.recall - before) * (each.precision or 0.0)
            before = each.recall
        return area

    @property
    def roc_area(self) -> float | None:
        """Area under recall over the false positive rate, by trapezia from (0, 0) to (1, 1)."""
        points = [(0.0, 0.0)]
        for each in reversed(self.counts):
            if each.recall is None or each.false_positive_rate is None:
                return None
            points.append((each.false_positive_rate, each.recall))
        points.append((1.0, 1.0))
        return sum((x1 - x0) * (y0 + y1) / 2 for (x0, y0), (x1, y1) in pairwise(points))

    @property
    def pd_fa_area(self) -> float | None:
        """Mean over Fa from 0 to FA_LIMIT of the best Pd that some threshold has at that Fa.

        Pd may fall with the threshold, as targets run into one another; hence the best.
        """
        points = sorted((each.fa or 0.0, each.pd) for each in self.counts if each.pd is not None)
        if not points:
            return None
        area, best, before = 0.0, 0.0, 0.0
        for fa, pd in [*points, (FA_LIMIT, 0.0)]:
            area += best * max(0.0, min(fa, FA_LIMIT) - before)
            before, best = max(before, min(fa, FA_LIMIT)), max(best, pd)
        return area / FA_LIMIT
