"""A camera that pans, turns, zooms, shakes or stands: what is seen of it and becomes of tracks."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from camera_views import (
    FPS,
    HEIGHT,
    THRESHOLD,
    WIDTH,
    Pose,
    Scene,
    between,
    distance,
    moved_by,
    scene,
    share_kept,
    shown,
    view,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from shown_targets import seen

from configs.load import load_settings
from configs.schema import TrackerSettings
from streamer.types import Detections, FilterStates, FloatArray, Image, Tracks
from tracking import build_tracker
from tracking.camera_motion import CameraMotion, Motion
from tracking.registration import correlate_phases, follow_corners
from tracking.stillness import sketch

NO_BOXES = np.empty((0, 4))
IDENTITY = np.eye(2, 3)
RNG = np.random.default_rng(9)

PANS = {
    "pan": [Pose(300 + 12 * k, 300 + 5 * k) for k in range(40)],
    "there and back": [Pose(550 + 120 * np.sin(k / 5), 450) for k in range(45)],
    "turn": [Pose(degrees=40 * np.sin(k / 6)) for k in range(45)],
    "zoom": [Pose(zoom=1 + 0.25 * np.sin(k / 2)) for k in range(45)],
    "shake": [Pose(550 + x, 450 + y, turn) for x, y, turn in RNG.normal(0, (6, 6, 0.5), (45, 3))],
}

TARGETS = np.array([[450.0, 400], [600, 380], [650, 470], [480, 530], [548, 452]])
SPEEDS = np.array([[30.0, 10], [-20, 25], [-35, -10], [10, -30], [25, 0]])


def crossing(poses: Sequence[Pose], seconds: float) -> FloatArray:
    """Five targets in slow flight, about where the camera looks half way."""
    middle = poses[len(poses) // 2]
    return TARGETS - (550, 450) + (middle.x, middle.y) + SPEEDS * (seconds - len(poses) / FPS / 2)


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


def test_a_sky_that_an_encoder_copied_from_the_picture_before_does_not_hide_a_pan() -> None:
    """Faint clouds stay where they were in the picture; roofs below them tell of the camera."""
    rng = np.random.default_rng(7)
    clouds = 90 + 12 * cv2.GaussianBlur(rng.normal(0, 8, (HEIGHT, WIDTH)), (0, 0), 8)
    along = np.arange(WIDTH + 60)
    roofs = HEIGHT - 22 - 9.0 * np.sign(np.sin(along / 17)) - 5 * np.sin(along / 41)
    camera, moved = CameraMotion("auto"), 0.0
    for k in range(40):
        line = np.interp(np.arange(WIDTH) + 0.9 * k, along, roofs)
        rows = np.arange(HEIGHT)[:, None]
        picture = np.where(rows > line, 235.0, clouds) + rng.normal(0, 0.7, (HEIGHT, WIDTH))
        soft = cv2.GaussianBlur(picture, (0, 0), 0.8)
        motion = camera.estimate(np.clip(soft, 0, 255).astype(np.uint8), NO_BOXES)
        moved += motion.points(np.array([[WIDTH / 2, HEIGHT / 2]]))[0, 0] - WIDTH / 2
    assert moved == pytest.approx(-0.9 * 39, abs=3)


@pytest.mark.parametrize("speed", [(2, 0), (3, 0), (5, 0), (7, 0), (3, 3), (10, 4)])
def test_what_is_burnt_in_is_outvoted(speed: tuple[int, int]) -> None:
    """A camera's own text has the sharpest corners of all, and stands while the scene moves."""
    world, rng = scene("ground"), np.random.default_rng(3)
    camera = CameraMotion("auto")
    poses = [Pose(400 + speed[0] * k, 400 + speed[1] * k) for k in range(8)]
    right = 0
    for before, after in zip([poses[0], *poses], poses, strict=False):
        image = view(world, after, rng)
        for row in (20, 245):
            cv2.putText(image, "REC I:0 V:0 12:34", (5, row), 0, 0.7, 255, 2)
        motion = camera.estimate(image, NO_BOXES)
        right += distance(motion.warp, between(before, after)) < 0.5
    assert right >= len(poses) - 2


