"""The tracker on simulated scenes, the cells of the comparison, and the command."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from simulated_material import PLAIN, scene, trajectories

from benchmarks.simulated import CELLS, Cell, main, measure, run_tracker
from configs.schema import TrackerSettings
from tracking import build_tracker


def test_the_tracker_follows_an_easy_scene() -> None:
    made = scene(replace(PLAIN, targets=2, seconds=20, detected=1))
    tracker = build_tracker(TrackerSettings(), 0.5)
    tracks = run_tracker(tracker, made)
    assert tracks.frame.min() > 1  # not confirmed at once
    assert tracks.frame.max() <= made.frames
    assert len(tracks) > 0.7 * len(made.truth)
    empty = scene(replace(PLAIN, targets=0, seconds=2))
    nothing = run_tracker(build_tracker(TrackerSettings(), 0.5), empty)
    assert not len(nothing)


def test_a_row_counts_all_seeds() -> None:
    cell = Cell("easy", replace(PLAIN, targets=2, seconds=10))
    row = measure(cell, trajectories(), 2, lambda: build_tracker(TrackerSettings(), 0.5))
    lines = sum(len(scene(cell.settings, seed).truth) for seed in range(2))
    assert row["labelled"] == lines
    assert row["tracked_share"] > 0.7
    assert row["settings"]["targets"] == 2
    json.dumps(row, allow_nan=False)


def test_the_cells_are_every_combination() -> None:
    kinds = {
        (s.targets, s.detected, s.clutter, s.fps, s.jumps_per_minute > 0)
        for s in (cell.settings for cell in CELLS)
    }
    assert len(kinds) == len(CELLS) == len({cell.name for cell in CELLS}) == 3 * 2**4
    assert {kind[0] for kind in kinds} == {1, 5, 20}


def test_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "trajectories"
    folder.mkdir()
    for one in trajectories():
        lines = [
            f"{n},1,{x - 5:.1f},{y - 5:.1f},10,10,1,drone,1\n"
            for n, (x, y) in zip(one.frame, one.xy, strict=True)
        ]
        (folder / f"{one.name}.gt.txt").write_text("".join(lines))
    names = tmp_path / "names.txt"
    names.write_text("# some\nmade_0\nmade_1\n")
    monkeypatch.setattr(sys.modules["benchmarks.simulated"], "CELLS", CELLS[:2])
    numbers = tmp_path / "figures.json"
    asked = [str(folder), "--seconds", "5", "--seeds", "2", "--list", str(names)]
    assert main([*asked, "--json", str(numbers)]) == 0
    out = capsys.readouterr().out
    assert "| targets 1, Pd 0.9, clutter 0.1, 30 fps |" in out
    rows = json.loads(numbers.read_text())["rows"]
    assert [row["cell"] for row in rows] == [cell.name for cell in CELLS[:2]]
    assert rows[0]["all"]["frames"] == 300

    assert main([str(folder)]) == 1  # those of the split are not there
    assert "has no " in capsys.readouterr().err
    assert main([str(tmp_path / "missing")]) == 1
    with pytest.raises(SystemExit):
        main([str(folder), "--seeds", "0"])
