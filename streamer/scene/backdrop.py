"""Everything behind and before the scene's targets: sky, clouds, treeline, ground, a tower.

All of it is drawn once, as panoramas whose left and right ends meet; a moment's picture is a
window on them, moved by the wind and by the camera's pan, to a fraction of a pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy import fft

from configs.schema import SyntheticSettings
from streamer.scene.sensor import Map
from streamer.types import BoolArray, FloatArray

_HORIZON = 0.80
_TREETOPS = 0.69
"""Shares of the picture's height: where the ground begins, and what no tree or roof exceeds."""
_ZENITH_LEVEL = 62.0
"""Of an overhead sky, grey levels of 8 bit."""
_EXTRA_COLUMNS = 512
"""Panoramas are this much wider than the picture, px: so soon the same cloud comes again."""


@dataclass(frozen=True, slots=True)
class Tower:
    """What a target passes behind, px; x in the panorama."""

    left: float
    right: float
    roof: float
    """The row of its eaves; a dome rises above them."""


class Backdrop:
    """The scene without targets and without the sensor's traces.

    Args:
        settings: the scene's.
        rng: decides how it looks.
        tower: a tower that stands on the ground; None: none.
    """

    def __init__(
        self, settings: SyntheticSettings, rng: np.random.Generator, tower: Tower | None
    ) -> None:
        self._settings = settings
        height, contrast = settings.height, settings.clutter
        self._columns: int = fft.next_fast_len(settings.width + _EXTRA_COLUMNS, real=True)
        shape = height, self._columns
        rows = np.linspace(0, 1, height) / _HORIZON
        # Towards the horizon the line of sight passes ever more warm air.
        warm = contrast * 1.1 * np.minimum(rows, 1) ** 3
        self._sky = (_ZENITH_LEVEL + warm)[:, None].astype(np.float32)
        self._clouds = [
            # Speed (share of the wind's), panorama: high cirrus, and cumulus nearer to the eye.
            (0.5, self._looped(contrast * 0.7 * _clouds(shape, rng, cover=0.50, size=0.9))),
            (1.0, self._looped(contrast * 1.2 * _clouds(shape, rng, cover=0.30, size=0.45))),
        ]
        ground, solid = _ground(shape, rng, contrast, _ZENITH_LEVEL + 1.1 * contrast)
        if tower is not None:
            _draw_tower(ground, solid, tower, contrast)
        self._solid = solid > 0.5
        blur = settings.psf_sigma_px
        opacity, light = (_blurred(part, blur) for part in (solid, ground * solid))
        occupied = np.flatnonzero(opacity.max(axis=1) > 0)
        self._top = int(occupied[0]) if occupied.size else height
        self._clear = self._looped(1 - opacity[self._top :])
        self._light = self._looped(light[self._top :])

    @staticmethod
    def treetops_px(height: int) -> float:
        """The row above which there is only sky, and perhaps the tower."""
        return _TREETOPS * height

    def radiance(self, seconds: float) -> Map:
        """(H, W) grey levels of 8 bit at a moment; the caller's own."""
        pan = self._settings.camera_drift_px_per_second * seconds
        wind = self._settings.drift_px_per_second * seconds
        picture = np.repeat(self._sky, self._settings.width, axis=1)
        for share, clouds in self._clouds:
            picture += self._window(clouds, pan + share * wind)
        below = picture[self._top :]
        below *= self._window(self._clear, pan)
        below += self._window(self._light, pan)
        return picture

    def hides(self, xy: FloatArray, seconds: float) -> BoolArray:
        """(K,) True where treeline, ground or tower are before the points ``xy`` (K, 2) px."""
        pan = self._settings.camera_drift_px_per_second * seconds
        columns = np.rint(xy[:, 0] + pan).astype(np.int64) % self._columns
        rows = np.clip(np.rint(xy[:, 1]).astype(np.int64), 0, self._settings.height - 1)
        return np.asarray(self._solid[rows, columns])

    def _looped(self, panorama: Map) -> Map:
        """With the beginning once more at the end: every window is one slice."""
        again = panorama[:, : self._settings.width + 1]
        return np.ascontiguousarray(np.concatenate([panorama, again], axis=1), dtype=np.float32)

    def _window(self, looped: Map, shift: float) -> Map:
        """(rows, W) from the column ``shift`` on, linear between columns."""
        width = self._settings.width
        first, part = divmod(shift % self._columns, 1.0)
        column = int(first)
        here, next_one = looped[:, column : column + width], looped[:, column + 1 :][:, :width]
        if part == 0:
            return here
        return np.asarray(cv2.addWeighted(here, 1 - part, next_one, part, 0))


