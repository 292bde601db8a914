"""The Kalman filter, for all tracks at once: stateless functions on batches of Gaussians.

Source: Kalman, "A New Approach to Linear Filtering and Prediction Problems" (1960); the
covariance update in the form of Bucy and Joseph (1968), which stays positive definite in floating
point where the short form ``(I - K H) P`` does not. The tests hold both steps equal to
``filterpy.kalman.KalmanFilter``.
"""

from __future__ import annotations

import numpy as np

from streamer.types import FloatArray
from tracking.motion import POSITION


def predict(
    mean: FloatArray, cov: FloatArray, transition: FloatArray, process_noise: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Move states on in time.

    Args:
        mean: (M, 4) states.
        cov: (M, 4, 4) their covariances.
        transition: F, (4, 4) for all or (M, 4, 4).
        process_noise: Q, (4, 4) for all or (M, 4, 4).

    Returns:
        The predicted (M, 4) and (M, 4, 4).
    """
    moved = (transition @ mean[..., None])[..., 0]
    grown = transition @ cov @ np.swapaxes(transition, -1, -2) + process_noise
    return moved, _symmetric(grown)


def update(
    mean: FloatArray, cov: FloatArray, xy: FloatArray, noise: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Correct each state by its own measured position.

    Args:
        mean: (M, 4) predicted states.
        cov: (M, 4, 4) their covariances.
        xy: (M, 2) measured positions, px.
        noise: R, (M, 2, 2) covariances of the measurements, px^2.

    Returns:
        The corrected (M, 4) and (M, 4, 4).
    """
    gain = cov[:, :, POSITION] @ _inverse(cov[:, POSITION, POSITION] + noise)
    innovation = xy - mean[:, POSITION]
    corrected = mean + (gain @ innovation[..., None])[..., 0]
    keep = np.broadcast_to(np.eye(mean.shape[1]), cov.shape).copy()
    keep[:, :, POSITION] -= gain
    shrunk = keep @ cov @ np.swapaxes(keep, -1, -2) + gain @ noise @ np.swapaxes(gain, -1, -2)
    return corrected, _symmetric(shrunk)


def innovation_statistics(
    innovation: FloatArray, innovation_cov: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """How far measurements lie from predictions, in the filter's own terms.

    Args:
        innovation: y, (..., 2), measured less predicted position, px.
        innovation_cov: S, (..., 2, 2), the covariance of y, px^2.

    Returns:
        (...) squared Mahalanobis distances ``d^2 = y' S^-1 y``, and (...) ``ln |S|``. A distance
        too large for a float is infinite.
    """
    dx, dy = innovation[..., 0], innovation[..., 1]
    # The inverse and the determinant in closed form: calls to LAPACK would take most of the step.
    xx, yy, off = (innovation_cov[..., i, j] for i, j in ((0, 0), (1, 1), (0, 1)))
    determinant = xx * yy - off * off
    with np.errstate(over="ignore"):
        distance = (yy * dx * dx - 2.0 * off * dx * dy + xx * dy * dy) / determinant
    return np.maximum(distance, 0.0), np.log(determinant)


def _inverse(cov: FloatArray) -> FloatArray:
    """(M, 2, 2) of symmetric matrices (M, 2, 2)."""
    xx, yy, off = cov[:, 0, 0], cov[:, 1, 1], cov[:, 0, 1]
    adjugate = np.stack((yy, -off, -off, xx), axis=-1).reshape(-1, 2, 2)
    return adjugate / (xx * yy - off * off)[:, None, None]


def _symmetric(cov: FloatArray) -> FloatArray:
    return 0.5 * (cov + np.swapaxes(cov, -1, -2))
