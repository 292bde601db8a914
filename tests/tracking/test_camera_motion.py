"""A camera that pans, turns, zooms or shakes: what is seen of it, and what it does to states."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from camera_views import (
    FPS,
    IDENTITY,
    NO_BOXES,
    PANS,
    THRESHOLD,
    Pose,
    Scene,
    between,
    distance,
    moved_by,
    real_pictures,
    scene,
    view,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from shown_targets import seen

from configs.load import load_settings
from configs.schema import TrackerSettings
from streamer.types import Detections, FloatArray, Image
from tracking import build_tracker
from tracking.camera_motion import CameraMotion, Motion
from tracking.registration import correlate_phases, follow_corners
from tracking.stillness import sketch

# A pan, and a picture that jumps by 29 px and then by 76 while a recorder skips.
MOVING_CLIPS = ("IR_BIRD_025", "IR_BIRD_009")


# -- what is seen ------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize(
    ("kind", "noise", "within", "name"),
    # Of a picture without corners only a shift can be seen.
    [("ground", 2.0, 0.3, name) for name in PANS]
    + [("sky", 1.0, 3.0, name) for name in ("pan", "there and back", "shake")],
)
def test_motions_are_measured(
    kind: Scene, noise: float, within: float, name: str, depth: int
) -> None:
    world, rng = scene(kind), np.random.default_rng(1)
    camera = CameraMotion("auto")
    poses = PANS[name][:12]
    wrong = []
    for before, after in zip([poses[0], *poses], poses, strict=False):
        motion = camera.estimate(view(world, after, rng, noise=noise, depth=depth), NO_BOXES)
        assert motion.trusted
        wrong.append(distance(motion.warp, between(before, after)))
    assert np.median(wrong) < within
    assert max(wrong) < 3 * within


def test_where_there_are_no_corners_phases_are_correlated() -> None:
    world, rng = scene("sky"), np.random.default_rng(2)
    before, after = Pose(400, 300), Pose(409, 296)
    images = [view(world, pose, rng, noise=3.0) for pose in (before, after)]
    assert follow_corners(*images, NO_BOXES) is None
    warp = correlate_phases(*([sketch(each, NO_BOXES)] for each in images))
    assert warp is not None
    assert distance(warp, between(before, after)) < 2
    camera = CameraMotion("auto")
    camera.estimate(images[0], NO_BOXES)
    motion = camera.estimate(images[1], NO_BOXES)
    assert motion.trusted
    assert distance(motion.warp, between(before, after)) < 2


@pytest.mark.parametrize("name", MOVING_CLIPS)
def test_real_pictures_of_a_camera_that_moves_lie_on_each_other(
    shared_dir: Path, name: str
) -> None:
    camera = CameraMotion("auto")
    before = None
    better = []
    for image in real_pictures(shared_dir, name, 100):
        motion = camera.estimate(image, NO_BOXES)
        if not motion.still:
            assert motion.trusted
            size = image.shape[::-1]
            ahead = cv2.warpAffine(before, motion.warp, size)
            there = cv2.warpAffine(np.full_like(before, 255), motion.warp, size) == 255
            apart = [np.abs(each[there].astype(float) - image[there]) for each in (ahead, before)]
            better.append(apart[0].mean() / apart[1].mean())
        before = image
    assert len(better) >= 5
    assert np.median(better) < 0.8


def test_always_on_is_uncertain_where_nothing_can_be_seen_and_off_never_looks() -> None:
    rng = np.random.default_rng(8)
    on, off = CameraMotion("on"), CameraMotion("off")
    for k in range(30):
        unsure = on.estimate(view(scene("blank"), Pose(), rng), NO_BOXES)
        assert unsure.trusted == (k == 0)
        assert off.estimate(view(scene("ground", k % 2), Pose(), rng), NO_BOXES).still


any_shape = st.tuples(st.integers(1, 40), st.integers(1, 40)) | st.sampled_from(
    [(1, 1), (1, 300), (300, 1), (64, 64), (97, 131)]
)

any_image = any_shape.flatmap(
    lambda shape: st.sampled_from([np.uint8, np.uint16]).flatmap(
        lambda dtype: (
            st.builds(
                lambda seed, low, high: np.random.default_rng(seed).integers(
                    min(low, high), max(low, high), shape, dtype, endpoint=True
                ),
                st.integers(0, 3),
                st.integers(0, np.iinfo(dtype).max),
                st.integers(0, np.iinfo(dtype).max),
            )
            | hnp.arrays(dtype, shape, elements=st.sampled_from([0, 1, np.iinfo(dtype).max]))
        )
    )
)

any_boxes = hnp.arrays(
    np.float64, st.tuples(st.integers(0, 4), st.just(4)), elements=st.floats(width=64)
)


@settings(max_examples=80)
@given(
    st.sampled_from(["auto", "on"]),
    st.lists(st.tuples(any_image, any_boxes, st.integers(1, 3)), min_size=1, max_size=6),
)
def test_any_pictures_give_a_finite_motion(
    mode: str, pictures: list[tuple[Image, FloatArray, int]]
) -> None:
    camera = CameraMotion(mode)  # type: ignore[arg-type]
    for image, boxes, times in pictures:
        for shift in range(times):
            motion = camera.estimate(np.roll(image, shift, axis=1), boxes)
            assert np.isfinite(motion.warp).all()
            assert np.linalg.det(motion.warp[:, :2]) > 0
            assert np.isfinite(motion.sigma_px)
            if motion.still or not motion.trusted:
                np.testing.assert_array_equal(motion.warp, IDENTITY)
            assert motion.trusted == (motion.sigma_px == 0)


# -- what it does to states --------------------------------------------------------------------


def test_states_move_with_the_scene_and_covariances_turn() -> None:
    quarter = Motion(np.array([[0.0, -2, 100], [2, 0, 10]]), still=False)
    mean = np.array([[3.0, 4, 5, 6]])
    cov = np.diag([1.0, 2, 3, 4])[None]
    moved, turned = moved_by(quarter, mean, cov)
    np.testing.assert_allclose(moved, [[92, 16, -12, 10]])
    np.testing.assert_allclose(turned[0], np.diag([8.0, 4, 16, 12]))
    np.testing.assert_allclose(quarter.earlier(moved[:, :2]), mean[:, :2])


def test_what_is_not_known_of_the_motion_makes_positions_less_certain() -> None:
    lost = Motion(still=False, trusted=False, sigma_px=7.0)
    mean, cov = np.zeros((2, 4)), np.tile(np.eye(4), (2, 1, 1))
    moved, grown = moved_by(lost, mean, cov)
    np.testing.assert_array_equal(moved, mean)
    np.testing.assert_allclose(grown[1], np.diag([50.0, 50, 1, 1]))


# -- the setting -------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["off", "auto", "on"])
def test_the_setting_may_be_written_as_people_do(mode: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(f"tracker:\n  camera_motion: {mode}\n")
    assert load_settings(str(file), []).tracker.camera_motion == mode
    assert load_settings(None, [f"tracker.camera_motion={mode}"]).tracker.camera_motion == mode


def test_a_step_without_a_picture_is_as_before() -> None:
    subject = build_tracker(TrackerSettings(confirm_displacement_px=0), THRESHOLD)
    for k in range(10):
        tracks = subject.step(Detections.empty(k, k / FPS) if k < 2 else seen((50, 50), k / FPS))
    assert tracks.track_id.tolist() == [1]
