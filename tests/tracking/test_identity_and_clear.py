"""IDF1 and MOTA worked out by hand."""

import pytest
from track_tables import along, table

from tracking.metrics import (
    ClearTally,
    IdentityTally,
    Similarity,
    measure_clear,
    measure_identity,
    pair_up,
)
from tracking.mot import MotTable

STILL = table(*along(1, range(1, 11)))


def clear_of(truth: MotTable, tracks: MotTable, **choices: float) -> ClearTally:
    return measure_clear(pair_up(truth, tracks), Similarity(**choices))


def identity_of(truth: MotTable, tracks: MotTable, **choices: float) -> IdentityTally:
    return measure_identity(pair_up(truth, tracks), Similarity(**choices))


# -- IDF1 --------------------------------------------------------------------------------------


def test_only_one_track_is_the_targets_own() -> None:
    tracks = table(*along(7, range(1, 5)), *along(8, range(5, 11)))
    tally = identity_of(STILL, tracks)
    assert tally == IdentityTally(labelled=10, estimated=10, kept=6)
    assert tally.figures().idf1 == pytest.approx(0.6)


def test_shares_of_either_side() -> None:
    tracks = table(
        *along(7, range(1, 9)), *along(7, range(9, 11), x=90), *along(8, range(1, 7), y=9)
    )
    figures = identity_of(STILL, tracks).figures()
    assert (figures.idp, figures.idr) == (pytest.approx(8 / 16), pytest.approx(8 / 10))
    assert figures.idf1 == pytest.approx(2 * 8 / 26)


def test_own_tracks_are_chosen_for_all_targets_together() -> None:
    # Track 7 is with target 1 for 6 frames and with target 2 for 4; track 8 only with target 1, 5.
    truth = table(*along(1, range(1, 12)), *along(2, range(1, 12), x=90))
    tracks = table(
        *along(7, range(1, 7)), *along(8, range(7, 12)), *along(7, range(7, 11), x=90)
    )  # 7 for 1 keeps 6 in all, 8 for 1 and 7 for 2 keep 5 + 4
    assert identity_of(truth, tracks).kept == 9


def test_a_pair_is_possible_up_to_half_the_distance() -> None:
    assert identity_of(STILL, table(*along(7, range(1, 11), x=53))).kept == 10
    assert identity_of(STILL, table(*along(7, range(1, 11), x=53.01))).kept == 0
    assert identity_of(STILL, table(*along(7, range(1, 11), x=53.01)), distance_px=6.1).kept == 10
    assert identity_of(STILL, table(*along(7, range(1, 11), x=53)), threshold=0.6).kept == 0


def test_identity_of_nothing() -> None:
    figures = identity_of(MotTable.empty(), MotTable.empty()).figures()
    assert (figures.idf1, figures.idp, figures.idr) == (None, None, None)
    figures = identity_of(STILL, MotTable.empty()).figures()
    assert (figures.idf1, figures.idp, figures.idr) == (0, None, 0)


# -- MOTA --------------------------------------------------------------------------------------


def test_misses_false_positives_switches_and_fragmentations() -> None:
    tracks = table(
        *along(7, range(1, 4), x=51),
        *along(8, range(6, 9)),  # after a gap, under another id
        (9, 8, 90, 50),  # away for a frame
        (10, 8, 50, 50),
    )
    tally = clear_of(STILL, tracks)
    assert (tally.pairs, tally.misses, tally.false_positives) == (7, 3, 1)
    assert (tally.identity_switches, tally.fragmentations) == (1, 2)
    figures = tally.figures()
    assert figures.mota == pytest.approx(1 - (3 + 1 + 1) / 10)
    assert figures.motp == pytest.approx((3 * (1 - 1 / 6) + 4) / 7)


def test_a_target_stays_with_its_track_while_that_is_near_enough() -> None:
    staying = table(*along(7, range(1, 6), x=52.9), *along(8, range(2, 6)))
    assert clear_of(STILL.keep(STILL.frame < 6), staying).identity_switches == 0
    leaving = table((1, 7, 50, 50), *along(7, range(2, 6), x=53.1), *along(8, range(2, 6)))
    assert clear_of(STILL.keep(STILL.frame < 6), leaving).identity_switches == 1


def test_two_that_change_over_are_two_switches() -> None:
    truth = table(*along(1, range(1, 9)), *along(2, range(1, 9), x=90))
    tracks = table(
        *along(7, range(1, 5)), *along(8, range(1, 5), x=90),
        *along(8, range(5, 9)), *along(7, range(5, 9), x=90),
    )  # fmt: skip
    tally = clear_of(truth, tracks)
    assert (tally.pairs, tally.identity_switches, tally.fragmentations) == (16, 2, 0)
    assert tally.figures().mota == pytest.approx(1 - 2 / 16)


def test_where_a_target_is_not_labelled_it_is_not_interrupted() -> None:
    seen = [*range(1, 4), *range(8, 11)]
    truth, tracks = (table(*((k, name, 50, 50) for k in seen)) for name in (1, 7))
    assert clear_of(truth, tracks).fragmentations == 0


def test_before_its_first_and_after_its_last_pair_a_target_is_not_interrupted() -> None:
    assert clear_of(STILL, table(*along(7, range(4, 7)))).fragmentations == 0


def test_mota_may_be_below_zero_and_undefined() -> None:
    crowd = table(*(line for k in range(3) for line in along(k, range(1, 11), x=90 + 20 * k)))
    figures = clear_of(STILL, crowd).figures()
    assert figures.mota == pytest.approx(-3)
    assert figures.motp is None
    assert clear_of(MotTable.empty(), crowd).figures().mota is None
    assert clear_of(MotTable.empty(), crowd).false_positives == 30


@pytest.mark.parametrize("wrong", [{"distance_px": 0.0}, {"threshold": 0.0}, {"threshold": 1.01}])
def test_what_is_no_similarity(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Similarity(**wrong)
