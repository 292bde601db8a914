"""Trajectories: read, split, and freed of a camera's jerks."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.trajectories import (
    SPLIT_SEED,
    Trajectory,
    credible,
    read_split,
    read_trajectories,
    read_trajectory,
    recording_of,
    split,
)
from streamer.types import StreamError


def write(folder: Path, name: str, lines: list[str]) -> Path:
    path = folder / f"{name}.gt.txt"
    path.write_text("".join(line + "\n" for line in lines))
    return path


def test_centres_frames_and_gaps(tmp_path: Path) -> None:
    lines = ["1,1,10,20,4,2,1,drone,1", "2,1,11,20,4,2,1,drone,1", "5,1,17,26,4,2,1,drone,1"]
    one = read_trajectory(write(tmp_path, "a_1", lines))
    assert one.name == "a_1"
    assert one.frame.tolist() == [1, 2, 5]
    assert one.xy.tolist() == [[12, 21], [13, 21], [19, 27]]
    xy, visible = one.path()
    assert visible.tolist() == [True, True, False, False, True]
    assert xy[2:4].tolist() == [[15, 23], [17, 25]]


def test_what_is_no_trajectory_is_refused(tmp_path: Path) -> None:
    two = write(tmp_path, "two", ["1,1,1,1,2,2,1,1,1", "1,2,5,5,2,2,1,1,1"])
    with pytest.raises(StreamError, match="one target"):
        read_trajectory(two)
    twice = write(tmp_path, "twice", ["3,1,1,1,2,2,1,1,1", "3,1,5,5,2,2,1,1,1"])
    with pytest.raises(StreamError, match="two lines"):
        read_trajectory(twice)
    with pytest.raises(StreamError, match="one target"):
        read_trajectory(write(tmp_path, "none", []))
    with pytest.raises(ValueError, match="do not rise"):
        Trajectory("x", np.array([2, 1]), np.zeros((2, 2)))
    with pytest.raises(ValueError, match="frames, xy of"):
        Trajectory("x", np.array([1, 2]), np.zeros((3, 2)))


def test_a_folder_in_the_order_of_names(tmp_path: Path) -> None:
    for name in ("b", "a"):
        write(tmp_path, name, ["1,1,10,20,4,2,1,drone,1"])
    assert [each.name for each in read_trajectories(tmp_path)] == ["a", "b"]
    assert [each.name for each in read_trajectories(tmp_path, ["b"])] == ["b"]
    with pytest.raises(StreamError, match=r"no c\.gt\.txt"):
        read_trajectories(tmp_path, ["a", "c"])
    with pytest.raises(StreamError, match="not a folder"):
        read_trajectories(tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(StreamError, match="no trajectories"):
        read_trajectories(tmp_path / "empty")


def jerky(frames: int, own: float) -> Trajectory:
    """Right by ``own`` px a frame, in whole pixels; the camera takes back 4 times 30 px, often."""
    steps = np.full(frames - 1, own)
    for start in range(20, frames - 10, 25):
        steps[start : start + 4] -= 30
    x = np.concatenate(([0.0], np.cumsum(steps)))
    xy = np.stack((np.rint(x), np.full(frames, 7.0)), axis=1)
    return Trajectory("jerky", np.arange(1, frames + 1), xy)


def test_the_cameras_jerks_are_taken_out() -> None:
    xy, visible = jerky(300, 3.3).steady_path()
    assert visible.all()
    steps = np.diff(xy, axis=0)
    assert np.abs(steps[5:-5, 0] - 3.3).max() < 1.0
    assert steps[:, 0].mean() == pytest.approx(3.3, abs=0.1)
    assert np.abs(np.diff(xy[:, 0], 2)).mean() < 0.2  # whole pixels gave 0.4
    assert np.abs(xy[:, 1] - 7).max() < 1e-9


def test_a_turn_of_the_target_itself_stays() -> None:
    t = np.arange(400)
    angle = t / 60  # 3 px a frame on a circle of 180 px
    xy = 300 + 180 * np.stack((np.cos(angle), np.sin(angle)), axis=1)
    steady, _ = Trajectory("circle", t + 1, np.rint(xy)).steady_path()
    assert np.hypot(*(steady - xy).T).max() < 1.5


def test_what_is_left_of_a_long_turn_is_not_credible() -> None:
    steps = np.full((200, 2), 2.0)
    steps[90:120] += 15
    leaps = Trajectory("long", np.arange(1, 202), np.vstack(([0, 0], np.cumsum(steps, axis=0))))
    where = np.flatnonzero(~credible(leaps.steady_path()[0]))
    assert len(where)
    assert (np.minimum(abs(where - 90), abs(where - 120)) <= 6).all()
    assert credible(np.zeros((1, 2))).tolist() == [True]


def test_short_ones_are_left_alone() -> None:
    one = Trajectory("short", np.array([1, 2, 4]), np.array([[0.0, 0], [50, 0], [3, 4]]))
    assert np.array_equal(one.steady_path()[0], one.path()[0])
    single = Trajectory("single", np.array([3]), np.array([[1.0, 2]]))
    assert single.steady_path()[0].tolist() == [[1, 2]]


def test_the_committed_split_is_the_seeded_one() -> None:
    train, val = read_split("train"), read_split("val")
    assert len(train) + len(val) == 200
    assert 90 <= len(val) <= len(train) <= 110
    assert not {recording_of(name) for name in train} & {recording_of(name) for name in val}
    assert split([*val, *train], SPLIT_SEED) == (train, val)


def test_a_recording_is_a_name_without_its_last_part() -> None:
    assert recording_of("20190925_101846_1_3") == "20190925_101846_1"
    assert recording_of("plain") == "plain"


def test_real_trajectories(shared_dir: Path) -> None:
    folder = shared_dir / "data" / "trajectories"
    if not folder.is_dir():
        pytest.skip("needs the trajectories in the folder 'shared'")
    everything = read_trajectories(folder)
    assert sorted(one.name for one in everything) == sorted(read_split("train") + read_split("val"))
    raw = np.concatenate([np.hypot(*np.diff(one.path()[0], axis=0).T) for one in everything])
    steady = [np.hypot(*np.diff(one.steady_path()[0], axis=0).T) for one in everything]
    # The camera makes the long tail, and hardly any of what is usual.
    assert np.percentile(raw, 99) > 40
    assert np.percentile(np.concatenate(steady), 99) < 15
    median = float(np.median(np.concatenate(steady)))
    assert median == pytest.approx(float(np.median(raw)), rel=0.3)
