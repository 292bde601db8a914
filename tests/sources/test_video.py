"""Video files: every frame once, in order, with its own time and its own pixels."""

import os
import threading
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from media import cut, number_in, numbered, with_latin_title, write_video

from configs.schema import SourceSettings
from streamer.intensity import palette_table
from streamer.sources.video import VideoSource
from streamer.types import Frame, StreamError


def source(path: Path | str, **settings: Any) -> VideoSource:
    return VideoSource(str(path), SourceSettings.model_validate(settings), "clip")


def read_all(path: Path, **settings: Any) -> list[Frame]:
    """Every frame of a file that must be whole."""
    stream = source(path, **settings)
    stream.open()
    try:
        return rest_of(stream)
    finally:
        stream.close()


def rest_of(stream: VideoSource) -> list[Frame]:
    frames = []
    while (frame := stream.read()) is not None:
        frames.append(frame)
    return frames


def clip(path: Path, count: int = 60, **options: Any) -> Path:
    return write_video(path, [numbered(index) for index in range(count)], **options)


def damage(path: Path, packets: list[int]) -> Path:
    """A copy of the file with the inside of some packets overwritten."""
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        places = [(p.pos, p.size) for p in container.demux(video=0) if p.pos is not None and p.size]
    for index in packets:
        start, size = places[index]
        data[start : start + size] = b"\xff" * size
    copy = path.with_name(f"damaged-{path.name}")
    copy.write_bytes(data)
    return copy


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format"),
    [
        ("a.mp4", "libx264", "yuv420p"),
        ("a.mkv", "libx265", "yuv420p"),
        ("a.ts", "libx264", "yuv420p"),
        ("a.avi", "mjpeg", "yuvj420p"),
        ("a.mov", "png", "rgb24"),
        ("a.webm", "libvpx-vp9", "yuv420p"),
        ("a.mp4", "mpeg4", "yuv420p"),
    ],
)
def test_every_frame_in_order(tmp_path: Path, name: str, codec: str, pixel_format: str) -> None:
    """Codecs with frames that depend on later ones keep some back until they are flushed."""
    path = clip(tmp_path / name, codec=codec, pixel_format=pixel_format)
    frames = read_all(path)
    assert [number_in(frame.image) for frame in frames] == list(range(60))
    assert [frame.index for frame in frames] == list(range(60))
    steps = np.diff([frame.pts_seconds for frame in frames])
    np.testing.assert_allclose(steps, 1 / 30, atol=2e-3)
    assert not frames[0].image.flags.writeable


def test_timestamps_are_the_streams_own(tmp_path: Path) -> None:
    seconds = [0.5, 0.6, 0.65, 1.4, 1.45, 3.0]
    path = clip(tmp_path / "a.mp4", 6, seconds=seconds)
    assert [frame.pts_seconds for frame in read_all(path)] == pytest.approx(seconds, abs=2e-3)


def test_a_stream_without_timestamps_gets_its_average_rate(tmp_path: Path) -> None:
    frames = read_all(clip(tmp_path / "a.h264", 10, options={"bf": "0"}))
    assert len(frames) == 10
    steps = np.diff([frame.pts_seconds for frame in frames])
    np.testing.assert_allclose(steps, steps[0])
    assert 0.02 < steps[0] < 0.05


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format", "bits"),
    [
        ("a.mkv", "ffv1", "gray16le", 16),
        ("a.nut", "rawvideo", "gray16be", 16),
        ("a.mov", "png", "gray16be", 16),
        ("a.mkv", "ffv1", "gray10le", 10),
        ("a.mkv", "ffv1", "gray12le", 12),
    ],
)
def test_grey_of_more_than_8_bit_is_exact(
    tmp_path: Path, name: str, codec: str, pixel_format: str, bits: int
) -> None:
    """An odd width makes the decoder pad its lines."""
    rng = np.random.default_rng(1)
    images = [rng.integers(0, 1 << bits, (33, 51), dtype=np.uint16) for _ in range(3)]
    native = pixel_format.replace("be", "le")
    given = [image.byteswap() if pixel_format != native else image for image in images]
    if pixel_format == native:
        path = write_video(tmp_path / name, given, codec=codec, pixel_format=pixel_format)
    else:
        path = write_video(tmp_path / name, images, codec=codec, pixel_format=pixel_format)
    frames = read_all(path)
    assert len(frames) == 3
    for frame, image in zip(frames, images, strict=True):
        assert frame.image.dtype == np.uint16
        assert frame.image.dtype.isnative
        assert frame.bit_depth == bits
        np.testing.assert_array_equal(frame.image, image)


