"""Where the network looks between scans: what was asked for is seen, in a replay the same."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from configs.schema import GateSettings, SyntheticSettings
from model.gating import Gate, window_sides
from model.windows import Window, scan_tiles
from streamer.scene import Scene
from streamer.types import FocusHints

HEIGHT, WIDTH = 200, 310
AT_ONCE = 256
"""Side of the pictures trained on that lets these be scanned at once."""


def hints(*places: tuple[float, float]) -> FocusHints:
    return FocusHints(np.array(places).reshape(-1, 2), np.zeros(len(places)), 1)


def look(gate: Gate, image: np.ndarray, gain: float, expected: FocusHints) -> list[Window] | None:
    """Where the network looks in the next frame; None: everywhere."""
    glance = gate.glance(image, gain)
    more = gate.focus(glance, expected)
    return None if glance.windows is None or more is None else glance.windows + more


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(90, 3, (HEIGHT, WIDTH)).astype(np.uint8)


def test_every_kth_frame_is_scanned_and_the_others_show_tracks_and_bright_spots() -> None:
    image = noise()
    image[150:153, 250:253] += 60
    gate = Gate(GateSettings(scan_every=4, candidates=1, candidate_every=1), AT_ONCE)
    seen = [look(gate, image, 1.0, hints((60.0, 50.0))) for _ in range(9)]
    assert [windows is None for windows in seen] == [i % 4 == 0 for i in range(9)]
    windows = seen[1]
    assert windows is not None and len(windows) == 2
    assert windows[0] == Window(60 - 31, 50 - 31, 64) or windows[0] == Window(60 - 32, 50 - 32, 64)
    left, top, right, bottom = windows[1].trusted(HEIGHT, WIDTH)
    assert left <= 251 < right and top <= 151 < bottom


def test_a_bright_spot_is_looked_at_now_and_then() -> None:
    image = noise()
    image[150:153, 250:253] += 60
    gate = Gate(GateSettings(scan_every=100, candidates=1, candidate_every=4), AT_ONCE)
    seen = [look(gate, image, 1.0, hints()) for _ in range(10)]
    assert [None if windows is None else len(windows) for windows in seen] == [
        *(None, 1, 0, 0, 0),
        *(1, 0, 0, 0, 1),
    ]


def test_a_bright_spot_that_moves_or_appears_is_looked_at_at_once() -> None:
    gate = Gate(GateSettings(scan_every=100, candidates=1, candidate_every=50), AT_ONCE)
    for _ in range(2):
        look(gate, noise(), 1.0, hints())
    for x in (40, 110, 180):
        image = noise()
        image[100:103, x : x + 3] += 60
        windows = look(gate, image, 1.0, hints())
        assert windows is not None
        assert any(window.shows(x + 1, 101, HEIGHT, WIDTH) for window in windows)


def test_lamps_that_rest_hide_no_weaker_spot() -> None:
    gate = Gate(GateSettings(scan_every=1000, candidates=1, candidate_every=8), AT_ONCE)
    seen = 0
    for k in range(60):
        image = np.full((HEIGHT, WIDTH), 90, np.uint8)
        for lamp in range(6):
            image[20:23, 20 + 50 * lamp : 23 + 50 * lamp] += 90
        image[150:153, 100 + k : 103 + k] += 30
        windows = look(gate, image, 1.0, hints())
        seen += any(w.shows(101 + k, 151, HEIGHT, WIDTH) for w in windows or [])
    assert seen >= 5


def test_a_spot_that_a_tracks_window_shows_costs_no_window_of_its_own() -> None:
    image = noise()
    image[49:52, 59:62] += 60
    gate = Gate(GateSettings(scan_every=100, candidates=1), AT_ONCE)
    look(gate, image, 1.0, hints())
    windows = look(gate, image, 1.0, hints((62.0, 52.0)))
    assert windows is not None and len(windows) == 1


def test_a_cut_or_another_size_is_scanned_whole_and_the_count_begins_anew() -> None:
    first, second = noise(1), noise(2)
    second[:, 150:] += 60
    gate = Gate(GateSettings(scan_every=4, candidates=0), AT_ONCE)
    pictures = [first, first, second, second, second, second, second, second[:180]]
    scanned = [look(gate, picture, 1.0, hints()) is None for picture in pictures]
    assert scanned == [True, False, True, False, False, False, True, True]


def test_a_camera_that_pans_or_a_target_that_enters_is_no_cut() -> None:
    scene = Scene(SyntheticSettings(camera_drift_px_per_second=60, seconds=2))
    gate = Gate(GateSettings(scan_every=1000), AT_ONCE)
    scanned = [look(gate, scene.render(k).image, 1.0, hints()) is None for k in range(30)]
    assert scanned == [True] + [False] * 29


@pytest.mark.parametrize("every", [3, 5, 8, 50])
def test_a_large_picture_is_scanned_a_part_a_frame_and_all_of_it_in_time(every: int) -> None:
    gate = Gate(GateSettings(scan_every=every, scan_windows=12, candidates=0), 96)
    whole = scan_tiles(HEIGHT, WIDTH, 96)
    assert whole is not None and len(whole) == 12
    seen = [look(gate, noise(), 1.0, hints()) for _ in range(1 + 2 * every)]
    assert seen[0] is None
    parts = [windows for windows in seen[1:] if windows is not None]
    assert len(parts) == 2 * every
    for round_of in (parts[:every], parts[every:]):
        assert [window for part in round_of for window in part] == whole
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1


def test_a_large_picture_takes_longer_where_a_frame_may_show_no_more() -> None:
    gate = Gate(GateSettings(scan_every=3, scan_windows=2, candidates=0), 96)
    whole = scan_tiles(HEIGHT, WIDTH, 96)
    seen = [look(gate, noise(), 1.0, hints()) for _ in range(1 + 6)]
    parts = [windows for windows in seen[1:] if windows is not None]
    assert [len(part) for part in parts] == [2] * 6
    assert [window for part in parts for window in part] == whole


def test_a_cut_between_lasting_scenes_holds_up_no_frame_and_all_is_seen_soon() -> None:
    gate = Gate(GateSettings(scan_every=20, scan_windows=2, candidates=0), 96)
    whole = scan_tiles(HEIGHT, WIDTH, 96)
    assert whole is not None and len(whole) == 12
    for _ in range(15):
        look(gate, noise(), 1.0, hints())
    after_cut = noise(2)
    after_cut[:, 150:] += 60
    parts = [look(gate, after_cut, 1.0, hints()) or [] for _ in range(3 + 20)]
    assert [len(part) for part in parts[:3]] == [4] * 3
    assert [window for part in parts[:3] for window in part] == whole
    assert [window for part in parts[3:] for window in part] == whole  # and then as ever
    assert max(len(part) for part in parts[3:]) == 1


def test_photographs_are_each_scanned_whole() -> None:
    gate = Gate(GateSettings(candidates=0), 96)
    pictures = [noise(1), noise(2)]
    pictures[1][:, 150:] += 60
    for k in range(12):
        assert look(gate, pictures[k % 2], 1.0, hints()) is None


def test_a_track_that_the_scans_part_shows_costs_no_window_of_its_own() -> None:
    gate = Gate(GateSettings(scan_every=12, candidates=0), 96)
    look(gate, noise(), 1.0, hints())
    first = look(gate, noise(), 1.0, hints((30.0, 30.0), (200.0, 150.0)))
    assert first is not None
    assert [window.side for window in first] == [96, 64]
    assert first[1].shows(200, 150, HEIGHT, WIDTH)
    # One that lies at the edge of what the part shows may have left it.
    wide = FocusHints(np.array([[80.0, 30.0]]), np.array([15.0]), 1)
    gate = Gate(GateSettings(scan_every=12, candidates=0), 96)
    look(gate, noise(), 1.0, hints())
    second = look(gate, noise(), 1.0, wide)
    assert second is not None and [window.side for window in second] == [96, 64]


def test_a_track_too_large_for_a_window_or_long_unseen_gets_a_wide_one() -> None:
    gate = Gate(GateSettings(scan_every=100, candidates=0), 96)
    look(gate, noise(), 1.0, hints())
    look(gate, noise(), 1.0, hints())
    both = FocusHints(np.array([[250.0, 150.0], [150.0, 60.0]]), np.array([4.0, 30.0]), 1)
    windows = look(gate, noise(), 1.0, both)
    assert windows is not None and [window.side for window in windows] == [96, 64]
    assert windows[0].shows_around(150, 60, 30, HEIGHT, WIDTH)
    # What the wide one shows besides costs no other.
    near = FocusHints(np.array([[150.0, 60.0], [155.0, 65.0]]), np.array([30.0, 4.0]), 1)
    windows = look(gate, noise(), 1.0, near)
    assert windows is not None and [window.side for window in windows] == [96]


@given(
    window_px=st.sampled_from([32, 64, 96, 128]),
    scan_px=st.sampled_from([64, 96, 128, 256]),
    places=st.lists(st.tuples(st.floats(0, 400), st.floats(0, 300)), max_size=20),
    radius=st.floats(0, 200),
)
def test_windows_have_the_sides_that_are_made_ready_and_are_no_more_work_than_allowed(
    window_px: int, scan_px: int, places: list[tuple[float, float]], radius: float
) -> None:
    settings = GateSettings(window_px=window_px, candidates=0, max_windows=16)
    gate = Gate(settings, scan_px)
    image = np.full((300, 400), 90, np.uint8)
    xy = np.array(places).reshape(-1, 2)
    asked = FocusHints(xy, np.full(len(places), radius), 1)
    look(gate, image, 1.0, asked)
    glance = gate.glance(image, 1.0)
    windows = gate.focus(glance, asked) or []
    assert {window.side for window in windows} <= set(window_sides(settings, scan_px))
    assert {window.side for window in glance.windows or []} <= {scan_px}
    assert sum(window.side**2 for window in windows) <= 16 * window_px**2


@given(
    height=st.integers(128, 400),
    width=st.integers(128, 400),
    places=st.lists(st.tuples(st.floats(-50, 450), st.floats(-50, 450)), max_size=6),
    radius=st.floats(0, 39),
)
@example(height=128, width=128, places=[(0.0, 33.0)], radius=23.5)
@example(height=200, width=200, places=[(100.2, 90.7)], radius=23.5)
@example(height=200, width=200, places=[(100.4, 90.9)], radius=23.2)
def test_whatever_is_asked_for_is_seen(
    height: int, width: int, places: list[tuple[float, float]], radius: float
) -> None:
    gate = Gate(GateSettings(candidates=0), 96)
    image = np.full((height, width), 90, np.uint8)
    xy = np.array(places).reshape(-1, 2)
    asked = FocusHints(xy, np.full(len(places), radius), 1)
    look(gate, image, 1.0, asked)
    windows = look(gate, image, 1.0, asked)
    assert windows is not None
    for x, y in np.clip(xy, 0, (width - 1, height - 1)):
        assert any(window.shows_around(x, y, radius, height, width) for window in windows)


@pytest.mark.parametrize("shape", [(100, 310), (310, 100), (40, 50)])
def test_a_small_picture_is_always_scanned_whole(shape: tuple[int, int]) -> None:
    gate = Gate(GateSettings(), AT_ONCE)
    image = np.zeros(shape, np.uint8)
    assert [look(gate, image, 1.0, hints()) for _ in range(3)] == [None] * 3


def test_more_windows_than_allowed_means_a_scan() -> None:
    gate = Gate(GateSettings(max_windows=1, candidates=0), AT_ONCE)
    look(gate, noise(), 1.0, hints())
    assert look(gate, noise(), 1.0, hints((40.0, 40.0), (200.0, 150.0))) is None


def test_frames_glanced_at_together_look_where_they_look_one_by_one() -> None:
    crowd = hints(*((20.0 + 50 * (k % 6), 20.0 + 50 * (k // 6)) for k in range(24)))
    expected = [crowd if k == 4 else hints() for k in range(12)]
    settings = GateSettings(scan_every=12, candidates=0, max_windows=16)
    alone = Gate(settings, 96)
    one_by_one = [look(alone, noise(), 1.0, each) for each in expected]
    assert one_by_one[4] is None  # more windows than a frame may have
    pairs = Gate(settings, 96)
    in_pairs: list[list[Window] | None] = []
    for k in range(0, 12, 2):
        glances = [pairs.glance(noise(), 1.0) for _ in range(2)]
        for glance, each in zip(glances, expected[k : k + 2], strict=True):
            more = pairs.focus(glance, each)
            in_pairs.append(
                None if glance.windows is None or more is None else glance.windows + more
            )
    assert in_pairs == one_by_one
