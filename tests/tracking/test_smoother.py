"""Smoothed tracks: equal to filterpy's, nearer to the truth, the same ids, whatever the length."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from camera_views import Pose, shown
from filterpy.kalman import KalmanFilter
from hypothesis import given, settings
from hypothesis import strategies as st
from shown_targets import seen, tracker

from streamer.types import FilterStates, FloatArray, SmoothedTracks, Tracks, TrackState
from tracking import RtsSmoother, smoother
from tracking.camera_motion import Motion
from tracking.motion import ConstantVelocity
from tracking.smoother import smooth

MOTION = ConstantVelocity(acceleration_sigma=80.0, initial_speed_sigma=60.0)
NOISE = 0.35


def filterpy_states(
    xy: FloatArray, times: FloatArray, noise: FloatArray
) -> tuple[list[FilterStates], FloatArray]:
    """One target filtered by filterpy, and smoothed by it.

    Args:
        xy: (T, 2) measured; NaN where it is not seen.
        times: (T,) s.
        noise: (T,) variances, px^2.
    """
    mean, cov = MOTION.initial(xy[:1], noise[0] * np.eye(2)[None])
    reference = KalmanFilter(dim_x=4, dim_z=2)
    reference.x, reference.P, reference.H = mean[0][:, None], cov[0], np.eye(2, 4)
    states = [FilterStates(mean, cov, np.eye(4), np.zeros(4), np.zeros((1, 4, 4)))]
    for place, variance, dt in zip(xy[1:], noise[1:], np.diff(times).tolist(), strict=True):
        transition, process_noise = MOTION.transition(dt), MOTION.process_noise(dt)
        reference.predict(F=transition, Q=process_noise)
        if np.isfinite(place).all():
            reference.update(place[:, None], R=variance * np.eye(2))
        states.append(
            FilterStates(
                reference.x.T, reference.P[None], transition, np.zeros(4), process_noise[None]
            )
        )
    smoothed, *_ = reference.rts_smoother(
        np.array([each.mean.T for each in states]),
        np.array([each.cov[0] for each in states]),
        Fs=[each.transition for each in states],
        Qs=[each.process_noise[0] for each in states],
    )
    return states, smoothed[..., 0]


def one_life(count: int) -> list[np.ndarray]:
    return [np.zeros(1, dtype=np.int64)] * count


@given(
    steps=st.lists(st.sampled_from([0.0, 1e-4, 1 / 60, 1 / 30, 0.1, 1.7]), min_size=1, max_size=60),
    share_missed=st.sampled_from([0.0, 0.3, 0.8]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=40)
def test_smoothed_states_are_filterpys(steps: list[float], share_missed: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    times = np.concatenate(([0.0], np.cumsum(steps)))
    xy = np.cumsum(rng.normal(0, 3, (len(times), 2)), axis=0) + 100
    xy[1:][rng.uniform(size=len(steps)) < share_missed] = np.nan
    states, expected = filterpy_states(xy, times, rng.uniform(0.2, 4, len(times)))
    found = smooth(states, one_life(len(states)))
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-6)


def together(parts: Sequence[tuple[int, list[FilterStates]]]) -> list[FilterStates]:
    """Tracks that begin at a frame each, as one tracker would tell of them."""
    frames = []
    for k in range(max(first + len(states) for first, states in parts)):
        here = [each[k - first] for first, each in parts if 0 <= k - first < len(each)]
        later = max(here, key=lambda each: each.process_noise.sum())
        frames.append(
            FilterStates(
                np.concatenate([each.mean for each in here]),
                np.concatenate([each.cov for each in here]),
                later.transition,
                later.offset,
                np.concatenate([each.process_noise for each in here]),
            )
        )
    return frames


def test_tracks_that_begin_and_end_at_different_times_are_smoothed_apart() -> None:
    rng = np.random.default_rng(3)
    times = np.cumsum(rng.uniform(0.01, 0.2, 40))
    spans = [(0, 40), (7, 15), (7, 33), (20, 21), (25, 40)]
    parts, expected = [], {}
    for life, (first, end) in enumerate(spans):
        xy = np.cumsum(rng.normal(0, 3, (end - first, 2)), axis=0)
        states, wanted = filterpy_states(xy, times[first:end], np.full(end - first, 0.5))
        parts.append((first, states))
        expected.update({(life, first + k): row for k, row in enumerate(wanted)})
    lives = [
        np.array([life for life, (first, end) in enumerate(spans) if first <= k < end])
        for k in range(40)
    ]
    found = smooth(together(parts), lives)
    keys = [(life, k) for k, row in enumerate(lives) for life in row.tolist()]
    np.testing.assert_allclose(found, [expected[key] for key in keys], rtol=1e-7, atol=1e-6)


def test_where_the_camera_turns_and_pans_the_scene_is_smoothed() -> None:
    """In the picture and then brought into the scene it must be what it is in the scene alone."""
    rng = np.random.default_rng(4)
    times = np.cumsum(rng.uniform(0.01, 0.1, 50))
    xy = np.cumsum(rng.normal(0, 2, (50, 2)), axis=0)
    in_scene, expected = filterpy_states(xy, times, np.full(50, 0.5))
    total = np.eye(3)
    in_picture, poses = [], []
    for each in in_scene:
        turn = rng.normal(0, 0.2)
        linear = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        linear *= np.exp(rng.normal(0, 0.05))
        motion = Motion(np.column_stack((linear, rng.normal(0, 20, 2))), still=False)
        total = np.vstack((motion.warp, [0, 0, 1])) @ total
        both = np.kron(np.eye(2), total[:2, :2])
        moved = each.mean @ both.T + np.concatenate((total[:2, 2], np.zeros(2)))
        step = motion.after(each.transition, each.process_noise)
        # The picture's scale is that of the frame before until the camera has moved.
        before = np.kron(np.eye(2), np.linalg.inv(linear) @ total[:2, :2])
        noise = motion.after(each.transition, before @ each.process_noise @ before.T)[2]
        in_picture.append(FilterStates(moved, both @ each.cov @ both.T, step[0], step[1], noise))
        poses.append(total)
    found = smooth(in_picture, one_life(50))[:, :2]
    back = np.array(
        [
            np.linalg.solve(p[:2, :2], place - p[:2, 2])
            for p, place in zip(poses, found, strict=True)
        ]
    )
    np.testing.assert_allclose(back, expected[:, :2], rtol=1e-6, atol=1e-6)


# -- of whole tracks ---------------------------------------------------------------------------


def smoothed_of(outputs: Sequence[Tracks]) -> dict[tuple[int, int], FloatArray]:
    """Positions by (frame, id)."""
    subject = RtsSmoother()
    parts = [subject.add(k, tracks) for k, tracks in enumerate(outputs)]
    parts.append(subject.finish())
    assert len(subject.finish()) == 0
    return by_frame_and_id(parts)


def by_frame_and_id(parts: Sequence[SmoothedTracks]) -> dict[tuple[int, int], FloatArray]:
    found: dict[tuple[int, int], FloatArray] = {}
    for part in parts:
        centres = (part.boxes_xyxy[:, :2] + part.boxes_xyxy[:, 2:]) / 2
        keys = list(zip(part.frame_index.tolist(), part.track_id.tolist(), strict=True))
        assert keys == sorted(keys)
        assert not found.keys() & keys
        found.update(zip(keys, centres, strict=True))
    return found


def curves(times: FloatArray, count: int, rng: np.random.Generator) -> FloatArray:
    """(T, count, 2) targets that turn this way and that, far apart."""
    start = np.stack(np.meshgrid(np.arange(count) * 150.0, [100.0]), axis=-1).reshape(-1, 2)
    heading = rng.uniform(0, 6, count) + np.sin(times[:, None] * rng.uniform(0.5, 2, count)) * 2
    velocity = 40 * np.stack((np.cos(heading), np.sin(heading)), axis=-1)
    steps = np.diff(times, prepend=times[0])[:, None, None] * velocity
    return start + np.cumsum(steps, axis=0)


def run(
    truth: FloatArray, times: FloatArray, rng: np.random.Generator, pd: float, **changes: object
) -> list[Tracks]:
    subject = tracker(confirm_displacement_px=1.0, **changes)
    outputs = []
    for places, time in zip(truth, times.tolist(), strict=True):
        found = places[rng.uniform(size=len(places)) < pd]
        outputs.append(subject.step(seen(found + rng.normal(0, NOISE, found.shape), time, area=1)))
    return outputs


def errors(truth: FloatArray, positions: dict[tuple[int, int], FloatArray]) -> FloatArray:
    return np.array(
        [np.hypot(*(truth[k] - xy).T).min() for (k, _), xy in sorted(positions.items())]
    )


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("pd", [1.0, 0.8])
def test_smoothed_positions_are_nearer_to_the_truth(seed: int, pd: float) -> None:
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.choice([1 / 30, 1 / 30, 2 / 30, 0.1], 300))
    truth = curves(times, 5, rng)
    outputs = run(truth, times, rng, pd)
    smoothed = smoothed_of(outputs)
    filtered = {
        (k, int(track_id)): xy
        for k, tracks in enumerate(outputs)
        for track_id, xy in zip(tracks.track_id, tracks.xy, strict=True)
        if (k, int(track_id)) in smoothed
    }
    assert filtered.keys() == smoothed.keys()
    rms = [np.sqrt(np.mean(np.square(errors(truth, each)))) for each in (filtered, smoothed)]
    assert rms[1] < 0.8 * rms[0]


def test_a_track_is_there_from_its_first_detection_to_its_last() -> None:
    """Tentative, confirmed, through a gap, and not while it coasts to its end."""
    rng = np.random.default_rng(8)
    times = np.arange(80) / 30
    truth = np.stack((20 + 60 * times, 50 + 10 * times), axis=-1)[:, None]
    subject = tracker(confirm_displacement_px=1.0)
    outputs, shown_at = [], [*range(5, 30), *range(38, 60)]
    for k, time in enumerate(times.tolist()):
        place = truth[k] + rng.normal(0, 0.3, (1, 2)) if k in shown_at else np.empty((0, 2))
        outputs.append(subject.step(seen(place, time)))
    states = {int(state) for tracks in outputs for state in tracks.state}
    assert states == set(TrackState)
    assert len(outputs[65]) == 1  # it coasts
    smoothed = smoothed_of(outputs)
    assert sorted(k for k, _ in smoothed) == list(range(5, 60))
    assert errors(truth, smoothed).max() < 1.5  # px, also in the middle of the gap


def test_ids_are_those_of_confirmed_tracks() -> None:
    rng = np.random.default_rng(2)
    times = np.arange(150) / 30
    truth = np.concatenate((curves(times, 4, rng), rng.uniform(0, 600, (150, 3, 2))), axis=1)
    outputs = run(truth, times, rng, 0.9)
    reported = {int(i) for tracks in outputs for i in tracks.track_id[tracks.reported]}
    every = {int(i) for tracks in outputs for i in tracks.track_id}
    assert {i for _, i in smoothed_of(outputs)} == reported
    assert reported < every


def rows_of(tracks: Tracks, rows: slice) -> Tracks:
    """Some of a frame's tracks."""
    states = tracks.filtered
    assert states is not None
    values = {n: getattr(tracks, n)[rows] for n in Tracks.__slots__ if n != "filtered"}
    of_tracks = {n: getattr(states, n)[rows] for n in ("mean", "cov", "process_noise")}
    return Tracks(**values, filtered=replace(states, **of_tracks))


