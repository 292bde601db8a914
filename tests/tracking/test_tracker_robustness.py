"""Clocks and arrays that misbehave, and what the tracker promises whatever it is shown."""

import cv2
import numpy as np
import pytest
from camera_views import moved_by
from hypothesis import given, settings
from hypothesis import strategies as st
from shown_targets import SIGMA, follow, line, seen, tracker

from configs.schema import TrackerSettings
from streamer.types import Detections, Tracks, TrackState
from tracking import build_tracker
from tracking.camera_motion import Motion
from tracking.measurements import WOBBLE_SHARE


def test_timestamps_may_repeat_and_go_back() -> None:
    subject = tracker()
    times = [0.0, 1 / 30, 1 / 30, 2 / 30, 1 / 30, 2 / 30, 3 / 30, -50.0, -50.0 + 1 / 30]
    outputs = follow(subject, np.full((len(times), 2), 50.0), times)
    assert {tuple(output.track_id) for output in outputs} == {(1,)}
    ages = [output.age_seconds[0] for output in outputs]
    assert ages == sorted(ages)
    assert ages[-1] == pytest.approx(5 / 30)


def test_a_larger_or_fainter_blob_is_trusted_less() -> None:
    def variance(area: float, snr: float) -> float:
        found = Detections(
            xy=[[50.0, 50.0]],
            boxes_xyxy=[[48.0, 48.0, 52.0, 52.0]],
            score=[0.9],
            area_px=[area],
            peak_snr=[snr],
            extended=[False],
            frame_index=0,
            pts_seconds=0.0,
        )
        return float(tracker().step(found).position_cov[0, 0, 0])

    assert variance(1, 20) < variance(1, 4) < variance(1, 2)
    assert variance(1, 20) < variance(30, 20) < variance(90, 20)
    at_least = TrackerSettings().position_sigma_px ** 2
    assert variance(1, np.nan) == pytest.approx(at_least + WOBBLE_SHARE**2)


@pytest.mark.parametrize(("shape", "dtype"), [((240, 320), np.uint8), ((120, 160), np.uint16)])
def test_no_track_goes_on_in_a_picture_of_another_size_or_depth(
    shape: tuple[int, int], dtype: type
) -> None:
    subject = tracker()
    small, large = np.zeros((120, 160), np.uint8), np.zeros(shape, dtype)
    before = [subject.step(seen([(50 + k, 50)], k / 30), small) for k in range(10)]
    after = [subject.step(seen([(50 + k, 50)], k / 30), large) for k in range(10, 20)]
    assert set(before[-1].track_id.tolist()) == {1}
    assert {track for tracks in after for track in tracks.track_id.tolist()} == {2}
    assert not after[0].reported.any()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_damaged_detections_are_ignored(bad: float) -> None:
    subject = tracker()
    tracks = subject.step(seen([(bad, 50), (50, 50), (50, bad)], 0.0))
    assert tracks.detection_index.tolist() == [1]


any_number = st.floats(width=64) | st.floats(-20, 340) | st.sampled_from([0.0, 10.0, 10.5])
any_rows = st.lists(
    st.tuples(*[any_number] * 6, st.floats(0, 1), any_number, any_number, st.booleans()),
    max_size=8,
)
any_video = st.lists(
    st.tuples(st.floats(-1, 5) | st.floats(allow_nan=False, allow_infinity=False), any_rows),
    max_size=12,
)


def from_rows(rows: list[tuple[float, ...]], seconds: float) -> Detections:
    values = np.array(rows, dtype=np.float64).reshape(len(rows), 10)
    return Detections(
        xy=values[:, :2],
        boxes_xyxy=values[:, 2:6],
        score=values[:, 6],
        area_px=values[:, 7],
        peak_snr=values[:, 8],
        extended=values[:, 9].astype(np.bool_),
        frame_index=0,
        pts_seconds=seconds,
    )


def check_sound(tracks: Tracks, detections: Detections) -> None:
    for name in ("xy", "velocity", "position_cov", "boxes_xyxy", "score"):
        assert np.isfinite(getattr(tracks, name)).all(), name
    np.testing.assert_array_equal(tracks.position_cov, np.swapaxes(tracks.position_cov, 1, 2))
    assert (np.linalg.eigvalsh(tracks.position_cov) > 0).all()
    assert len(np.unique(tracks.track_id)) == len(tracks)
    assert ((tracks.score >= 0) & (tracks.score <= 1)).all()
    assert (tracks.age_seconds >= tracks.seconds_since_update).all()
    assert (tracks.seconds_since_update >= 0).all()
    used = tracks.detection_index[tracks.detection_index >= 0]
    assert len(np.unique(used)) == len(used)
    assert (used < len(detections)).all()
    np.testing.assert_array_equal(
        tracks.state == TrackState.COASTING, tracks.reported & (tracks.detection_index < 0)
    )


