"""Writes the files that the tests of sources read."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray


def numbered(
    index: int, height: int = 48, width: int = 64, top: int = 255, dtype: type = np.uint8
) -> NDArray[Any]:
    """(height, width): ten bars that spell ``index`` in binary, black or ``top``, over a slope."""
    image = np.tile(np.linspace(0.25, 0.75, height)[:, None] * top, (1, width))
    for bit in range(10):
        x0, x1 = bit * width // 10, (bit + 1) * width // 10
        image[: height // 2, x0:x1] = top if index >> bit & 1 else 0
    return image.astype(dtype)


def number_in(image: NDArray[Any], top: float = 255) -> int:
    """The index that :func:`numbered` wrote into the picture."""
    height, width = image.shape
    row = image[height // 4]
    return sum(1 << bit for bit in range(10) if row[(2 * bit + 1) * width // 20] > top / 2)


def write_video(
    path: Path,
    images: Sequence[NDArray[Any]],
    *,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    seconds: Sequence[float] | None = None,
    fps: int = 30,
    ticks: int = 600,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    rotation: int = 0,
    color_range: int | None = None,
) -> Path:
    """Write grey (H, W) or RGB (H, W, 3) pictures as a video, 30 a second unless ``seconds`` says
    when each is shown. Timestamps count ``ticks`` a second, where the container takes that."""
    height, width = images[0].shape[:2]
    with av.open(str(path), "w", container_options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=fps, options=options or {})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        stream.codec_context.time_base = Fraction(1, ticks)
        if color_range is not None:
            stream.codec_context.color_range = color_range
        if rotation:
            stream.set_display_rotation(rotation)
        for index, image in enumerate(images):
            if image.ndim == 3:
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            elif image.dtype == np.uint16:
                frame = av.VideoFrame.from_ndarray(image, format="gray16le")
            else:
                frame = av.VideoFrame.from_ndarray(image, format="gray")
            if frame.format.name != pixel_format:
                # uint16 pictures for gray10le and its kind hold the samples themselves
                frame = _as_format(frame, image, pixel_format)
            when = index / fps if seconds is None else seconds[index]
            frame.pts, frame.time_base = round(when * ticks), Fraction(1, ticks)
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
    return path


def _as_format(frame: av.VideoFrame, image: NDArray[Any], pixel_format: str) -> av.VideoFrame:
    if pixel_format.startswith("gray") and image.dtype == np.uint16:
        return av.VideoFrame.from_ndarray(image, format=pixel_format)
    return frame.reformat(format=pixel_format)


def with_latin_title(path: Path) -> Path:
    """The file with an umlaut in Latin-1, which is no UTF-8, in what its metadata says of who wrote
    it."""
    data = path.read_bytes()
    assert b"Lavf" in data
    path.write_bytes(data.replace(b"Lavf", b"L\xe4vf"))
    return path


def cut(path: Path, share: float) -> Path:
    """A copy of the file that ends after ``share`` of its bytes."""
    data = path.read_bytes()
    copy = path.with_name(f"cut-{path.name}")
    copy.write_bytes(data[: int(len(data) * share)])
    return copy
