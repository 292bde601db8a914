from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sink_results import result_of, some_detections, tracks_at

from configs.schema import OverlaySettings
from streamer.overlay import Overlay
from streamer.overlay.contrast import Contrast
from streamer.overlay.inset import Inset
from streamer.overlay.labels import LabelPlacer, overlap
from streamer.overlay.overlay import MAX_SIDE, drawing_scale
from streamer.overlay.trails import Trails
from streamer.types import Tracks, TrackState

PLAIN = OverlaySettings(min_width=192, inset=False)
SCALE = 3  # of a 64 px wide picture drawn 192 px wide
anywhere = st.floats(-1e9, 1e9) | st.floats(-5, 70) | st.sampled_from([-1e300, 1e300])


def drawn(overlay: Overlay, *results) -> np.ndarray:  # type: ignore[no-untyped-def]
    for result in results:
        picture = overlay.draw(result)
    return picture


@pytest.mark.parametrize("state", [TrackState.CONFIRMED, TrackState.COASTING])
@pytest.mark.parametrize("sigma", [0.05, 0.6, 8.0])
def test_a_targets_own_pixel_is_never_covered(state: TrackState, sigma: float) -> None:
    x, y = 30, 21
    neighbours = [(30, 21), (31, 22), (28, 20), (36, 21)]
    tracks = tracks_at(neighbours, state=[state] * 4, sigma=sigma)
    with_tracks = drawn(Overlay(PLAIN), result_of(tracks=tracks))
    without = drawn(Overlay(PLAIN), result_of())
    block = np.s_[y * SCALE : (y + 1) * SCALE, x * SCALE : (x + 1) * SCALE]
    np.testing.assert_array_equal(with_tracks[block], without[block])
    around = np.s_[(y - 6) * SCALE : (y + 7) * SCALE, (x - 6) * SCALE : (x + 7) * SCALE]
    assert (with_tracks[around] != without[around]).any(axis=2).sum() > 40


def test_labels_trails_and_inset_leave_targets_alone() -> None:
    rng = np.random.default_rng(2)
    choices = OverlaySettings(min_width=640, trails_seconds=3.0)
    overlay, bare = Overlay(choices), Overlay(choices)
    start, speed = rng.uniform(4, 90, (12, 2)), rng.uniform(-20, 20, (12, 2))
    for index in range(40):
        at = np.rint(np.clip(start + speed * index / 30, 0, (127, 95)))
        shape = (96, 128)
        with_tracks = overlay.draw(
            result_of(index, tracks=tracks_at([tuple(p) for p in at]), shape=shape)
        )
        without = bare.draw(result_of(index, shape=shape))
        for x, y in at.astype(int).tolist():
            block = np.s_[y * 5 : y * 5 + 5, x * 5 : x * 5 + 5]
            np.testing.assert_array_equal(with_tracks[block], without[block])


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            anywhere, anywhere, st.sampled_from(list(TrackState)), st.floats(0, 1e6),
            st.floats(0, 1e4),
        ),
        max_size=6,
    )
)  # fmt: skip
def test_targets_may_be_anywhere(targets) -> None:  # type: ignore[no-untyped-def]
    tracks = [
        tracks_at([(x, y)], ids=[k + 1], state=[state], side=side, sigma=sigma)
        for k, (x, y, state, side, sigma) in enumerate(targets)
    ]
    overlay = Overlay(OverlaySettings(min_width=192))
    for index in range(2):
        picture = overlay.draw(result_of(index, tracks=joined(tracks)))
        assert picture.dtype == np.uint8
        assert picture.shape[1] == 192
        assert picture.shape[0] % 2 == 0


