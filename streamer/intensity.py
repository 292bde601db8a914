"""From decoded pictures to white-hot intensity, the same way in training and in inference.

Three things stand between what a decoder gives and how hot a pixel is:

* video luma often uses 16..235 of its 256 codes (*limited range*); it is stretched to all of them;
* many thermal cameras and recordings are *pseudo-coloured*; the palette is inverted, each colour
  giving the position of the nearest colour in the palette;
* some cameras show hot things dark (*black-hot*); their scale is turned round.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from streamer.types import Image

_log = logging.getLogger(__name__)

PaletteName = Literal[
    "auto", "grey", "ironbow", "inferno", "magma", "plasma", "jet", "hot", "rainbow", "turbo"
]
LumaRange = Literal["auto", "limited", "full"]
Polarity = Literal["white_hot", "black_hot"]

PALETTES = ("ironbow", "inferno", "magma", "plasma", "jet", "hot", "rainbow", "turbo")
"""The pseudo-colour palettes that can be inverted, in the order they are tried."""

# Makers draw "ironbow" a little differently; these are the stops that they have in common.
_IRONBOW_STOPS = np.array(
    [[0, 0, 0], [32, 0, 140], [204, 0, 119], [255, 215, 0], [255, 255, 255]], dtype=np.float64
)
_COLORMAPS = {
    "inferno": cv2.COLORMAP_INFERNO,
    "magma": cv2.COLORMAP_MAGMA,
    "plasma": cv2.COLORMAP_PLASMA,
    "jet": cv2.COLORMAP_JET,
    "hot": cv2.COLORMAP_HOT,
    "rainbow": cv2.COLORMAP_RAINBOW,
    "turbo": cv2.COLORMAP_TURBO,
}

# 64 levels a channel: a table of 256 KiB, which stays in a core's cache, and errors of one or two
# levels, which is less than what the video codec did to the colours before.
_BITS = 6
_SHIFT = 8 - _BITS

_COLOURFUL_SPREAD = 24  # max - min of a pixel's channels; codecs tint grey by less
_COLOURFUL_SHARE = 0.1  # of the pixels: a coloured crosshair does not make a picture colourful
_MATCH_DISTANCE = 30.0  # RGB levels between a pixel and a palette: what chroma subsampling does
_MATCH_SHARE = 0.85  # of the pixels: burnt-in text is in no palette
_SAMPLES = 4096


@cache
def palette_table(name: str) -> NDArray[np.uint8]:
    """The palette's colours from cold to hot: (256, 3) RGB, read-only.

    Rainbow runs as thermal cameras draw it, from violet (cold) to red (hot).

    Raises:
        ValueError: no such palette.
    """
    if name not in PALETTES:
        raise ValueError(f"palette {name!r} is not known, expected one of {', '.join(PALETTES)}")
    table: NDArray[np.uint8]
    if name == "ironbow":
        stops = np.linspace(0, 255, len(_IRONBOW_STOPS))
        channels = [np.interp(np.arange(256), stops, column) for column in _IRONBOW_STOPS.T]
        table = np.rint(np.stack(channels, axis=1)).astype(np.uint8)
    else:
        ramp = np.arange(256, dtype=np.uint8)[:, None]
        bgr = np.asarray(cv2.applyColorMap(ramp, _COLORMAPS[name])[:, 0], dtype=np.uint8)
        table = bgr[:, ::-1]
        if name == "rainbow":
            table = table[::-1]
        table = np.ascontiguousarray(table)
    table.setflags(write=False)
    return table


@cache
def _palette_tree(name: str) -> cKDTree:
    return cKDTree(palette_table(name).astype(np.float64))


@cache
def _inverse_table(name: str) -> NDArray[np.uint8]:
    """(64 * 64 * 64,) intensity of every coarse colour, red in the highest bits."""
    centres = np.arange(1 << _BITS) * (1 << _SHIFT) + ((1 << _SHIFT) - 1) / 2
    red, green, blue = np.meshgrid(centres, centres, centres, indexing="ij")
    colours = np.stack([red.ravel(), green.ravel(), blue.ravel()], axis=1)
    _, index = _palette_tree(name).query(colours)
    return np.asarray(index, dtype=np.uint8)


@cache
def _stretch_table(bit_depth: int) -> Image:
    """What each limited-range code becomes: 16..235 of 8 bit, scaled to the depth, to the full."""
    size = 256 if bit_depth == 8 else 65536
    scale = 2.0 ** (bit_depth - 8)
    top = (1 << bit_depth) - 1
    codes = np.arange(size, dtype=np.float64)
    full = np.clip(np.rint((codes - 16 * scale) * (top / (219 * scale))), 0, top)
    return full.astype(np.uint8) if bit_depth == 8 else full.astype(np.uint16)


def _to_8_bit(rgb: Image, bit_depth: int) -> NDArray[np.uint8]:
    if rgb.dtype == np.uint8:
        return np.asarray(rgb, dtype=np.uint8)
    return np.asarray(np.minimum(rgb >> max(bit_depth - 8, 0), 255), dtype=np.uint8)


def _samples(rgb: NDArray[np.uint8]) -> NDArray[np.int16]:
    """(N, 3) pixels spread evenly over the picture, at most a few thousand."""
    pixels = rgb.reshape(-1, 3)
    return pixels[:: max(1, len(pixels) // _SAMPLES)].astype(np.int16)


def is_colourful(rgb: NDArray[np.uint8]) -> bool:
    """Whether a (H, W, 3) picture is more than a grey one with a few coloured marks in it."""
    pixels = _samples(rgb)
    spread = pixels.max(axis=1) - pixels.min(axis=1)
    return float(np.mean(spread > _COLOURFUL_SPREAD)) >= _COLOURFUL_SHARE


def match_palette(rgb: NDArray[np.uint8]) -> str | None:
    """The palette whose colours a (H, W, 3) RGB picture uses, or None if it is none of them."""
    pixels = _samples(rgb).astype(np.float64)
    best, best_cost = None, np.inf
    for name in PALETTES:
        distance, _ = _palette_tree(name).query(pixels)
        # Clipped, so that burnt-in text does not decide.
        cost = float(np.minimum(distance, 2 * _MATCH_DISTANCE).mean())
        if cost < best_cost and float(np.mean(distance <= _MATCH_DISTANCE)) >= _MATCH_SHARE:
            best, best_cost = name, cost
    return best


class IntensityConverter:
    """Turns the pictures of one source into white-hot intensity.

    With ``palette="auto"``, pictures that are nearly grey give their luma. The first colourful one
    is matched against the palettes, and what comes out is kept for the rest of the source, so that
    a scene change never switches the scale; if no palette fits, luma is used, with a warning.

    Args:
        palette: the pseudo-colour to invert, ``grey`` for none, or ``auto``.
        luma_range: ``limited`` or ``full`` overrules what the stream says; ``auto`` believes it.
        polarity: ``black_hot`` where the camera shows hot things dark.
        name: the source, for the log.

    Raises:
        ValueError: no such palette, range or polarity.
    """

    def __init__(
        self,
        palette: PaletteName = "auto",
        luma_range: LumaRange = "auto",
        polarity: Polarity = "white_hot",
        name: str = "source",
    ) -> None:
        for what, given, allowed in (
            ("palette", palette, ("auto", "grey", *PALETTES)),
            ("luma_range", luma_range, ("auto", "limited", "full")),
            ("polarity", polarity, ("white_hot", "black_hot")),
        ):
            if given not in allowed:
                raise ValueError(f"{what} is {given!r}, expected one of {', '.join(allowed)}")
        self._palette: str = palette
        self._luma_range = luma_range
        self._black_hot = polarity == "black_hot"
        self._name = name

    @property
    def palette(self) -> str:
        """``grey``, a palette's name, or ``auto`` while no colourful picture has come."""
        return self._palette

    @property
    def wants_colour(self) -> bool:
        """False where luma is enough: there is no need to make RGB out of a video frame then."""
        return self._palette != "grey"

    def is_limited(self, declared: bool) -> bool:
        """Whether luma is to be read as 16..235, given what the stream says of itself."""
        return declared if self._luma_range == "auto" else self._luma_range == "limited"

    def __call__(
        self, image: Image, *, limited: bool | None = False, bit_depth: int | None = None
    ) -> Image:
        """White-hot intensity of one picture.

        Args:
            image: (H, W) luma or (H, W, 3) RGB; uint8 or uint16.
            limited: the stream says that 16..235 (scaled to the depth) is black to white. None:
                the range was dealt with already, and ``luma_range`` is not applied again.
            bit_depth: significant bits of a uint16 pixel; None: 16. Of uint8 it is always 8.

        Returns:
            (H, W) uint8 or uint16. An inverted palette always gives uint8; luma keeps its type,
            and is the very array that was given where nothing is to be done.

        Raises:
            ValueError: another shape or type.
        """
        if image.dtype not in (np.uint8, np.uint16) or not (
            image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)
        ):
            raise ValueError(
                f"image has shape {image.shape} and type {image.dtype}, "
                "expected (H, W) or (H, W, 3) of uint8 or uint16"
            )
        depth = 8 if image.dtype == np.uint8 else (bit_depth or 16)
        palette = self._palette_of(image, depth)
        if palette is not None:
            image, depth = _invert_palette(_to_8_bit(image, depth), palette), 8
        else:
            if image.ndim == 3:
                image = _luma(image)
            if limited is not None and self.is_limited(limited):
                image = _stretch(image, depth)
        return _turn_round(image, depth) if self._black_hot else image

    def _palette_of(self, image: Image, depth: int) -> str | None:
        """The palette to invert in this picture, or None for luma."""
        if image.ndim == 2 or self._palette == "grey":
            return None
        if self._palette == "auto":
            rgb = _to_8_bit(image, depth)
            if not is_colourful(rgb):
                return None
            matched = match_palette(rgb)
            if matched is None:
                _log.warning(
                    "%s: the picture is in colour and in no known palette; its luma is used as "
                    "intensity (set source.palette if it is pseudo-colour)",
                    self._name,
                )
            else:
                _log.info("%s: the picture is in the palette %r; inverting it", self._name, matched)
            self._palette = matched or "grey"
        return None if self._palette == "grey" else self._palette


def _luma(rgb: Image) -> Image:
    """(H, W) BT.601 luma; exactly the channel where all three are equal."""
    return _as_image(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY))


def _invert_palette(rgb: NDArray[np.uint8], palette: str) -> NDArray[np.uint8]:
    coarse = (rgb >> _SHIFT).astype(np.int32)
    code = (coarse[..., 0] << (2 * _BITS)) | (coarse[..., 1] << _BITS) | coarse[..., 2]
    return np.asarray(_inverse_table(palette)[code], dtype=np.uint8)


def _stretch(luma: Image, depth: int) -> Image:
    table = _stretch_table(depth)
    return _as_image(cv2.LUT(luma, table) if depth == 8 else np.take(table, luma))


def _turn_round(image: Image, depth: int) -> Image:
    top = image.dtype.type((1 << depth) - 1)
    # A camera may give more than its declared depth: without the minimum that would wrap round.
    return _as_image(top - np.minimum(image, top))


def _as_image(array: NDArray[np.generic]) -> Image:
    """The same array, typed: what NumPy and OpenCV return for uint8 or uint16 input."""
    if array.dtype == np.uint8:
        return np.asarray(array, dtype=np.uint8)
    return np.asarray(array, dtype=np.uint16)
