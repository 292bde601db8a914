"""All measures of a clip at once: what must hold whatever the tracks are."""

import math
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from track_tables import along, boxes, scene, shuffled, small_tables, table

from streamer.types import StreamError
from tracking.estimates import Estimates
from tracking.metrics import Tally, measure_clip, pooled
from tracking.mot import MotTable

QUICK = settings(max_examples=80)
NOTHING = MotTable.empty()


def shares(tally: Tally) -> dict[str, float | None]:
    """Every figure that is 0 to 1."""
    return {
        **asdict(tally.hota.figures()),
        **asdict(tally.identity.figures()),
        "motp": tally.clear.figures().motp,
    }


def same(one: Tally, other: Tally) -> None:
    first, second = one.entry(30), other.entry(30)
    for name in ("hota", "identity", "clear", "gospa", "consistency"):
        assert first.pop(name) == pytest.approx(second.pop(name), nan_ok=True)
    # Which of several that are found in one frame is listed first is nobody's business.
    times = [sorted(each.pop("confirmation_frames")) for each in (first, second)]  # type: ignore[call-overload]
    assert times[0] == times[1]
    assert first == second


@QUICK
@given(small_tables())
def test_the_truth_is_perfect(truth: MotTable) -> None:
    assume(len(truth))
    xy, count = truth.centres, len(truth)
    certain = Estimates(truth.frame, truth.object_id, xy, np.tile(np.eye(2), (count, 1, 1)))
    tally = measure_clip(truth, truth, 6, estimates=certain)
    assert all(value == pytest.approx(1) for value in shares(tally).values())
    assert tally.clear.figures().mota == 1
    assert (tally.clear.identity_switches, tally.clear.fragmentations) == (0, 0)
    assert tally.gospa.figures().gospa_px == 0
    assert tally.consistency.figures().nees == 0
    assert tally.counts.tracked == count
    assert set(tally.counts.confirmation_frames) == {0}


@QUICK
@given(small_tables(), small_tables(), st.integers(0, 99))
def test_the_order_of_lines_makes_no_difference(
    truth: MotTable, tracks: MotTable, seed: int
) -> None:
    mixed = measure_clip(shuffled(truth, seed), shuffled(tracks, seed + 1), 6)
    same(measure_clip(truth, tracks, 6), mixed)


@QUICK
@given(small_tables(), small_tables())
def test_bounds(truth: MotTable, tracks: MotTable) -> None:
    tally = measure_clip(truth, tracks, 6)
    assert all(value is None or -1e-9 <= value <= 1 + 1e-9 for value in shares(tally).values())
    clear, mota = tally.clear, tally.clear.figures().mota
    assert mota is None or mota <= 1
    assert clear.pairs + clear.misses == len(truth)
    assert clear.pairs + clear.false_positives == len(tracks)
    assert clear.identity_switches <= clear.pairs
    assert tally.identity.kept <= clear.pairs  # the best of one frame is no less than of all
    gospa = tally.gospa.figures()
    assert gospa.gospa_px is not None
    assert 0 <= gospa.gospa_px <= math.sqrt(12.5 * (len(truth) + len(tracks)))
    assert len(tally.counts.confirmation_frames) == tally.counts.targets_found


@QUICK
@given(small_tables())
def test_empty_sides(some: MotTable) -> None:
    assume(len(some))
    missed, false = measure_clip(some, NOTHING, 6), measure_clip(NOTHING, some, 6)
    assert (missed.clear.misses, missed.clear.false_positives) == (len(some), 0)
    assert (false.clear.misses, false.clear.false_positives) == (0, len(some))
    assert missed.hota.figures().hota == false.hota.figures().hota == 0
    assert missed.identity.figures().idf1 == false.identity.figures().idf1 == 0
    assert (missed.clear.figures().mota, false.clear.figures().mota) == (0, None)
    assert missed.gospa.gospa_px == pytest.approx(false.gospa.gospa_px)
    assert missed.gospa.missed == false.gospa.false == 12.5 * len(some)


def test_nothing_on_either_side_is_undefined_but_for_gospa() -> None:
    tally = measure_clip(NOTHING, NOTHING, 6)
    assert set(shares(tally).values()) == {None}
    assert tally.gospa.figures().gospa_px == 0
    same(pooled([]), Tally())


def test_pooling_adds_clips_up_in_any_order() -> None:
    tallies = [measure_clip(*scene(seed), 40) for seed in range(4)]
    together = pooled(tallies)
    assert together.counts.clips == 4
    assert together.clear.misses == sum(each.clear.misses for each in tallies)
    assert together.hota.pairs == pytest.approx(sum(each.hota.pairs for each in tallies))
    same(together, pooled(reversed(tallies)))


def test_clips_pool_as_one_long_clip_of_other_targets() -> None:
    scenes = [scene(seed) for seed in range(3)]
    moved = [
        [boxes(each.frame + 40 * k, each.object_id + 10_000 * k, each.centres) for each in sides]
        for k, sides in enumerate(scenes)
    ]
    long = [
        boxes(*(np.concatenate([getattr(sides[side], name) for sides in moved]) for name in
                ("frame", "object_id", "centres")))
        for side in (0, 1)
    ]  # fmt: skip
    apart = pooled(measure_clip(truth, tracks, 120) for truth, tracks in moved)
    whole = measure_clip(*long, 120)
    assert asdict(apart.hota.figures()) == pytest.approx(asdict(whole.hota.figures()))
    assert apart.identity == whole.identity
    assert asdict(apart.clear) == pytest.approx(asdict(whole.clear))


def test_lines_beyond_the_end_do_not_count() -> None:
    truth, tracks = table(*along(1, range(1, 20))), table(*along(7, range(1, 30)))
    same(measure_clip(truth, tracks, 10), measure_clip(truth.keep(truth.frame <= 10), tracks, 10))
    assert measure_clip(truth, tracks, 10).clear.false_positives == 0


@pytest.mark.parametrize(("side", "says"), [(0, "target 3 in frame 2"), (1, "track 3 in frame 2")])
def test_an_id_that_is_there_twice_is_told(side: int, says: str) -> None:
    sides = [table((1, 3, 5, 5), (2, 1, 8, 8))] * 2
    sides[side] = table((2, 3, 5, 5), (1, 3, 5, 5), (2, 3, 9, 9))
    with pytest.raises(StreamError, match=says):
        measure_clip(*sides, 6)
