"""What a decoded FFmpeg frame's intensity is, whatever its pixel format."""

from __future__ import annotations

from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange
from numpy.typing import NDArray

from streamer.intensity import IntensityConverter
from streamer.types import Image

_FLAT_CHROMA = 10  # codes of 8 bit around the neutral 128; codecs tint grey by less
_COLOURFUL_SHARE = 0.05  # of the pixels: a coloured crosshair does not make a picture colourful
_CHROMA_SAMPLES = 2048
_PLANAR_DEPTHS = (8, 9, 10, 12, 14, 16)


def intensity_of(
    frame: av.VideoFrame, converter: IntensityConverter, significant_bits: int = 16
) -> tuple[Image, int]:
    """White-hot intensity of a decoded frame and its significant bits.

    The luma plane is taken as it is, at its own depth (8, 9, 10, 12, 14, 16), without a detour
    through RGB; RGB is made only where a palette may have to be inverted, and of formats without
    luma. The display rotation that the container asks for is applied.

    Args:
        frame: as decoded.
        converter: the source's.
        significant_bits: how many bits of 16-bit grey carry anything: a thermal core may give 14.

    Returns:
        (H, W) uint8 or uint16, its own memory, and the bit depth.
    """
    luma = _with_luma_plane(frame)
    if luma is not None and not _needs_colour(luma, converter):
        depth = luma.format.components[0].bits
        if luma.format.name.startswith("gray16"):
            depth = significant_bits
        image = converter(_plane(luma, 0), limited=_is_limited(luma), bit_depth=depth)
    else:
        depth = 8 if luma is not None else _colour_depth(frame)
        image = converter(_rgb(frame, converter, depth), limited=None, bit_depth=depth)
    turns = round(frame.rotation / 90) % 4
    if turns:
        image = np.rot90(image, turns)
    # A view of the decoder's own buffer, or one turned: the frame's image stands by itself.
    if image.base is not None or not image.flags.c_contiguous:
        image = image.copy()
    return image, 8 if image.dtype == np.uint8 else depth


def _with_luma_plane(frame: av.VideoFrame) -> av.VideoFrame | None:
    """The frame with its luma in a plane of its own, or None if it has none (RGB, palette)."""
    layout = frame.format
    first = layout.components[0]
    if layout.has_palette or layout.is_rgb or layout.is_bayer or not first.is_luma:
        return None
    name = layout.name
    if name.startswith("grayf") or name in ("monow", "monob"):
        return frame.reformat(format="gray16le" if name.startswith("grayf") else "gray")
    if name.startswith(("gray", "yuv4", "yuva4", "yuvj4", "nv12", "nv16", "nv21", "nv24")):
        # yuyv422 and its kind do not get here: their names lack the 4 after "yuv".
        return frame
    depth = first.bits if first.bits in _PLANAR_DEPTHS else 16
    return frame.reformat(format="yuv422p" if depth == 8 else f"yuv444p{depth}le")


def _plane(frame: av.VideoFrame, index: int) -> NDArray[Any]:
    """(rows, samples) of a plane without its padding, in native byte order; a view if possible."""
    plane = frame.planes[index]
    layout = frame.format
    wide = any(part.plane == index and part.bits > 8 for part in layout.components)
    order = ">" if layout.is_big_endian else "<"
    samples = np.frombuffer(plane, dtype=f"{order}u2" if wide else "u1")  # type: ignore[call-overload]
    per_pixel = sum(part.plane == index for part in layout.components)
    rows = samples.reshape(-1, plane.line_size // samples.itemsize)
    picture = rows[: plane.height, : plane.width * per_pixel]
    return np.asarray(picture, dtype=picture.dtype.newbyteorder("="))


def _needs_colour(frame: av.VideoFrame, converter: IntensityConverter) -> bool:
    """Whether the converter must see colours: a palette is set, or may be in this picture."""
    if not converter.wants_colour:
        return False
    return converter.palette != "auto" or not _is_nearly_grey(frame)


def _is_nearly_grey(frame: av.VideoFrame) -> bool:
    for index in sorted({part.plane for part in frame.format.components if part.is_chroma}):
        depth = frame.format.components[0].bits
        chroma = _plane(frame, index)
        step = max(1, round((chroma.size / _CHROMA_SAMPLES) ** 0.5))
        distance = np.abs(chroma[::step, ::step].astype(np.int32) - (1 << (depth - 1)))
        coloured = np.count_nonzero(distance > (_FLAT_CHROMA << (depth - 8)))
        if coloured >= _COLOURFUL_SHARE * distance.size:
            return False
    return True


def _is_limited(frame: av.VideoFrame) -> bool:
    """What the stream says of its luma; where it says nothing, YUV is limited and grey is full,
    as every player takes it."""
    if frame.color_range in (ColorRange.MPEG, ColorRange.JPEG):
        return frame.color_range == ColorRange.MPEG
    return not frame.format.name.startswith(("gray", "yuvj", "ya"))


def _colour_depth(frame: av.VideoFrame) -> int:
    return 16 if max(part.bits for part in frame.format.components) > 8 else 8


def _rgb(frame: av.VideoFrame, converter: IntensityConverter, depth: int) -> Image:
    """(H, W, 3) full-range RGB of 8 or 16 bit."""
    options: dict[str, Any] = {}
    if not (frame.format.is_rgb or frame.format.has_palette):
        limited = converter.is_limited(_is_limited(frame))
        options = {
            "src_color_range": ColorRange.MPEG if limited else ColorRange.JPEG,
            "dst_color_range": ColorRange.JPEG,
        }
    if depth == 8:
        return np.asarray(frame.to_ndarray(format="rgb24", **options), dtype=np.uint8)
    return np.asarray(frame.to_ndarray(format="rgb48le", **options), dtype=np.uint16)
