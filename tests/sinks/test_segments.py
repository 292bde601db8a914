import errno
import math
import os
from pathlib import Path

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from recordings import in_order, numbers_in, picture, times_in
from sink_results import result_of

from configs.schema import RecordSettings, StreamSettings
from streamer.sinks.factory import build_sinks
from streamer.sinks.record import Recorder
from streamer.sinks.retention import Limits, Retention


def fast(**changes: object) -> RecordSettings:
    return RecordSettings.model_validate({"preset": "ultrafast", **changes})


def record(folder: Path, count: int, *, noisy: bool = False, **changes: object) -> list[Path]:
    recorder = Recorder(folder / "annotated.mp4", fast(**changes))
    for number in range(count):
        seconds = number / 10
        recorder.write(picture(number, noisy=noisy), 100 + seconds, 1_770_000_000 + seconds)
    recorder.close()
    return in_order(folder)


@pytest.mark.parametrize("codec", ["h264", "hevc", "mpeg4"])
def test_segments_by_time_begin_with_a_key_frame_and_lose_no_frame(
    tmp_path: Path, codec: str
) -> None:
    paths = record(tmp_path, 75, segment_seconds=2, codec=codec)
    assert [path.name for path in paths] == [
        "annotated.mp4",
        *(f"annotated-{number:04d}.mp4" for number in (2, 3, 4)),
    ]
    assert [number for path in paths for number in numbers_in(path)] == list(range(75))
    for path in paths:
        assert times_in(path)[0] == 0.0
        with av.open(str(path)) as container:
            assert next(container.demux(video=0)).is_keyframe
    assert [len(times_in(path)) for path in paths] == [20, 20, 20, 15]


def test_a_segment_says_when_it_starts(tmp_path: Path) -> None:
    second = record(tmp_path, 30, segment_seconds=2)[1]
    with av.open(str(second)) as container:
        assert container.metadata["creation_time"].startswith("2026-02-02T02:40:02")
        assert container.metadata["comment"] == "starts at pts 102.000000 s of the source"


def test_a_camera_that_was_away_makes_a_file_no_longer_than_time_passed(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "annotated.mp4", fast(), live=True)
    for number in range(60):
        recorder.write(picture(number), number / 30 + (400 if number >= 30 else 0))
    recorder.close()
    (path,) = in_order(tmp_path)
    assert numbers_in(path) == list(range(60))
    with av.open(str(path)) as container:
        assert container.duration is not None
        assert container.duration / av.time_base == pytest.approx(402, abs=0.1)


def test_segments_by_size_stay_near_it(tmp_path: Path) -> None:
    paths = record(tmp_path, 200, segment_mb=0.1, noisy=True)
    assert len(paths) > 3
    assert [number for path in paths for number in numbers_in(path)] == list(range(200))
    for path in paths[:-1]:
        assert 0.1e6 <= path.stat().st_size < 0.11e6


@settings(max_examples=25)
@given(
    steps=st.lists(st.floats(-1, 5, allow_nan=False), min_size=1, max_size=40),
    seconds=st.floats(0.01, 6),
    wide=st.sets(st.integers(0, 39), max_size=3),
)
def test_no_frame_is_lost_or_doubled_whatever_the_clock_and_the_size_do(
    tmp_path_factory: pytest.TempPathFactory, steps: list[float], seconds: float, wide: set[int]
) -> None:
    folder = tmp_path_factory.mktemp("segments")
    recorder = Recorder(folder / "annotated.mp4", fast(segment_seconds=seconds))
    now = 0.0
    for number, step in enumerate(steps):
        now += step
        recorder.write(picture(number, 80 if number in wide else 64), now)
    recorder.close()
    paths = in_order(folder)
    assert [n for path in paths for n in numbers_in(path)] == list(range(len(steps)))
    for path in paths:
        times = times_in(path)
        assert times[0] == 0
        assert times == sorted(set(times))


def test_auto_keeps_a_files_recording_whole_and_a_cameras_bounded() -> None:
    assert Limits.of(RecordSettings(), live=False) == Limits(None, None)
    assert Limits.of(RecordSettings(), live=True) == Limits(600, None)
    assert Limits.of(RecordSettings(keep_hours=1), live=False) == Limits(600, None, 3600)
    assert Limits.of(RecordSettings(segment_seconds=None), live=True) == Limits(None, None)


@pytest.mark.parametrize("limit", ["keep_hours", "keep_gb"])
def test_a_limit_needs_files_that_end(limit: str) -> None:
    with pytest.raises(ValidationError, match="segment_seconds"):
        fast(segment_seconds=None, **{limit: 1})
    assert fast(segment_seconds=None, segment_mb=5, **{limit: 1}).segment_mb == 5


