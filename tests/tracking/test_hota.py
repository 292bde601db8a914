"""HOTA worked out by hand."""

import math

import numpy as np
import pytest
from track_tables import along, table

from tracking.metrics import HotaTally, Similarity, measure_hota, pair_up
from tracking.metrics.hota import ALPHAS
from tracking.mot import MotTable

STILL = table(*along(1, range(1, 11)))


def hota_of(truth: MotTable, tracks: MotTable, similarity: Similarity | None = None) -> HotaTally:
    pairs = pair_up(truth, tracks)
    return measure_hota(pairs) if similarity is None else measure_hota(pairs, similarity)


def test_alphas_are_those_of_the_paper() -> None:
    assert ALPHAS.tolist() == pytest.approx(np.arange(0.05, 0.99, 0.05).tolist())


def test_a_track_of_half_the_target_at_its_centre() -> None:
    figures = hota_of(STILL, table(*along(7, range(1, 6)))).figures()
    assert figures.det_a == pytest.approx(0.5)  # 5 pairs, 5 misses
    assert figures.ass_a == pytest.approx(0.5)  # together in 5 of 10 frames
    assert figures.hota == pytest.approx(0.5)
    assert figures.loc_a == pytest.approx(1)


def test_a_new_id_halfway_costs_association_only() -> None:
    tracks = table(*along(7, range(1, 6)), *along(8, range(6, 11)))
    figures = hota_of(STILL, tracks).figures()
    assert (figures.det_a, figures.ass_a) == (pytest.approx(1), pytest.approx(0.5))
    assert figures.hota == pytest.approx(math.sqrt(0.5))


def test_a_false_track_costs_detection_only() -> None:
    tracks = table(*along(7, range(1, 11)), *along(8, range(1, 11), x=90))
    figures = hota_of(STILL, tracks).figures()
    assert (figures.det_a, figures.ass_a) == (pytest.approx(0.5), pytest.approx(1))


def test_a_pair_counts_for_the_alphas_it_reaches() -> None:
    # 3 px of 6 are half alike, which is reached by the 10 alphas from 0.05 to 0.5.
    tally = hota_of(STILL, table(*along(7, range(1, 11), x=53)))
    assert tally.pairs.tolist() == [10] * 10 + [0] * 9
    figures = tally.figures()
    assert figures.det_a == figures.ass_a == figures.hota == pytest.approx(10 / 19)
    assert figures.loc_a == pytest.approx((10 * 0.5 + 9) / 19)  # 1 where there is no pair


def test_half_alike_is_half_alike_whatever_the_rounding() -> None:
    truth, tracks = table((1, 1, 0.1, 0.2)), table((1, 7, 0.1 + 0.3 * 6, 0.2 + 0.4 * 6))
    assert hota_of(truth, tracks).pairs.tolist() == [1] * 10 + [0] * 9


def test_the_distance_is_a_choice() -> None:
    tracks = table(*along(7, range(1, 11), x=53))
    assert hota_of(STILL, tracks, Similarity(distance_px=3.0)).pairs.tolist() == [0] * 19
    assert hota_of(STILL, tracks, Similarity(distance_px=30.0)).pairs.tolist() == [10] * 18 + [0]


def test_of_two_tracks_the_one_that_goes_along_is_paired() -> None:
    # In frame 5 a passer-by is nearer than the track that is there in all ten frames.
    tracks = table(*along(7, range(1, 11), x=51), (5, 8, 50, 50))
    tally = hota_of(STILL, tracks)
    assert tally.pairs[0] == 10
    assert tally.association[0] == pytest.approx(10)


def test_clips_pool_by_their_pairs() -> None:
    whole = hota_of(STILL, table(*along(7, range(1, 11))))
    missed = hota_of(STILL, MotTable.empty())
    pooled = (whole + missed).figures()
    assert (pooled.det_a, pooled.ass_a) == (pytest.approx(0.5), pytest.approx(1))
    assert missed.figures().hota == 0


def test_nothing_at_all_is_undefined() -> None:
    figures = hota_of(MotTable.empty(), MotTable.empty()).figures()
    assert figures == HotaTally().figures()
    assert (figures.hota, figures.det_a, figures.ass_a, figures.loc_a) == (None,) * 4
    assert hota_of(STILL, MotTable.empty()).figures().loc_a is None
