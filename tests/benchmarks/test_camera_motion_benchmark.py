"""``python -m benchmarks.camera_motion``: on rendered clips whose motion is known."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "sources"))
sys.path.insert(0, str(Path(__file__).parents[1] / "tracking"))
from camera_views import NO_BOXES, Pose, Scene, scene, view
from media import write_video

from benchmarks import camera_motion
from benchmarks.camera_motion import Picture, Tally, main
from benchmarks.reference_motion import reference_shift
from streamer.types import FloatArray, Image
from tracking.camera_motion import CameraMotion, Motion

SPEED = (1.5, -0.75)
FRAMES = 16


def write_clip(folder: Path, name: str, poses: Sequence[Pose]) -> None:
    """A clip of textured ground, and a box in its first frame for the truth."""
    pictures = [
        view(scene("ground"), pose, np.random.default_rng(k)) for k, pose in enumerate(poses)
    ]
    write_video(folder / f"{name}.mp4", pictures, options={"crf": "8"})
    (folder / f"{name}.gt.txt").write_text("1,1,10,10,5,5,1,s,1\n")


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """A pan, and a camera that stands."""
    folder = tmp_path / "clips"
    folder.mkdir()
    pan = [Pose(500 - SPEED[0] * k, 400 - SPEED[1] * k) for k in range(FRAMES)]
    write_clip(folder, "PAN_1", pan)
    write_clip(folder, "STAND_1", [Pose()] * FRAMES)
    return folder


def measured(clips: Path, *options: str, code: int = 0) -> dict[str, Any]:
    output = clips.parent / "out"
    assert main([str(clips), "--output", str(output), *options]) == code
    report: dict[str, Any] = json.loads((output / "report.json").read_text())
    return report


def test_a_pan_is_seen_and_a_camera_that_stands_stands(
    clips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = measured(clips)
    pan, stand, both = (*report["clips"].values(), report["pooled"])
    seen = ("pictures", "left_out", "moved", "still", "wrong", "not_trusted")
    assert [pan[key] for key in seen] == [FRAMES - 1, 0, FRAMES - 1, 0, 0, 0]
    assert [stand[key] for key in seen] == [FRAMES - 1, 0, 0, FRAMES - 1, 0, 0]
    assert [both[key] for key in seen] == [2 * (FRAMES - 1), 0, FRAMES - 1, FRAMES - 1, 0, 0]
    assert 0 < pan["median_error_px"] <= pan["p90_error_px"] < 0.2
    assert stand["p90_error_px"] < 0.1
    assert both["over_half_px"] == both["over_two_px"] == 0
    assert 0 < both["estimate_ms"] < 1000
    shown, progress = capsys.readouterr()
    assert (clips.parent / "out/report.md").read_text() == shown
    assert "| PAN_1 | 15 | 15 | 0 | 0 | 0 |" in shown
    assert "| all | 30 | 15 | 15 | 0 | 0 |" in shown
    assert "[2/2] STAND_1: 15 pictures, 0 moved, 0 of 15 taken to stand wrong" in progress


def test_what_sees_no_motion_is_found_wrong_by_the_pan(
    clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(camera_motion, "CameraMotion", lambda mode: CameraMotion("off"))
    report = measured(clips, "--max-frames", "9")
    pan, stand = report["clips"].values()
    assert (pan["pictures"], pan["still"], pan["wrong"]) == (8, 8, 8)
    assert pan["mean_error_px"] == pytest.approx(np.hypot(*SPEED), abs=0.1)
    assert (pan["over_half_px"], pan["over_two_px"]) == (1, 0)
    assert (stand["still"], stand["wrong"]) == (8, 0)


def test_the_labels_boxes_are_those_of_their_frame(
    clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []

    class Watched(CameraMotion):
        def estimate(self, image: Image, boxes_xyxy: FloatArray) -> Motion:
            given.append(boxes_xyxy.tolist())
            return super().estimate(image, boxes_xyxy)

    monkeypatch.setattr(camera_motion, "CameraMotion", Watched)
    (clips / "PAN_1.gt.txt").write_text("2,1,20,30,5,6,1,s,1\n2,2,50,60,7,8,1,s,1\n")
    (clips / "one.txt").write_text("PAN_1\n")
    measured(clips, "--list", str(clips / "one.txt"), "--matlab-pixels", "--max-frames", "3")
    assert given == [[], [[19, 29, 24, 35], [49, 59, 56, 67]], []]


def test_a_clip_that_cannot_be_read_does_not_cost_the_others(
    clips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (clips / "PAN_1.mp4").write_bytes(b"no video")
    (clips / "PAN_2.mp4").write_bytes(b"no labels")
    report = measured(clips, code=1)
    assert list(report["failed"]) == ["PAN_1"]
    assert report["unlabelled"] == ["PAN_2"]
    assert report["pooled"]["pictures"] == FRAMES - 1
    shown = capsys.readouterr().out
    assert "* failed: PAN_1: " in shown
    assert "Without labels, left out: PAN_2" in shown


def test_pictures_that_do_not_tell_are_left_out(clips: Path) -> None:
    pictures = [view(scene("blank"), Pose(), np.random.default_rng(k)) for k in range(6)]
    write_video(clips / "STAND_1.mp4", pictures, options={"crf": "0"})  # else noise is copied, too
    report = measured(clips)
    blank = report["clips"]["STAND_1"]
    assert (blank["pictures"], blank["left_out"]) == (0, 5)
    assert blank["mean_error_px"] is None
    assert report["pooled"]["pictures"] == FRAMES - 1


def test_the_first_motion_after_one_that_was_not_trusted_is_left_out(
    clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is since the last picture that could be read, two before it."""

    class Blinks(CameraMotion):
        seen = 0

        def estimate(self, image: Image, boxes_xyxy: FloatArray) -> Motion:
            self.seen += 1
            if self.seen == 4:
                return Motion(still=False, trusted=False, sigma_px=7.0)
            return super().estimate(image, boxes_xyxy)

    monkeypatch.setattr(camera_motion, "CameraMotion", Blinks)
    pan = measured(clips)["clips"]["PAN_1"]
    assert (pan["pictures"], pan["not_trusted"], pan["left_out"]) == (FRAMES - 2, 1, 1)
    assert pan["over_half_px"] == 0


