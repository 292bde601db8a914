import json
import signal
from pathlib import Path

import av
import pytest
from recordings import killed_after, numbers_in, picture

from configs.schema import ClipSettings, DiskSettings, RecordSettings
from streamer.sinks.clips import MAX_WAITING_BYTES, _Before
from streamer.sinks.disk import Disk
from streamer.sinks.encoder import Moment, Packet
from streamer.sinks.record import Recorder

FPS = 10


def record(
    folder: Path,
    tracks: dict[int, tuple[float, float]],
    seconds: float,
    *,
    wide: tuple[float, float] | None = None,
    live: bool = False,
    recording: bool = False,
    disk: Disk | None = None,
    **settings: object,
) -> list[dict[str, object]]:
    """Record ``seconds`` in which each track lives from one time to another; gives the list."""
    recorder = Recorder(
        folder / "annotated.mp4",
        RecordSettings.model_validate({"enabled": recording, "preset": "ultrafast"}),
        clips=ClipSettings.model_validate({"enabled": True, **settings}),
        live=live,
        disk=disk,
    )
    for number in range(round(seconds * FPS)):
        now = number / FPS
        there = [each for each, (since, until) in tracks.items() if since <= now < until]
        width = 80 if wide is not None and wide[0] <= now < wide[1] else 64
        recorder.write(picture(number, width), 50 + now, 1_770_000_000.5 + now, there)
    recorder.close()
    return [json.loads(line) for line in (folder / "clips.jsonl").read_text().splitlines()]


def test_a_clip_shows_a_track_and_the_seconds_around_it(tmp_path: Path) -> None:
    (clip,) = record(tmp_path, {7: (10.0, 12.0)}, 20, before_seconds=3, after_seconds=2)
    path = tmp_path / str(clip["file"])
    shown = numbers_in(path)
    assert shown == list(range(shown[0], shown[-1] + 1))
    # From the last key frame, two seconds back at most, that is three seconds before.
    assert 50 <= shown[0] <= 70
    assert shown[-1] == 139
    assert clip["tracks"] == [7]
    assert clip["pts"] == 50 + shown[0] / FPS
    assert clip["end_pts"] == 63.9
    assert clip["utc"] == 1_770_000_000.5 + shown[0] / FPS
    assert clip["frames"] == len(shown)
    assert path.name == f"track-000007-{50 + shown[0] / FPS:09.3f}s.mp4"
    with av.open(str(path)) as container:
        assert next(container.demux(video=0)).is_keyframe
    assert not (tmp_path / "annotated.mp4").exists()


def test_a_cameras_clips_are_named_by_the_wall_clock(tmp_path: Path) -> None:
    (clip,) = record(tmp_path, {3: (0.0, 1.0)}, 2, live=True)
    assert clip["file"] == "clips/track-000003-20260202T024000.500Z.mp4"


def test_tracks_that_overlap_share_a_clip_and_others_do_not(tmp_path: Path) -> None:
    tracks = {1: (5.0, 7.0), 2: (6.0, 8.0), 3: (8.5, 9.0), 4: (20.0, 21.0)}
    first, second = record(tmp_path, tracks, 30, before_seconds=1, after_seconds=1)
    assert first["tracks"] == [1, 2, 3]
    assert second["tracks"] == [4]
    assert numbers_in(tmp_path / str(first["file"]))[-1] == 99
    assert {path.name for path in (tmp_path / "clips").iterdir()} == {
        Path(str(each["file"])).name for each in (first, second)
    }


def test_a_long_clip_goes_on_in_the_next_and_no_frame_is_lost(tmp_path: Path) -> None:
    clips = record(tmp_path, {1: (2.0, 18.0), 9: (11.0, 18.0)}, 20, max_seconds=4, after_seconds=1)
    shown = [numbers_in(tmp_path / str(clip["file"])) for clip in clips]
    assert [number for each in shown for number in each] == list(range(190))
    assert [len(each) for each in shown[:-1]] == [40] * 4
    assert clips[-1]["tracks"] == [1, 9]
    assert "track-000001" in str(clips[-1]["file"])


