"""Every tracker is tuned with the same effort, on scenes that all see alike; and the command."""

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from simulated_material import trajectories

from benchmarks.peers import effort as effort_module
from benchmarks.peers.__main__ import main
from benchmarks.peers.adapters import MODULES, build_peer
from benchmarks.peers.batch import Bench, Task
from benchmarks.peers.exchange import Parameters, Stream
from benchmarks.peers.measures import gospa_of_nothing
from benchmarks.peers.scenes import PeerCell, PeerScene, cells, make_scene
from benchmarks.peers.spaces import PEERS, ROWS, SPACES, START
from benchmarks.peers.tuning import tune
from benchmarks.peers.workers import ENVIRONMENTS, ROOT, Workers
from benchmarks.trajectories import HEIGHT, WIDTH
from tracking.mot import MotTable


class Counted:
    """Merit by how near the parameters are to an optimum; counts what it costs."""

    def __init__(self, optimum: Parameters) -> None:
        self.optimum = optimum
        self.scenes_run = 0
        self.candidates: list[Parameters] = []

    def __call__(
        self, candidates: Sequence[Parameters], scenes: Sequence[int]
    ) -> list[list[float]]:
        self.scenes_run += len(candidates) * len(scenes)
        self.candidates += candidates
        agree = [sum(c[name] == value for name, value in self.optimum.items()) for c in candidates]
        return [[each - 0.01 * scene for scene in scenes] for each in agree]


def test_tuning_gets_nearer_and_tells_what_it_found() -> None:
    space = dict.fromkeys("abcdef", (1, 2, 3, 4))
    start: Parameters = dict.fromkeys(space, 1)
    measured = Counted(dict.fromkeys(space, 3))
    found = tune(space, start, measured, scenes=6, candidates=24)
    assert found.merit > found.start_merit + 2.5
    assert found.merit == pytest.approx(measured([found.parameters], range(6))[0][0] - 0.025)
    assert measured.candidates[0] == start
    assert found.tried == 24 + 12 + 12
    again = tune(space, start, Counted(measured.optimum), scenes=6, candidates=24)
    assert again == found


def test_tuning_never_ends_below_the_start() -> None:
    space = dict.fromkeys("abc", (1, 2, 3))
    start: Parameters = dict.fromkeys(space, 2)
    found = tune(space, start, Counted(start), scenes=1, candidates=4)
    assert found.parameters == start
    assert found.merit == found.start_merit == 3


def test_a_space_of_one_point_is_tuned_at_once() -> None:
    found = tune({"a": (1,)}, {"a": 1}, Counted({"a": 1}), scenes=4, candidates=9)
    assert (found.parameters, found.tried) == ({"a": 1}, 1)


def test_all_are_tuned_with_the_same_effort() -> None:
    costs = set()
    for row in ROWS:
        if row.fixed is None:
            measured = Counted(START[row.tracker])
            tried = tune(SPACES[row.tracker], START[row.tracker], measured, scenes=6, candidates=12)
            costs.add((tried.tried, measured.scenes_run))
    assert len(costs) <= 2  # whether the start is among the best third of the first look
    assert {tried for tried, _ in costs} == {24}
    assert {each.tracker for each in PEERS} == set(MODULES) - {"ours"}


@pytest.mark.parametrize("tracker", sorted(SPACES))
def test_a_start_is_in_its_space(tracker: str) -> None:
    assert START[tracker].keys() == SPACES[tracker].keys()
    for name, values in SPACES[tracker].items():
        assert START[tracker][name] in values
        assert len(set(values)) == len(values)


def test_every_value_of_our_space_is_a_setting() -> None:
    stream = Stream(30.0, WIDTH, HEIGHT, [])
    for name, values in SPACES["ours"].items():
        for value in values:
            build_peer("ours", stream, {**START["ours"], name: value})


# ---------------------------------------------------------------- scenes