def test_what_is_counted() -> None:
    some = Tally(
        [
            Picture(0.0, 0.1, still=True),
            Picture(0.6, 0.6, still=True),
            Picture(3.0, 2.5),
            Picture(3.0, 3.0, trusted=False),
        ],
        left_out=2,
        seconds=[0.001, 0.002, 0.009],
    )
    row = (some + Tally([Picture(1.0, 0.0)], 1)).row("x")
    assert row == {
        "clip": "x", "pictures": 5, "left_out": 3, "moved": 4, "still": 2, "wrong": 1,
        "not_trusted": 1, "mean_error_px": pytest.approx(0.8),
        "median_error_px": pytest.approx(0.35), "p90_error_px": 2.5, "over_half_px": 0.5,
        "over_two_px": 0.25, "estimate_ms": 2.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere"], "error: nowhere is not a folder"),
        (["{}", "--list", "{}/none.txt"], "error: cannot read"),
        (["{}", "--list", "{}/other.txt"], "names OTHER, but"),
        (["{}", "--output", "{}/other.txt"], "other.txt"),
    ],
)
def test_mistakes_are_told_in_a_line(
    arguments: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_clip(tmp_path, "S_1", [Pose()] * 2)
    (tmp_path / "other.txt").write_text("OTHER\n")
    given = [each.format(tmp_path) for each in arguments]
    assert main(["--output", str(tmp_path / "out"), *given]) == 1
    said = capsys.readouterr().err
    assert told in said
    assert len(said.splitlines()) == 1


def test_wrong_usage_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["clips", "--output", "out", "--max-frames", "0"])
    assert ended.value.code == 2
    assert "'0' is not a whole number above 0" in capsys.readouterr().err


# -- the reference itself ----------------------------------------------------------------------


@pytest.mark.parametrize("target", [False, True])
@pytest.mark.parametrize(
    ("kind", "within", "shift"),
    [("ground", 0.1, each) for each in ((0.3, -0.2), (-9.5, 11.25), (31.0, -20.0))]
    + [("sky", 0.8, each) for each in ((0.3, -0.2), (4.6, 1.2), (-9.5, 11.25))],
)
@pytest.mark.parametrize("depth", [8, 16])
def test_the_reference_is_the_shift_of_the_scene_and_not_of_a_target(
    kind: Scene, within: float, shift: tuple[float, float], target: bool, depth: int
) -> None:
    """A hot target of 30 px, which the camera follows, has most of the contrast before a sky."""
    images = []
    box = np.array([[135.0, 99, 165, 121]])
    for seed, (x, y) in enumerate(((0.0, 0.0), shift)):
        pose = Pose(550 - x, 450 - y)
        image = view(scene(kind), pose, np.random.default_rng(seed), noise=0.5, depth=depth)
        if target:
            cv2.ellipse(image, (150, 110), (15, 11), 0, 0, 360, 230 if depth == 8 else 12000, -1)
        images.append(image)
    boxes = box if target else NO_BOXES
    found = reference_shift(images[0], images[1], boxes, boxes)
    assert found is not None
    np.testing.assert_allclose(found, shift, atol=within)


def test_the_reference_does_not_know_where_pictures_have_nothing_in_common() -> None:
    rng = np.random.default_rng(3)
    one, other = (view(scene("ground", seed), Pose(), rng) for seed in (1, 2))
    assert reference_shift(one, other, NO_BOXES, NO_BOXES) is None
    assert reference_shift(one, one[:100], NO_BOXES, NO_BOXES) is None
    assert reference_shift(np.zeros_like(one), np.zeros_like(one), NO_BOXES, NO_BOXES) is None
    everything = np.array([[-50.0, -50, 900, 900]])
    assert reference_shift(one, one, everything, everything) is None