@pytest.mark.parametrize(
    ("length", "clouds"), [(20, 0.0), (38, 0.0), (38, 1.0), (38, 2.0), (50, 0.0)]
)
def test_a_large_target_that_was_not_detected_is_not_the_camera(length: int, clouds: float) -> None:
    texture = cv2.GaussianBlur(np.random.default_rng(3).normal(0, 1, (HEIGHT, WIDTH)), (0, 0), 2)
    camera = CameraMotion("auto")
    for k in range(20):
        picture = 90 + clouds * texture / texture.std()
        middle, axes = (30 + 4 * k, 160), (length // 2, length // 5)
        cv2.ellipse(picture, middle, axes, 20, 0, 360, 200.0, -1)
        picture = cv2.GaussianBlur(picture, (0, 0), 0.8)
        picture += np.random.default_rng(k).normal(0, 1.0, picture.shape)
        assert camera.estimate(picture.round().astype(np.uint8), NO_BOXES).still


def test_corners_are_off_the_detections() -> None:
    """Large bright things that move together are the only texture: with their boxes, none."""
    places = [(x, y) for x in range(30, 280, 40) for y in range(30, 220, 40)]
    images = []
    for shift in (0, 6):
        image = np.full((HEIGHT, WIDTH), 80, dtype=np.uint8)
        for x, y in places:
            image[y : y + 9, x + shift : x + shift + 9] = 200
        images.append(image)
    assert follow_corners(*images, NO_BOXES) is not None
    boxes = np.array([[x - 1.0, y - 1, x + 10, y + 10] for x, y in places])
    assert follow_corners(*images, boxes) is None


@pytest.mark.parametrize("noise", [0.0, 0.3, 1.0, 3.0])
@pytest.mark.parametrize("kind", ["ground", "sky", "blank"])
@pytest.mark.parametrize("depth", [8, 16])
def test_a_camera_that_stands_is_seen_to_stand(kind: Scene, noise: float, depth: int) -> None:
    world = scene(kind)
    rng = np.random.default_rng(4)
    camera = CameraMotion("auto")
    for k in range(20):
        targets = np.array([[100.0 + 4 * k, 100], [200, 200 - 6 * k]])
        # The camera's own gain follows what it sees.
        brighter = world * (1 + 0.002 * k)
        image = view(brighter, Pose(), rng, noise=noise, depth=depth, targets=targets)
        motion = camera.estimate(image, NO_BOXES)
        assert motion.still
        assert motion.trusted
        np.testing.assert_array_equal(motion.warp, IDENTITY)


def test_a_near_bird_before_a_blank_sky_is_not_the_camera() -> None:
    rng = np.random.default_rng(12)
    camera = CameraMotion("auto")
    for k in range(20):
        image = view(scene("blank"), Pose(), rng, noise=0.4)
        x, y = 60 + 7 * k, 100 + 2 * k
        cv2.ellipse(image, (x, y), (30, 12), 4.0 * k, 0, 360, 200, -1)
        motion = camera.estimate(image, np.array([[x - 31.0, y - 31, x + 31, y + 31]]))
        assert motion.still


def test_another_scene_is_no_motion() -> None:
    rng = np.random.default_rng(5)
    camera = CameraMotion("auto")
    first, second = scene("ground", 1), scene("ground", 2)
    motions = [
        camera.estimate(view(world, Pose(), rng), NO_BOXES)
        for world in (first, first, second, second)
    ]
    assert [motion.trusted for motion in motions] == [True, True, False, True]
    assert [motion.still for motion in motions] == [True, True, False, True]
    assert [motion.cut for motion in motions] == [False, False, False, True]
    np.testing.assert_array_equal(motions[2].warp, IDENTITY)
    assert motions[2].sigma_px > 3


def tree_line(row: int, seed: int) -> FloatArray:
    """(H, W) a sky over a line of hot trees, whose foot is at a row, and a field."""
    rng = np.random.default_rng(seed)
    tops = row - 18 + 3 * cv2.GaussianBlur(rng.normal(0, 4, (1, WIDTH)), (0, 0), 3)
    y = np.arange(HEIGHT)[:, None]
    field = cv2.GaussianBlur(rng.normal(0, 40, (HEIGHT, WIDTH)), (0, 0), 3)
    return np.where(y < tops, 90.0 - 60 * (y > tops - 25), np.where(y < row, 240.0, 140.0 + field))


def test_another_place_that_looks_like_the_last_is_a_cut() -> None:
    """One tree line lies on another in a way; it lies on itself far better."""
    camera = CameraMotion("auto")
    pictures = [(tree_line(170, 1), 1.0)] * 2 + [(tree_line(211, 20), s) for s in (40.0, 1.1, 1.1)]
    motions = []
    for clean, sigma in pictures:  # the first of the other place is noisy
        noise = np.random.default_rng(int(10 * sigma) + 3).normal(0, sigma, clean.shape)
        picture = np.clip(clean + noise, 0, 255).astype(np.uint8)
        motions.append(camera.estimate(picture, NO_BOXES))
    assert [motion.trusted for motion in motions] == [True, True, False, True, True]
    assert [motion.cut for motion in motions] == [False, False, False, True, False]
    assert all(motion.still for motion in motions[3:])


def test_a_picture_that_cannot_be_read_is_passed_over() -> None:
    """What follows it lies on what was before: no motion is missed, whatever the camera did."""
    rng = np.random.default_rng(5)
    camera = CameraMotion("auto")
    poses = [Pose(400 + 4 * k, 400 - 2 * k) for k in range(9)]
    motions = []
    for k, pose in enumerate(poses):
        world = scene("ground", 2 if k == 4 else 1)
        motions.append(camera.estimate(view(world, pose, rng), NO_BOXES))
    assert [motion.trusted for motion in motions] == [True] * 4 + [False] + [True] * 4
    assert not any(motion.cut for motion in motions)
    np.testing.assert_array_equal(motions[4].warp, IDENTITY)
    assert distance(motions[5].warp, between(poses[3], poses[5])) < 1
    assert distance(motions[6].warp, between(poses[5], poses[6])) < 1


def test_another_size_or_type_is_another_scene() -> None:
    rng = np.random.default_rng(6)
    image = view(scene("ground"), Pose(), rng)
    camera = CameraMotion("auto")
    images = [image, image, image[:100, :150], image[:100, :150].astype(np.uint16)]
    assert [camera.estimate(each, NO_BOXES).trusted for each in images] == [
        True,
        True,
        False,
        False,
    ]


def test_a_view_that_goes_blank_is_taken_to_stand_in_the_end() -> None:
    rng = np.random.default_rng(7)
    camera = CameraMotion("auto")
    camera.estimate(view(scene("ground"), Pose(), rng), NO_BOXES)
    camera.estimate(view(scene("ground"), Pose(), rng), NO_BOXES)
    motions = [camera.estimate(view(scene("blank"), Pose(), rng), NO_BOXES) for _ in range(40)]
    assert not motions[0].trusted
    assert all(motion.still for motion in motions[20:])


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


@settings(max_examples=80, deadline=None)
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


# -- what tracks make of it --------------------------------------------------------------------


@pytest.mark.parametrize("name", PANS)
def test_identities_are_kept_while_the_camera_moves_and_lost_without(name: str) -> None:
    poses = PANS[name]

    def kept(camera_motion: str) -> float:
        outputs, truth = shown(
            camera_motion,
            poses,
            lambda seconds: crossing(poses, seconds),
            confirm_displacement_px=0,
        )
        return share_kept(outputs, truth)

    assert kept("auto") >= 0.98
    assert kept("off") < 0.9


def test_under_a_plain_sky_a_pan_keeps_identities() -> None:
    poses = PANS["there and back"]
    outputs, truth = shown(
        "auto",
        poses,
        lambda seconds: crossing(poses, seconds),
        kind="sky",
        confirm_displacement_px=0,
    )
    assert share_kept(outputs, truth) >= 0.95


def test_a_target_that_the_camera_follows_is_found() -> None:
    """It stands in the picture while the scene passes at 12 px a frame."""
    poses = PANS["pan"]
    outputs, truth = shown(
        "auto",
        poses,
        lambda seconds: np.array([[300 + 12 * FPS * seconds + 9, 300 + 5 * FPS * seconds]]),
    )
    assert share_kept(outputs, truth) == 1
    assert outputs[-1].reported.tolist() == [True]
    # Its velocity is that in the picture, not against the scene.
    assert np.hypot(*outputs[-1].velocity[0]) < 30


def test_what_stands_in_the_scene_is_not_confirmed_by_a_pan() -> None:
    posts = np.array(
        [[x, y] for x in range(320, 700, 60) for y in range(330, 470, 60)], dtype=float
    )
    poses = [Pose(450 + 3 * k, 400 + k) for k in range(40)]

    def confirmed(camera_motion: str) -> int:
        outputs, _ = shown(camera_motion, poses, lambda _: posts)
        return len({i for tracks in outputs for i in tracks.track_id[tracks.reported].tolist()})

    assert confirmed("auto") == 0
    assert confirmed("off") > 5


def test_velocities_are_those_in_the_picture() -> None:
    poses = PANS["pan"]
    outputs, truth = shown("auto", poses, lambda seconds: crossing(poses, seconds))
    last = outputs[-1]
    speed = (truth[-1] - truth[-2]) * FPS
    for place, velocity in zip(truth[-1], speed, strict=True):
        row = np.hypot(*(last.xy - place).T).argmin()
        np.testing.assert_allclose(last.velocity[row], velocity, atol=40)


def test_after_a_cut_tracks_are_less_certain_and_where_they_began_is_forgotten() -> None:
    """A post that a cut moves by 5 px has not flown there."""
    rng = np.random.default_rng(10)
    first, second = scene("ground", 1), scene("ground", 2)
    subject = build_tracker(TrackerSettings(), THRESHOLD)
    spread = []
    for k in range(90):
        cut = k >= 30
        image = view(second if cut else first, Pose(), rng)
        found = np.array([100.0 + 5 * cut, 100]) + rng.normal(0, 0.2, 2)
        tracks = subject.step(seen([] if k == 30 else found, k / FPS), image)
        spread.append(float(np.sqrt(tracks.position_cov[0, 0, 0])))
        assert tracks.track_id.tolist() == [1]
        assert not tracks.reported.any()
    assert spread[29] < 1
    assert spread[30] > 5
    assert spread[-1] < 1


# -- a camera that stands ----------------------------------------------------------------------


def assert_same(one: Tracks | FilterStates, other: Tracks | FilterStates) -> None:
    for name in type(one).__slots__:
        mine, others = getattr(one, name), getattr(other, name)
        if isinstance(mine, FilterStates):
            assert_same(mine, others)
        else:
            np.testing.assert_array_equal(mine, others, err_msg=name)


def test_tracks_of_a_still_camera_are_the_same_with_auto_as_off() -> None:
    poses = [Pose()] * 60
    kept, plain = (
        shown(mode, poses, lambda seconds: crossing(poses, seconds))[0] for mode in ("auto", "off")
    )
    assert kept[-1].reported.any()
    for one, other in zip(kept, plain, strict=True):
        assert_same(one, other)


# Clips in which nothing but targets, clouds and trees moves.
STILL_CLIPS = ("IR_AIRPLANE_019", "IR_BIRD_026", "IR_DRONE_057", "IR_HELICOPTER_011")
# A pan, and a picture that jumps by 29 px and then by 76 while a recorder skips.
MOVING_CLIPS = ("IR_BIRD_025", "IR_BIRD_009")


def real_pictures(shared_dir: Path, name: str, count: int) -> list[Image]:
    path = shared_dir / "data" / "ir-video" / f"{name}.mp4"
    if not path.is_file():
        pytest.skip("needs the clips in the folder 'shared'")
    video = cv2.VideoCapture(str(path))
    images = []
    for _ in range(count):
        there, picture = video.read()
        assert there, name
        images.append(np.ascontiguousarray(picture[..., 0]))
    return images


@pytest.mark.parametrize("name", STILL_CLIPS)
def test_tracks_over_real_pictures_of_a_still_camera_are_the_same(
    shared_dir: Path, name: str
) -> None:
    rng = np.random.default_rng(11)
    kept, plain = (
        build_tracker(TrackerSettings.model_validate({"camera_motion": mode}), THRESHOLD)
        for mode in ("auto", "off")
    )
    for k, image in enumerate(real_pictures(shared_dir, name, 100)):
        places = np.array([[100.0 + k, 80], [150, 40]]) + rng.normal(0, 0.4, (2, 2))
        found = seen(places, k / FPS)
        assert_same(kept.step(found, image), plain.step(found, image))


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