def test_the_cells_and_their_balanced_half() -> None:
    every, few = cells(5, few=False), cells(5, few=True)
    assert len({cell.name for cell in every}) == len(every) == 48 + 12
    assert all(cell.settings.seconds == 5 for cell in every)
    assert [cell for cell in every if cell in few] == few
    plain = [cell.properties() for cell in few if not cell.every_other]
    assert len(plain) == 24
    for one, other in combinations(("targets", "detected", "clutter", "fps", "jumps"), 2):
        counts: dict[tuple[object, object], int] = {}
        for each in plain:
            pair = each[one], each[other]
            counts[pair] = counts.get(pair, 0) + 1
        assert len(counts) == (6 if "targets" in (one, other) else 4)
        assert len(set(counts.values())) == 1
    thin = [cell for cell in few if cell.every_other]
    assert len(thin) == 6
    assert {(c.settings.fps, c.settings.jumps_per_minute) for c in thin} == {(30.0, 0.0)}


def a_cell(*, every_other: bool = False, **settings: float) -> PeerCell:
    known = replace(cells(4, few=False)[0].settings, dropped=0.1)
    return PeerCell("one", replace(known, **settings), every_other)  # type: ignore[arg-type]


def test_frames_count_as_they_arrive() -> None:
    scene = make_scene(a_cell(), trajectories(), 0)
    assert scene.frames == len(scene.stream.detections) < 120
    assert scene.arrived.tolist() == [d.frame_index + 1 for d in scene.stream.detections]
    assert scene.truth.last_frame <= scene.frames
    boxes = np.array([[0.0, 0, 1, 1]] * 2)
    tracks = MotTable(scene.arrived[[3, 50]], np.array([1, 1]), boxes, np.ones(2))
    assert scene.numbered(tracks).frame.tolist() == [4, 51]
    missing = sorted(set(range(1, 120)) - set(scene.arrived.tolist()))
    for number in (missing[0], 5000):
        stray = MotTable(np.array([number, 1]), np.array([1, 1]), boxes, np.ones(2))
        with pytest.raises(ValueError, match="did not arrive"):
            scene.numbered(stray)


def test_every_other_frame_of_the_same_scene() -> None:
    whole, half = (make_scene(a_cell(every_other=e), trajectories(), 3) for e in (False, True))
    even = [number for number in whole.arrived.tolist() if number % 2 == 1]  # from 1
    assert half.arrived.tolist() == even
    assert half.minutes == whole.minutes
    of_whole = whole.truth.keep(np.isin(whole.arrived[whole.truth.frame - 1], even))
    assert half.truth.boxes_xyxy.tolist() == of_whole.boxes_xyxy.tolist()
    # As much is missed a frame where nothing is tracked.
    assert gospa_of_nothing(half) == pytest.approx(gospa_of_nothing(whole), rel=0.1)


