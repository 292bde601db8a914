"""How targets move between frames.

The state of a target is ``[x, y, vx, vy]``: px and px/s. Arrays of states are (M, 4), of
covariances (M, 4, 4).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from filterpy.common import Q_continuous_white_noise

from streamer.types import FloatArray

STATE_SIZE = 4
POSITION = slice(0, 2)
VELOCITY = slice(2, 4)


@dataclass(frozen=True, slots=True)
class ConstantVelocity:
    """Constant velocity, disturbed by continuous white-noise acceleration.

    Source: Bar-Shalom, Li and Kirubarajan, "Estimation with Applications to Tracking and
    Navigation" (2001), section 6.2.2. The discretisation holds for any time step, and composes:
    predicting over a second at once gives the covariance of predicting thirty times over 1/30 s.
    """

    acceleration_sigma: float
    """Square root of the noise's spectral density: the standard deviation, px/s, that a velocity
    gathers in one second."""
    initial_speed_sigma: float
    """Standard deviation of each component of a new target's velocity, px/s."""

    def transition(self, dt: float) -> FloatArray:
        """The (4, 4) matrix F that moves a state ``dt`` >= 0 seconds on."""
        matrix = np.eye(STATE_SIZE)
        matrix[POSITION, VELOCITY] = np.eye(2) * dt
        return matrix

    def process_noise(self, dt: float) -> FloatArray:
        """The (4, 4) covariance Q that ``dt`` >= 0 seconds of random acceleration add."""
        return self.acceleration_sigma**2 * _white_noise(dt)

    def initial(self, xy: FloatArray, noise: FloatArray) -> tuple[FloatArray, FloatArray]:
        """States and covariances of targets seen once.

        Args:
            xy: (N, 2) measured positions, px.
            noise: (N, 2, 2) covariances of the measurements, px^2.

        Returns:
            Mean (N, 4), at rest because either direction is as likely, and covariance (N, 4, 4).
        """
        mean = np.zeros((len(xy), STATE_SIZE))
        mean[:, POSITION] = xy
        cov = np.zeros((len(xy), STATE_SIZE, STATE_SIZE))
        cov[:, POSITION, POSITION] = noise
        cov[:, VELOCITY, VELOCITY] = np.eye(2) * self.initial_speed_sigma**2
        return mean, cov


@functools.lru_cache(maxsize=64)
def _white_noise(dt: float) -> FloatArray:
    """Q for a spectral density of 1. Streams have few different time steps."""
    noise = Q_continuous_white_noise(2, dt=dt, block_size=2, order_by_dim=False)
    return np.asarray(noise, dtype=np.float64)