@pytest.mark.parametrize("life", ["m_of_n", "likelihood"])
@settings(max_examples=60)
@given(any_video)
def test_any_arrays_leave_sound_tracks(
    life: str, video: list[tuple[float, list[tuple[float, ...]]]]
) -> None:
    subject = tracker(confirm_hits=2, confirm_window=3, life=life)
    ids: set[int] = set()
    for seconds, rows in video:
        found = from_rows(rows, seconds)
        tracks = subject.step(found)
        check_sound(tracks, found)
        new = set(tracks.track_id.tolist()) - ids
        assert all(number > max(ids, default=0) for number in new)
        ids |= new


near = st.floats(0, 30)
plain_rows = st.lists(
    st.tuples(near, near, near, near, near, near, st.floats(0.1, 1), near, near, st.just(0.0)),
    max_size=7,
)


@pytest.mark.parametrize("life", ["m_of_n", "likelihood"])
@settings(max_examples=50)
@given(st.lists(plain_rows, max_size=10), st.randoms(use_true_random=False))
def test_order_of_detections_does_not_matter(
    life: str, video: list[list[tuple[float, ...]]], random: np.random.Generator
) -> None:
    one, other = (tracker(confirm_hits=2, confirm_window=3, life=life) for _ in range(2))
    for number, rows in enumerate(video):
        mixed = list(rows)
        random.shuffle(mixed)
        first = one.step(from_rows(rows, number / 30))
        second = other.step(from_rows(mixed, number / 30))
        for name in ("track_id", "xy", "velocity", "position_cov", "boxes_xyxy", "score", "state"):
            np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
        for a, b in zip(first.detection_index, second.detection_index, strict=True):
            assert (a < 0) == (b < 0)
            assert a < 0 or rows[a] == mixed[b]


@pytest.mark.parametrize(
    ("column", "values"), [(7, (0.0, 1.0)), (7, (1e7, 1e8)), (8, (-1.0, 0.0)), (9, (0.0, 1.0))]
)
def test_order_does_not_matter_where_the_filter_sees_no_difference(
    column: int, values: tuple[float, float]
) -> None:
    """Area 0 weighs as much as 1 and an SNR of -1 as one of 0: still two different detections."""
    rows = []
    for value in values:
        row = [10.0, 10.0, 9.0, 9.0, 11.0, 11.0, 0.9, 4.0, 8.0, 0.0]
        row[column] = value
        rows.append(tuple(row))
    chosen = [
        order[int(tracker().step(from_rows(order, 0.0)).detection_index[0])]
        for order in (rows, rows[::-1])
    ]
    assert chosen[0] == chosen[1]


@pytest.mark.parametrize("life", ["m_of_n", "likelihood"])
def test_order_does_not_matter_in_a_crowd(life: str) -> None:
    """So many that not all pairs are looked at; scores, positions and whole detections repeat."""
    rng = np.random.default_rng(8)
    one, other = tracker(life=life), tracker(life=life)
    start, speed = rng.uniform(0, 500, (150, 2)), rng.normal(0, 40, (150, 2))
    for number in range(8):
        places = np.round(start + speed * number / 30 + rng.normal(0, 0.4, start.shape))
        places = np.concatenate((places, places[:20], rng.integers(0, 500, (60, 2))))
        scores = rng.choice([0.3, 0.7, 0.9], len(places))
        mixed = rng.permutation(len(places))
        first = one.step(seen(places, number / 30, scores))
        second = other.step(seen(places[mixed], number / 30, scores[mixed]))
        assert len(first) > 100
        for name in ("track_id", "xy", "velocity", "position_cov", "boxes_xyxy", "score", "state"):
            np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


any_picture = st.builds(
    lambda seed, dtype, size, shift, high: np.roll(
        np.random.default_rng(seed).integers(0, high, size, dtype), shift, axis=(0, 1)
    ),
    st.integers(0, 1),
    st.sampled_from([np.uint8, np.uint16]),
    st.sampled_from([(64, 80), (64, 80), (64, 80), (1, 1), (30, 7)]),
    st.tuples(st.integers(-9, 9), st.integers(-9, 9)),
    st.sampled_from([1, 40, 255]),
)


