"""``tracks_smoothed.txt`` of whole runs: recordings have it, live sources do not."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from quick_detector import QuickDetector

import model.detector
import run_stream
from configs.schema import DetectorSettings
from streamer.types import Detections, Frame
from tracking import evaluate
from tracking.mot import MotTable, read_mot

FRAMES = 120
BORN, GONE = 10, 100
UNSEEN = range(50, 55)


def truth(index: int) -> np.ndarray:
    """(1, 2) where the target is, px."""
    return np.array([[20.0 + 0.8 * index, 40 + 20 * np.sin(index / 25)]])


class JitteryDetector(QuickDetector):
    """Sees the target with an error, and not in every frame."""

    def _found(self, frame: Frame) -> Detections:
        if not BORN <= frame.index < GONE or frame.index in UNSEEN:
            return Detections.empty(frame.index, frame.pts_seconds)
        xy = truth(frame.index) + np.random.default_rng(frame.index).normal(0, 0.7, (1, 2))
        return Detections(
            xy=xy,
            boxes_xyxy=np.hstack([xy - 1, xy + 1]),
            score=[0.9],
            area_px=[4.0],
            peak_snr=[9.0],
            extended=[False],
            frame_index=frame.index,
            pts_seconds=frame.pts_seconds,
        )


@pytest.fixture(autouse=True)
def jittery_detector(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def build(settings: DetectorSettings, *, sources: int) -> JitteryDetector:
        return JitteryDetector()

    monkeypatch.setattr(model.detector, "build_detector", build)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A video of 4 s of a plain sky, with a sensor's noise."""
    path = tmp_path / "sky.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 30, (160, 96))
    rng = np.random.default_rng(0)
    for _ in range(FRAMES):
        grey = rng.normal(90, 6, (96, 160, 1)).astype(np.uint8)
        writer.write(np.repeat(grey, 3, axis=2))
    writer.release()
    return path


def ids(table: MotTable) -> set[int]:
    return set(table.object_id.tolist())


def test_a_recordings_tracks_are_smoothed_and_can_be_evaluated(
    tmp_path: Path, recording: Path
) -> None:
    out = tmp_path / "runs" / "sky"
    assert run_stream.main([str(recording), "--output", str(out), "--no-record"]) == 0
    plain, smoothed = read_mot(out / "tracks.txt"), read_mot(out / "tracks_smoothed.txt")
    assert ids(plain) == ids(smoothed) == {1}
    assert plain.frame.min() > BORN + 1  # confirmed later
    assert plain.frame.max() > GONE  # it coasts
    assert smoothed.frame.tolist() == list(range(BORN + 1, GONE + 1))

    boxes = np.array([np.hstack((xy - 1, [[2.0, 2]])) for xy in map(truth, range(BORN, GONE))])
    rows = zip(range(BORN + 1, GONE + 1), boxes[:, 0].tolist(), strict=True)
    (tmp_path / "gt").mkdir()
    (tmp_path / "gt" / "sky.gt.txt").write_text(
        "".join(f"{k},1,{x},{y},{w},{h},1,1,1\n" for k, (x, y, w, h) in rows)
    )
    found = {}
    for options in ([], ["--smoothed"]):
        report = tmp_path / "report.json"
        command = [str(tmp_path / "gt"), str(out.parent), "--json", str(report), *options]
        assert evaluate.main(command) == 0
        found[bool(options)] = json.loads(report.read_text())["pooled"]
    assert found[True]["tracked"] > found[False]["tracked"]
    assert found[True]["hota"]["hota"] > found[False]["hota"]["hota"]
    assert json.loads((out / "summary.json").read_text())["outputs"]["tracks_smoothed.txt"]


@pytest.mark.parametrize(
    ("source", "options"),
    [
        ("synthetic:?width=160&height=96&seconds=1&live=true", []),
        ("synthetic:?width=160&height=96&seconds=1", ["--set", "output.tracks_smoothed=false"]),
    ],
)
def test_live_sources_have_none_nor_those_who_want_none(
    tmp_path: Path, source: str, options: list[str]
) -> None:
    out = tmp_path / "out"
    assert run_stream.main([source, "--output", str(out), "--no-record", *options]) == 0
    assert (out / "tracks.txt").exists()
    assert not (out / "tracks_smoothed.txt").exists()
