"""``python -m benchmarks.detections``: counted by hand, and run on a clip of the scene."""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "sources"))
from media import write_video

from benchmarks.detections import BACKGROUND, Look, Seen, main, markdown
from configs.schema import SyntheticSettings
from streamer.scene import Scene
from streamer.types import Detections, Frame


def look(xy: list[tuple[float, float]], score: list[float]) -> Look:
    """Two targets, 10 to 20 px and 40 to 50 px on both axes, in a picture of 100x80 px."""
    count = len(xy)
    detections = Detections(
        xy=np.array(xy, dtype=np.float64).reshape(-1, 2),
        boxes_xyxy=np.zeros((count, 4)),
        score=np.array(score, dtype=np.float64),
        area_px=np.ones(count),
        peak_snr=np.ones(count),
        extended=np.zeros(count, dtype=np.bool_),
        frame_index=4,
        pts_seconds=0.0,
    )
    picture = np.full((80, 100), 60, np.uint8)
    frame = Frame(picture, 8, 4, 0.0, 0.0, 0.0, "s")
    return Look(frame, np.array([[10.0, 10, 20, 20], [40, 40, 50, 50]]), detections)


def test_found_and_false_at_each_threshold() -> None:
    some = look([(15, 15), (16, 12), (45, 52), (70, 70)], [0.9, 0.6, 0.8, 0.4])
    seen = some.seen([0.3, 0.7, 0.95])
    assert (seen.frames, seen.labelled, seen.megapixels) == (1, 2, pytest.approx(0.008))
    assert seen.found.tolist() == [1, 1, 0]  # two detections in one box find one target
    assert seen.false.tolist() == [2, 1, 0]
    assert [some.errors(each) for each in (0.3, 0.7, 0.95)] == [3, 2, 2]


def test_nothing_detected_and_nothing_there() -> None:
    nothing = look([], [])
    assert nothing.seen([0.5]).found.tolist() == [0]
    empty = Look(nothing.frame, np.empty((0, 4)), nothing.detections)
    assert empty.errors(0.5) == 0


def test_the_picture_shows_what_was_found_missed_and_false() -> None:
    page = look([(15, 15), (70, 70)], [0.9, 0.9]).picture(0.5)
    assert page.shape == (180, 200, 3)
    assert tuple(page[21, 30]) == (60, 200, 60)  # found: the box's upper edge
    assert tuple(page[81, 90]) == (60, 60, 255)  # missed
    around = page[120:165, 120:165].astype(int)
    assert (around[..., 2] - around[..., 0] > 150).any()  # false: orange


def test_the_tables_pool_by_class() -> None:
    counts = {
        "A_1": Seen(10, 1.0, 10, np.array([9, 8]), np.array([5, 1])),
        "A_2": Seen(10, 1.0, 10, np.array([7, 6]), np.array([1, 1])),
        "B_1": Seen(5, 2.0, 0, np.array([0, 0]), np.array([5, 0])),
        BACKGROUND: Seen(4, 4.0, 0, np.array([0, 0]), np.array([6, 2])),
    }
    table = markdown(counts, [0.5, 0.9], 0)
    assert "At the threshold 0.5" in table
    assert "| A | 20 | 20 | 80.00% | 58.40% to 91.93% | 6 | 0.300 | 3.00 |" in table
    assert "| B | 5 | 0 | - | - | 5 | 1.000 | 2.50 |" in table
    assert "| all | 25 | 20 | 80.00% | 58.40% to 91.93% | 11 | 0.440 | 2.75 |" in table
    assert "| background | 4 | 0 | - | - | 6 | 1.500 | 1.50 |" in table
    assert "| 0.9 | 70.0%, 0.100 | 0.000 | 70.0%, 0.080 | 0.500 |" in table


def test_a_clip_of_the_scene_and_a_background(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scene = Scene(SyntheticSettings(width=96, height=96, targets=1, snr=12, seed=5))
    rendered = [scene.render(k) for k in range(4)]
    clips, output = tmp_path / "clips", tmp_path / "out"
    clips.mkdir()
    write_video(clips / "S_1.mp4", [each.image for each in rendered])
    with (clips / "S_1.gt.txt").open("w") as file:
        for number, each in enumerate(rendered, start=1):
            for x, y in each.truth.xy[each.truth.visible]:
                file.write(f"{number},1,{x - 3:.2f},{y - 3:.2f},6,6,1,s,1\n")
    (tmp_path / "back").mkdir()
    cv2.imwrite(str(tmp_path / "back" / "sky.png"), np.full((64, 64), 70, np.uint8))
    arguments = [str(clips), "--output", str(output), "--every", "2", "--device", "cpu"]
    arguments += ["--background", str(tmp_path / "back"), "--weights", "mpcnet-s-live"]
    assert main(arguments) == 0
    assert (output / "report.md").read_text() == capsys.readouterr().out
    report = json.loads((output / "report.json").read_text())
    assert report["ran"]["weights"] == "mpcnet-s-live"
    own = report["thresholds"].index(report["threshold"])
    clip = report["clips"]["S_1"]
    assert (clip["frames"], clip["labelled"]) == (2, 2)
    assert clip["found"][own] == 2
    assert report["clips"][BACKGROUND] == {
        "frames": 1, "megapixels": 0.004096, "labelled": 0,
        "found": [0] * len(report["thresholds"]), "false": [0] * len(report["thresholds"]),
    }  # fmt: skip
    assert (output / "S_1.png").exists() == (clip["false"][own] > 0)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere"], "nowhere is not a folder"),
        (["{}", "--weights", "none"], "no weights named"),
        (["{}", "--every", "0"], "--every 0: expected 1 or more"),
        (["{}", "--background", "{}/none"], "no pictures in"),
    ],
)
def test_mistakes_are_told_in_a_line(
    arguments: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_video(tmp_path / "S_1.mp4", [np.zeros((64, 64), np.uint8)] * 2)
    (tmp_path / "S_1.gt.txt").write_text("1,1,10,10,5,5,1,s,1\n")
    given = [each.format(tmp_path) for each in arguments]
    assert main([*given, "--output", str(tmp_path / "out")]) == 1
    assert told in capsys.readouterr().err