def _noise(
    shape: tuple[int, int],
    rng: np.random.Generator,
    *,
    slope: float,
    longest_px: tuple[float, float],
) -> Map:
    """Fractal noise, mean 0, deviation 1, periodic in both directions.

    Args:
        shape: rows and columns.
        rng: decides.
        slope: amplitude falls with frequency to this power.
        longest_px: the longest wavelength down and across; unequal ones give stretched shapes.
    """
    rows = fft.fftfreq(shape[0])[:, None] * longest_px[0]
    columns = fft.rfftfreq(shape[1])[None] * longest_px[1]
    amplitude = (1 + rows**2 + columns**2) ** (-slope / 2)
    amplitude[0, 0] = 0
    white = fft.rfft2(rng.standard_normal(shape, dtype=np.float32))
    noise = fft.irfft2(white * amplitude.astype(np.float32), shape)
    return np.asarray(noise / max(float(noise.std()), 1e-9), dtype=np.float32)


def _clouds(shape: tuple[int, int], rng: np.random.Generator, *, cover: float, size: float) -> Map:
    """Brightness 0..1 or a little more of a layer of clouds that covers a share of the sky.

    Args:
        shape: rows and columns.
        rng: decides.
        cover: share of the sky that has any cloud.
        size: of the largest clouds, in heights of the picture.
    """
    height, width = shape
    largest = size * height
    density = _noise((2 * height, width), rng, slope=2.9, longest_px=(largest / 2, largest))
    # Wisps: the wind has carried every part a little away.
    carried = (
        0.1
        * largest
        * np.stack(
            [
                _noise(density.shape, rng, slope=2.4, longest_px=(largest / 3, largest / 2))
                for _ in range(2)
            ]
        )
    )
    # Perspective: the nearer to the horizon, the flatter clouds appear.
    depth = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    rows = (1.15 * depth + 0.75 * depth**4) * height
    columns = np.arange(width, dtype=np.float32)[None]
    seen = cv2.remap(
        density,
        (columns + carried[0][:height]).astype(np.float32),
        (rows + 0.4 * carried[1][:height]).astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_WRAP,
    )
    clear = np.quantile(seen, 1 - cover)
    thick = np.clip((seen - clear) / 2.2, 0, 1)
    body = thick * thick * (3 - 2 * thick)
    # Their edges, where they grow, are brighter than a smooth fading away would be.
    rim = thick * np.exp(-(((thick - 0.3) / 0.15) ** 2))
    return np.asarray(0.85 * body + 0.9 * rim, dtype=np.float32)


def _ground(
    shape: tuple[int, int], rng: np.random.Generator, contrast: float, sky_level: float
) -> tuple[Map, Map]:
    """Brightness and opacity, both (H, P), of meadow, hills, trees and houses."""
    height, width = shape
    y = np.arange(height, dtype=np.float32)[:, None]
    tallest = (_HORIZON - _TREETOPS) * height
    meadow_top = _HORIZON * height + 0.012 * height * _noise(
        (1, width), rng, slope=2.5, longest_px=(1, width / 2)
    )
    wood = np.clip(0.45 + 0.3 * _noise((1, width), rng, slope=2, longest_px=(1, width / 3)), 0, 1)
    crowns = _noise((1, width), rng, slope=1.8, longest_px=(1, 0.1 * height))
    trees = tallest * np.clip(wood * (0.8 + 0.16 * crowns), 0, 0.95)
    treetop = np.maximum(meadow_top - trees, _TREETOPS * height + 1)

    grass = _noise(shape, rng, slope=1.5, longest_px=(0.05 * height, 0.5 * height))
    near = (y / height - _HORIZON) / (1 - _HORIZON)
    level = sky_level + contrast * (0.6 - 0.5 * near + 0.3 * grass)
    solid = np.clip(y - meadow_top + 0.5, 0, 1)

    trunks = _noise(shape, rng, slope=1.0, longest_px=(0.15 * height, 0.012 * height))
    leaves = _noise(shape, rng, slope=1.2, longest_px=(0.03 * height, 0.03 * height))
    is_wood = (y >= treetop) & (y < meadow_top + 2)
    up = np.clip((meadow_top - y) / np.maximum(trees, 1), 0, 1)
    wooded = sky_level + contrast * (2.6 + 0.6 * up + 0.2 * leaves + 0.3 * (1 - up) * trunks)
    # Crowns are full of holes near their tops.
    depth_in_crown = y - treetop
    dense = np.clip(0.55 + depth_in_crown / (0.02 * height + 1) + 0.2 * leaves, 0, 1)
    light: Map = np.where(is_wood, wooded, level).astype(np.float32)
    opacity: Map = np.maximum(solid, np.where(is_wood, dense, 0)).astype(np.float32)
    _draw_houses(light, opacity, rng, contrast, sky_level)
    return light, opacity


