"""Timestamps increase, and good ones are not touched."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.sources.clock import StreamClock

PERIOD = 0.04


def ticks(*stated: float | None) -> list[float]:
    clock = StreamClock(PERIOD)
    return [clock(time) for time in stated]


def test_good_times_pass_as_they_are_whatever_the_gaps() -> None:
    assert ticks(5.0, 5.04, 5.05, 9.0) == [5.0, 5.04, 5.05, 9.0]


def test_missing_times_follow_the_average_rate() -> None:
    assert ticks(None, None, 1.0, None, 1.08) == pytest.approx([0, 0.04, 1.0, 1.04, 1.08])


def test_in_a_slip_time_goes_on_and_the_slip_is_forgotten() -> None:
    assert ticks(1.0, 1.0, 0.99, 1.12, 1.16) == pytest.approx([1.0, 1.02, 1.04, 1.12, 1.16])


def test_a_clock_that_starts_anew_goes_on_counting() -> None:
    assert ticks(100.0, 0.0, 0.04, 0.1) == pytest.approx([100.0, 100.04, 100.08, 100.14])


@given(st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), max_size=50))
def test_times_always_increase(stated: list[float | None]) -> None:
    times = ticks(*stated)
    assert all(later > earlier for earlier, later in pairwise(times))
