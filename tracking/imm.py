"""Targets that fly straight and now and then turn: the interacting multiple model estimator.

Each target has as many filters as there are models, here of quiet and of manoeuvring flight, and
the probabilities of the models. All tracks at once: M tracks, K models, states of D numbers.

Source: Blom and Bar-Shalom, "The Interacting Multiple Model Algorithm for Systems with Markovian
Switching Coefficients" (1988); Bar-Shalom, Li and Kirubarajan, "Estimation with Applications to
Tracking and Navigation" (2001), section 11.6. The tests hold it equal to
``filterpy.kalman.IMMEstimator``.
"""

from __future__ import annotations

import numpy as np

from streamer.types import FloatArray
from tracking import kalman
from tracking.motion import POSITION

LEAST_PROBABILITY = 1e-6
"""No model is ever given up: where all likelihoods vanish, they count as equal."""


def combined(
    mean: FloatArray, cov: FloatArray, probability: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """The Gaussian with the mean and the covariance of mixtures.

    Args:
        mean: (..., K, D) of the components.
        cov: (..., K, D, D)
        probability: (..., K) their weights, whose sum is 1.

    Returns:
        (..., D) and (..., D, D).
    """
    middle = (probability[..., None, :] @ mean)[..., 0, :]
    apart = mean - middle[..., None, :]
    inner = np.einsum("...k,...kij->...ij", probability, cov)
    weighted = np.sqrt(probability)[..., None] * apart  # so that the product is symmetric
    return middle, inner + np.swapaxes(weighted, -1, -2) @ weighted


def interact(
    mean: FloatArray, cov: FloatArray, probability: FloatArray, switching: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """What each model begins the next step with: what all of them know, as far as targets switch.

    Args:
        mean: (M, K, D)
        cov: (M, K, D, D)
        probability: (M, K) of the models.
        switching: (K, K) row by row, the probabilities that a model follows another.

    Returns:
        Means, covariances and the models' probabilities in the next step.
    """
    joint = probability[:, :, None] * switching  # (M, from, to)
    following = joint.sum(axis=1)
    share = joint / following[:, None, :]
    by_model = np.swapaxes(share, 1, 2)  # (M, to, from)
    mixed = by_model @ mean
    apart = mean[:, None] - mixed[:, :, None]  # (M, to, from, D)
    count, models, size = mean.shape
    inner = (by_model @ cov.reshape(count, models, size * size)).reshape(cov.shape)
    spread = np.swapaxes(apart * by_model[..., None], -1, -2) @ apart
    return mixed, inner + spread, following


def cost(
    mean: FloatArray, cov: FloatArray, probability: FloatArray, xy: FloatArray, noise: FloatArray
) -> FloatArray:
    """Minus twice the log-likelihood of measured positions under all models, up to a constant.

    Args:
        mean: (J, K, D) predicted, of each pair's track.
        cov: (J, K, D, D)
        probability: (J, K)
        xy: (J, 2) px.
        noise: (J, 2, 2) px^2.

    Returns:
        (J,) which is ``d^2 + ln |S|`` where all models agree.
    """
    log_weight = _log_weights(mean, cov, probability, xy, noise)
    return np.asarray(-2.0 * np.logaddexp.reduce(log_weight, axis=1))


def update(
    mean: FloatArray, cov: FloatArray, probability: FloatArray, xy: FloatArray, noise: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Correct every model by its track's measured position, and how likely models are.

    Args:
        mean: (M, K, D) predicted.
        cov: (M, K, D, D)
        probability: (M, K)
        xy: (M, 2) measured positions, px.
        noise: (M, 2, 2) their covariances, px^2.
    """
    log_weight = _log_weights(mean, cov, probability, xy, noise)
    weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
    weight = np.maximum(weight, LEAST_PROBABILITY * weight.sum(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    models, size = mean.shape[1:]
    flat = kalman.update(
        mean.reshape(-1, size),
        cov.reshape(-1, size, size),
        np.repeat(xy, models, axis=0),
        np.repeat(noise, models, axis=0),
    )
    return flat[0].reshape(mean.shape), flat[1].reshape(cov.shape), weight


def _log_weights(
    mean: FloatArray, cov: FloatArray, probability: FloatArray, xy: FloatArray, noise: FloatArray
) -> FloatArray:
    """(M, K) logarithms of the models' probabilities and likelihoods, up to a constant."""
    distance, log_det = kalman.innovation_statistics(
        xy[:, None] - mean[..., POSITION], cov[..., POSITION, POSITION] + noise[:, None]
    )
    return np.asarray(np.log(probability) - 0.5 * (distance + log_det))