def test_the_seconds_after_a_track_are_kept_across_the_end_of_a_long_clip(tmp_path: Path) -> None:
    clips = record(tmp_path, {1: (2.0, 3.5)}, 10, max_seconds=4, after_seconds=3)
    shown = [numbers_in(tmp_path / str(clip["file"])) for clip in clips]
    assert shown == [list(range(40)), list(range(40, 65))]
    assert clips[1]["tracks"] == []
    assert "track-000001" in str(clips[1]["file"])


def test_a_picture_of_another_size_goes_on_in_a_clip_of_its_own(tmp_path: Path) -> None:
    tracks = {1: (2.0, 8.0)}
    clips = record(tmp_path, tracks, 9, wide=(4.0, 6.0), before_seconds=0, after_seconds=0.5)
    shown = [numbers_in(tmp_path / str(clip["file"])) for clip in clips]
    assert [each[-1] for each in shown] == [39, 59, 84]
    assert [number for each in shown for number in each] == list(range(shown[0][0], 85))


def test_clips_cost_the_recording_nothing(tmp_path: Path) -> None:
    record(tmp_path, {1: (3.0, 4.0)}, 8, recording=True)
    assert numbers_in(tmp_path / "annotated.mp4") == list(range(80))


def test_old_clips_are_deleted(tmp_path: Path) -> None:
    tracks = {number: (number * 5.0, number * 5.0 + 1) for number in range(1, 9)}
    limits = {"before_seconds": 0, "after_seconds": 1}
    clips = record(tmp_path, tracks, 50, keep_hours=11 / 3600, **limits)
    assert len(clips) == 8
    kept = sorted(path.name for path in (tmp_path / "clips").iterdir())
    assert [name[:12] for name in kept] == [f"track-{number:06d}" for number in (6, 7, 8)]


def test_what_waits_before_a_clip_is_bounded_in_time_and_in_bytes() -> None:
    def packet(number: int, size: int) -> Packet:
        return Packet(bytes(size), number, 1, number % 20 == 0, Moment(number / FPS, 0.0))

    before = _Before(3.0)
    for number in range(1000):
        before.add(packet(number, 100))
        held = before.packets()
        assert held[0].key
        assert len(held) <= 30 + 20
        assert number < 30 or held[0].moment.pts_seconds <= number / FPS - 3
    for number in range(1000, 1600):
        before.add(packet(number, 2**20 * 2))
        assert sum(len(each.data) for each in before.packets()) <= MAX_WAITING_BYTES + 40 * 2**20


def test_clips_wait_for_a_folder_that_is_not_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    disk = Disk(tmp_path, DiskSettings(retry_seconds=1e-6))
    (tmp_path / "clips").write_text("in the way")
    clips = record(tmp_path, {1: (2.0, 4.0)}, 8, disk=disk)
    assert clips == []
    report = next(each for each in disk.reports() if each.what == "clips")
    assert report.broken
    assert report.lost >= 20
    assert len([r for r in caplog.records if r.levelname == "ERROR"]) == 1


KILLED = """
import sys, time
sys.path.insert(0, "tests/sinks")
from pathlib import Path
from recordings import picture
from configs.schema import ClipSettings, RecordSettings
from streamer.sinks.record import Recorder
recorder = Recorder(
    Path(sys.argv[1]), RecordSettings(enabled=False), clips=ClipSettings(enabled=True)
)
for number in range(10**6):
    recorder.write(picture(number), number / 30, tracks=[1] if number > 60 else [])
    print(number, flush=True)
    time.sleep(0.001)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_clip_plays_after_a_kill(tmp_path: Path) -> None:
    written = killed_after(150, KILLED, str(tmp_path / "annotated.mp4"))
    (clip,) = (tmp_path / "clips").iterdir()
    shown = numbers_in(clip)
    assert shown == list(range(len(shown)))
    assert shown[-1] > written - 22
