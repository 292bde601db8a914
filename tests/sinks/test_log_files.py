"""Logs of a box left alone: they go on in new files, the oldest are deleted, no line is lost."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from outages import AT_ONCE, close, whole_lines
from pydantic import ValidationError
from recordings import in_order, killed_after
from sink_results import result_of, tracks_at

from configs.schema import EventSettings, LogFileSettings, StreamSettings
from streamer.sinks.disk import Disk
from streamer.sinks.disk_file import DiskFile
from streamer.sinks.events import EventSink
from streamer.sinks.factory import build_sinks
from streamer.sinks.files import LineFile
from streamer.sinks.retention import Limits
from streamer.types import Tracks

DAY = 86400.0


class Clock:
    """Seconds that go on when they are told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def line(number: int, size: int = 100) -> str:
    text = json.dumps({"number": number})
    return text[:-1] + " " * (size - len(text) - 1) + "}\n"


def numbers_of(folder: Path, pattern: str = "frames*.jsonl") -> list[int]:
    """What is in a log's files, the first one first; every line is whole."""
    return [
        int(str(record["number"]))
        for path in in_order(folder, pattern)
        if path.stat().st_size
        for record in whole_lines(path)
    ]


def test_an_old_file_that_went_away_takes_no_line_of_the_new_one_along(tmp_path: Path) -> None:
    clock = Clock()
    disk = Disk(tmp_path, clock=clock)
    with LineFile(tmp_path / "frames.jsonl", disk, Limits(seconds=10.0)) as file:
        for number in range(40):
            if number == 19:
                (tmp_path / "frames.jsonl").unlink()
            file.write(line(number))
            clock.now += 0.5
    kept = numbers_of(tmp_path)
    assert kept == list(range(kept[0], 40))
    assert kept[0] <= 21


def test_a_log_goes_on_in_new_files_by_size_and_no_line_is_lost(tmp_path: Path) -> None:
    with LineFile(tmp_path / "frames.jsonl", Disk(tmp_path), Limits(bytes=1000)) as file:
        for number in range(0, 96, 3):
            file.write("".join(line(number + more) for more in range(3)))
    assert numbers_of(tmp_path) == list(range(96))
    paths = in_order(tmp_path, "*")
    assert [path.name for path in paths[:2]] == ["frames.jsonl", "frames-0002.jsonl"]
    assert [path.stat().st_size for path in paths] == [900] * 10 + [600]


def test_what_is_larger_than_a_file_may_be_is_a_file_of_its_own(tmp_path: Path) -> None:
    with LineFile(tmp_path / "frames.jsonl", Disk(tmp_path), Limits(bytes=10)) as file:
        for number in range(3):
            file.write(line(number))
    assert [path.stat().st_size for path in in_order(tmp_path, "*")] == [100] * 3


def test_a_log_goes_on_in_new_files_by_time(tmp_path: Path) -> None:
    clock = Clock()
    disk = Disk(tmp_path, clock=clock)
    clock.now += 10 * DAY  # before its first line a file is not old
    with LineFile(tmp_path / "frames.jsonl", disk, Limits(seconds=DAY)) as file:
        for number in range(10):
            file.write(line(number))
            clock.now += DAY / 4
    assert numbers_of(tmp_path) == list(range(10))
    assert [len(whole_lines(path)) for path in in_order(tmp_path, "*")] == [4, 4, 2]


def test_the_oldest_files_of_a_log_are_deleted_and_nothing_else(tmp_path: Path) -> None:
    others = [tmp_path / "frames-0003.jsonl", tmp_path / "tracks.txt", tmp_path / "frames-old"]
    for other in others:
        other.write_text("somebody's\n")
    limits = Limits(bytes=1000, keep_bytes=5000)
    most = 0
    with LineFile(tmp_path / "frames.jsonl", Disk(tmp_path), limits) as file:
        for number in range(500):
            file.write(line(number))
            mine = [path for path in tmp_path.glob("frames*.jsonl") if path not in others]
            most = max(most, sum(path.stat().st_size for path in mine))
    assert 4500 <= most <= 5000
    assert all(other.read_text() == "somebody's\n" for other in others)
    others[0].unlink()
    kept = numbers_of(tmp_path)
    assert kept == list(range(kept[0], 500))
    assert len(kept) >= 40


def test_events_that_are_old_are_deleted_also_where_nothing_happens_any_more(
    tmp_path: Path,
) -> None:
    clock = Clock()
    limits = Limits(seconds=DAY, keep_seconds=3 * DAY)
    disk = Disk(tmp_path, clock=clock)
    sink = EventSink(tmp_path / "events.jsonl", EventSettings(), "gate", disk, None, limits)
    counts = []
    for quarter in range(5 * 4):
        seen = tracks_at([(12, 9)]) if quarter == 2 else Tracks.empty()
        sink.write(result_of(quarter, tracks=seen))
        counts.append(sum(path.read_text().count("\n") for path in tmp_path.iterdir()))
        clock.now += DAY / 4
    sink.close()
    # Confirmed in the third quarter of the first day, lost in the fourth, and kept for 3 days.
    assert counts == [0, 0, 1] + [2] * 13 + [0] * 4


