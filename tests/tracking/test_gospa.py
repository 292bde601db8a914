"""GOSPA worked out by hand, and against the definition on every assignment there is."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from track_tables import along, small_tables, table

from tracking.metrics import GospaTally, measure_gospa, pair_up
from tracking.mot import MotTable

STILL = table(*along(1, range(1, 11)))


def gospa_of(truth: MotTable, tracks: MotTable, frames: int = 10, **choices: float) -> GospaTally:
    return measure_gospa(pair_up(truth, tracks), frames, **choices)


def test_the_three_parts() -> None:
    truth = table((1, 1, 10, 10), (1, 2, 50, 50), (1, 3, 90, 90))
    tracks = table((1, 7, 13, 10), (1, 8, 52, 50), (1, 9, 70, 10))
    figures = gospa_of(truth, tracks, 1).figures()
    assert figures.localisation == pytest.approx(3**2 + 2**2)
    assert figures.missed == pytest.approx(25 / 2)
    assert figures.false == pytest.approx(25 / 2)
    assert figures.gospa_px == pytest.approx(math.sqrt(9 + 4 + 25))


def test_from_the_cut_off_on_a_track_is_another_target_missed_and_false() -> None:
    figures = gospa_of(STILL, table(*along(7, range(1, 11), x=55))).figures()
    assert figures.localisation == 0
    assert (figures.missed, figures.false) == (pytest.approx(12.5), pytest.approx(12.5))
    assert figures.gospa_px == pytest.approx(5)
    wider = gospa_of(STILL, table(*along(7, range(1, 11), x=55)), cutoff_px=8.0).figures()
    assert wider.localisation == pytest.approx(25)
    assert wider.gospa_px == pytest.approx(5)


def test_means_are_over_all_frames_also_those_in_which_nothing_is() -> None:
    figures = gospa_of(STILL, MotTable.empty(), 40).figures()
    assert figures.gospa_px == pytest.approx(math.sqrt(12.5) / 4)
    assert figures.missed == pytest.approx(12.5 / 4)
    clips = gospa_of(STILL, MotTable.empty(), 10) + gospa_of(MotTable.empty(), MotTable.empty(), 30)
    assert clips.figures() == figures


def test_the_power_is_a_choice() -> None:
    truth, tracks = table((1, 1, 10, 10)), table((1, 7, 12, 10), (1, 8, 50, 50))
    assert gospa_of(truth, tracks, 1, power=1.0).figures().gospa_px == pytest.approx(2 + 2.5)


def test_without_frames_it_is_undefined() -> None:
    assert GospaTally().figures().gospa_px is None


def by_definition(distance: np.ndarray) -> float:
    """The least over every assignment of some targets to as many tracks, c = 5, p = alpha = 2."""
    targets, tracks = distance.shape
    least = math.inf
    for size in range(min(targets, tracks) + 1):
        alone = 12.5 * (targets + tracks - 2 * size)
        for rows in itertools.combinations(range(targets), size):
            for columns in itertools.permutations(range(tracks), size):
                pairs = distance[list(rows), list(columns)]
                least = min(least, float((pairs**2).sum()) + alone)
    return math.sqrt(least)


@settings(max_examples=60)
@given(small_tables(), small_tables())
def test_it_is_the_least_that_any_assignment_costs(truth: MotTable, tracks: MotTable) -> None:
    clip = pair_up(truth, tracks)
    expected = [by_definition(frame.distance) for frame in clip.frames]
    tally = measure_gospa(clip, 6)
    assert tally.gospa_px == pytest.approx(sum(expected))
    parts = tally.localisation + tally.missed + tally.false
    assert parts == pytest.approx(sum(each**2 for each in expected))
