"""Logs where the disk is full, gone or fails: lines stay whole, and what is lost is counted."""

from __future__ import annotations

import errno
import io
import json
import os
import threading
import time
from pathlib import Path

import pytest
from outages import AT_ONCE, errors, fill, stale, whole_lines

import streamer.sinks.disk
from configs.schema import DiskSettings, EventSettings
from streamer.sinks.disk import Disk
from streamer.sinks.disk_file import DiskFile
from streamer.sinks.events import EventSink
from streamer.sinks.files import LineFile


@pytest.mark.parametrize("room", range(0, 9000, 640))
def test_lines_stay_whole_wherever_the_disk_ends(small_disk: Path, room: int) -> None:
    disk = Disk(small_disk, AT_ONCE)
    with LineFile(small_disk / "frames.jsonl", disk) as file:
        file.write("{}\n" * 1000)
        filler = fill(small_disk, leave=room)
        for number in range(12):
            file.write(json.dumps({"number": number, "padding": "x" * 997}) + "\n")
        filler.unlink()
        time.sleep(0.002)
        file.write('{"number": "last"}\n')
    numbers = [line.get("number") for line in whole_lines(small_disk / "frames.jsonl")]
    kept = [number for number in numbers if isinstance(number, int)]
    assert kept == list(range(len(kept)))
    assert numbers[-1] == "last"
    assert disk.reports()[0].lost == 12 - len(kept)


def test_what_was_written_is_flushed_to_the_disk_every_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[tuple[int, float]] = []
    real = os.fsync

    def fsync(handle: int) -> None:
        flushed.append((os.fstat(handle).st_size, time.monotonic()))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    with LineFile(tmp_path / "frames.jsonl") as file:
        started = time.monotonic()
        file.write("{}\n")
        while time.monotonic() < started + 2.5:
            time.sleep(0.01)
        assert 3 in [size for size, when in flushed if when - started < 1.5]
        count = len(flushed)
        assert count <= 2  # the file and its folder, and nothing while nothing is written
        file.write("{}\n")
    assert flushed[-1][0] == 6


def test_an_error_of_the_disk_behind_the_writers_back_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fsync(handle: int) -> None:
        raise OSError(5, "Input/output error")

    with LineFile(tmp_path / "frames.jsonl", Disk(tmp_path, AT_ONCE)) as file:
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fsync)
            file.write('{"number": 1}\n')
            deadline = time.monotonic() + 10
            while not errors(caplog) and time.monotonic() < deadline:
                time.sleep(0.05)
                file.write('{"number": 2}\n')
        assert "Input/output error" in errors(caplog)[0]
        time.sleep(0.002)
        file.write('{"number": 3}\n')
    numbers = [line["number"] for line in whole_lines(tmp_path / "frames.jsonl")]
    assert numbers[0] == 1
    assert numbers[-1] == 3


class Unplugged:
    """What is left of an open file whose disk was pulled out: only its number and its end."""

    def __init__(self, file: io.FileIO) -> None:
        self.fileno, self.close = file.fileno, file.close

    def __getattr__(self, name: str) -> object:
        raise OSError(errno.EIO, "Input/output error")


@pytest.mark.parametrize("kept", ["all", "half", "nothing", "no file", "another's"])
def test_a_log_goes_on_when_its_disk_is_plugged_in_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kept: str
) -> None:
    disk = Disk(tmp_path, AT_ONCE)
    path = tmp_path / "frames.jsonl"
    with LineFile(path, disk) as file:
        for number in range(10):
            file.write(f'{{"number":{number}}}\n')
        real = file._file
        assert real._file is not None
        real._file = Unplugged(real._file)  # type: ignore[assignment]
        file.write('{"number":10}\n')
        assert "Input/output error" in errors(caplog)[0]
        if kept == "half":  # what had not got to the disk is gone, in the middle of a line
            path.write_bytes(path.read_bytes()[:71])
        elif kept == "nothing":
            path.write_bytes(b"")
        elif kept == "no file":
            path.unlink()
        elif kept == "another's":
            path.write_text("somebody's\n")
        time.sleep(0.001)
        for number in range(11, 14):
            file.write(f'{{"number":{number}}}\n')
    if kept == "another's":
        assert path.read_text() == "somebody's\n"
        path = tmp_path / "frames-0002.jsonl"
    first = {"all": 10, "half": 5}.get(kept, 0)
    assert [line["number"] for line in whole_lines(path)] == [*range(first), 11, 12, 13]
    (report,) = disk.reports()
    assert report.lost == 1 + {"half": 5, "nothing": 10}.get(kept, 0)
    assert not report.broken


