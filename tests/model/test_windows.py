"""Windows show all that they should, and what they show is put together."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from model.windows import RIM_PX, Mosaic, Window, cover, scan_tiles, scan_windows

HEIGHT, WIDTH, SIDE = 200, 310, 64


@given(
    st.lists(
        st.tuples(st.floats(-20, WIDTH + 20), st.floats(-20, HEIGHT + 20), st.floats(0, 20)),
        max_size=12,
    )
)
@example([(0.0, 147.0, 15.0), (0.0, 180.0, 0.0)])  # as far apart as the inside of a window is long
def test_every_place_is_in_the_trusted_part_of_some_window(
    places: list[tuple[float, float, float]],
) -> None:
    given_places = np.array(places).reshape(-1, 3)
    windows = cover(given_places[:, :2], given_places[:, 2], HEIGHT, WIDTH, SIDE)
    assert len(windows) <= len(places)
    for window in windows:
        assert 0 <= window.left <= WIDTH - SIDE
        assert 0 <= window.top <= HEIGHT - SIDE
    for x, y, _ in places:
        x, y = min(max(x, 0), WIDTH - 1), min(max(y, 0), HEIGHT - 1)
        assert any(
            left - 0.5 <= x <= right - 0.5 and top - 0.5 <= y <= bottom - 0.5
            for left, top, right, bottom in (w.trusted(HEIGHT, WIDTH) for w in windows)
        )


def test_neighbours_share_a_window_and_strangers_do_not() -> None:
    zero = np.zeros(2)
    assert len(cover(np.array([[100.0, 100.0], [120.0, 90.0]]), zero, HEIGHT, WIDTH, SIDE)) == 1
    assert len(cover(np.array([[100.0, 100.0], [160.0, 90.0]]), zero, HEIGHT, WIDTH, SIDE)) == 2


def test_the_rim_of_a_window_is_not_used_but_at_the_pictures_edge() -> None:
    mosaic = Mosaic(HEIGHT, WIDTH)
    mosaic.add(Window(left=0, top=50, side=SIDE), np.ones((SIDE, SIDE), np.float32))
    rows, columns = np.nonzero(mosaic.probability)
    assert (columns.min(), columns.max()) == (0, SIDE - RIM_PX - 1)
    assert (rows.min(), rows.max()) == (50 + RIM_PX, 50 + SIDE - RIM_PX - 1)


def test_where_windows_overlap_their_mean_counts() -> None:
    mosaic = Mosaic(HEIGHT, WIDTH)
    for left, value in ((40, 0.9), (60, 0.3), (240, 0.9)):
        mosaic.add(Window(left, 50, SIDE), np.full((SIDE, SIDE), value, np.float32))
    probability = mosaic.probability
    assert probability[80, [50, 80, 110, 270]] == pytest.approx([0.9, 0.6, 0.3, 0.9])
    assert probability[10, 80] == 0


@given(st.integers(60, 700), st.integers(60, 700), st.sampled_from([48, 64, 128]))
def test_a_scan_shows_every_pixel_in_the_trusted_part_of_a_window(
    height: int, width: int, side: int
) -> None:
    windows = scan_windows(height, width, side)
    if windows is None:
        assert min(height, width) < side or max(height, width) <= 1.5 * side
        return
    seen = np.zeros((height, width), dtype=np.bool_)
    for window in windows:
        assert window.cut(seen).shape == (side, side)
        left, top, right, bottom = window.trusted(height, width)
        seen[top:bottom, left:right] = True
    assert seen.all()
    assert len(windows) * (side - 16) ** 2 < 4 * height * width


@given(st.integers(60, 700), st.integers(60, 700), st.sampled_from([48, 64, 128]))
def test_tiles_of_a_scan_use_each_pixel_once(height: int, width: int, side: int) -> None:
    tiles = scan_tiles(height, width, side)
    whole = scan_windows(height, width, side)
    if tiles is None or whole is None:
        assert tiles is whole
        return
    used = np.zeros((height, width), dtype=np.int64)
    for tile in tiles:
        left, top, right, bottom = tile.trusted(height, width)
        used[top:bottom, left:right] += 1
        # Never less surround than any window has.
        assert all(rim >= RIM_PX for rim in tile.rims)
    assert (used == 1).all()
    assert [(w.left, w.top) for w in tiles] == [(w.left, w.top) for w in whole]
