"""Counts and rates, worked out by hand."""

import math

import pytest
from scipy.stats import binomtest
from track_tables import table

from tracking.metrics import (
    Counts,
    count_clip,
    poisson_rate_interval,
    rates,
    wilson_interval,
)
from tracking.mot import MotTable

STILL = table(*((frame, 1, 50, 50) for frame in range(1, 11)))


def test_a_target_is_tracked_where_a_centre_lies_in_its_box() -> None:
    tracks = table((1, 7, 50, 50), (2, 7, 55, 45), (3, 7, 55.1, 50), (4, 7, 50, 44.9))
    counts = count_clip(STILL, tracks, 10)
    assert (counts.labelled, counts.tracked) == (10, 2)
    assert counts == Counts(
        clips=1,
        frames=10,
        labelled=10,
        tracked=2,
        targets=1,
        targets_found=1,
        tracks=1,
        false_tracks=1,  # in the box for two frames only
        ids_on_targets=1,
        confirmation_frames=(0,),
    )


@pytest.mark.parametrize(("frames_inside", "false"), [(0, 1), (2, 1), (3, 0), (9, 0)])
def test_three_frames_in_a_box_make_a_track_true(frames_inside: int, false: int) -> None:
    inside = [(frame, 7, 50.0, 50.0) for frame in range(1, 1 + frames_inside)]
    outside = [(frame, 7, 90.0, 90.0) for frame in range(1 + frames_inside, 11)]
    assert count_clip(STILL, table(*inside, *outside), 10).false_tracks == false


def test_frames_in_a_box_need_not_follow_each_other_nor_share_the_target() -> None:
    truth = table((1, 1, 50, 50), (3, 1, 50, 50), (3, 2, 90, 90), (9, 2, 90, 90))
    tracks = table((1, 7, 50, 50), (2, 7, 50, 50), (3, 7, 50, 50), (9, 7, 90, 90))
    assert count_clip(truth, tracks, 10).false_tracks == 0


def test_two_boxes_in_one_frame_count_once_for_a_track() -> None:
    truth = table((1, 1, 50, 50), (1, 2, 51, 50), (2, 1, 50, 50), (2, 2, 51, 50))
    counts = count_clip(truth, table((1, 7, 50, 50), (2, 7, 50, 50)), 2)
    assert (counts.tracked, counts.false_tracks) == (4, 1)


def test_another_track_taking_over_is_a_switch_also_after_a_gap() -> None:
    tracks = table(
        *((frame, 7, 50.0, 50.0) for frame in (1, 2, 3)),
        *((frame, 8, 50.0, 50.0) for frame in (6, 7, 8)),
        *((frame, 7, 50.0, 50.0) for frame in (9, 10)),
    )
    counts = count_clip(STILL, tracks, 10)
    assert (counts.tracked, counts.identity_switches, counts.ids_on_targets) == (8, 2, 2)


def test_a_second_track_in_the_box_does_not_take_over() -> None:
    first = [(frame, 7, 53.0, 50.0) for frame in range(1, 11)]
    nearer = [(frame, 8, 50.0, 50.0) for frame in range(4, 8)]
    counts = count_clip(STILL, table(*first, *nearer), 10)
    assert (counts.identity_switches, counts.ids_on_targets, counts.false_tracks) == (0, 1, 0)


def test_the_nearest_of_two_new_tracks_speaks() -> None:
    both = [(1, 7, 53.0, 50.0), (1, 8, 50.0, 50.0)]
    later = [(frame, 8, 50.0, 50.0) for frame in range(2, 11)]
    assert count_clip(STILL, table(*both, *later), 10).identity_switches == 0


def test_confirmation_takes_from_the_first_label_to_the_first_frame_tracked() -> None:
    truth = table(
        *((frame, 1, 50, 50) for frame in range(3, 11)),
        *((frame, 2, 90, 90) for frame in range(1, 11)),
        (1, 3, 20, 20),  # is never found: it has no time
    )
    tracks = table((1, 7, 50, 50), (6, 7, 50, 50), (2, 8, 90, 90), (3, 8, 90, 90))
    counts = count_clip(truth, tracks, 10)
    assert sorted(counts.confirmation_frames) == [1, 3]
    rate = rates(counts, fps=20)
    assert rate.confirmation_seconds_median == pytest.approx(2 / 20)
    assert rate.confirmation_seconds_p90 == pytest.approx((1 + 0.9 * 2) / 20)
    unknown = rates(counts, math.inf)  # frames per second of a single frame
    assert unknown.confirmation_seconds_median is unknown.confirmation_seconds_p90 is None


def test_no_tracks_and_no_truth() -> None:
    nothing = MotTable.empty()
    assert count_clip(STILL, nothing, 10) == Counts(clips=1, frames=10, labelled=10, targets=1)
    counts = count_clip(nothing, STILL, 10)
    assert (counts.tracks, counts.false_tracks, counts.labelled) == (1, 1, 0)


def test_rates() -> None:
    counts = Counts(
        clips=2,
        frames=3600,
        labelled=200,
        tracked=170,
        targets=2,
        targets_found=2,
        tracks=9,
        false_tracks=6,
        identity_switches=1,
        ids_on_targets=3,
    )
    rate = rates(counts + counts, fps=30)
    assert rate.minutes == pytest.approx(4)
    assert rate.tracked_share == pytest.approx(0.85)
    assert rate.false_tracks_per_minute == pytest.approx(3)
    assert rate.identity_switches_per_clip == pytest.approx(0.5)
    assert rate.identity_switches_per_clip_interval == poisson_rate_interval(2, 4)
    assert rate.ids_per_found_target == pytest.approx(1.5)
    empty = rates(Counts(), fps=30)
    assert (empty.tracked_share, empty.false_tracks_per_minute) == (None, None)
    assert empty.confirmation_seconds_median is None


@pytest.mark.parametrize(("k", "n"), [(0, 5), (5, 5), (3, 7), (850, 1000)])
def test_wilson_interval_is_scipys(k: int, n: int) -> None:
    expected = binomtest(k, n).proportion_ci(0.95, method="wilson")
    assert wilson_interval(k, n) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert wilson_interval(0, 0) is None


def test_poisson_interval_is_the_tables() -> None:
    assert poisson_rate_interval(0, 2.0) == pytest.approx((0.0, 3.689 / 2), abs=1e-3)
    assert poisson_rate_interval(10, 1.0) == pytest.approx((4.795, 18.390), abs=1e-3)
    assert poisson_rate_interval(3, 0.0) is None