def test_an_error_of_the_disk_after_the_last_line_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Linux tells of what it could not write once: it is not forgotten until the end."""
    failed = threading.Event()

    def fsync(handle: int) -> None:
        if not failed.is_set():
            failed.set()
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fsync)
    disk = Disk(tmp_path, AT_ONCE)
    with LineFile(tmp_path / "frames.jsonl", disk) as file:
        file.write("{}\n")
        assert failed.wait(5)
    (report,) = disk.reports()
    assert report.broken
    assert report.reason == "Input/output error"


def test_closing_ends_though_the_disk_does_not_answer_and_says_which_file_is_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = threading.Event()
    monkeypatch.setattr(os, "fsync", lambda handle: answers.wait(30))
    monkeypatch.setattr(streamer.sinks.disk, "CLOSE_SECONDS", 0.2)
    disk = Disk(tmp_path, AT_ONCE)
    file = LineFile(tmp_path / "frames.jsonl", disk)
    file.write("{}\n")
    started = time.monotonic()
    disk.close()
    assert time.monotonic() - started < 10
    (report,) = disk.reports()
    assert report.broken
    assert report.reason == "the disk does not answer"
    answers.set()
    file.close()


def test_an_error_of_closing_what_a_writer_left_open_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(tmp_path, AT_ONCE)
    LineFile(tmp_path / "frames.jsonl", disk).write("{}\n")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", stale)
        disk.close()
    (report,) = disk.reports()
    assert (report.broken, report.reason) == (True, "Stale file handle")


def test_the_thread_that_flushes_ends_with_the_last_file_while_another_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streamer.sinks.disk, "SYNC_SECONDS", 0.001)
    before = set(threading.enumerate())
    flushing, go_on = threading.Event(), threading.Event()

    def slowly(file: DiskFile) -> None:
        flushing.set()
        go_on.wait(10)

    disk = Disk(tmp_path, AT_ONCE)
    with monkeypatch.context() as patch:
        patch.setattr(DiskFile, "sync_in_background", slowly)
        last = DiskFile(tmp_path / "last", disk)
        assert flushing.wait(10)
        closing = threading.Thread(target=last.close, daemon=True)
        closing.start()
        while not last.closed and disk._thread is not None:
            time.sleep(0.001)
    with LineFile(tmp_path / "next", disk):
        go_on.set()
        closing.join(5)
        assert not closing.is_alive()
    assert set(threading.enumerate()) <= before  # threads of other tests may end meanwhile


def test_a_bug_in_the_thread_that_flushes_is_raised_after_the_last_line_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A camera that is away writes no line for hours, and then comes the end."""
    monkeypatch.setattr(streamer.sinks.disk, "SYNC_SECONDS", 0.001)
    before = set(threading.enumerate())
    disk = Disk(tmp_path, AT_ONCE)
    settings = EventSettings(command=("true",))
    sink = EventSink(tmp_path / "events.jsonl", settings, "gate", disk)
    with monkeypatch.context() as patch:
        patch.setattr(DiskFile, "sync_in_background", lambda file: 1 // 0)
        assert disk._thread is not None
        disk._thread.join(10)
    with pytest.raises(ZeroDivisionError):
        sink.close()
    assert set(threading.enumerate()) <= before  # threads of other tests may end meanwhile
    sink.close()


def test_a_file_that_is_given_up_takes_none_of_another_disk_along(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    file = DiskFile(folder / "annotated.mp4", Disk(folder))
    folder.rename(tmp_path / "pulled out")
    folder.mkdir()
    (folder / "annotated.mp4").write_text("of last month")
    file.delete()
    assert (folder / "annotated.mp4").read_text() == "of last month"
    assert file.closed


def test_what_comes_at_the_end_is_tried_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The smoother's last pass must not be lost because the next try was due in a while."""
    disk = Disk(tmp_path, DiskSettings(min_free_mb=0, retry_seconds=1000))
    file = LineFile(tmp_path / "log.txt", disk)
    file.write("first\n")
    whole = DiskFile.write

    def full(self: DiskFile, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(DiskFile, "write", full)
    file.write("lost\n")
    monkeypatch.setattr(DiskFile, "write", whole)
    file.write("lost, too: the disk is asked later\n")
    file.write("the end\n" * 3, last=True)
    file.close()
    disk.close()
    assert (tmp_path / "log.txt").read_text() == "first\n" + "the end\n" * 3
    assert [each.lost for each in disk.reports()] == [2]


def test_what_comes_at_the_end_is_written_though_the_last_flush_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(tmp_path, DiskSettings(min_free_mb=0, retry_seconds=1000))
    file = LineFile(tmp_path / "log.txt", disk)
    file.write("first\n")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", stale)
        file._file.sync_in_background()
    file.write("the end\n", last=True)
    file.close()
    assert (tmp_path / "log.txt").read_text() == "first\nthe end\n"
    (report,) = disk.reports()
    assert (report.lost, report.outages, report.broken) == (0, 1, False)