@pytest.mark.parametrize("size", [(33, 51), (48, 64), (1, 1), (257, 321)])
def test_8_bit_grey_of_any_size_is_exact(tmp_path: Path, size: tuple[int, int]) -> None:
    image = np.random.default_rng(2).integers(0, 256, size, dtype=np.uint8)
    path = write_video(tmp_path / "a.mkv", [image], codec="ffv1", pixel_format="gray")
    (frame,) = read_all(path)
    np.testing.assert_array_equal(frame.image, image)
    assert frame.bit_depth == 8


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuyv422", "nv12", "yuv444p"])
def test_limited_range_is_stretched_and_the_setting_overrules(
    tmp_path: Path, pixel_format: str
) -> None:
    image = np.full((32, 32), 255, dtype=np.uint8)
    image[:16] = 0
    path = write_video(tmp_path / "a.nut", [image], codec="rawvideo", pixel_format=pixel_format)
    (stretched,) = read_all(path)
    np.testing.assert_array_equal(stretched.image, image)
    (raw,) = read_all(path, luma_range="full")
    assert np.unique(raw.image).tolist() == [16, 235]


def test_10_bit_luma_keeps_its_depth(tmp_path: Path) -> None:
    image = np.full((32, 32), 255, dtype=np.uint8)
    path = write_video(tmp_path / "a.nut", [image], codec="rawvideo", pixel_format="yuv420p10le")
    (frame,) = read_all(path)
    assert frame.image.dtype == np.uint16
    assert frame.bit_depth == 10
    assert np.abs(frame.image.astype(int) - 1023).max() <= 8


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_the_display_rotation_is_applied(tmp_path: Path, degrees: int) -> None:
    image = numbered(5)
    turned = np.rot90(image, degrees // 90)
    # Stored the other way round, with the note to turn it back when it is shown.
    stored = np.ascontiguousarray(np.rot90(turned, -degrees // 90))
    path = write_video(tmp_path / "a.mp4", [stored], rotation=degrees)
    (frame,) = read_all(path)
    assert frame.image.shape == turned.shape
    assert np.abs(frame.image.astype(int) - turned).mean() < 6


def test_pseudo_colour_is_inverted(tmp_path: Path) -> None:
    images = [numbered(index, 96, 128) for index in range(5)]
    coloured = [palette_table("ironbow")[image] for image in images]
    path = write_video(tmp_path / "a.mp4", coloured)
    for frame, image in zip(read_all(path), images, strict=True):
        assert np.median(np.abs(frame.image.astype(int) - image)) <= 6
        assert number_in(frame.image) == number_in(image)
    # Luma alone would be another scale.
    luma = read_all(path, palette="grey")[3].image
    assert np.abs(luma.astype(int) - images[3]).mean() > 10


def test_black_hot_is_turned_round(tmp_path: Path) -> None:
    image = numbered(9)
    path = write_video(tmp_path / "a.mkv", [image], codec="ffv1", pixel_format="gray")
    (frame,) = read_all(path, polarity="black_hot")
    np.testing.assert_array_equal(frame.image, 255 - image)


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "libx264"),
        ("a.mkv", "libx264"),
        ("a.ts", "libx264"),
        ("a.h264", "libx264"),
        ("a.avi", "mjpeg"),
    ],
)
def test_start_and_end_are_exact(tmp_path: Path, name: str, codec: str) -> None:
    """Key frames are 2 s apart; the raw stream has no clock to seek by."""
    pixel_format = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    options = {"g": "60", "bf": "0"}
    path = clip(tmp_path / name, 150, codec=codec, pixel_format=pixel_format, options=options)
    whole = read_all(path)
    first = whole[0].pts_seconds
    wanted = [f for f in whole if 2.5 - 1e-6 <= f.pts_seconds - first < 3.7 - 1e-6]
    part = read_all(path, start_seconds=2.5, end_seconds=3.7)
    assert [number_in(f.image) for f in part] == [number_in(f.image) for f in wanted]
    assert len(part) >= 28
    times = [f.pts_seconds for f in part]
    assert times == pytest.approx([f.pts_seconds for f in wanted], abs=1e-6)
    assert [f.index for f in part] == list(range(len(part)))


def test_start_after_the_end_gives_nothing(tmp_path: Path) -> None:
    assert read_all(clip(tmp_path / "a.mp4", 10), start_seconds=60) == []


def test_damaged_packets_are_counted_and_use_up_an_index(tmp_path: Path) -> None:
    path = damage(clip(tmp_path / "a.mp4", 24, options={"g": "1"}), [5, 11, 23])
    stream = source(path)
    stream.open()
    frames = rest_of(stream)
    stream.close()
    assert stream.corrupt == 3
    assert len(frames) + stream.corrupt == 24
    good = [index for index in range(24) if index not in (5, 11, 23)]
    assert [number_in(frame.image) for frame in frames] == good
    assert [frame.index for frame in frames] == good


