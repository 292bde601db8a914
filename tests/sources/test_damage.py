"""Damaged streams and clocks that are wrong: nothing crashes, damage is counted and marked, the
picture is right again from the next key frame on, and time only goes on."""

import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from media import number_in, numbered, write_video

from configs.schema import SourceSettings, TrackerSettings
from streamer.reader import Timeline
from streamer.sources.clock import StreamClock
from streamer.sources.video import VideoSource
from streamer.types import Detections, Frame, PermanentError, StreamError
from tracking import build_tracker

FRAMES, KEY_EVERY = 60, 15
DAMAGED_TO = 40  # the packets from here on are left alone: a key frame is among them


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Numbered pictures in H.264, with a key frame every half a second, as cameras send them."""
    images = [numbered(index) for index in range(FRAMES)]
    options = {"g": str(KEY_EVERY), "bf": "0", "sc_threshold": "0"}
    return write_video(tmp_path_factory.mktemp("damage") / "whole.ts", images, options=options)


def rewritten(whole: Path, path: Path, change: Callable[[list[bytes]], list[bytes]]) -> Path:
    """A copy of the stream with its packets' bytes changed; an empty one is lost on the way."""
    with av.open(str(whole)) as old, av.open(str(path), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        packets = [packet for packet in old.demux(video=0) if packet.size]
        for packet, data in zip(packets, change([bytes(each) for each in packets]), strict=True):
            if data:
                copy = av.Packet(data)
                copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
                copy.is_keyframe, copy.stream = packet.is_keyframe, stream
                new.mux(copy)
    return path


def damaged(packets: list[bytes], seed: int) -> list[bytes]:
    """Packets with flipped bits, lost ones, ones that are cut short, or some of each."""
    rng = random.Random(seed)
    parts = list(packets)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(1, DAMAGED_TO)
        part = bytearray(parts[at])
        kind = rng.choice(["flip", "lose", "cut"])
        if kind == "lose" or not part:
            part.clear()
        elif kind == "cut":
            del part[rng.randrange(1, len(part) + 1) :]
        else:
            for _ in range(rng.randint(1, 12)):
                part[rng.randrange(len(part))] ^= 1 << rng.randrange(8)
        parts[at] = bytes(part)
    return parts


def read(path: Path) -> tuple[list[Frame], int]:
    """All frames that can be read, and the number of corrupt ones."""
    source = VideoSource(str(path), SourceSettings(), "damaged")
    frames: list[Frame] = []
    try:
        source.open()
        while (frame := source.read()) is not None:
            frames.append(frame)
    except StreamError as error:
        assert "\n" not in str(error)
    finally:
        source.close()
    return frames, source.corrupt


def check(whole: Path, seeds: range, folder: Path) -> None:
    noticed = 0
    for seed in seeds:
        path = rewritten(whole, folder / f"{seed}.ts", lambda p, seed=seed: damaged(p, seed))
        frames, corrupt = read(path)
        path.unlink()
        assert all(b.pts_seconds > a.pts_seconds for a, b in pairwise(frames)), seed
        assert all(b.index > a.index for a, b in pairwise(frames)), seed
        assert max(b.pts_seconds - a.pts_seconds for a, b in pairwise(frames)) < 2.0, seed
        assert len(frames) + corrupt <= FRAMES + 5, seed
        # From the first key frame after the damage on it is as if nothing had been.
        healed = frames[-KEY_EVERY:]
        assert [number_in(frame.image) for frame in healed] == list(range(45, 60)), seed
        assert not any(frame.damaged for frame in healed), seed
        assert corrupt or not any(frame.damaged for frame in frames), seed
        noticed += corrupt > 0
    # A lost packet leaves what can be decoded, so not every seed shows; two kinds of three do.
    assert noticed > len(seeds) * 0.4


def test_a_damaged_stream_never_crashes_and_heals_with_a_key_frame(
    whole: Path, tmp_path: Path
) -> None:
    check(whole, range(20), tmp_path)


@pytest.mark.slow
def test_a_thousand_damaged_streams(whole: Path, tmp_path: Path) -> None:
    check(whole, range(20, 1020), tmp_path)


CONTAINERS = {
    "a.mkv": ("ffv1", "gray"), "a.mp4": ("libx264", "yuv420p"), "a.avi": ("mjpeg", "yuvj420p"),
    "a.flv": ("libx264", "yuv420p"), "a.mov": ("png", "rgb24"), "a.nut": ("rawvideo", "gray16le"),
    "a.webm": ("libvpx", "yuv420p"), "a.gif": ("gif", "rgb8"), "a.asf": ("msmpeg4", "yuv420p"),
}  # fmt: skip


def check_containers(seeds: range, folder: Path) -> None:
    """Any bytes of the files, headers, names and indices more than others, are wrong."""
    files = {}
    for name, (codec, pixel_format) in CONTAINERS.items():
        images = [numbered(k) for k in range(6)]
        path = write_video(folder / name, images, codec=codec, pixel_format=pixel_format, ticks=30)
        files[name] = path.read_bytes()
    refused = 0
    for seed in seeds:
        rng = random.Random(seed)
        name = rng.choice(list(files))
        data = bytearray(files[name])
        reach = min(len(data), rng.choice([200, 1000, len(data)]))
        for _ in range(rng.choice([1, 2, 4, 16, 64])):
            data[rng.randrange(reach)] = rng.choice([0, 0x7F, 0x80, 0xFF, rng.randrange(256)])
        (folder / name).write_bytes(data)
        frames, _ = read(folder / name)
        assert all(b.pts_seconds > a.pts_seconds for a, b in pairwise(frames)), seed
        refused += not frames
    assert 0.05 * len(seeds) < refused < 0.7 * len(seeds)


def test_a_container_with_wrong_bytes_is_read_or_refused(tmp_path: Path) -> None:
    check_containers(range(150), tmp_path)


@pytest.mark.slow
def test_a_thousand_containers_with_wrong_bytes(tmp_path: Path) -> None:
    check_containers(range(150, 1150), tmp_path)


def test_what_follows_a_corrupt_frame_is_marked_until_the_next_key_frame(
    whole: Path, tmp_path: Path
) -> None:
    def cut_one(packets: list[bytes]) -> list[bytes]:
        return [*packets[:20], packets[20][: len(packets[20]) // 2], *packets[21:]]

    frames, corrupt = read(rewritten(whole, tmp_path / "cut.ts", cut_one))
    assert corrupt == 1
    assert len(frames) + corrupt == FRAMES
    assert [frame.index for frame in frames if frame.damaged] == list(range(21, 30))


def test_a_lost_datagram_is_marked_though_the_decoder_may_not_notice(tmp_path: Path) -> None:
    """MPEG-TS over UDP loses 7 x 188 bytes at a time: whole frames, too, which H.264 hides."""
    rng = np.random.default_rng(0)
    images = [
        np.clip(numbered(k, 96, 128) + rng.normal(0, 9, (96, 128)), 0, 255).astype(np.uint8)
        for k in range(FRAMES)
    ]
    options = {"g": str(KEY_EVERY), "bf": "0", "sc_threshold": "0"}
    whole = write_video(tmp_path / "noisy.ts", images, options=options)
    as_sent = {round(frame.pts_seconds, 3): frame.image for frame in read(whole)[0]}
    data = whole.read_bytes()
    packets = [data[at : at + 188] for at in range(0, len(data), 188)]
    wrong = unmarked = 0
    for at in range(20, len(packets) - 20, len(packets) // 30):
        path = tmp_path / "holed.ts"
        path.write_bytes(b"".join(packets[:at] + packets[at + 7 :]))
        for frame in read(path)[0]:
            expected = as_sent.get(round(frame.pts_seconds, 3))
            if expected is not None and np.abs(frame.image.astype(int) - expected).max() > 20:
                wrong += 1
                unmarked += not frame.damaged
    assert wrong > 100
    assert unmarked == 0  # by what the decoder notices alone it would be 0.4 of them


@pytest.mark.parametrize("second", ["size", "format"])
def test_a_stream_that_changes_in_the_middle_is_read_on(tmp_path: Path, second: str) -> None:
    """A camera that is told to send another size or pixel format starts over with a key frame."""
    size, pixel_format = ((64, 96), "yuv420p") if second == "size" else ((48, 64), "yuv444p")
    first = write_video(tmp_path / "a.h264", [numbered(k) for k in range(20)])
    other = write_video(
        tmp_path / "b.h264",
        [numbered(k, *size) for k in range(20, 40)],
        pixel_format=pixel_format,
    )
    joined = tmp_path / "joined.h264"
    joined.write_bytes(first.read_bytes() + other.read_bytes())
    frames, corrupt = read(joined)
    assert corrupt == 0
    assert [number_in(frame.image) for frame in frames] == list(range(40))
    assert [frame.image.shape for frame in frames] == [(48, 64)] * 20 + [size] * 20
    assert all(b.pts_seconds > a.pts_seconds for a, b in pairwise(frames))


def test_pictures_of_more_than_8k_are_refused_in_one_line(tmp_path: Path) -> None:
    """MJPEG says its size in every picture, so a stream may turn to any."""

    def jpeg(height: int, width: int) -> bytes:
        return cv2.imencode(".jpg", np.zeros((height, width), np.uint8))[1].tobytes()

    small, huge = jpeg(48, 64), jpeg(5000, 8000)
    path = tmp_path / "a.mjpeg"
    path.write_bytes(huge + small)
    with pytest.raises(PermanentError, match=r"a\.mjpeg has pictures of 8000x5000 px: more than"):
        VideoSource(str(path), SourceSettings(), "huge").open()
    path.write_bytes(small * 3 + huge + small * 3)
    frames, corrupt = read(path)
    assert [frame.image.shape for frame in frames] == [(48, 64)] * 6
    assert corrupt == 1


def test_a_stream_without_timestamps_is_timed_by_its_frame_rate(tmp_path: Path) -> None:
    """Bare H.264, as some cameras' files are, and what is broken off in its middle."""
    path = write_video(tmp_path / "bare.h264", [numbered(k) for k in range(40)], fps=20)
    data = path.read_bytes()
    with av.open(str(path)) as bare:
        assert all(packet.pts is None for packet in bare.demux(video=0) if packet.size)
    for content in (data, data[: len(data) // 2]):
        path.write_bytes(content)
        frames, _ = read(path)
        steps = np.diff([frame.pts_seconds for frame in frames])
        assert len(frames) >= 5
        assert steps == pytest.approx(0.05, abs=0.02)


STATED: dict[str, list[float | None]] = {
    "as they should be": [k * 0.04 for k in range(100)],
    "repeat": [(k // 3) * 0.12 for k in range(100)],
    "go back a little": [k * 0.04 - (0.1 if k % 10 == 5 else 0) for k in range(100)],
    "go back to the start": [(k if k < 50 else k - 50) * 0.04 for k in range(100)],
    "jump ahead by an hour": [k * 0.04 + (3600 if k >= 50 else 0) for k in range(100)],
    "jump ahead by 2 s": [k * 0.04 + (2 if k >= 50 else 0) for k in range(100)],
    "jump ahead by 1.1 s, twice": [k * 0.04 + 1.1 * (k // 40) for k in range(100)],
    "jump ahead by 4 s and back again": [k * 0.04 + (4 if 50 <= k < 53 else 0) for k in range(100)],
    "jump ahead and back again": [k * 0.04 + (3600 if 50 <= k < 53 else 0) for k in range(100)],
    "are missing": [None if k % 2 else k * 0.04 for k in range(100)],
    "are all missing": [None] * 100,
    "wrap around": [((k * 3600 + 2**32 - 180000) % 2**32) / 90000 for k in range(100)],
}


@pytest.mark.parametrize("kind", STATED)
def test_whatever_a_live_stream_states_time_goes_on_and_no_track_jumps(kind: str) -> None:
    """A target that crosses the picture at 50 px/s in real time, seen at 25 Hz."""
    clock, timeline = StreamClock(0.04), Timeline()
    tracker = build_tracker(TrackerSettings(), 0.5)
    last: Frame | None = None
    shown: list[tuple[int, int, float, float]] = []
    for k, stated in enumerate(STATED[kind]):
        given = Frame(np.zeros((64, 300), np.uint8), 8, k, clock(stated), 0.0, 5.0 + k * 0.04, "c")
        frame = timeline.place(given, k, live=True)
        if last is not None:
            assert 0 < frame.pts_seconds - last.pts_seconds < 1.0
        last = frame
        x = 20.0 + 2.0 * k
        tracks = tracker.step(seen_at(x, frame), frame.image)
        for row in np.flatnonzero(tracks.reported):
            position, velocity = tracks.xy[row], tracks.velocity[row]
            assert np.isfinite(position).all() and np.isfinite(velocity).all()
            shown.append((k, int(tracks.track_id[row]), abs(position[0] - x), position[1]))
    assert {track for _, track, _, _ in shown} == {1}, "one target is one track"
    assert len(shown) > 80
    assert max(error for _, _, error, _ in shown) < 10.0
    assert max(abs(y - 30.0) for *_, y in shown) < 2.0


def seen_at(x: float, frame: Frame) -> Detections:
    one = np.ones(1)
    return Detections(
        xy=np.array([[x, 30.0]]),
        boxes_xyxy=np.array([[x - 1.5, 28.5, x + 1.5, 31.5]]),
        score=0.9 * one,
        area_px=9 * one,
        peak_snr=9 * one,
        extended=np.zeros(1, dtype=np.bool_),
        frame_index=frame.index,
        pts_seconds=frame.pts_seconds,
    )
