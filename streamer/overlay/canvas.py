"""Thin anti-aliased strokes and text on a grey picture, readable on any background.

Everything to be drawn is collected first. Then the picture is darkened a little along every
stroke (a halo, so that light lines hold on bright sky), the strokes go on top, and last the
protected rectangles, the targets' own pixels, are put back as they were.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Gray = NDArray[np.uint8]
Picture = NDArray[np.uint8]
Points = NDArray[np.float64]
Colour = tuple[int, int, int]
"""Blue, green, red."""

INK: Colour = (232, 232, 228)
HALO = 130
"""Of 255: the share of the picture's brightness taken away beside strokes and text,"""
FAINT_HALO = 60
"""and beside trails."""
_SHIFT = 4
_REACH = 4.0
"""Points are held within so many picture sizes: OpenCV counts in 32 bit."""


@dataclass(frozen=True, slots=True)
class _Strokes:
    first: int
    """Of its lines among all the canvas's lines."""
    end: int
    colour: Colour
    halo: int


@dataclass(frozen=True, slots=True)
class _Text:
    text: str
    origin: tuple[int, int]
    colour: Colour
    weight: int


class Typeface:
    """OpenCV's built-in outline font at one size, with the sizes of texts it has measured."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._face = cv2.FontFace("sans")
        self._widths: dict[tuple[str, int], int] = {}

    @property
    def height(self) -> int:
        """Height of a line of capitals and digits, px."""
        return round(0.74 * self.size)

    def width(self, text: str, weight: int) -> int:
        """Width of ``text``, px."""
        key = (text, weight)
        if key not in self._widths:
            if len(self._widths) > 2048:
                self._widths.clear()
            # Measured to a sentinel: a rectangle of ink would leave out the space at the end.
            ink = cv2.getTextSize((0, 0), text, (0, 0), self._face, self.size, weight)
            self._widths[key] = int(ink[0] + ink[2])
        return self._widths[key]

    def write(
        self, image: Picture, text: str, origin: tuple[int, int], colour: Colour | int, weight: int
    ) -> None:
        """Put ``text`` into ``image`` with its baseline's left end at ``origin``."""
        tone = (colour,) if isinstance(colour, int) else colour
        cv2.putText(image, text, origin, tone, self._face, self.size, weight)


class Canvas:
    """A picture being annotated; coordinates are its own pixels, an integer is a centre."""

    def __init__(self, gray: Gray, typeface: Typeface, line_width: int) -> None:
        self.gray = gray
        self.typeface = typeface
        self.line_width = line_width
        self._lines: list[Points] = []
        self._strokes: list[_Strokes] = []
        self._texts: list[_Text] = []
        self._protected: list[tuple[int, int, int, int]] = []

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, px."""
        return int(self.gray.shape[1]), int(self.gray.shape[0])

    def tone(self, colour: Colour, opacity: float, x: float, y: float) -> Colour:
        """``colour`` as it would look over the picture at (x, y) if it let light through."""
        width, height = self.size
        column, row = int(min(max(x, 0), width - 1)), int(min(max(y, 0), height - 1))
        below = (1 - opacity) * int(self.gray[row, column])
        blue, green, red = colour
        return (
            round(opacity * blue + below),
            round(opacity * green + below),
            round(opacity * red + below),
        )

    def lines(self, lines: list[Points], colour: Colour, halo: int = HALO) -> None:
        """Open polylines, each (N, 2), N at least 1."""
        first = len(self._lines)
        self._lines.extend(lines)
        self._strokes.append(_Strokes(first, len(self._lines), colour, halo))

    def text(self, text: str, x: float, y: float, colour: Colour, weight: int = 500) -> None:
        """A line of text whose top left corner is (x, y)."""
        origin = (round(x), round(y) + self.typeface.height)
        self._texts.append(_Text(text, origin, colour, weight))

    def protect(self, rect: ArrayLike) -> None:
        """Leave the pixels of the rectangle x0, y0, x1, y1 (continuous edges) as they are."""
        width, height = self.size
        x0, y0, x1, y1 = np.asarray(rect, np.float64)
        left, top = int(np.clip(np.floor(x0 + 0.5), 0, width)), max(int(np.floor(y0 + 0.5)), 0)
        right, bottom = int(np.clip(np.ceil(x1 + 0.5), 0, width)), int(np.ceil(y1 + 0.5))
        bottom = min(bottom, height)
        if left < right and top < bottom:
            self._protected.append((left, top, right, bottom))

    def finish(self, into: Picture) -> None:
        """Draw the picture with everything on it into an (H, W, 3) BGR array."""
        light = np.full_like(self.gray, 255)
        lines = self._fixed_point_lines()
        thick = self.line_width + 2
        # The strongest halo last: where two meet, it holds.
        for halo in sorted({item.halo for item in self._strokes}):
            haloed = [
                line
                for item in self._strokes
                if item.halo == halo
                for line in lines[item.first : item.end]
            ]
            cv2.polylines(light, haloed, False, (255 - halo,), thick, cv2.LINE_AA, _SHIFT)
        for text in self._texts:
            x, y = text.origin
            for dx, dy in ((-1, -1), (1, -1), (-1, 1), (1, 1)):
                at = (x + dx, y + dy)
                self.typeface.write(light, text.text, at, 255 - HALO, text.weight)
        darkened = cv2.multiply(self.gray, light, scale=1 / 255)
        cv2.cvtColor(darkened, cv2.COLOR_GRAY2BGR, dst=into)
        for item in self._strokes:
            cv2.polylines(
                into,
                lines[item.first : item.end],
                False,
                item.colour,
                self.line_width,
                cv2.LINE_AA,
                _SHIFT,
            )
        for text in self._texts:
            self.typeface.write(into, text.text, text.origin, text.colour, text.weight)
        for left, top, right, bottom in self._protected:
            into[top:bottom, left:right] = self.gray[top:bottom, left:right, None]

    def _fixed_point_lines(self) -> list[NDArray[np.int32]]:
        """All lines in OpenCV's fixed point, converted in one go: they are many and short."""
        if not self._lines:
            return []
        reach = _REACH * max(self.size)
        together = np.concatenate(self._lines)
        fixed = np.rint(np.clip(together, -reach, reach) * (1 << _SHIFT)).astype(np.int32)
        ends = np.cumsum([len(line) for line in self._lines]).tolist()
        return [fixed[a:b] for a, b in zip([0, *ends[:-1]], ends, strict=True)]