def test_originals_and_annotated_pictures_share_the_limit(tmp_path: Path) -> None:
    record = {"segment_seconds": 1, "keep_gb": 0.0005, "original": True, "preset": "ultrafast"}
    output = {"record": record, "overlay": {"min_width": 64}}
    sinks = build_sinks(tmp_path, StreamSettings.model_validate({"output": output}), source="gate")
    most = 0
    for index in range(600):
        for sink in sinks:
            sink.write(result_of(index))
        paths = [*tmp_path.glob("*.mp4"), *tmp_path.glob("*.mkv")]
        most = max(most, sum(path.stat().st_size for path in paths))
    for sink in sinks:
        sink.close()
    assert 0.35e6 < most < 0.6e6
    shown = [sum(map(len, map(numbers_in, in_order(tmp_path, "annotated*.mp4")))), 0]
    shown[1] = sum(len(times_in(path)) for path in in_order(tmp_path, "original*.mkv"))
    assert abs(shown[0] - shown[1]) <= 30


def test_old_segments_are_deleted_and_nothing_else(tmp_path: Path) -> None:
    others = [tmp_path / "annotated-0001.mp4", tmp_path / "annotated-old.mp4"]
    for other in others:
        other.write_text("somebody's")
    record(tmp_path, 100, segment_seconds=1, keep_hours=2.05 / 3600)
    kept = [path for path in in_order(tmp_path) if path not in others]
    assert [n for path in kept for n in numbers_in(path)] == list(range(70, 100))
    assert all(other.read_text() == "somebody's" for other in others)


def test_a_file_of_the_same_name_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "annotated-0002.mp4").write_text("somebody's")
    record(tmp_path, 30, segment_seconds=1)
    assert (tmp_path / "annotated-0002.mp4").read_text() == "somebody's"
    assert numbers_in(tmp_path / "annotated-0004.mp4") == list(range(20, 30))


def test_a_recording_stays_below_its_share_of_the_disk(tmp_path: Path) -> None:
    settings = fast(segment_mb=0.05, keep_gb=0.0003)
    recorder = Recorder(tmp_path / "annotated.mp4", settings)
    most = 0
    for number in range(400):
        recorder.write(picture(number, noisy=True), number / 10)
        most = max(most, sum(path.stat().st_size for path in tmp_path.iterdir()))
    recorder.close()
    half_a_second = 0.03e6
    assert 0.24e6 < most < 0.3e6 + half_a_second
    kept = [number for path in in_order(tmp_path) for number in numbers_in(path)]
    assert kept == list(range(kept[0], 400))


def test_the_newest_file_is_never_deleted(tmp_path: Path) -> None:
    paths = record(tmp_path, 55, segment_seconds=1, keep_gb=1e-9)
    assert [numbers_in(path) for path in paths] == [list(range(50, 55))]


def test_what_lies_at_the_place_of_a_finished_file_by_now_is_never_deleted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A box whose disks take turns: the other one has a folder of the same name on it."""
    folder = tmp_path / "disk" / "out"
    folder.mkdir(parents=True)
    recorder = Recorder(folder / "annotated.mp4", fast(segment_seconds=1, keep_hours=3 / 3600))
    for number in range(25):
        recorder.write(picture(number), number / 10)
    (tmp_path / "disk").rename(tmp_path / "pulled out")
    folder.mkdir(parents=True)
    names = ("annotated.mp4", "annotated-0002.mp4")
    for name in names:
        (folder / name).write_text("of last month")
    for number in range(25, 100):
        recorder.write(picture(number), number / 10)
    recorder.close()
    assert [(folder / name).read_text() for name in names] == ["of last month"] * 2
    assert caplog.text.count("it stays") == 2


def test_a_file_that_ends_when_its_disk_is_away_already_takes_no_other_along(
    tmp_path: Path,
) -> None:
    retention = Retention(Limits(keep_seconds=3600))
    path = tmp_path / "annotated.mp4"
    path.write_text("of last month")
    retention.finish(path, 7, 0.0)
    retention.enforce(7200.0)
    assert path.read_text() == "of last month"
    assert retention.deleted == 0


def test_a_file_that_cannot_be_deleted_is_tried_again_and_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    retention = Retention(Limits(keep_seconds=3600))
    paths = [tmp_path / name for name in ("first.mp4", "second.mp4", "third.mp4")]
    real = Path.unlink

    def unlink(path: Path, missing_ok: bool = False) -> None:
        if path == paths[0]:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        real(path, missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", unlink)
        for number, path in enumerate(paths):
            path.write_text("a video")
            retention.finish(path, 7, number * 3600)
        retention.enforce(2.5 * 3600)
    assert [path.exists() for path in paths] == [True, False, True]
    assert caplog.text.count("cannot delete") == 1
    retention.enforce(2.6 * 3600)
    assert [path.exists() for path in paths] == [False, False, True]
    assert retention.deleted == 2


def test_segments_of_a_clock_that_is_not_there_yet_have_no_date(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "annotated.mp4", fast())
    recorder.write(picture(0), 0.0, math.nan)
    recorder.close()
    with av.open(str(tmp_path / "annotated.mp4")) as container:
        assert "creation_time" not in container.metadata
