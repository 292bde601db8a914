"""Full, removed and read-only folders: one line says so, the rest goes on, and so do the files."""

from __future__ import annotations

import errno
import os
import shutil
import threading
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from outages import AT_ONCE, close, errors, fill, frames_of, sinks_in, whole_lines, write
from recordings import in_order

from configs.schema import DiskSettings
from streamer.sinks.disk import Disk
from streamer.sinks.disk_file import DiskFile


def test_a_full_disk_stops_the_files_with_one_line_and_they_go_on(
    small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    disk = Disk(small_disk, AT_ONCE, "gate")
    sinks = sinks_in(small_disk, disk)
    write(sinks, range(100))
    filler = fill(small_disk)
    write(sinks, range(100, 250))
    assert len(errors(caplog)) == 1
    assert "No space left on device; detection goes on" in errors(caplog)[0]
    filler.unlink()
    write(sinks, range(250, 350))
    close(sinks)

    first, *_, last = in_order(small_disk)
    playing = [numbers for path in in_order(small_disk) if (numbers := frames_of(path))]
    assert playing[0] >= 75  # half a second, and what was just full
    assert frames_of(last) >= 90
    assert first != last
    indices = [line["index"] for line in whole_lines(small_disk / "frames.jsonl")]
    assert indices[:100] == list(range(100))
    assert indices[-95:] == list(range(255, 350))
    reports = {report.what: report for report in disk.reports()}
    assert reports["frames.jsonl"].lost == 350 - len(indices) > 0
    assert reports["annotated"].lost == 350 - sum(playing) > 0
    assert not any(report.broken for report in reports.values())
    assert reports["annotated"].reason == "No space left on device"


def test_videos_leave_room_for_the_logs(small_disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    disk = Disk(small_disk, DiskSettings(min_free_mb=0.9, retry_seconds=0.01), "gate")
    sinks = sinks_in(small_disk, disk)
    write(sinks, range(1))
    room = disk.clock() + 1.1  # it looks once a second
    filler = fill(small_disk, leave=int(0.8e6))
    index = 1
    while disk.clock() < room or not errors(caplog):
        write(sinks, range(index, index + 1))
        index += 1
        time.sleep(0.02)
        assert disk.clock() < room + 5
    write(sinks, range(index, index + 50))
    (line,) = errors(caplog)
    assert "min_free_mb=0.9" in line
    filler.unlink()
    time.sleep(0.02)
    write(sinks, range(index + 50, index + 80))
    close(sinks)
    assert len(whole_lines(small_disk / "frames.jsonl")) == index + 80
    first, second = in_order(small_disk)
    report = next(each for each in disk.reports() if each.what == "annotated")
    assert frames_of(first) + frames_of(second) + report.lost == index + 80
    assert report.lost >= 30
    assert frames_of(second) == 30


def test_a_removed_folder_is_told_once_and_used_again_when_it_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    disk = Disk(folder, AT_ONCE, "gate")
    sinks = sinks_in(folder, disk)
    write(sinks, range(40))
    shutil.rmtree(folder)
    deadline = time.monotonic() + 10
    index = 40
    while not errors(caplog) and time.monotonic() < deadline:
        write(sinks, range(index, index + 1))
        index += 1
        time.sleep(0.02)
    write(sinks, range(index, index + 60))
    (line,) = errors(caplog)
    assert "removed" in line
    assert not folder.exists()  # it may have been where another disk was mounted
    folder.mkdir()
    index += 60
    write(sinks, range(index, index + 40))
    close(sinks)
    assert sum(map(frames_of, in_order(folder))) >= 30
    lines = whole_lines(folder / "frames.jsonl")
    assert [line["index"] for line in lines][-30:] == list(range(index + 10, index + 40))
    assert all(report.outages for report in disk.reports() if report.what != "events.jsonl")


def test_a_read_only_folder_stops_new_segments_until_it_is_writable(
    own_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    disk = Disk(own_folder, AT_ONCE, "gate")
    sinks = sinks_in(own_folder, disk, segment_seconds=1)
    write(sinks, range(45))
    own_folder.chmod(0o555)
    write(sinks, range(45, 150))
    assert len(errors(caplog)) == 1
    assert "Permission denied" in errors(caplog)[0]
    own_folder.chmod(0o755)
    write(sinks, range(150, 240))
    close(sinks)
    assert len(whole_lines(own_folder / "frames.jsonl")) == 240
    counts = [frames_of(path) for path in in_order(own_folder)]
    assert counts[:2] == [30, 30]  # the one that was open could be finished
    assert 240 - sum(counts) == disk.reports()[-1].lost > 60


def test_a_disk_that_is_full_to_the_end_is_reported_and_nothing_hangs(small_disk: Path) -> None:
    before = set(threading.enumerate())
    disk = Disk(small_disk, AT_ONCE)
    sinks = sinks_in(small_disk, disk)
    write(sinks, range(60))
    fill(small_disk)
    write(sinks, range(60, 160))
    started = time.monotonic()
    close(sinks)
    assert time.monotonic() - started < 2
    assert set(threading.enumerate()) <= before  # threads of other tests may end meanwhile
    broken = {report.what for report in disk.reports() if report.broken}
    assert broken == {"tracks.txt", "frames.jsonl", "annotated"}
    for path in in_order(small_disk):
        assert frames_of(path) > 0
    whole_lines(small_disk / "frames.jsonl")


def empty(folder: Path) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def check_the_books(folder: Path, disk: Disk, frames: int) -> None:
    """Every frame is in a file that plays, or was counted as lost; so is every line."""
    reports = {report.what: report for report in disk.reports()}
    assert not any(report.broken for report in reports.values())
    lines = whole_lines(folder / "frames.jsonl")
    indices = [line["index"] for line in lines]
    assert indices == sorted(set(indices))
    assert len(lines) + reports["frames.jsonl"].lost == frames
    for what, pattern in (("annotated", "annotated*.mp4"), ("original", "original*.mkv")):
        shown = sum(frames_of(path) for path in in_order(folder, pattern))
        assert shown + reports[what].lost == frames, what


@pytest.mark.slow
@pytest.mark.parametrize("small_disk", [6_000_000], indirect=True)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.tuples(st.integers(1, 60), st.sampled_from(["fill", "leave a little", "free"])),
        max_size=8,
    ),
    segment=st.sampled_from([None, 0.3, 1.0]),
)
def test_every_frame_is_kept_or_counted_whenever_the_disk_fills(
    small_disk: Path, steps: list[tuple[int, str]], segment: float | None
) -> None:
    empty(small_disk)
    disk = Disk(small_disk, AT_ONCE)
    sinks = sinks_in(small_disk, disk, segment_seconds=segment, original=True)
    done = 0
    filler = small_disk / "filler"
    for count, then in steps:
        write(sinks, range(done, done + count))
        done += count
        filler.unlink(missing_ok=True)
        if then != "free":
            fill(small_disk, leave=0 if then == "fill" else 30_000)
    filler.unlink(missing_ok=True)
    write(sinks, range(done, done + 40))
    close(sinks)
    check_the_books(small_disk, disk, done + 40)


@pytest.mark.parametrize("number", [errno.EROFS, errno.EIO], ids=["read-only", "broken"])
def test_a_disk_that_turns_read_only_or_breaks_is_told_once_and_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    """What Linux does to a disk with an error: nothing can be made, written, cut or flushed."""
    disk = Disk(tmp_path, AT_ONCE, "gate")
    sinks = sinks_in(tmp_path, disk, segment_seconds=1, original=True)
    write(sinks, range(45))

    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        for method in ("_put", "_make", "_go_on", "cut_back", "seek"):
            patch.setattr(DiskFile, method, refuse)
        patch.setattr(os, "fsync", refuse)
        write(sinks, range(45, 150))
        (line,) = errors(caplog)
        assert os.strerror(number) in line
        assert "detection goes on" in line
        for pattern in ("annotated*.mp4", "original*.mkv"):
            finished, *rest = in_order(tmp_path, pattern)
            assert frames_of(finished) == 30  # the open one plays, too, as far as it got
            assert all(frames_of(path) <= 15 for path in rest)
        assert [line["index"] for line in whole_lines(tmp_path / "frames.jsonl")] == [*range(45)]
    write(sinks, range(150, 240))
    close(sinks)
    check_the_books(tmp_path, disk, 240)
    # What could not be flushed in between, the next event told of, and was written all the same.
    assert all("events.jsonl" in line for line in errors(caplog)[1:])
    assert len(whole_lines(tmp_path / "events.jsonl")) == 2
    reports = {report.what: report for report in disk.reports()}
    assert reports["frames.jsonl"].lost == 105
    assert 105 <= reports["annotated"].lost <= 135  # and what the open segment held back
