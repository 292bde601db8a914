"""The synthetic scene: the same every time, and its truth is what its pictures show."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from configs.schema import SyntheticSettings
from streamer.scene import Scene
from streamer.types import FloatArray
from tracking.mot import read_mot

DEPTHS = (8, 14, 16)
COUNTS_PER_LEVEL = {8: 1, 14: 8, 16: 32}


def scene(**changes: Any) -> Scene:
    """A small scene: quickly drawn."""
    return Scene(SyntheticSettings(**{"width": 160, "height": 128, **changes}))


def difference(of: Scene, k: int) -> FloatArray:
    """(H, W) counts that the targets add to frame k."""
    with_targets, without = of.render(k), of.render(k, targets=False)
    return np.asarray(with_targets.image.astype(np.float64) - without.image)


@pytest.mark.parametrize("bit_depth", DEPTHS)
def test_the_same_seed_gives_the_same_bytes_and_another_does_not(bit_depth: int) -> None:
    first, again = scene(bit_depth=bit_depth), scene(bit_depth=bit_depth)
    other = scene(bit_depth=bit_depth, seed=8)
    for k in (0, 17):
        assert first.render(k).image.tobytes() == again.render(k).image.tobytes()
        assert first.render(k).image.tobytes() != other.render(k).image.tobytes()
    assert not np.array_equal(first.truth(0).xy, other.truth(0).xy)


def test_noise_is_new_in_every_frame_and_for_every_seed() -> None:
    bare = {"clutter": 0, "targets": 0, "dead_pixels": 0, "fixed_pattern_sigma": 0}
    one, other = scene(seed=1, **bare), scene(seed=2, **bare)
    noise = [one.render(0), one.render(1), other.render(0), other.render(1)]
    correlation = np.corrcoef([frame.image.ravel() for frame in noise])
    assert np.abs(correlation - np.eye(4)).max() < 0.05


def test_any_order_and_any_thread_give_the_same_frames() -> None:
    one = scene(camera_drift_px_per_second=5)
    in_order = [one.render(k).image.tobytes() for k in range(12)]
    other = scene(camera_drift_px_per_second=5)
    backwards = [other.render(k).image.tobytes() for k in reversed(range(12))]
    assert in_order == backwards[::-1]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda k: one.render(k).image.tobytes(), range(12))) == in_order


def test_frames_that_do_not_exist_are_refused() -> None:
    short = scene(seconds=0.5, fps=30)
    assert short.frames == 15
    for k in (-1, short.frames):
        with pytest.raises(IndexError, match="0 to 14"):
            short.render(k)


@pytest.mark.parametrize("bit_depth", (14, 16))
def test_the_centroid_of_what_targets_add_is_their_true_centre(bit_depth: int) -> None:
    # The picture's rounding alone moves a centroid; a strong target makes that small.
    strong = scene(bit_depth=bit_depth, snr=20, targets=6, seed=5, width=320, height=256)
    y, x = np.mgrid[-6:7, -6:7]
    compared = 0
    for k in range(0, strong.frames, 25):
        truth, added = strong.truth(k), difference(strong, k)
        apart = np.hypot(*(truth.xy[:, None] - truth.xy).transpose(2, 0, 1))
        for i in np.flatnonzero(truth.visible & ((apart < 18).sum(axis=1) == 1)):
            column, row = np.rint(truth.xy[i]).astype(int)
            patch = added[row - 6 : row + 7, column - 6 : column + 7]
            centroid = np.array([(patch * x).sum(), (patch * y).sum()]) / patch.sum()
            offset = truth.xy[i] - np.array([column, row])
            assert np.abs(centroid - offset).max() < 0.05
            compared += 1
    assert compared > 50


@pytest.mark.parametrize("bit_depth", DEPTHS)
@pytest.mark.parametrize("snr", (3.0, 6.0))
def test_the_peak_is_as_strong_as_the_truth_says(bit_depth: int, snr: float) -> None:
    seen = scene(bit_depth=bit_depth, snr=snr, crossing=False, targets=1, occlusion=False)
    measured, stated = [], []
    for k in range(0, seen.frames, 6):
        truth, added = seen.truth(k), difference(seen, k)
        column, row = np.rint(truth.xy[0]).astype(int)
        measured.append(added[row, column])
        stated.append(truth.snr[0] * seen.noise_sigma * COUNTS_PER_LEVEL[bit_depth])
    # Each is off by the rounding of two pictures, less than a count; their mean hardly at all.
    assert np.abs(np.subtract(measured, stated)).max() <= 1
    assert np.mean(measured) == pytest.approx(np.mean(stated), rel=0.02)
    snrs = np.array(stated) / (seen.noise_sigma * COUNTS_PER_LEVEL[bit_depth])
    assert 0.65 * snr < snrs.min() < 0.9 * snr
    assert 0.95 * snr < snrs.max() <= snr


@pytest.mark.parametrize("bit_depth", DEPTHS)
@pytest.mark.parametrize(("sensor", "fixed"), ((3.0, 0.8), (0.0, 2.0), (5.0, 0.0), (0.0, 0.0)))
def test_noise_is_as_strong_as_stated(bit_depth: int, sensor: float, fixed: float) -> None:
    flat = scene(
        bit_depth=bit_depth,
        noise_sigma=sensor,
        fixed_pattern_sigma=fixed,
        clutter=0,
        targets=0,
        dead_pixels=0,
    )
    gain = COUNTS_PER_LEVEL[bit_depth]
    stack = np.stack([flat.render(k).image.astype(np.float64) for k in range(40)]) / gain
    rounding = 1 / (gain * np.sqrt(12))
    assert flat.noise_sigma == pytest.approx(np.sqrt(sensor**2 + fixed**2 + rounding**2))
    over_time = stack.std(axis=0, ddof=1).mean()
    if sensor:
        assert over_time == pytest.approx(np.hypot(sensor, rounding), rel=0.02)
        assert stack.std() == pytest.approx(flat.noise_sigma, rel=0.03)
    else:
        assert over_time == 0
    if fixed:
        assert stack.mean(axis=0).std() == pytest.approx(
            np.hypot(fixed, sensor / np.sqrt(40)), rel=0.1
        )


def test_dead_pixels_are_as_many_as_asked_for_and_never_change() -> None:
    share = 0.004
    broken = scene(dead_pixels=share, camera_drift_px_per_second=20)
    stack = np.stack([broken.render(k).image for k in range(30)])
    rows, columns = np.nonzero(np.ptp(stack, axis=0) == 0)
    assert len(rows) == round(share * 160 * 128)
    expected = {(int(x), int(y)) for x, y in broken.dead_xy}
    assert {(int(x), int(y)) for x, y in zip(columns, rows, strict=True)} == expected
    levels = stack[0][rows, columns]
    assert 0.3 < (levels < 30).mean() < 0.7
    assert 0.3 < (levels > 90).mean() < 0.7
    whole = scene(dead_pixels=0)
    assert len(whole.dead_xy) == 0


@pytest.mark.parametrize("camera", (0.0, 8.0))
@pytest.mark.parametrize("seed", (1, 7))
def test_one_target_hides_for_a_while_and_leaves_no_trace(seed: int, camera: float) -> None:
    # Drifting the other way is the same; the tower stands on the ground and drifts with it.
    for bit_depth in (8, 16):
        one = scene(seed=seed, targets=1, bit_depth=bit_depth, camera_drift_px_per_second=camera)
        visible = np.array([one.truth(k).visible[0] for k in range(one.frames)])
        hidden = np.flatnonzero(~visible)
        assert len(hidden)
        spells = np.split(hidden, np.flatnonzero(np.diff(hidden) > 1) + 1)
        assert 0.4 <= max(len(spell) for spell in spells) / 30 <= 1.5
        k = int(spells[0][len(spells[0]) // 2])
        assert not difference(one, k).any()
        assert one.truth(k).snr[0] == 0
        assert difference(one, int(spells[0][0]) - 2).any()


def test_nothing_hides_without_an_occlusion() -> None:
    for seed in range(5):
        clear = scene(seed=seed, occlusion=False, targets=8)
        assert all(clear.truth(k).visible.all() for k in range(0, clear.frames, 3))


@pytest.mark.parametrize("seed", (1, 7, 11))
def test_the_first_two_cross_when_it_says(seed: int) -> None:
    crossing = scene(seed=seed)
    assert crossing.crossing_seconds is not None
    k = round(crossing.crossing_seconds * 30)

    def apart(at: int) -> FloatArray:
        first, second = crossing.truth(at).xy[:2]
        return np.asarray(second - first)

    assert np.hypot(*apart(k)) < 0.5
    before, after = apart(k - 20), apart(k + 20)
    assert min(np.hypot(*before), np.hypot(*after)) > 10
    assert before[0] * after[0] < 0  # they went on, and did not turn back
    assert scene(crossing=False).crossing_seconds is None
    assert scene(targets=1).crossing_seconds is None


@pytest.mark.parametrize(("width", "height"), ((320, 256), (640, 512), (48, 40), (32, 32)))
@pytest.mark.parametrize("manoeuvres", (True, False))
def test_targets_stay_inside_and_fly_smoothly(width: int, height: int, manoeuvres: bool) -> None:
    busy = scene(width=width, height=height, targets=16, seconds=60, manoeuvres=manoeuvres)
    xy = np.stack([busy.truth(k).xy for k in range(busy.frames)])
    assert xy.min() > 1
    assert xy[..., 0].max() < width - 2
    assert xy[..., 1].max() < 0.75 * height  # the sky
    velocity = np.diff(xy, axis=0) * 30
    speed = np.linalg.norm(velocity, axis=2)
    assert speed.max() < 80
    assert np.linalg.norm(np.diff(velocity, axis=0) * 30, axis=2).max() < 250
    if width >= 320:
        assert 15 < np.median(speed) < 60
        # Long straight legs at an even speed, unless they manoeuvre.
        course = np.unwrap(np.arctan2(velocity[..., 1], velocity[..., 0]), axis=0)
        turning = np.median(np.abs(np.diff(course, axis=0))) * 30
        assert (turning > 0.15) == manoeuvres


def test_raw_counts_lie_where_thermal_cores_put_them() -> None:
    for bit_depth, middle in ((14, 8192), (16, 32768)):
        deep = scene(bit_depth=bit_depth, dead_pixels=0)
        image = deep.render(0).image
        assert image.dtype == np.uint16
        assert abs(np.median(image) - middle) < middle / 8
        assert np.ptp(image) < middle / 4
        assert image.max() < 1 << bit_depth
    shallow = scene().render(0).image
    assert shallow.dtype == np.uint8
    # The same picture but for its digits.
    deep14 = scene(bit_depth=14, targets=0).render(0).image
    assert np.abs(deep14 / 8.0 - 896 - scene(targets=0).render(0).image).max() <= 0.6


def test_what_is_too_bright_is_cut_off_at_the_top() -> None:
    for bit_depth in DEPTHS:
        blinding = scene(bit_depth=bit_depth, snr=5000, targets=1, occlusion=False)
        assert blinding.render(0).image.max() == (1 << bit_depth) - 1


@pytest.mark.parametrize("rate", (0.0, 6.0, 45.0))
def test_the_camera_pans_over_the_background_at_its_rate(rate: float) -> None:
    panning = scene(
        camera_drift_px_per_second=rate,
        drift_px_per_second=0,
        targets=0,
        dead_pixels=0,
        fixed_pattern_sigma=0,
    )
    window = cv2.createHanningWindow((160, 128), cv2.CV_32F)
    first, last = (panning.render(k).image.astype(np.float32) for k in (10, 25))
    (dx, dy), _ = cv2.phaseCorrelate(first, last, window)
    assert -dx * 30 / 15 == pytest.approx(rate, abs=0.5)
    assert abs(dy) < 0.2


def test_clouds_drift_over_a_ground_that_stays() -> None:
    windy = scene(drift_px_per_second=20, targets=0, noise_sigma=0)
    first, last = (windy.render(k).image.astype(int) for k in (0, 60))
    assert np.abs(last - first)[:75].mean() > 1
    assert np.array_equal(first[108:], last[108:])


def test_panoramas_meet_at_their_ends() -> None:
    # Once around, 40 px a frame: wherever the seam is, it is no sharper than a cloud's edge.
    turning = scene(
        camera_drift_px_per_second=30 * 40.0,
        drift_px_per_second=0,
        targets=0,
        noise_sigma=0,
        fixed_pattern_sigma=0,
        dead_pixels=0,
        bit_depth=16,
        occlusion=False,
    )
    pictures = [turning.render(k).image.astype(int) for k in range(20)]
    assert any(
        np.array_equal(pictures[0][:, s:], pictures[k][:, : 160 - s])
        for k in range(10, 20)
        for s in range(1, 160)
    )
    steps = [np.abs(np.diff(picture[:85], axis=1)).mean(axis=0) for picture in pictures]
    assert max(step.max() for step in steps) < 6 * np.median(steps)


def test_the_truth_is_written_as_motchallenge(tmp_path: Path) -> None:
    one = scene(targets=3, seconds=2)
    path = tmp_path / "gt.txt"
    one.write_truth(path, frames=20)
    table = read_mot(path)
    assert len(table) == 60
    assert table.last_frame == 20
    for k in (0, 19):
        assert table.centres[table.frame == k + 1] == pytest.approx(one.truth(k).xy, abs=2e-3)
    assert set(table.object_id) == {1, 2, 3}
    one.write_truth(path)
    assert read_mot(path).last_frame == one.frames
    hiding = scene(targets=1)
    hiding.write_truth(path)
    visibility = [line.split(",")[8] for line in path.read_text().splitlines()]
    shown = [str(int(hiding.truth(k).visible[0])) for k in range(hiding.frames)]
    assert visibility == shown
    assert "0" in visibility


def test_a_scene_of_no_targets_is_valid(tmp_path: Path) -> None:
    empty = scene(targets=0)
    truth = empty.render(3).truth
    assert truth.xy.shape == (0, 2)
    assert truth.target_id.shape == truth.visible.shape == truth.snr.shape == (0,)
    empty.write_truth(tmp_path / "gt.txt")
    assert (tmp_path / "gt.txt").read_text() == ""
