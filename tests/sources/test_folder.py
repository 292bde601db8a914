"""Folders and globs of pictures."""

import logging
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from configs.schema import SourceSettings
from streamer.sources.folder import FolderSource
from streamer.types import Frame, StreamError


def source(address: Path | str, **settings: Any) -> FolderSource:
    return FolderSource(str(address), SourceSettings.model_validate(settings), "frames")


def rest_of(stream: FolderSource) -> list[Frame]:
    frames = []
    while (frame := stream.read()) is not None:
        frames.append(frame)
    return frames


def read_all(address: Path | str, **settings: Any) -> list[Frame]:
    stream = source(address, **settings)
    stream.open()
    return rest_of(stream)


def save(path: Path, image: NDArray[Any]) -> Path:
    ok, data = cv2.imencode(path.suffix, image)
    assert ok
    path.write_bytes(data.tobytes())
    return path


def level(value: int, shape: tuple[int, ...] = (4, 6), dtype: type = np.uint8) -> NDArray[Any]:
    return np.full(shape, value, dtype=dtype)


def test_natural_order_time_from_fps_and_what_the_log_says(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in (10, 9, 100, 1, 2):
        save(tmp_path / f"frame{number}.png", level(number))
    (tmp_path / "notes.txt").write_text("not a picture")
    (tmp_path / "sub.png").mkdir()
    with caplog.at_level(logging.INFO):
        frames = read_all(tmp_path, fps=20)
    assert [int(frame.image[0, 0]) for frame in frames] == [1, 2, 9, 10, 100]
    assert [frame.pts_seconds for frame in frames] == pytest.approx([0, 0.05, 0.1, 0.15, 0.2])
    assert [frame.index for frame in frames] == [0, 1, 2, 3, 4]
    assert "20 frames per second" in caplog.text


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".tif", ".bmp", ".jpg", ".JPEG", ".PNG"])
def test_every_kind_of_picture(tmp_path: Path, suffix: str) -> None:
    save(tmp_path / f"a{suffix}", level(90, (33, 17)))
    (frame,) = read_all(tmp_path)
    assert frame.image.shape == (33, 17)
    assert np.abs(frame.image.astype(int) - 90).max() <= 1


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bit_is_exact(tmp_path: Path, suffix: str) -> None:
    image = np.random.default_rng(1).integers(0, 65536, (20, 30), dtype=np.uint16)
    save(tmp_path / f"a{suffix}", image)
    (frame,) = read_all(tmp_path)
    assert frame.bit_depth == 16
    np.testing.assert_array_equal(frame.image, image)


def test_grey_written_as_rgb_rgba_or_palette_is_the_same_grey(tmp_path: Path) -> None:
    grey = np.random.default_rng(1).integers(0, 256, (20, 30), dtype=np.uint8)
    save(tmp_path / "a.png", cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR))
    save(tmp_path / "b.png", cv2.cvtColor(grey, cv2.COLOR_GRAY2BGRA))
    (tmp_path / "c.png").write_bytes(palette_png(grey))
    frames = read_all(tmp_path)
    assert len(frames) == 3
    for frame in frames:
        np.testing.assert_array_equal(frame.image, grey)


def palette_png(index: NDArray[np.uint8]) -> bytes:
    """A PNG of colour type 3 whose palette is a grey ramp, which OpenCV does not write."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)

    height, width = index.shape
    lines = b"".join(b"\0" + row.tobytes() for row in index)
    ramp = bytes(value for value in range(256) for _ in range(3))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0))
        + chunk(b"PLTE", ramp)
        + chunk(b"IDAT", zlib.compress(lines))
        + chunk(b"IEND", b"")
    )


def test_different_sizes_and_an_exclusion_for_each(tmp_path: Path) -> None:
    save(tmp_path / "1.png", level(1, (10, 10)))
    save(tmp_path / "2.png", level(2, (20, 5)))
    save(tmp_path / "3.png", level(3, (10, 10)))
    frames = read_all(tmp_path, exclude={"rectangles": [[0, 0, 3, 100]]})
    assert [frame.image.shape for frame in frames] == [(10, 10), (20, 5), (10, 10)]
    assert [int(f.ignore.sum()) for f in frames if f.ignore is not None] == [40, 80, 40]


def test_unreadable_pictures_are_counted_named_and_use_up_an_index(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save(tmp_path / "1.png", level(1))
    (tmp_path / "2.png").write_bytes(b"no picture at all")
    (tmp_path / "3.png").touch()
    save(tmp_path / "4.tif", np.zeros((4, 4), dtype=np.float32))
    save(tmp_path / "5.png", level(5))
    stream = source(tmp_path)
    stream.open()
    frames = rest_of(stream)
    assert [frame.index for frame in frames] == [0, 4]
    assert frames[1].pts_seconds == pytest.approx(4 / 30)
    assert stream.corrupt == 3
    for name in ("2.png", "3.png", "4.tif"):
        assert sum(name in record.getMessage() for record in caplog.records) == 1


def test_a_glob_and_a_single_picture(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        for number in (1, 2):
            save(tmp_path / folder / f"{number}.png", level(number))
    assert len(read_all(tmp_path / "a" / "*.png")) == 2
    assert len(read_all(tmp_path / "**" / "1.png")) == 2
    assert len(read_all(tmp_path / "a" / "1.png")) == 1


def test_start_and_end(tmp_path: Path) -> None:
    for number in range(10):
        save(tmp_path / f"{number}.png", level(number))
    frames = read_all(tmp_path, fps=10, start_seconds=0.3, end_seconds=0.6)
    assert [int(frame.image[0, 0]) for frame in frames] == [3, 4, 5]
    assert [frame.index for frame in frames] == [0, 1, 2]
    assert frames[0].pts_seconds == pytest.approx(0.3)


def test_a_picture_of_more_than_8k_is_left_out_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save(tmp_path / "1.png", level(1))
    save(tmp_path / "2.png", np.zeros((5000, 8000), np.uint8))
    save(tmp_path / "3.png", level(3))
    assert [frame.index for frame in read_all(tmp_path)] == [0, 2]
    assert "2.png is left out: it is 8000x5000 px, and more than" in caplog.text


def test_at_its_own_pace(tmp_path: Path) -> None:
    for number in range(4):
        save(tmp_path / f"{number}.png", level(number))
    stream = source(tmp_path, fps=20, pace="realtime")
    assert stream.live
    stream.open()
    frames = rest_of(stream)
    assert frames[-1].captured_seconds - frames[0].captured_seconds >= 0.148


def test_nothing_to_read_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").touch()
    for address in (tmp_path, tmp_path / "*.png"):
        with pytest.raises(StreamError, match="no pictures: give frames as PNG, TIFF, BMP or JPEG"):
            source(address).open()


def test_real_pictures_of_different_sizes(shared_dir: Path) -> None:
    frames = read_all(shared_dir / "data/NUAA-SIRST/image", end_seconds=1)
    assert len(frames) == 30
    assert len({frame.image.shape for frame in frames}) > 5