def test_an_id_that_comes_back_after_it_was_away_is_smoothed_apart() -> None:
    """What was predicted from the frame before says nothing of a track that was not in it."""
    rng = np.random.default_rng(6)
    times = np.arange(60) / 30
    truth = np.stack((20 + 60 * times, np.full(60, 50.0)), axis=-1)[:, None]
    outputs = run(truth, times, rng, 1.0)
    assert {tuple(tracks.track_id) for tracks in outputs} == {(1,)}
    parted = smoothed_of([*outputs[:30], rows_of(outputs[30], slice(0)), *outputs[31:]])
    before, after = smoothed_of(outputs[:30]), smoothed_of(outputs[31:])
    expected = before | {(k + 31, track_id): xy for (k, track_id), xy in after.items()}
    assert parted.keys() == expected.keys()
    for key, xy in expected.items():
        np.testing.assert_allclose(parted[key], xy)


def test_passes_change_no_position_by_as_much_as_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(7)
    times = np.cumsum(rng.choice([1 / 30, 2 / 30], 1000))
    outputs = run(curves(times, 3, rng), times, rng, 0.8)
    at_once = smoothed_of(outputs)
    assert len(outputs) < smoother.PASS_FRAMES
    monkeypatch.setattr(smoother, "PASS_FRAMES", 400)
    subject = RtsSmoother()
    parts = [subject.add(k, tracks) for k, tracks in enumerate(outputs)]
    given_out = sum(map(len, parts))
    assert given_out > 0.5 * len(at_once)  # while the stream runs: memory does not grow with it
    in_parts = by_frame_and_id([*parts, subject.finish()])
    assert in_parts.keys() == at_once.keys()
    for key, xy in at_once.items():
        np.testing.assert_allclose(in_parts[key], xy, atol=1e-6)


