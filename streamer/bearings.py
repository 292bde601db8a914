"""Where in the world something is seen: azimuth, elevation and their rates, of places in pictures.

The camera has x right, y down and z along its axis, as in OpenCV; the world has east, north and up.
Both are right-handed. Azimuth is clockwise, seen from above, from north, or from the axis where no
one says where it points; elevation is up from the horizon.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import cv2
import numpy as np

from configs.schema import OpticsSettings
from streamer.types import FloatArray

_ITERATIONS = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 100, 1e-12)
_ZENITH = 1e-9
"""The cosine of an elevation that is straight up or down."""
_MISS_PX = 0.01
"""A ray that, distorted, lies farther than this from its pixel is none: there the distortion has no
inverse."""


@dataclass(frozen=True, slots=True, eq=False)
class Bearings:
    """Directions and how they change, NaN where the optics have none: one row a place."""

    azimuth: FloatArray
    """(N,) degrees clockwise, 0 to 360 from north; from the axis -180 to 180."""
    elevation: FloatArray
    """(N,) degrees up from the horizon, -90 to 90."""
    azimuth_rate: FloatArray
    """(N,) degrees/s; near the zenith without limit."""
    elevation_rate: FloatArray
    """(N,) degrees/s."""
    angular_rate: FloatArray
    """(N,) degrees/s along the great circle, 0 or more."""

    def columns(self) -> dict[str, FloatArray]:
        """(N,) each, under the names that logs give them."""
        return {
            "azimuth_degrees": self.azimuth,
            "elevation_degrees": self.elevation,
            "azimuth_degrees_per_second": self.azimuth_rate,
            "elevation_degrees_per_second": self.elevation_rate,
            "angular_degrees_per_second": self.angular_rate,
        }


class Optics:
    """A camera that is known well enough to tell bearings.

    Args:
        settings: of the camera, ``settings.known``.
        width: of the source's picture, px.
        height: of the source's picture, px.
    """

    def __init__(self, settings: OpticsSettings, width: int, height: int) -> None:
        fx = settings.fx
        if settings.hfov_degrees is not None:
            fx = width / 2 / math.tan(math.radians(settings.hfov_degrees) / 2)
        if fx is None:
            raise ValueError("the optics need hfov_degrees or fx")
        self._focal = np.array([fx, fx if settings.fy is None else settings.fy])
        self._centre = np.array(
            [
                (width - 1) / 2 if settings.cx is None else settings.cx,
                (height - 1) / 2 if settings.cy is None else settings.cy,
            ]
        )
        self._matrix = np.array(
            [[fx, 0, self._centre[0]], [0, self._focal[1], self._centre[1]], [0, 0, 1]]
        )
        self._distortion = np.array([settings.k1, settings.k2, settings.p1, settings.p2])
        self._turn = rotation(settings)
        self._compass = settings.azimuth_degrees is not None

    def bearings(self, xy: FloatArray, velocity: FloatArray) -> Bearings:
        """Where places are seen, and how fast that changes while the camera stands.

        Args:
            xy: (N, 2) px; also beyond the picture.
            velocity: (N, 2) px/s.
        """
        rays, jacobian = self._rays(xy)
        moving = (jacobian @ velocity[..., None])[..., 0]
        # (N, 3): the directions in the world, and their derivatives; no unit vectors yet.
        ahead = np.column_stack((rays, np.ones(len(rays)))) @ self._turn.T
        change = np.column_stack((moving, np.zeros(len(rays)))) @ self._turn.T
        length = np.linalg.norm(ahead, axis=1)
        east, north, up = (ahead / length[:, None]).T
        unit_change = change / length[:, None]
        level = np.hypot(east, north)
        elevation = np.arctan2(up, level)
        level[level < _ZENITH] = np.nan  # straight up there is no azimuth
        with np.errstate(invalid="ignore"):
            turning = (north * unit_change[:, 0] - east * unit_change[:, 1]) / level**2
            rising = (
                unit_change[:, 2] * level**2
                - up * (east * unit_change[:, 0] + north * unit_change[:, 1])
            ) / level
        azimuth = np.degrees(np.where(np.isnan(level), np.nan, np.arctan2(east, north)))
        if self._compass:
            azimuth = np.where(azimuth < 0, azimuth + 360, azimuth) % 360
        across = np.cross(ahead, change) / length[:, None] ** 2
        return Bearings(
            azimuth=azimuth,
            elevation=np.degrees(elevation),
            azimuth_rate=np.degrees(turning),
            elevation_rate=np.degrees(rising),
            angular_rate=np.degrees(np.linalg.norm(across, axis=1)),
        )

    def _rays(self, xy: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(N, 2) where the rays cut the plane one ahead of the camera, NaN where there is none, and
        (N, 2, 2) how that changes by px."""
        seen = (xy - self._centre) / self._focal
        if not self._distortion.any():
            return seen, np.tile(np.diag(1 / self._focal), (len(xy), 1, 1))
        if not len(xy):
            return seen, np.empty((0, 2, 2))
        found = cv2.undistortPoints(
            xy[:, None], self._matrix, self._distortion, criteria=_ITERATIONS
        )
        rays = np.asarray(found, dtype=np.float64).reshape(-1, 2)
        with np.errstate(over="ignore", invalid="ignore"):
            distorted, slope = self._distorted(rays)
            miss = np.abs((distorted - seen) * self._focal).max(axis=1)
            # Where the model folds the picture back on itself its slope changes sign.
            upright = (np.linalg.det(slope) > 0) & (np.trace(slope, axis1=1, axis2=2) > 0)
            lost = ~((miss < _MISS_PX) & upright)
        slope[lost] = np.eye(2)
        rays[lost] = np.nan
        jacobian = np.linalg.inv(slope) / self._focal
        jacobian[lost] = np.nan
        return rays, jacobian

    def _distorted(self, rays: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Brown and Conrady's distortion of rays (N, 2), as OpenCV has it, and its (N, 2, 2)
        derivative."""
        k1, k2, p1, p2 = self._distortion
        x, y = rays.T
        squared = x * x + y * y
        radial = 1 + k1 * squared + k2 * squared**2
        growth = 2 * (k1 + 2 * k2 * squared)  # of radial, by x: growth * x
        distorted = np.column_stack(
            (
                x * radial + 2 * p1 * x * y + p2 * (squared + 2 * x * x),
                y * radial + p1 * (squared + 2 * y * y) + 2 * p2 * x * y,
            )
        )
        across = x * y * growth + 2 * p1 * x + 2 * p2 * y
        slope = np.empty((len(rays), 2, 2))
        slope[:, 0, 0] = radial + x * x * growth + 2 * p1 * y + 6 * p2 * x
        slope[:, 1, 1] = radial + y * y * growth + 6 * p1 * y + 2 * p2 * x
        slope[:, 0, 1] = slope[:, 1, 0] = across
        return distorted, slope


def rotation(settings: OpticsSettings) -> FloatArray:
    """(3, 3) from the camera's right, down, ahead to the world's east, north, up."""
    azimuth, elevation, roll = (
        math.radians(degrees)
        for degrees in (
            settings.azimuth_degrees or 0.0,
            settings.elevation_degrees,
            settings.roll_degrees,
        )
    )
    level = np.array([math.sin(azimuth), math.cos(azimuth), 0.0])
    up = np.array([0.0, 0.0, 1.0])
    ahead = math.cos(elevation) * level + math.sin(elevation) * up
    right = np.array([math.cos(azimuth), -math.sin(azimuth), 0.0])
    above = math.cos(elevation) * up - math.sin(elevation) * level
    turned_right = math.cos(roll) * right - math.sin(roll) * above
    turned_down = -math.sin(roll) * right - math.cos(roll) * above
    return np.column_stack((turned_right, turned_down, ahead))


@functools.lru_cache(maxsize=16)
def optics_of(settings: OpticsSettings, width: int, height: int) -> Optics | None:
    """The optics for pictures of a size; None where the settings tell of none."""
    return Optics(settings, width, height) if settings.known else None
