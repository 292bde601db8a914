"""Files between environments, boxes that can be matched by IoU, and the runner."""

import ast
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from simulated_material import PLAIN, same, scene

from benchmarks.peers.exchange import (
    Job,
    Reported,
    Stream,
    read_stream,
    track_lines,
    widened_boxes,
    write_stream,
)
from benchmarks.peers.run import run_job
from benchmarks.peers.workers import Workers
from benchmarks.simulated import run_tracker
from benchmarks.simulated_detections import SimulatedScene
from benchmarks.trajectories import HEIGHT, WIDTH
from configs.schema import TrackerSettings
from streamer.types import Detections, StreamError
from tracking import build_tracker
from tracking.mot import read_mot

ROOT = Path(__file__).resolve().parents[2]


def a_scene() -> SimulatedScene:
    return scene(replace(PLAIN, targets=3, seconds=8, clutter=1, dropped=0.1))


def written(folder: Path, made: SimulatedScene) -> Path:
    path = folder / "stream.npz"
    write_stream(path, Stream(made.settings.fps, WIDTH, HEIGHT, made.detections))
    return path


def some_detections() -> Detections:
    return Detections(
        xy=[[10, 10.2], [50, 50]],  # type: ignore[arg-type]
        boxes_xyxy=[[9.5, 9.5, 10.5, 10.5], [40, 46, 60, 54]],  # type: ignore[arg-type]
        score=np.array([0.9, 0.2]),
        area_px=np.ones(2),
        peak_snr=np.ones(2),
        extended=np.zeros(2, dtype=np.bool_),
        frame_index=4,
        pts_seconds=0.5,
    )


def test_a_stream_comes_back_to_the_bit(tmp_path: Path) -> None:
    made = a_scene()
    assert any(not len(each) for each in made.detections) or made.frames > len(made.detections)
    back = read_stream(written(tmp_path, made))
    assert (back.fps, back.width, back.height) == (30.0, WIDTH, HEIGHT)
    assert same(list(back.detections), made.detections)


def test_frames_without_detections_stay_frames(tmp_path: Path) -> None:
    path = tmp_path / "stream.npz"
    frames = [Detections.empty(0, 0.0), some_detections(), Detections.empty(7, 1.0)]
    write_stream(path, Stream(10.0, 64, 48, frames))
    assert same(list(read_stream(path).detections), frames)


def test_a_job_comes_back() -> None:
    job = Job("sort", {"side_px": 24, "state": "xyxy", "q": 0.5}, "a.npz", "b.txt")
    assert Job.from_line(job.line()) == job
    assert job.line().count("\n") == 1
    assert job.seconds == Path("b.npy")


def test_lines_are_motchallenge(tmp_path: Path) -> None:
    reported = Reported(np.array([3, 1]), np.array([[1.0, 2, 4, 6], [0.5, 0.5, 1.5, 1.5]]))
    assert track_lines(9, reported) == (
        "10,3,1.0000,2.0000,3.0000,4.0000,1,-1,-1,-1\n10,1,0.5000,0.5000,1.0000,1.0000,1,-1,-1,-1\n"
    )
    path = tmp_path / "tracks.txt"
    path.write_text(track_lines(9, reported))
    assert read_mot(path).centres == pytest.approx(np.array([[2.5, 4], [1, 1]]))


def test_tracks_outside_the_picture_are_not_shown() -> None:
    ids, xy = [5, 2, 9, 4], [[-0.6, 3], [63.4, 3], [10, 47.6], [-0.5, 47.5]]
    inside = Reported.points(ids, xy).inside(64, 48)
    assert inside.track_id.tolist() == [2, 4]
    assert inside.boxes_xyxy[0].tolist() == pytest.approx([62.9, 2.5, 63.9, 3.5])
    assert not len(Reported.points([], []).inside(64, 48).track_id)


def test_widened_boxes() -> None:
    wide = widened_boxes(some_detections(), 12)
    assert wide == pytest.approx(np.array([[4, 4.2, 16, 16.2], [40, 44, 60, 56]]))
    assert widened_boxes(Detections.empty(0, 0.0), 12).shape == (0, 4)


def test_ours_by_files_is_ours(tmp_path: Path) -> None:
    made = a_scene()
    parameters = {"threshold": 0.5, "confirm_hits": 3}
    job = Job("ours", parameters, str(written(tmp_path, made)), str(tmp_path / "tracks.txt"))
    run_job(job)
    tracks = read_mot(Path(job.tracks))
    direct = run_tracker(build_tracker(TrackerSettings(confirm_hits=3), 0.5), made)
    assert len(tracks) == len(direct) > 100
    order, as_written = (np.lexsort((t.object_id, t.frame)) for t in (direct, tracks))
    assert tracks.object_id[as_written].tolist() == direct.object_id[order].tolist()
    assert tracks.centres[as_written] == pytest.approx(direct.centres[order], abs=2e-4)
    assert np.load(job.seconds).shape == (len(made.detections),)
    assert (np.load(job.seconds) > 0).all()


def test_a_worker_says_who_failed_with_what_and_goes_on(tmp_path: Path) -> None:
    stream = written(tmp_path, scene(replace(PLAIN, seconds=0.2)))
    wrong, right = (
        Job("ours", {"threshold": threshold}, str(stream), str(tmp_path / "tracks.txt"))
        for threshold in (7.0, 0.5)
    )
    with Workers(1) as workers:
        with pytest.raises(StreamError, match=r"ours \{'threshold': 7.0\}: ValueError\("):
            workers.run("", [wrong, right])
        workers.run("", [right])
    assert right.seconds.exists()
    workers.close()