def test_what_never_moved_is_given_up_beyond_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smoother, "PASS_FRAMES", 400)
    monkeypatch.setattr(smoother, "MOST_HELD", 50)
    rng = np.random.default_rng(9)
    times = np.arange(900) / 30
    truth = np.tile([80.0, 60.0], (900, 1, 1))
    truth[800:, 0, 0] += np.arange(100)
    outputs = run(truth, times, rng, 1.0)
    assert not any(tracks.reported.any() for tracks in outputs[:800])
    frames = [k for k, _ in smoothed_of(outputs)]
    assert 800 - 400 - 50 <= min(frames) <= 800 - smoother.LAG_FRAMES
    assert sorted(frames) == list(range(min(frames), 900))


def test_tracks_without_the_filters_states_are_refused() -> None:
    with pytest.raises(ValueError, match="filtered"):
        RtsSmoother().add(0, Tracks.empty())


def test_a_camera_that_pans_leaves_no_mark_on_smoothed_tracks() -> None:
    """It jerks about: smoothed in the picture alone, targets would be dragged along."""
    rng = np.random.default_rng(1)
    shift = np.cumsum(rng.choice([-14, 0, 0, 14], 45))
    poses = [Pose(550 + float(x), 450) for x in shift]
    start, speed = np.array([[520.0, 420], [570, 470]]), np.array([[25.0, 10], [-20, 15]])
    outputs, truth = shown("auto", poses, lambda seconds: start + speed * seconds, noise=NOISE)
    smoothed = smoothed_of(outputs)
    filtered = {
        (k, int(i)): xy
        for k, tracks in enumerate(outputs)
        for i, xy in zip(tracks.track_id, tracks.xy, strict=True)
    }
    assert len(smoothed) >= 80
    rms = [
        np.sqrt(np.mean(np.square(errors(np.array(truth), {key: each[key] for key in smoothed}))))
        for each in (filtered, smoothed)
    ]
    assert rms[1] < 0.8 * rms[0]
