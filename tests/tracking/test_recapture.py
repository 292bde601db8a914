"""A lost target that is found again keeps its id, and nobody else gets it."""

from collections.abc import Iterable

import numpy as np
import pytest
from shown_targets import SIGMA, follow, line, seen, tracker

from streamer.protocols import Tracker
from streamer.types import Tracks

FPS = 30
UNTIL = 2.0
"""When the target is seen last, s."""
VELOCITY = (50.0, 10.0)


def lose(subject: Tracker, seconds: float) -> None:
    """A target from (20, 100) on is followed, and then hidden for so long."""
    times = np.arange(round(UNTIL * FPS)) / FPS
    follow(subject, line(times, (20, 100), VELOCITY), times, SIGMA)
    for k in range(round(seconds * FPS)):
        subject.step(seen([], UNTIL + k / FPS))


def show(
    subject: Tracker,
    seconds: float,
    start: Iterable[float],
    velocity: Iterable[float],
    **looks: float,
) -> list[Tracks]:
    """A second of a target that appears ``seconds`` after the other was seen last."""
    rng = np.random.default_rng(7)
    outputs = []
    for k in range(FPS):
        place = np.asarray(start) + np.asarray(velocity) * k / FPS + rng.normal(0, SIGMA, 2)
        outputs.append(subject.step(seen(place, UNTIL + seconds + k / FPS, **looks)))
    return outputs


def expected(seconds: float) -> np.ndarray:
    """Where the hidden target is."""
    return line([UNTIL + seconds], (20, 100), VELOCITY)[0]


def ids(outputs: list[Tracks]) -> set[int]:
    return {int(i) for tracks in outputs for i in tracks.track_id[tracks.reported]}


@pytest.mark.parametrize(
    ("within", "hidden", "same"),
    [(3.0, 1.0, True), (3.0, 2.0, True), (1.5, 2.0, False), (0.0, 1.0, False)],
)
def test_a_target_that_is_found_again_in_time_keeps_its_id(
    within: float, hidden: float, same: bool
) -> None:
    subject = tracker(recapture_seconds=within, coast_seconds=0.5)
    lose(subject, hidden)
    again = show(subject, hidden, expected(hidden) + 4.0, VELOCITY)
    assert not again[0].reported.any()
    assert again[-1].reported.sum() == 1
    assert (ids(again) == {1}) == same
    if same:
        assert again[-1].age_seconds[0] == pytest.approx(UNTIL + hidden + (FPS - 1) / FPS)


def test_while_a_target_is_lost_nothing_is_told_of_it() -> None:
    subject = tracker(coast_seconds=0.5)
    lose(subject, 1.0)
    assert len(subject.step(seen([], UNTIL + 1.0))) == 0


def test_a_target_elsewhere_is_another_one() -> None:
    subject = tracker(coast_seconds=0.5)
    lose(subject, 1.0)
    assert 1 not in ids(show(subject, 1.0, (300, 300), VELOCITY))


def test_a_target_that_flies_the_other_way_is_another_one() -> None:
    subject = tracker(coast_seconds=0.5)
    lose(subject, 1.0)
    assert 1 not in ids(show(subject, 1.0, expected(1.0), (-200.0, -40.0)))


def test_a_target_that_looks_otherwise_is_another_one() -> None:
    subject = tracker(coast_seconds=0.5)
    lose(subject, 1.0)
    assert 1 not in ids(show(subject, 1.0, expected(1.0), VELOCITY, area=150.0))


def test_of_two_that_are_lost_each_gets_its_own_id() -> None:
    rng = np.random.default_rng(8)
    subject = tracker(coast_seconds=0.5)
    last: dict[int, float] = {}
    times = np.arange(5 * FPS) / FPS
    one, other = line(times, (20, 100), (50, 0)), line(times, (20, 160), (50, 0))
    for k, places in enumerate(zip(one, other, strict=True)):
        hidden = 2.0 <= times[k] < 3.2
        found = np.zeros((0, 2)) if hidden else np.array(places) + rng.normal(0, SIGMA, (2, 2))
        tracks = subject.step(seen(found, times[k]))
        assert len(set(tracks.track_id.tolist())) == len(tracks)
        last = {int(i): xy[1] for i, xy in zip(tracks.track_id, tracks.xy, strict=True)}
        if k == FPS:
            early = last
    assert set(last) == set(early) == {1, 2}
    assert all(abs(last[i] - early[i]) < 10 for i in (1, 2))


def test_a_target_that_left_the_picture_is_not_waited_for() -> None:
    image = np.zeros((200, 200), dtype=np.uint8)
    subject = tracker(coast_seconds=0.5, camera_motion="off")
    times = np.arange(round(UNTIL * FPS)) / FPS
    for place, time in zip(line(times, (105, 100), VELOCITY), times, strict=True):
        subject.step(seen(place if place[0] < 199 else [], time), image)
    again = [subject.step(seen((190 - k, 120), UNTIL + 0.2 + k / FPS), image) for k in range(FPS)]
    assert again[-1].reported.any()
    assert 1 not in ids(again)