# ---------------------------------------------------------------- all together


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of made trajectories; and of the cells there are three."""
    (tmp_path / "trajectories").mkdir()
    for one in trajectories():
        lines = [
            f"{n},1,{x - 5:.1f},{y - 5:.1f},10,10,1,drone,1\n"
            for n, (x, y) in zip(one.frame, one.xy, strict=True)
        ]
        (tmp_path / "trajectories" / f"{one.name}.gt.txt").write_text("".join(lines))
    (tmp_path / "train.txt").write_text("made_0\nmade_1\nmade_2\n")
    (tmp_path / "test.txt").write_text("made_3\nmade_4\nmade_5\n")

    def three(seconds: float, *, few: bool) -> list[PeerCell]:
        chosen = cells(seconds, few=few)
        return [chosen[0], chosen[16], chosen[48]]

    monkeypatch.setattr(effort_module, "cells", three)
    monkeypatch.setattr(sys.modules["benchmarks.peers.__main__"], "cells", three)
    return tmp_path


def asked(folder: Path, *more: str) -> list[str]:
    lists = ["--train", str(folder / "train.txt"), "--test", str(folder / "test.txt")]
    short = ["--seeds", "2", "--seconds", "4", "--output", str(folder / "results")]
    return [str(folder / "trajectories"), *lists, *short, *more]


def test_the_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ours = ["--only", "ours", "ours_tuned"]
    tuning = ["--candidates", "2", "--tuning-scenes", "1", "--tuning-seconds", "3"]
    assert main(asked(folder, *ours, *tuning)) == 0
    out = capsys.readouterr().out
    assert out == (folder / "results" / "peers.md").read_text()
    assert "| ours, tuned | 0." in out
    found = json.loads((folder / "results" / "tuned.json").read_text())
    assert found["ours_tuned"]["30"]["tried"] == 4
    report = json.loads((folder / "results" / "peers.json").read_text())
    names = [each["cell"][:9] for each in report["figures"]]
    assert names == ["targets 1", "targets 5", "targets 1"]
    assert all(len(each["trackers"]["ours"]) == 2 for each in report["figures"])
    assert report["figures"][1]["trackers"]["ours"][0]["hota"] > 0.4

    # Once more with what was found: the same figures.
    reused = ["--tuned", str(folder / "results" / "tuned.json")]
    assert main(asked(folder, *ours, *reused)) == 0
    again = json.loads((folder / "results" / "peers.json").read_text())
    for one, other in zip(report["figures"], again["figures"], strict=True):
        for before, after in zip(one["trackers"]["ours"], other["trackers"]["ours"], strict=True):
            assert before | {"step_ms": 0} == after | {"step_ms": 0}


def test_what_is_wrong_is_said_in_a_line(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys.modules["benchmarks.peers.workers"], "ENVIRONMENTS", folder / "none")
    assert main(asked(folder)) == 1
    assert capsys.readouterr().err == (
        "error: no environment of trackers: `make bench-peers` builds it\n"
    )
    wrong = folder / "tuned.json"
    for text in ("{", "{}", '{"ours_tuned": {"30": {}}}'):
        wrong.write_text(text)
        assert main(asked(folder, "--only", "ours_tuned", "--tuned", str(wrong))) == 1
        assert "not what a run has tuned" in capsys.readouterr().err
    refused = {"30": {"parameters": {"threshold": 0.5, "coast_seconds": -1}}}
    wrong.write_text(json.dumps({"ours_tuned": refused}))
    assert main(asked(folder, "--only", "ours_tuned", "--tuned", str(wrong))) == 1
    assert "our tracker failed" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(asked(folder, "--jobs", "0"))


def short_scene(seed: int) -> PeerScene:
    cell = a_cell(targets=3, detected=0.9)
    return make_scene(
        replace(cell, settings=replace(cell.settings, seconds=10)), trajectories(), seed
    )


@pytest.mark.slow
@pytest.mark.parametrize("row", PEERS, ids=lambda row: row.key)
def test_peers_track_in_their_environments(row: object) -> None:
    """With their starting parameters, as ours does; and the same again in another process."""
    peer = next(each for each in PEERS if each is row)
    if not (ENVIRONMENTS / peer.package).is_dir():
        pytest.skip(f"no environment of {peer.package}: make bench-peers builds it")
    scenes = [short_scene(0), short_scene(1)]
    with Workers(2) as workers, Bench(scenes, workers) as bench:
        tasks = [Task(peer.tracker, peer.package, START[peer.tracker], k) for k in (0, 1)]
        first, again = bench.measure(tasks), bench.measure(tasks)
    for one, other in zip(first, again, strict=True):
        assert one.hota > 0.4
        assert one.tracked > 0.6 * one.labelled
        assert replace(one, step_ms=0) == replace(other, step_ms=0)


def test_the_document_names_the_versions_that_are_installed() -> None:
    text = (ROOT / "docs" / "tracker-peers.md").read_text(encoding="utf-8")
    for package in {peer.package for peer in PEERS}:
        pinned = (ROOT / "benchmarks" / "peers" / "environments" / f"{package}.txt").read_text()
        version = next(
            line.partition("==")[2]
            for line in pinned.splitlines()
            if line.startswith(f"{package}==")
        )
        assert f"| {package} {version} " in text