def joined(parts: list[Tracks]) -> Tracks:
    if not parts:
        return Tracks.empty()
    names = [name for name in Tracks.__slots__ if name not in ("__weakref__", "filtered")]
    return Tracks(**{n: np.concatenate([getattr(part, n) for part in parts]) for n in names})


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_track_that_is_no_number_is_left_out(bad: float) -> None:
    tracks = tracks_at([(bad, 5.0), (20.0, 20.0)])
    alone = tracks_at([(20.0, 20.0)], ids=[2])
    both = drawn(Overlay(PLAIN), result_of(tracks=tracks))
    one = drawn(Overlay(PLAIN), result_of(tracks=alone))
    np.testing.assert_array_equal(both[: 48 * SCALE], one[: 48 * SCALE])


def test_the_same_input_gives_the_same_picture_also_in_several_threads() -> None:
    def run(_: int) -> bytes:
        overlay = Overlay(OverlaySettings(min_width=320, detections=True))
        return drawn(
            overlay,
            *(
                result_of(
                    index,
                    tracks=tracks_at([(10 + index, 12), (40, 30 - index)]),
                    detections=some_detections(index, index / 30),
                )
                for index in range(12)
            ),
        ).tobytes()

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(run, range(8)))) == 1


def test_tentative_tracks_are_not_drawn() -> None:
    tentative = tracks_at([(30, 20)], state=[TrackState.TENTATIVE])
    np.testing.assert_array_equal(
        drawn(Overlay(PLAIN), result_of(tracks=tentative)), drawn(Overlay(PLAIN), result_of())
    )


def test_a_coasting_track_says_for_how_long_once_that_is_a_tenth_of_a_second() -> None:
    def picture(unseen: float) -> np.ndarray:
        tracks = tracks_at([(30, 20)], state=[TrackState.COASTING])
        late = replace(tracks, seconds_since_update=np.array([unseen]))
        return drawn(Overlay(PLAIN), result_of(tracks=late))

    assert np.array_equal(picture(0.0), picture(1 / 30))
    assert not np.array_equal(picture(1 / 30), picture(0.1))
    assert not np.array_equal(picture(0.1), picture(0.2))


def test_coasting_looks_different() -> None:
    seen = drawn(Overlay(PLAIN), result_of(tracks=tracks_at([(30, 20)])))
    coasting = tracks_at([(30, 20)], state=[TrackState.COASTING])
    assert (drawn(Overlay(PLAIN), result_of(tracks=coasting)) != seen).sum() > 100


def test_loose_detections_are_drawn_only_when_asked() -> None:
    result = result_of(detections=some_detections(0, 0.0))
    bare = drawn(Overlay(PLAIN), result_of())
    np.testing.assert_array_equal(drawn(Overlay(PLAIN), result), bare)
    asked = Overlay(OverlaySettings(min_width=192, inset=False, detections=True))
    assert (drawn(asked, result) != bare).any()


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (33, 47), (256, 320), (300, 1001), (900, 40)])
def test_pictures_are_enlarged_by_an_integer_and_never_cropped(shape: tuple[int, int]) -> None:
    image = np.full(shape, 77, np.uint8)
    picture = Overlay(OverlaySettings(contrast="none")).draw(result_of(image=image))
    least = OverlaySettings().min_width
    scale = drawing_scale(shape[1], shape[0], least)
    height, width = shape[0] * scale, shape[1] * scale
    assert picture.shape[0] % 2 == picture.shape[1] % 2 == 0
    assert (picture[:height, :width] == 77).all()
    assert 0 <= picture.shape[1] - width <= 1
    assert picture.shape[0] - height < 80  # the status line
    assert width >= least or (scale + 1) * max(shape) > MAX_SIDE


def test_a_new_size_starts_afresh() -> None:
    overlay = Overlay(PLAIN)
    drawn(overlay, *(result_of(k, tracks=tracks_at([(5 + 2 * k, 20)])) for k in range(10)))
    other = result_of(10, shape=(40, 60), tracks=tracks_at([(50, 10)]))
    np.testing.assert_array_equal(
        overlay.draw(other)[:150], Overlay(PLAIN).draw(other)[:150]
    )  # no trail from where the target was in the other picture


