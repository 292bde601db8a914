"""Simulated scenes: as asked for, and the same for the same seed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from simulated_material import PLAIN, same, scene

from benchmarks.simulated_detections import simulate
from benchmarks.simulated_scenes import Camera, SceneSettings, compose
from benchmarks.trajectories import Trajectory, credible, read_trajectories

# ---------------------------------------------------------------- one seed, one scene


@pytest.mark.parametrize("fps", [30.0, 10.0])
def test_the_same_seed_gives_the_same_bits(fps: float) -> None:
    settings = SceneSettings(targets=3, seconds=40, clutter=2, fps=fps, jumps_per_minute=10)
    one, two = scene(settings, 4), scene(settings, 4)
    assert same(one.detections, two.detections)
    for name in ("frame", "object_id", "boxes_xyxy", "confidence"):
        assert np.array_equal(getattr(one.truth, name), getattr(two.truth, name))
    assert not same(one.detections, scene(settings, 5).detections)


def test_settings_leave_alone_what_they_are_not_about() -> None:
    base = SceneSettings(targets=4, seconds=30)
    truth = scene(base).truth
    for other in (replace(base, detected=0.7), replace(base, clutter=5)):
        assert np.array_equal(scene(other).truth.boxes_xyxy, truth.boxes_xyxy)


def test_every_third_frame() -> None:
    settings = replace(PLAIN, seconds=20)
    fast, slow = scene(settings), scene(replace(settings, fps=10))
    assert (fast.frames, slow.frames) == (600, 200)
    assert [d.pts_seconds for d in slow.detections[:3]] == [0, 0.1, 0.2]
    assert [d.frame_index for d in slow.detections[:3]] == [0, 1, 2]
    third = fast.truth.keep((fast.truth.frame - 1) % 3 == 0)
    assert np.array_equal((third.frame - 1) // 3 + 1, slow.truth.frame)
    assert np.array_equal(third.boxes_xyxy, slow.truth.boxes_xyxy)
    assert np.array_equal(third.object_id, slow.truth.object_id)


# ---------------------------------------------------------------- targets


def test_so_many_targets_are_present_and_others_follow() -> None:
    made = scene(replace(PLAIN, targets=5, seconds=120))
    present = np.bincount(made.truth.frame, minlength=made.frames + 1)[1:]
    assert 4.2 < present.mean() <= 5
    assert present.max() <= 5
    assert len(np.unique(made.truth.object_id)) > 50
    assert len(made.truth) / made.frames == present.mean()


def test_occlusions_last_as_long_as_asked_and_the_target_keeps_its_id() -> None:
    whole = [Trajectory("still", np.arange(1, 1001), np.zeros((1000, 2)))]
    settings = replace(PLAIN, targets=20, occlusions_per_minute=10)
    truth = simulate(settings, whole, 1).truth
    absent = []
    for target in np.unique(truth.object_id):
        steps = np.diff(truth.frame[truth.object_id == target])
        absent += ((steps[steps > 1] - 1) / 30).tolist()
    assert len(absent) > 100
    assert min(absent) >= 0.3 - 1 / 30
    assert max(absent) <= 2.0 + 1 / 30
    assert np.mean(absent) == pytest.approx(1.15, abs=0.1)


def test_hidden_targets_have_neither_lines_nor_detections() -> None:
    gone = Trajectory("gone", np.r_[1:100, 300:400], np.zeros((199, 2)))
    made = simulate(replace(PLAIN, targets=1, seconds=300, detected=1), [gone], 0)
    shown = np.isin(np.arange(made.frames) + 1, made.truth.frame)
    assert 0.1 < shown.mean() < 0.9
    assert [len(d) for d in made.detections] == shown.astype(int).tolist()
    # 200 frames are longer than any occlusion: who comes back is another one.
    for target in np.unique(made.truth.object_id):
        assert np.diff(made.truth.frame[made.truth.object_id == target]).max(initial=1) == 1


# ---------------------------------------------------------------- camera, settings, real ones


def test_the_picture_jumps_with_all_that_is_in_it() -> None:
    still = [Trajectory("still", np.arange(1, 1001), np.zeros((1000, 2)))]
    settings = replace(
        PLAIN, targets=5, seconds=60, jumps_per_minute=20, clutter=0, jump_px=(20, 60)
    )
    offsets = Camera(settings, 7).offsets(1800)
    steps = np.hypot(*np.diff(offsets, axis=0).T)
    jumps = steps[steps > 0]
    assert 10 < len(jumps) < 32
    assert ((jumps > 19.9) & (jumps < 60.1)).all()
    assert np.hypot(*offsets.T).max() <= 120
    targets = compose(settings, still, 7)
    moved = compose(replace(settings, jumps_per_minute=0), still, 7)
    by_place = {tuple(place): n for n, place in enumerate(np.unique(moved.xy, axis=0))}
    back = np.round(targets.xy - offsets[targets.frame], 6)
    known = {tuple(np.round(place, 6)) for place in by_place}
    assert {tuple(place) for place in back} <= known


def test_a_camera_may_be_asked_in_parts() -> None:
    settings = SceneSettings(jumps_per_minute=200)
    whole = Camera(settings, 0).offsets(1000)
    other = Camera(settings, 0)
    assert np.array_equal(np.concatenate([other.offsets(n) for n in (1, 99, 400, 500)]), whole)


def test_raw_paths_keep_their_camera() -> None:
    t = np.arange(300)
    x = 0.5 * t + 60 * (t % 50 >= 46)
    jerky = [Trajectory("jerky", t + 1, np.stack((x, 0.0 * t), axis=1))]
    settings = replace(PLAIN, targets=3, seconds=30)
    for steady, longest in ((True, 5.0), (False, 65.0)):
        truth = simulate(replace(settings, steady=steady), jerky, 0).truth
        steps = [
            np.hypot(*np.diff(truth.centres[truth.object_id == one], axis=0).T)
            for one in np.unique(truth.object_id)
        ]
        assert np.concatenate(steps).max() < longest
        assert (np.concatenate(steps).max() > 50) is not steady


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("targets", -1), ("seconds", 0.0), ("fps", 25.0), ("fps", 60.0), ("fps", 0.0),
        ("detected", 0.0), ("detected", 1.1), ("clutter", -1.0), ("clustered", 2.0), ("split", 2.0),
        ("dropped", 1.0), ("merge_px", -1.0), ("box_margin_px", -1.0), ("blob_px", (0.5, 9.0)),
        ("blob_px", (9.0, 1.0)), ("snr", (0.0, 5.0)), ("occlusion_seconds", (2.0, 1.0)),
        ("jump_px", (10.0, 400.0)), ("jumps_per_minute", -1.0),
    ],
)  # fmt: skip
def test_impossible_settings_are_refused(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=name):
        SceneSettings(**{name: value})  # type: ignore[arg-type]


def test_targets_need_trajectories() -> None:
    with pytest.raises(ValueError, match="needs trajectories"):
        simulate(SceneSettings(), [], 0)


def test_real_scenes_move_as_real_targets_do(shared_dir: Path) -> None:
    folder = shared_dir / "data" / "trajectories"
    if not folder.is_dir():
        pytest.skip("needs the trajectories in the folder 'shared'")
    real = read_trajectories(folder)[::4]
    paths = [one.steady_path()[0] for one in real]
    own = np.concatenate(
        [np.hypot(*np.diff(xy, axis=0).T)[credible(xy)[1:] & credible(xy)[:-1]] for xy in paths]
    )
    targets = compose(replace(PLAIN, targets=20, seconds=60), real, 0)
    steps = []
    for one in np.unique(targets.object_id):
        rows = targets.object_id == one
        step = np.hypot(*np.diff(targets.xy[rows], axis=0).T)
        steps.append(step[np.diff(targets.frame[rows]) == 1])
    for percent in (75, 90, 99):
        expected = float(np.percentile(own, percent))
        got = float(np.percentile(np.concatenate(steps), percent))
        assert got == pytest.approx(expected, rel=0.45)  # the fast soon leave
