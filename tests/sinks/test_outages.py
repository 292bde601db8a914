"""Full, removed and read-only folders: one line says so, the rest goes on, and so do the files."""

from __future__ import annotations

import errno
import io
import json
import logging
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recordings import in_order, numbers_in, picture
from sink_results import result_of, tracks_at

import streamer.sinks.disk
from configs.schema import ClipSettings, DiskSettings, RecordSettings, StreamSettings
from streamer.protocols import Sink
from streamer.sinks.disk import Disk
from streamer.sinks.disk_file import DiskFile
from streamer.sinks.factory import build_sinks
from streamer.sinks.files import LineFile
from streamer.sinks.record import Recorder
from streamer.types import FrameResult

AT_ONCE = DiskSettings(min_free_mb=0, retry_seconds=1e-6)
ENCODING = {"preset": "ultrafast"}
NOBODY = 65534


@pytest.fixture
def small_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A folder on a disk of its own of 1.5 MB, or as many bytes as a parameter says."""
    size = getattr(request, "param", 1_500_000)
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("needs mount")
    if done.returncode:
        pytest.skip(f"needs the right to mount a small disk: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def own_folder() -> Iterator[Path]:
    """A folder in which this process, which is not root meanwhile, may be refused something."""
    folder = Path(tempfile.mkdtemp())
    root = os.geteuid() == 0
    if root:
        os.chown(folder, NOBODY, NOBODY)
        os.seteuid(NOBODY)
    try:
        yield folder
    finally:
        if root:
            os.seteuid(0)
        shutil.rmtree(folder)


def fill(folder: Path, leave: int = 0) -> Path:
    path = folder / "filler"
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
        file.truncate(max(0, file.tell() - leave))
    return path


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR]


def result(index: int) -> FrameResult:
    rng = np.random.default_rng(index)
    image = rng.integers(0, 255, (48, 64)).astype(np.uint8)
    return result_of(index, image=image, tracks=tracks_at([(12, 9)]))


def sinks_in(folder: Path, disk: Disk, **record: object) -> list[Sink]:
    settings = StreamSettings.model_validate(
        {
            "output": {
                "record": {**ENCODING, "crf": 10, **record},
                "overlay": {"min_width": 64},
                "events": {"jsonl": True},
            }
        }
    )
    return build_sinks(folder, settings, source="gate", disk=disk)


def write(sinks: list[Sink], indices: range) -> None:
    for index in indices:
        for sink in sinks:
            sink.write(result(index))


def close(sinks: list[Sink]) -> None:
    for sink in reversed(sinks):
        sink.close()


def whole_lines(path: Path) -> list[dict[str, object]]:
    text = path.read_text()
    assert text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


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


def frames_of(path: Path) -> int:
    """How many pictures of it play; all of them must."""
    return len(numbers_in(path))


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


def test_deleting_old_files_ends_an_outage(
    small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    disk = Disk(small_disk, DiskSettings(min_free_mb=1.0, retry_seconds=0.001), "gate")
    settings = RecordSettings.model_validate(
        {**ENCODING, "segment_mb": 0.1, "keep_hours": 40 / 3600}
    )
    recorder = Recorder(small_disk / "annotated.mp4", settings, disk=disk)
    disk.clock = iter(range(10**6)).__next__  # each look at it is a second later
    for number in range(1000):
        recorder.write(picture(number, noisy=True), number / 10)
    recorder.close()
    assert "1 MB are free" in errors(caplog)[0]
    assert "again" in caplog.text
    numbers = [number for path in in_order(small_disk) for number in numbers_in(path)]
    assert numbers[0] > 500
    assert numbers[-1] > 700


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


def test_a_place_that_cannot_be_written_at_first_is_used_when_it_can(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    disk = Disk(tmp_path / "later", AT_ONCE)
    path = tmp_path / "later" / "annotated.mp4"
    recorder = Recorder(path, RecordSettings.model_validate(ENCODING), disk=disk)
    for number in range(60):
        recorder.write(picture(number), number / 30)
    assert len(errors(caplog)) == 1
    assert "\n" not in errors(caplog)[0]
    path.parent.mkdir()
    for number in range(60, 120):
        recorder.write(picture(number), number / 30)
    recorder.close()
    assert numbers_in(path) == list(range(60, 120))
    assert "60 frames are missing" in caplog.text


def test_a_disk_that_is_full_to_the_end_is_reported_and_nothing_hangs(small_disk: Path) -> None:
    threads = threading.active_count()
    disk = Disk(small_disk, AT_ONCE)
    sinks = sinks_in(small_disk, disk)
    write(sinks, range(60))
    fill(small_disk)
    write(sinks, range(60, 160))
    started = time.monotonic()
    close(sinks)
    assert time.monotonic() - started < 2
    assert threading.active_count() == threads
    broken = {report.what for report in disk.reports() if report.broken}
    assert broken == {"tracks.txt", "frames.jsonl", "annotated"}
    for path in in_order(small_disk):
        assert frames_of(path) > 0
    whole_lines(small_disk / "frames.jsonl")


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


def stale(*_: object) -> None:
    raise OSError(errno.ESTALE, "Stale file handle")


def test_a_network_folder_that_has_forgotten_the_file_ends_it_and_a_new_one_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    disk = Disk(tmp_path, AT_ONCE)
    settings = RecordSettings.model_validate(ENCODING)
    recorder = Recorder(tmp_path / "annotated.mp4", settings, disk=disk)
    for number in range(60):
        recorder.write(picture(number), number / 30)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", stale)
        patch.setattr(DiskFile, "write", stale)
        for number in range(60, 120):
            recorder.write(picture(number), number / 30)
    for number in range(120, 180):
        recorder.write(picture(number), number / 30)
    recorder.close()
    assert "Stale file handle" in errors(caplog)[0]
    assert len(errors(caplog)) == 1
    assert numbers_in(in_order(tmp_path)[-1])[-1] == 179


def test_a_folder_in_which_nothing_can_be_looked_up_is_an_outage(
    own_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    disk = Disk(own_folder, AT_ONCE)
    settings = RecordSettings.model_validate({**ENCODING, "segment_seconds": 1})
    recorder = Recorder(own_folder / "annotated.mp4", settings, disk=disk)
    for number in range(45):
        recorder.write(picture(number), number / 30)
    own_folder.chmod(0)
    for number in range(45, 100):
        recorder.write(picture(number), number / 30)
    own_folder.chmod(0o755)
    for number in range(100, 150):
        recorder.write(picture(number), number / 30)
    recorder.close()
    assert len(errors(caplog)) == 1
    assert "Permission denied" in errors(caplog)[0]
    shown = sum(frames_of(path) for path in in_order(own_folder))
    assert 150 - shown == disk.reports()[0].lost >= 40


def write_tracked(folder: Path, disk: Disk, *, refuses: str) -> list[Path]:
    """Clips of 10 s, of which 8 s are tracked, while nothing can be made in one of the folders."""
    (folder / "clips").mkdir()
    recorder = Recorder(
        folder / "annotated.mp4",
        RecordSettings.model_validate(ENCODING),
        clips=ClipSettings(enabled=True),
        disk=disk,
    )
    (folder / refuses).chmod(0o555)
    for number in range(300):
        recorder.write(picture(number), number / 30, tracks=[1] if number >= 60 else [])
    recorder.close()
    folder.chmod(0o755)
    return [*(folder / "clips").iterdir()]


def test_clips_count_each_picture_once_however_often_they_are_tried(own_folder: Path) -> None:
    disk = Disk(own_folder, AT_ONCE)
    assert write_tracked(own_folder, disk, refuses="clips") == []
    lost = {report.what: report.lost for report in disk.reports()}
    assert lost["clips"] == 240


def test_pictures_that_a_clip_brings_back_after_an_outage_are_not_lost(own_folder: Path) -> None:
    disk = Disk(own_folder, AT_ONCE)
    clips = own_folder / "clips"
    clips.mkdir()
    recorder = Recorder(
        own_folder / "annotated.mp4",
        RecordSettings.model_validate({**ENCODING, "enabled": False}),
        clips=ClipSettings(enabled=True, before_seconds=3),
        disk=disk,
    )
    clips.chmod(0o555)
    for number in range(400):
        if number == 300:
            clips.chmod(0o755)
        recorder.write(picture(number), number / 30, tracks=[1] if number >= 60 else [])
    recorder.close()
    (clip,) = clips.iterdir()
    shown = numbers_in(clip)
    assert shown == list(range(shown[0], 400))
    assert shown[0] <= 300 - 3 * 30
    (lost,) = [report.lost for report in disk.reports() if report.what == "clips"]
    assert lost == shown[0] - 60


def test_a_recording_that_cannot_be_written_makes_clips_no_larger(own_folder: Path) -> None:
    disk = Disk(own_folder, DiskSettings(min_free_mb=0, retry_seconds=1000))
    (clip,) = write_tracked(own_folder, disk, refuses=".")
    with av.open(str(clip)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    assert len(packets) == 300
    assert sum(packet.is_keyframe for packet in packets) < 10


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
    threads = threading.active_count()
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
    assert threading.active_count() == threads


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
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
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