def test_black_hot_is_shown_as_the_camera_does() -> None:
    image = np.full((48, 64), 60, np.uint8)
    plain = OverlaySettings(min_width=64, contrast="none")
    shown = Overlay(plain, black_hot=True).draw(result_of(image=image))
    assert (shown[:48, :64] == 195).all()
    white = OverlaySettings(min_width=64, contrast="none", as_camera=False)
    assert (Overlay(white, black_hot=True).draw(result_of(image=image))[:48, :64] == 60).all()


@settings(max_examples=50)
@given(st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_labels_stay_inside_and_apart(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    center = rng.uniform(-60, 1000, (count, 1, 2))
    near = (center[:1] + rng.uniform(-25, 25, (count, 1, 2)))[:, 0]
    for centers in (center[:, 0], near):
        frames = np.concatenate([centers - 12, centers + 12], axis=1)
        sizes = np.tile([40.0, 14.0], (count, 1))
        placer = LabelPlacer()
        ids = list(range(count))
        placed = placer.place(ids, frames, sizes, np.empty((0, 4)), (960, 768))
        assert (placed[:, :2] >= 0).all()
        assert (placed[:, 2:] <= (960, 768)).all()
        again = placer.place(ids, frames, sizes, np.empty((0, 4)), (960, 768))
        np.testing.assert_array_equal(placed, again)
        shared = overlap(placed, placed) - overlap_with_self(placed)
        inside = ((centers > 0) & (centers < (960, 768))).all()
        if count <= 4 and inside:
            assert shared.max() < 1.0


def overlap_with_self(rects: np.ndarray) -> np.ndarray:
    return np.prod(rects[:, 2:] - rects[:, :2], axis=1)


def test_a_label_larger_than_the_picture_is_left_out() -> None:
    placed = LabelPlacer().place(
        [1], np.array([[3.0, 3, 9, 9]]), np.array([[40.0, 14.0]]), np.empty((0, 4)), (32, 32)
    )
    assert np.isnan(placed).all()


def test_trails_forget_the_old_and_the_lost() -> None:
    trails = Trails(1.0)
    for index in range(31):
        trails.update(tracks_at([(index, 5.0)], ids=[4]), index / 10, min_step_px=0.5)
    points, age = trails.of(4, 3.0)
    assert points[0].tolist() == [20.0, 5.0]
    assert age.max() == pytest.approx(1.0)
    trails.update(tracks_at([(9.0, 9.0)], ids=[5]), 3.1, min_step_px=0.5)
    assert len(trails.of(4, 3.1)[0]) == 0


def test_the_inset_keeps_its_target_and_corner() -> None:
    inset, rows = Inset(), np.arange(2)
    frames = np.array([[300.0, 300, 320, 320], [500, 300, 520, 320]])

    def plan(index: int, score: list[float], at: np.ndarray = frames):  # type: ignore[no-untyped-def]
        result = result_of(index, tracks=tracks_at([(1, 1), (2, 2)], score=score))
        return inset.plan(result, rows, at, (960, 768), 3)

    first = plan(0, [0.80, 0.70])
    assert first.row == 0
    assert plan(3, [0.80, 0.99]).row == 0  # too soon
    assert plan(120, [0.80, 0.85]).row == 0  # not enough
    assert plan(121, [0.80, 0.99]).row == 1
    x0, y0, _, y1 = first.rect
    beside = np.array([[x0 - 40.0, y0, x0 - 5, y1], frames[1]])
    assert plan(122, [0.8, 0.9], beside).rect == first.rect  # near is near enough
    inside = np.array([[x0 + 5.0, y0 + 5, x0 + 25, y0 + 25], frames[1]])
    moved = plan(123, [0.8, 0.9], inside)
    assert moved.rect != first.rect
    assert plan(124, [0.8, 0.9]).rect == moved.rect  # and it does not jump back
    four_corners = np.array([[x, y, x + 30, y + 30] for x in (20, 900) for y in (20, 700)])
    crowd = result_of(125, tracks=tracks_at([(1, 1)] * 4))
    assert inset.plan(crowd, np.arange(4), four_corners.astype(float), (960, 768), 3) is None


def test_the_inset_shows_no_target_outside_the_picture() -> None:
    result = result_of(tracks=tracks_at([(70, 20), (30, 20)], score=[0.99, 0.5]))
    frames = np.array([[600.0, 200, 620, 220], [300, 200, 320, 220]])
    plan = Inset().plan(result, np.arange(2), frames, (960, 720), 15)
    assert plan is None or plan.row == 1
    wide = result_of(tracks=result.tracks, shape=(256, 320))
    plan = Inset().plan(wide, np.arange(2), frames, (960, 768), 3)
    assert plan is not None
    assert plan.row == 0


def test_the_inset_has_the_target_in_its_middle_and_lifts_dull_pictures() -> None:
    inset = Inset()
    gray = np.random.default_rng(0).normal(90, 2, (256, 320)).astype(np.uint8)
    gray[100, 200] = 130
    result = result_of(shape=(256, 320), tracks=tracks_at([(200, 100)]))
    frames = np.array([[590.0, 290, 612, 312]])
    plan = inset.plan(result, np.arange(1), frames, (960, 768), 3)
    assert plan is not None
    cut = inset.magnify(gray, np.array([200.0, 100.0]), plan)
    side = plan.rect[2] - plan.rect[0]
    row, column = np.unravel_index(int(cut.argmax()), cut.shape)
    assert abs(row - side / 2) <= plan.zoom
    assert abs(column - side / 2) <= plan.zoom
    assert int(cut.max()) - int(np.median(cut)) > 1.5 * (130 - 90)


def test_a_hot_object_does_not_pump_the_contrast() -> None:
    rng = np.random.default_rng(0)
    contrast = Contrast("stretch")
    ground = rng.normal(6000, 60, (256, 320)).clip(0, 16383).astype(np.uint16)
    before = contrast(ground, 14, 0.0)
    hot = ground.copy()
    hot[100:140, 100:140] = 16000  # 2 % of the picture
    for index in range(1, 61):
        during = contrast(hot, 14, index / 30)
    cold = np.ones(ground.shape, bool)
    cold[100:140, 100:140] = False
    change = np.abs(during.astype(int) - before)[cold]
    assert change.mean() < 5.0  # of 255, over two seconds
    assert during[120, 120] > during[cold].max()
    assert 60 < before.mean() < 190


def test_a_new_scene_is_shown_well_at_once() -> None:
    rng = np.random.default_rng(0)
    contrast = Contrast("stretch")
    contrast(rng.normal(3000, 50, (64, 64)).astype(np.uint16), 14, 0.0)
    shown = contrast(rng.normal(9000, 50, (64, 64)).astype(np.uint16), 14, 0.04)
    assert shown.std() > 30


@pytest.mark.parametrize("mode", ["stretch", "none", "clahe"])
@pytest.mark.parametrize("depth", [8, 10, 14, 16])
def test_contrast_keeps_the_order_of_levels(mode, depth: int) -> None:  # type: ignore[no-untyped-def]
    dtype = np.uint8 if depth == 8 else np.uint16
    ramp = np.tile(np.linspace(0, 2**depth - 1, 256).astype(dtype), (64, 1))
    shown = Contrast(mode)(ramp, depth, 0.0)
    assert shown.dtype == np.uint8
    assert shown.shape == ramp.shape
    if mode != "clahe":
        assert (np.diff(shown[0].astype(int)) >= 0).all()
    assert shown.max() - shown.min() > 200
    inverted = Contrast(mode, invert=True)(ramp, depth, 0.0)
    assert inverted[0, 0] > inverted[0, -1]


def test_flat_noise_stays_quiet() -> None:
    noise = np.random.default_rng(0).normal(100, 1, (64, 64)).astype(np.uint8)
    assert Contrast("stretch")(noise, 8, 0.0).std() < 6
