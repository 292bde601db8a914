"""How targets move between frames.

The state of a target is ``[x, y, vx, vy]``: px and px/s. Arrays of states are (M, 4), of
covariances (M, 4, 4).
"""

from __future__ import annotations

import functools
import math
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


@dataclass(frozen=True, slots=True)
class Manoeuvres:
    """How targets change between quiet flight and manoeuvres: two models that differ in noise.

    A Markov chain in continuous time, so it holds for any time step and composes as well.
    """

    share: float = 0.1
    """Of the time that targets manoeuvre."""
    seconds: float = 0.5
    """How long a manoeuvre takes on average."""
    strength: float = 2.6
    """The acceleration's sigma in a manoeuvre, in that over all times; ``share * strength^2`` must
    be below 1."""

    @property
    def shares(self) -> FloatArray:
        """(2,) of the time, of quiet flight and of manoeuvres."""
        return np.array([1.0 - self.share, self.share])

    @property
    def densities(self) -> FloatArray:
        """(2,) spectral densities of the noise, in that over all times."""
        strong = self.strength**2
        return np.array([(1.0 - self.share * strong) / (1.0 - self.share), strong])

    def switching(self, dt: float) -> FloatArray:
        """(2, 2) row by row: the probabilities that a model follows another ``dt`` >= 0 s later."""
        rate = 1.0 / (self.seconds * (1.0 - self.share))  # of both changes together
        return self.shares + (np.eye(2) - self.shares) * math.exp(-rate * dt)


@functools.lru_cache(maxsize=64)
def _white_noise(dt: float) -> FloatArray:
    """Q for a spectral density of 1. Streams have few different time steps."""
    noise = Q_continuous_white_noise(2, dt=dt, block_size=2, order_by_dim=False)
    return np.asarray(noise, dtype=np.float64)
