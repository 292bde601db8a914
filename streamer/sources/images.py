"""Reading one picture of a file, at its full depth."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from streamer.types import MAX_PIXELS, Image

IMAGE_SUFFIXES = frozenset({".png", ".tif", ".tiff", ".bmp", ".jpg", ".jpeg"})
"""File name endings of pictures, in lower case."""


class ImageError(Exception):
    """A picture cannot be read. The message says why, and goes after the file's name."""


def read_image(path: Path) -> Image:
    """The picture in a file: (H, W) grey or (H, W, 3) RGB, uint8 or uint16.

    Palette pictures become RGB and transparency is dropped. Of a TIFF with several pages the first
    is read.

    Raises:
        ImageError: no such file, not a picture, more than :data:`MAX_PIXELS` of them, or pixels
            that are neither 8 nor 16 bit.
    """
    try:
        data = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise ImageError((error.strerror or "it cannot be read").lower()) from error
    if data.size == 0:
        raise ImageError("the file is empty")
    try:
        image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise ImageError("it is damaged or no picture") from error
    if image is None:
        raise ImageError("it is damaged or no picture")
    height, width = image.shape[:2]
    if height * width > MAX_PIXELS:
        raise ImageError(f"it is {width}x{height} px, and more than {MAX_PIXELS} are not read")
    if image.ndim == 3:
        image = image[..., 0] if image.shape[2] < 3 else image[..., 2::-1]
    image = np.ascontiguousarray(image)
    if image.dtype == np.uint8:
        return np.asarray(image, dtype=np.uint8)
    if image.dtype == np.uint16:
        return np.asarray(image, dtype=np.uint16)
    raise ImageError(f"its pixels are {image.dtype}, and only 8 and 16 bit are read")
