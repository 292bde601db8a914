"""Who gets which detection, on matrices small enough to check by eye."""

import numpy as np

from tracking.association import assign, associate

GATE = 11.6


def rounds(distance: list[list[float]], confirmed: list[bool], strong: list[bool]) -> list[int]:
    matrix = np.array(distance)
    matched = associate(
        matrix,
        np.zeros_like(matrix),
        gate=GATE,
        confirmed=np.array(confirmed),
        strong=np.array(strong),
    )
    return matched.tolist()


def test_a_stale_track_does_not_steal() -> None:
    """By d^2 alone the second track, uncertain by 20 px, would be the nearer one."""
    distance = np.array([[1.0], [0.2]])
    log_det = np.log(np.array([[1.0], [400.0]]) ** 2)
    rows, columns = assign(distance, log_det, GATE, np.ones((2, 1), dtype=np.bool_))
    assert (rows.tolist(), columns.tolist()) == ([0], [0])


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