def test_where_no_new_file_can_be_made_the_old_one_goes_on(
    own_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    disk = Disk(own_folder, AT_ONCE)
    with LineFile(own_folder / "frames.jsonl", disk, Limits(bytes=1000)) as file:
        for number in range(90):
            if number == 15:
                own_folder.chmod(0o555)
            if number == 60:
                own_folder.chmod(0o755)
            file.write(line(number))
    assert numbers_of(own_folder) == list(range(90))
    assert [len(whole_lines(path)) for path in in_order(own_folder, "*")] == [10, 50, 10, 10, 10]
    assert caplog.text.count("cannot begin a new file after") == 1
    (report,) = disk.reports()
    assert (report.lost, report.outages, report.broken) == (0, 0, False)


def test_a_kill_leaves_every_file_of_a_log_whole(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
from streamer.sinks.disk import Disk
from streamer.sinks.files import LineFile
from streamer.sinks.retention import Limits
folder = Path(sys.argv[1])
with LineFile(folder / "frames.jsonl", Disk(folder), Limits(bytes=300)) as file:
    for number in range(1, 10**9):
        file.write(f'{{"number": {number}, "padding": "{number:060d}"}}\\n')
        print(number, flush=True)
"""
    written = killed_after(400, program, str(tmp_path))
    found = numbers_of(tmp_path)
    assert found == list(range(1, len(found) + 1))
    assert len(found) - written in (0, 1)
    assert len(in_order(tmp_path, "*")) > 100


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.integers(0, 400), st.sampled_from(["whole", "full", "half", "no new file"])),
        max_size=40,
    ),
    st.sampled_from([None, 50, 300, 1000]),
)
def test_every_line_is_in_a_file_or_counted_whatever_the_disk_does(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, str]], most: int | None
) -> None:
    folder = tmp_path_factory.mktemp("log")
    disk = Disk(folder, AT_ONCE)
    write, make = DiskFile._put, DiskFile._make
    bad = "whole"

    def put(self: DiskFile, data: bytes) -> None:
        if bad in ("full", "half"):
            write(self, data[: len(data) // 2 if bad == "half" else 0])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(self, data)

    def made(self: DiskFile) -> object:
        if bad == "no new file":
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return make(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DiskFile, "_put", put)
        patch.setattr(DiskFile, "_make", made)
        with LineFile(folder / "frames.jsonl", disk, Limits(bytes=most)) as file:
            for number, (size, bad) in enumerate(steps):  # noqa: B007
                file.write(line(number, size))
            bad = "whole"
    found = numbers_of(folder)
    assert found == sorted(set(found))
    (report,) = disk.reports()
    assert len(found) + report.lost == len(steps)
    assert not {n for n, (_, bad) in enumerate(steps) if bad in ("full", "half")} & set(found)


def test_every_log_of_a_camera_has_limits_and_holds_every_frame(tmp_path: Path) -> None:
    """0.0002 MB a file, so each line of most logs is one."""
    chosen = {
        "record": {"enabled": False},
        "clips": {"enabled": True, "before_seconds": 0, "after_seconds": 0.1, "max_seconds": 0.5},
        "overlay": {"min_width": 64},
        "logs": {"segment_mb": 0.0002, "keep_gb": None},
    }
    sinks = build_sinks(
        tmp_path, StreamSettings.model_validate({"output": chosen}), source="gate", live=True
    )
    for index in range(120):
        tracks = tracks_at([(12, 9)], ids=[index // 30 + 1]) if index % 30 <= 20 else Tracks.empty()
        for sink in sinks:
            sink.write(result_of(index, tracks=tracks))
    close(sinks)
    logs = {
        pattern: [
            row for path in in_order(tmp_path, pattern) for row in path.read_text().splitlines()
        ]
        for pattern in ("frames*.jsonl", "tracks*.txt", "events*.jsonl", "clips*.jsonl")
    }
    assert all(len(in_order(tmp_path, pattern)) > 1 for pattern in logs)
    assert [json.loads(row)["index"] for row in logs["frames*.jsonl"]] == list(range(120))
    seen = [index for index in range(120) if index % 30 <= 20]
    assert [int(row.split(",")[0]) for row in logs["tracks*.txt"]] == [n + 1 for n in seen]
    events = [json.loads(row)["event"] for row in logs["events*.jsonl"]]
    assert events == ["confirmed", "lost"] * 4
    clips = [json.loads(row) for row in logs["clips*.jsonl"]]
    assert sum(clip["frames"] for clip in clips) >= len(seen)


def test_auto_leaves_a_files_logs_whole_and_bounds_a_cameras() -> None:
    def limits(live: bool, **chosen: object) -> Limits:
        return Limits.of_logs(LogFileSettings.model_validate(chosen), live=live)

    assert limits(live=False) == Limits()
    assert limits(live=True) == Limits(DAY, 100e6, None, 10e9)
    assert limits(live=True, keep_gb=None) == Limits(DAY, 100e6)
    assert limits(live=True, segment_seconds=None, segment_mb=5) == Limits(None, 5e6, None, 10e9)
    assert limits(live=False, keep_hours=72) == Limits(DAY, 100e6, 72 * 3600)
    assert limits(live=False, segment_mb=1) == Limits(None, 1e6)


@pytest.mark.parametrize("limit", ["keep_hours", "keep_gb"])
def test_a_limit_of_logs_needs_files_that_end(limit: str) -> None:
    chosen = {"segment_seconds": None, "segment_mb": None, limit: 1}
    with pytest.raises(ValidationError, match="segment_seconds"):
        LogFileSettings.model_validate(chosen)
    LogFileSettings.model_validate({**chosen, "segment_mb": 5})
