"""Where the network looks: at windows around tracks and bright spots, and at a part of the rest."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from configs.schema import GateSettings
from model.spots import BrightSpots
from model.windows import Window, cover, reach_px, scan_tiles
from streamer.types import FloatArray, FocusHints, Image

_CELL_PX = 4
"""Side of the cells in which it is remembered which spots the network saw: one in the same cell or
in the next is the same."""
_THUMBNAIL = (24, 24)
_CUT_SHARE = 0.25
_CUT_LEVELS = 4.0
"""A cut changes a picture's thumbnail by more than this share of its contrast and so many grey
levels of 8 bit; a camera that pans at frame rate changes it by less."""
_LASTING_FRAMES = 10
"""A scene of fewer may be a photograph of many."""


@dataclass(frozen=True, slots=True, eq=False)
class Glance:
    """What can be said of a frame before it is known where its tracks are expected."""

    number: int
    """Of the frame, from 1."""
    height: int
    width: int
    new_scene: bool
    windows: list[Window] | None
    """The part of the scan whose turn it is; None: all of the picture."""
    spots: FloatArray
    """(K, 2) x and y of bright spots, px, the strongest first."""


def window_sides(settings: GateSettings, scan_px: int) -> tuple[int, int]:
    """Sides, px, of the windows that a gate asks for besides those of the scan, and of the wide
    ones around tracks that need more.

    Args:
        settings: the gate's.
        scan_px: side of the windows that a large picture is scanned in, px.
    """
    side = settings.window_px
    return side, max(side, min(2 * side, scan_px))


class Gate:
    """Decides, for the frames of one source in order, whether to scan and else where to look.

    The first frame is scanned at once. After that every frame shows a part of a large picture, so
    that no frame takes much longer than another, and all of it within ``scan_every`` frames, or
    more where that would be more than ``scan_windows`` a frame; a picture that is best seen at once
    is, every ``scan_every`` frames. A cut from a scene that lasted holds up no frame either: the
    new one is shown as fast as twice ``scan_windows`` a frame allows. Where scenes do not last, as
    in a folder of photographs, each is scanned at once.

    That much needs no tracks (:meth:`glance`), so the network can begin before the last frame has
    been tracked; windows around tracks and bright spots come on top (:meth:`focus`).

    The choice depends on the frames, the hints and the settings alone, never on timing, so that a
    replay sees the same windows.

    Args:
        settings: how often to scan, and how many windows of what size.
        scan_px: side of the windows that a large picture is scanned in, px.
    """

    def __init__(self, settings: GateSettings, scan_px: int) -> None:
        self._settings = settings
        self._scan_px = scan_px
        self._spots = BrightSpots(settings.candidate_contrast)
        self._since_scan = 0
        self._lasted = 0
        """Frames of the scene so far."""
        self._hurry = False
        """Whether the scene began with a cut and not all of it was shown yet."""
        self._shape = (0, 0)
        self._tiles: list[Window] | None = None
        """What a scan of a picture of that shape is made of; None: it is seen at once."""
        self._thumbnail: NDArray[np.float32] = np.empty((0, 0), np.float32)
        self._frame = 0
        self._looked: NDArray[np.int64] = np.empty((0, 0), np.int64)
        """Number of the last frame in which a bright spot in that cell was shown to the network."""

    def glance(self, image: Image, gain: float) -> Glance:
        """Look at the next frame.

        Args:
            image: (H, W) raw pixels.
            gain: grey levels of 8 bit a raw level.
        """
        settings = self._settings
        height, width = image.shape
        self._frame += 1
        new_scene = self._is_new_scene(image, gain)
        # In a small picture the windows would be as much work as the whole.
        small = min(height, width) < 2 * settings.window_px
        windows = None if small else self._part(new_scene)
        spots = np.empty((0, 2))
        if windows is None:
            self._since_scan, self._hurry = 0, False
        elif settings.candidates:
            # Those that rest make room for weaker ones: a row of lamps must not hide what flies by.
            most = settings.candidates * settings.candidate_every
            spots = self._spots.find(image, gain, most)
        return Glance(self._frame, height, width, new_scene, windows, spots)

    def focus(self, glance: Glance, hints: FocusHints) -> list[Window] | None:
        """Where to look besides, in the frame of that glance, in the order of glances.

        Args:
            glance: whose windows are seen anyhow.
            hints: where tracks are expected.

        Returns:
            More windows; None: all of the picture.
        """
        if glance.new_scene:
            cells = (glance.height // _CELL_PX + 1, glance.width // _CELL_PX + 1)
            self._looked = np.full(cells, glance.number - self._settings.candidate_every)
        if glance.windows is None:
            return []
        windows = self._around_tracks(glance, hints)
        windows += self._around_candidates(glance, glance.windows + windows)
        work = sum(window.side**2 for window in windows)
        most = self._settings.max_windows * self._settings.window_px**2
        return None if work > most else windows

    def _around_tracks(self, glance: Glance, hints: FocusHints) -> list[Window]:
        """Windows around tracks that the part of the scan does not show: wide ones where a target
        is too large for the others, or was not seen for so long that it may have left them."""
        height, width = glance.height, glance.width
        side, wide = window_sides(self._settings, self._scan_px)
        large = hints.radius_px > reach_px(side)
        windows: list[Window] = []
        for size, sought in ((wide, large), (side, ~large)):
            seen = [*(glance.windows or []), *windows]
            xy, radius_px = hints.xy[sought], hints.radius_px[sought]
            unseen = [
                not any(w.shows_around(x, y, radius, height, width) for w in seen)
                for (x, y), radius in zip(xy, radius_px, strict=True)
            ]
            windows += cover(xy[unseen], radius_px[unseen], height, width, size)
        return windows

    def _around_candidates(self, glance: Glance, windows: list[Window]) -> list[Window]:
        """Windows around bright spots that neither ``windows`` show nor the last few frames did."""
        settings, spots = self._settings, glance.spots
        if not len(spots):
            return []
        height, width = glance.height, glance.width
        rested = glance.number - self._looked_at(spots) >= settings.candidate_every
        fresh = spots[rested & ~_shown(spots, windows, height, width)][: settings.candidates]
        more = cover(fresh, np.zeros(len(fresh)), height, width, settings.window_px)
        self._remember(spots[_shown(spots, windows + more, height, width)], glance.number)
        return more

    def _looked_at(self, spots: FloatArray) -> NDArray[np.int64]:
        """(K,) the number of the last frame in which the same spot was shown."""
        columns, rows = (spots // _CELL_PX).astype(int).T
        looked: NDArray[np.int64] = self._looked[rows, columns]
        return looked

    def _remember(self, spots: FloatArray, number: int) -> None:
        for column, row in (spots // _CELL_PX).astype(int):
            self._looked[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2] = number

    def _part(self, new_scene: bool) -> list[Window] | None:
        """The part of the scan whose turn it is; None: the whole picture."""
        settings, tiles = self._settings, self._tiles
        lasted, self._lasted = self._lasted, 1 if new_scene else self._lasted + 1
        turn, self._since_scan = self._since_scan, self._since_scan + 1
        if tiles is None:
            return None if new_scene or turn + 1 >= settings.scan_every else []
        if new_scene:
            if lasted < _LASTING_FRAMES:
                return None
            turn, self._since_scan, self._hurry = 0, 1, True
        every = max(settings.scan_every, math.ceil(len(tiles) / settings.scan_windows))
        if self._hurry:
            every = math.ceil(len(tiles) / (2 * settings.scan_windows))
            if turn + 1 == every:  # all is seen
                self._since_scan, self._hurry = 0, False
        turn %= every
        return tiles[turn * len(tiles) // every : (turn + 1) * len(tiles) // every]

    def _is_new_scene(self, image: Image, gain: float) -> bool:
        """Whether the picture has little to do with the last one: a cut, another photograph."""
        before, shape = self._thumbnail, self._shape
        pixels = cv2.resize(image, _THUMBNAIL, interpolation=cv2.INTER_AREA)
        self._thumbnail = after = np.multiply(pixels, gain, dtype=np.float32)
        self._shape = image.shape[0], image.shape[1]
        if shape != image.shape:
            self._tiles = scan_tiles(*self._shape, self._scan_px)
            return True
        change = float(np.abs(after - before).mean())
        return change > _CUT_SHARE * float(after.std() + before.std()) + _CUT_LEVELS


def _shown(places: FloatArray, windows: list[Window], height: int, width: int) -> NDArray[np.bool_]:
    """(K,) which places (K, 2) some window shows."""
    shown = [any(w.shows(x, y, height, width) for w in windows) for x, y in places]
    return np.array(shown, dtype=np.bool_)