def test_a_worker_that_cannot_start_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "broken" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho 'no module named numpy' >&2\nexit 1\n")
    python.chmod(0o755)
    monkeypatch.setattr("benchmarks.peers.workers.ENVIRONMENTS", tmp_path)
    job = Job("sort", {}, "stream.npz", "tracks.txt")
    with Workers(2) as workers:
        with pytest.raises(StreamError, match=r"^broken failed: no module named numpy$"):
            workers.run("broken", [job] * 3)
        with pytest.raises(StreamError, match="no environment of missing: `make bench-peers`"):
            workers.run("missing", [job])


def modules_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def test_what_runs_among_the_peers_needs_nothing_but_numpy_and_the_peer() -> None:
    folder = ROOT / "benchmarks" / "peers"
    files = [folder / "__init__.py", folder / "run.py", folder / "exchange.py"]
    files += [path for path in (folder / "adapters").glob("*.py") if path.name != "ours.py"]
    own = {"benchmarks.peers.exchange", "benchmarks.peers.adapters", "streamer.types"}
    peers = {"trackers", "supervision", "norfair", "stonesoup", "numpy"}
    assert len(files) == 7
    for path in [*files, ROOT / "streamer" / "types.py", ROOT / "streamer" / "__init__.py"]:
        for name in modules_of(path):
            known = name in own or name.partition(".")[0] in peers | sys.stdlib_module_names
            assert known, f"{path}: {name}"


class FakeBoxes(SimpleNamespace):
    """In the place of ``supervision.Detections``."""


class FakeSort:
    """Gives every detection the id 0, 1, ..., and has one track more that had no detection."""

    last: Any = None

    def __init__(self, **own: Any) -> None:
        self.own = own
        self.seen: list[tuple[Any, float]] = []
        self.tracks: list[Any] = []
        FakeSort.last = self

    def update(self, detections: Any, timestamp: float) -> Any:
        self.seen.append((detections, timestamp))
        count = len(detections.xyxy)
        self.tracks = [track(k, 0, 0.0) for k in range(count)]
        self.tracks += [track(40, 3, 0.3), track(41, 5, 0.6), track(-1, 0, 0.0)]
        return FakeBoxes(xyxy=detections.xyxy, tracker_id=np.arange(count))


def track(tracker_id: int, frames: int, seconds: float) -> Any:
    box = np.array([tracker_id, 0, tracker_id + 2, 2], dtype=np.float64)
    return SimpleNamespace(
        tracker_id=tracker_id,
        time_since_update=frames,
        time_since_update_seconds=seconds,
        get_state_bbox=lambda: box,
    )


@pytest.fixture
def roboflow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    states = ModuleType("trackers.utils.state_representations")
    states.XCYCSRStateEstimator, states.XYXYStateEstimator = "xcycsr", "xyxy"  # type: ignore[attr-defined]
    package = ModuleType("trackers")
    for name in ("SORTTracker", "ByteTrackTracker", "OCSORTTracker"):
        setattr(package, name, FakeSort)
    boxes = ModuleType("supervision")
    boxes.Detections = FakeBoxes  # type: ignore[attr-defined]
    for module in (package, ModuleType("trackers.utils"), states, boxes):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    name = "benchmarks.peers.adapters.roboflow"
    monkeypatch.delitem(sys.modules, name, raising=False)
    from benchmarks.peers.adapters import roboflow

    yield roboflow
    sys.modules.pop(name, None)


@pytest.mark.parametrize("smoothed", ["yes", "no"])
def test_box_trackers_get_wide_boxes_scores_and_the_time(roboflow: Any, smoothed: str) -> None:
    parameters = {
        "side_px": 12,
        "least_score": 0.1,
        "shown_seconds": 0.35,
        "smoothed": smoothed,
        "state": "xyxy",
        "lost_track_buffer": 7,
    }
    peer = roboflow.build("bytetrack", Stream(30.0, 64, 48, []), parameters)
    shown = peer.step(some_detections())
    fake = FakeSort.last
    assert fake.own == {
        "frame_rate": 30.0,
        "state_estimator_class": "xyxy",
        "lost_track_buffer": 7,
    }
    given, timestamp = fake.seen[0]
    assert timestamp == 0.5
    assert given.confidence.tolist() == [0.9, 0.2]
    assert given.xyxy == pytest.approx(np.array([[4, 4.2, 16, 16.2], [40, 44, 60, 56]]))
    # Its first id is 0; of the tracks without a detection one is still shown, one no longer.
    assert shown.track_id.tolist() == [1, 2, 41]
    assert shown.boxes_xyxy[2].tolist() == [40, 0, 42, 2]
    first = [0.0, 0, 2, 2] if smoothed == "yes" else [4, 4.2, 16, 16.2]
    assert shown.boxes_xyxy[0].tolist() == pytest.approx(first)


def test_weak_detections_are_kept_from_box_trackers(roboflow: Any) -> None:
    parameters = {"side_px": 12, "least_score": 0.5, "shown_seconds": 0, "smoothed": "yes"}
    peer = roboflow.build("sort", Stream(30.0, 64, 48, []), {**parameters, "state": "xcycsr"})
    assert peer.step(some_detections()).track_id.tolist() == [1]
    assert FakeSort.last.seen[0][0].confidence.tolist() == [0.9]
    assert not len(peer.step(Detections.empty(9, 1.0)).track_id)