def _draw_houses(
    level: Map, solid: Map, rng: np.random.Generator, contrast: float, sky_level: float
) -> None:
    """A few gabled houses: bright walls with cold windows, a dark roof with a warm ridge."""
    height, width = level.shape
    base = round((_HORIZON + 0.03) * height)
    for place in rng.permutation(5)[:3]:
        wide = round(rng.uniform(0.10, 0.17) * height)
        tall = round(rng.uniform(0.045, 0.06) * height)
        gable = round(0.4 * tall)
        left = round((place + rng.uniform(0.1, 0.5)) * width / 5)
        if wide < 8 or left + wide >= width:
            continue
        wall = sky_level + contrast * rng.uniform(1.8, 2.6)
        eaves = base - tall
        level[eaves:base, left : left + wide] = wall
        solid[eaves:base, left : left + wide] = 1
        for window in range(left + 2, left + wide - 3, 6):
            level[
                eaves + tall // 4 : eaves + tall // 4 + max(1, tall // 3), window : window + 3
            ] = wall - 0.9 * contrast
        for row in range(gable):  # from the eaves up, each row a little shorter
            inset = round((row + 1) / gable * wide * 0.3)
            at = slice(left + inset - 1, left + wide - inset + 1)
            level[eaves - 1 - row, at] = wall - 0.5 * contrast
            solid[eaves - 1 - row, at] = 1
        ridge = slice(left + round(0.3 * wide), left + round(0.7 * wide))
        level[eaves - gable, ridge] = wall + 0.8 * contrast


def _draw_tower(level: Map, solid: Map, tower: Tower, contrast: float) -> None:
    """A round silo with a dome: one side warmer, hoops, a bright edge under the roof."""
    height, width = level.shape
    left = round(tower.left)
    columns = np.arange(left, max(round(tower.right), left + 1) + 1)
    across = np.linspace(-1, 1, columns.size)
    roof, base = max(1, round(tower.roof)), round((_HORIZON + 0.05) * height)
    dome = np.rint(0.3 * columns.size * np.sqrt(1 - across**2))
    rows = np.arange(height)[:, None]
    inside = (rows >= roof - dome) & (rows < base)
    lit = _ZENITH_LEVEL + contrast * (1.6 + 1.0 * np.sqrt(1 - (0.7 * across - 0.3) ** 2))
    surface = np.where((rows - roof) % 8 == 3, lit - 0.3 * contrast, lit)
    surface = np.where(rows < roof, lit - 0.5 * contrast, surface)
    surface = np.where(rows == roof, lit + 0.5 * contrast, surface)
    columns %= width
    level[:, columns] = np.where(inside, surface, level[:, columns])
    solid[:, columns] = np.where(inside, 1, solid[:, columns])


def _blurred(panorama: Map, sigma: float) -> Map:
    """Through the optics; the ends go on meeting."""
    reach = int(np.ceil(4 * sigma)) + 1
    wide = cv2.copyMakeBorder(panorama, 0, 0, reach, reach, cv2.BORDER_WRAP)
    blurred = cv2.GaussianBlur(wide, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(blurred[:, reach:-reach])