@pytest.mark.parametrize("life", ["m_of_n", "likelihood"])
@settings(max_examples=40)
@given(any_video, st.data(), st.sampled_from(["auto", "on"]))
def test_any_arrays_with_any_pictures_leave_sound_tracks(
    life: str, video: list[tuple[float, list[tuple[float, ...]]]], data: st.DataObject, mode: str
) -> None:
    subject = tracker(confirm_hits=2, confirm_window=3, camera_motion=mode, life=life)
    for seconds, rows in video:
        found = from_rows(rows, seconds)
        picture = data.draw(any_picture | st.none())
        check_sound(subject.step(found, picture), found)


@given(
    st.lists(
        st.tuples(st.floats(-0.5, 0.5), st.floats(0.7, 1.4), st.floats(-50, 50), st.floats(0, 50)),
        max_size=200,
    )
)
@settings(max_examples=40)
def test_covariances_stay_sound_however_the_camera_moves(
    motions: list[tuple[float, float, float, float]],
) -> None:
    mean = np.array([[100.0, 50, 10, -5]])
    cov = np.diag([1.0, 2, 300, 400])[None]
    for turn, zoom, shift, sigma in motions:
        linear = zoom * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        motion = Motion(np.column_stack((linear, [shift, -shift])), still=False, sigma_px=sigma)
        mean, cov = moved_by(motion, mean, cov)
        assert np.isfinite(mean).all()
        np.testing.assert_array_equal(cov, np.swapaxes(cov, 1, 2))
        scale = np.sqrt(np.diagonal(cov[0]))
        assert np.linalg.eigvalsh(cov[0] / np.outer(scale, scale)).min() > 0


@settings(max_examples=20)
@given(st.lists(st.floats(0, 5), max_size=40), st.booleans())
def test_empty_frames_are_fine(gaps: list[float], followed: bool) -> None:
    """Before anything was seen, and after: a track coasts, ends, and is not heard of again."""
    subject = tracker(coast_seconds=0.5)
    if followed:
        follow(subject, np.full((10, 2), 50.0), np.arange(10) / 30)
    unseen, clock = 0.0, 9 / 30
    for gap in gaps:
        clock += gap
        unseen += gap
        tracks = subject.step(Detections.empty(0, clock))
        check_sound(tracks, Detections.empty(0, clock))
        assert len(tracks) == (followed and unseen <= 0.5 + 1e-6)


def test_two_trackers_with_cameras_share_nothing() -> None:
    rng = np.random.default_rng(9)
    scenes = [
        cv2.GaussianBlur(rng.integers(0, 255, (200, 400), np.uint8), (0, 0), 3) for _ in range(2)
    ]
    views = [np.ascontiguousarray(scenes[0][:128, 3 * n : 3 * n + 160]) for n in range(20)]
    alone, subject, neighbour = tracker(), tracker(), tracker()
    for n, picture in enumerate(views):
        found = seen([(80, 60), (100 - 3 * n, 40)], n / 30)
        want = alone.step(found, picture)
        got = subject.step(found, picture)
        neighbour.step(seen((50, 50 + n), n / 15), scenes[1][5 * n :][:90, :160])
        for name in ("track_id", "xy", "velocity", "position_cov", "state"):
            np.testing.assert_array_equal(getattr(got, name), getattr(want, name))


def test_two_trackers_share_nothing() -> None:
    rng = np.random.default_rng(6)
    video = [
        (line([n / 30], (20, 20), (40, 20)) + rng.normal(0, SIGMA, (1, 2)), n / 30)
        for n in range(60)
    ]
    alone = tracker()
    expected = [alone.step(seen(xy, time)) for xy, time in video]
    subject, neighbour = tracker(), tracker()
    for (xy, time), want in zip(video, expected, strict=True):
        got = subject.step(seen(xy, time))
        neighbour.step(seen(rng.uniform(0, 300, (5, 2)), 3 * time))
        for name in ("track_id", "xy", "position_cov", "score", "state", "boxes_xyxy"):
            np.testing.assert_array_equal(getattr(got, name), getattr(want, name))


def test_what_was_returned_does_not_change_later() -> None:
    subject = tracker()
    first = subject.step(seen((50, 50), 0.0))
    before = first.xy.copy(), first.position_cov.copy(), first.score.copy()
    for n in range(1, 10):
        subject.step(seen((50 + n, 50), n / 30))
    for was, now in zip(before, (first.xy, first.position_cov, first.score), strict=True):
        np.testing.assert_array_equal(was, now)


@pytest.mark.parametrize("threshold", [0.0, 1.0, -3.0, np.nan])
def test_a_threshold_that_is_no_probability_is_refused(threshold: float) -> None:
    with pytest.raises(ValueError, match="threshold is"):
        build_tracker(TrackerSettings(), threshold)