def test_two_readings_of_a_damaged_file_are_the_same(tmp_path: Path) -> None:
    path = damage(clip(tmp_path / "a.mp4", 60), [7, 8, 30])
    first, second = (
        [(frame.index, frame.pts_seconds, frame.image.tobytes()) for frame in read_all(path)]
        for _ in range(2)
    )
    assert first == second


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi"])
def test_a_truncated_file_gives_what_it_holds_and_then_says_so(tmp_path: Path, name: str) -> None:
    index_first = {"movflags": "faststart"} if name == "a.mp4" else {}
    options = {"bf": "0"}
    whole = clip(tmp_path / name, 150, ticks=30, options=options, container_options=index_first)
    assert len(read_all(whole)) == 150
    stream = source(cut(whole, 0.6))
    stream.open()
    frames = []
    with pytest.raises(StreamError, match=r"ends early: .* of ") as failure:
        while (frame := stream.read()) is not None:
            frames.append(frame)
    assert len(frames) > 40
    assert [number_in(frame.image) for frame in frames] == list(range(len(frames)))
    assert stream.read() is None
    stream.close()
    assert "\n" not in str(failure.value)


def test_at_its_own_pace_frames_come_when_they_are_due(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mp4", 15)
    stream = source(path, pace="realtime")
    assert stream.live
    stream.open()
    frames = rest_of(stream)
    stream.close()
    due = np.array([f.pts_seconds for f in frames]) - frames[0].pts_seconds
    released = np.array([f.captured_seconds for f in frames]) - frames[0].captured_seconds
    assert len(frames) == 15
    assert (released - due).min() > -0.002
    assert np.median(released - due) < 0.02


def test_a_late_reader_does_not_shift_the_schedule(tmp_path: Path) -> None:
    stream = source(clip(tmp_path / "a.mp4", 20), pace="realtime")
    stream.open()
    first = stream.read()
    assert first is not None
    time.sleep(0.4)
    last = rest_of(stream)[-1]
    stream.close()
    late = (last.captured_seconds - first.captured_seconds) - (last.pts_seconds - first.pts_seconds)
    assert -0.002 < late < 0.1


def test_interrupt_ends_the_wait_for_a_frame_that_is_due_later(tmp_path: Path) -> None:
    stream = source(clip(tmp_path / "a.mp4", 2, seconds=[0, 60]), pace="realtime")
    stream.open()
    assert stream.read() is not None
    threading.Timer(0.2, stream.interrupt).start()
    before = time.monotonic()
    assert stream.read() is None
    assert time.monotonic() - before < 2
    stream.close()
    stream.close()


def test_opened_again_it_starts_again(tmp_path: Path) -> None:
    stream = source(clip(tmp_path / "a.mp4", 5))
    for _ in range(2):
        stream.open()
        assert [frame.index for frame in rest_of(stream)] == list(range(5))


def test_the_exclusion_mask_comes_with_every_frame(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mp4", 2)
    for frame in read_all(path, exclude={"rectangles": [[0, 0, 9, 4]]}):
        assert frame.ignore is not None
        assert frame.ignore.sum() == 50
    assert read_all(path)[0].ignore is None


def test_names_that_ffmpeg_would_take_for_something_else(tmp_path: Path) -> None:
    for name in ("-i.mp4", "pipe:0.mp4", "a%03d.mp4", "with space.mp4"):
        path = clip(tmp_path / "plain.mp4", 3).rename(tmp_path / name)
        assert len(read_all(path)) == 3


def test_a_title_in_another_encoding_is_no_reason_to_refuse_a_file(tmp_path: Path) -> None:
    assert len(read_all(with_latin_title(clip(tmp_path / "a.avi", 5, codec="mpeg4")))) == 5


def message_of(path: Path) -> str:
    with pytest.raises(StreamError) as failure:
        source(path).open()
    text = str(failure.value)
    assert "\n" not in text
    assert path.name in text
    return text


def test_a_missing_file(tmp_path: Path) -> None:
    assert "there is no" in message_of(tmp_path / "nothing.mp4")


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    assert "empty" in message_of(tmp_path / "empty.mp4")


@pytest.mark.parametrize("name", ["text.mp4", "text.txt"])
def test_a_text_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("one line after another\n" * 100)
    message_of(tmp_path / name)


def test_a_file_with_sound_only(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        assert isinstance(stream, av.AudioStream)
        silence = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono"
        )
        silence.rate = 16000
        container.mux(stream.encode(silence))
        container.mux(stream.encode(None))
    assert "no video" in message_of(path)


def test_an_mp4_cut_off_before_its_index(tmp_path: Path) -> None:
    assert "cut off" in message_of(cut(clip(tmp_path / "a.mp4"), 0.5))


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mp4", 2)
    path.chmod(0)
    assert "permission" in message_of(path)


def test_real_clips_are_whole(shared_dir: Path) -> None:
    path = shared_dir / "data/ir-video/IR_DRONE_001.mp4"
    with av.open(str(path)) as container:
        declared = container.streams.video[0].frames
    frames = read_all(path)
    assert len(frames) == declared
    assert {frame.image.shape for frame in frames} == {(256, 320)}
    # The clips are limited range: stretched, they reach black and white.
    assert min(frame.image.min() for frame in frames) == 0
