"""Recordings and clips where the disk is full, gone or refuses: they end whole, and go on."""

from __future__ import annotations

import os
from pathlib import Path

import av
import pytest
from outages import AT_ONCE, ENCODING, errors, frames_of, stale
from recordings import in_order, numbers_in, picture

from configs.schema import ClipSettings, DiskSettings, RecordSettings
from streamer.sinks.disk import Disk
from streamer.sinks.disk_file import DiskFile
from streamer.sinks.record import Recorder


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
