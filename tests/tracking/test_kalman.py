"""The batched filter against filterpy's, and against its own statistics."""

import numpy as np
import pytest
from filterpy.common import Q_continuous_white_noise
from filterpy.kalman import KalmanFilter
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import block_diag
from scipy.stats import chi2

from tracking import kalman
from tracking.gating import gate_threshold
from tracking.motion import ConstantVelocity

MOTION = ConstantVelocity(acceleration_sigma=60.0, initial_speed_sigma=40.0)


def random_gaussians(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    factor = rng.normal(size=(count, 4, 4))
    return rng.normal(0, 50, (count, 4)), factor @ np.swapaxes(factor, 1, 2) + np.eye(4)


@pytest.mark.parametrize("dt", [0.0, 1 / 60, 1 / 30, 0.5, 7.0])
def test_process_noise_is_filterpys_per_axis(dt: float) -> None:
    per_axis = Q_continuous_white_noise(2, dt=dt, spectral_density=60.0**2)
    by_axis = block_diag(per_axis, per_axis)  # x, vx, y, vy
    order = [0, 2, 1, 3]
    np.testing.assert_allclose(MOTION.process_noise(dt), by_axis[np.ix_(order, order)], rtol=1e-12)


@given(st.floats(0, 10), st.floats(0, 10))
def test_two_predictions_are_one_over_the_whole_time(first: float, second: float) -> None:
    mean, cov = random_gaussians(np.random.default_rng(1), 1)
    stepped = mean, cov
    for dt in (first, second):
        stepped = kalman.predict(*stepped, MOTION.transition(dt), MOTION.process_noise(dt))
    total = first + second
    at_once = kalman.predict(mean, cov, MOTION.transition(total), MOTION.process_noise(total))
    np.testing.assert_allclose(stepped[0], at_once[0], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(stepped[1], at_once[1], rtol=1e-9, atol=1e-9)


def test_batch_equals_filterpy() -> None:
    rng = np.random.default_rng(2)
    count, frames = 20, 50
    mean, cov = random_gaussians(rng, count)
    references = []
    for row in range(count):
        reference = KalmanFilter(dim_x=4, dim_z=2)
        reference.x, reference.P = mean[row][:, None].copy(), cov[row].copy()
        reference.H = np.eye(2, 4)
        references.append(reference)
    for _ in range(frames):
        dt = rng.choice([0.0, 1 / 30, 1 / 15, 0.4])
        xy = mean[:, :2] + rng.normal(0, 2, (count, 2))
        noise_factor = rng.normal(size=(count, 2, 2))
        noise = noise_factor @ np.swapaxes(noise_factor, 1, 2) + 0.1 * np.eye(2)
        mean, cov = kalman.predict(mean, cov, MOTION.transition(dt), MOTION.process_noise(dt))
        distance, log_det = kalman.innovation_statistics(xy - mean[:, :2], cov[:, :2, :2] + noise)
        mean, cov = kalman.update(mean, cov, xy, noise)
        for row, reference in enumerate(references):
            reference.predict(F=MOTION.transition(dt), Q=MOTION.process_noise(dt))
            reference.update(xy[row][:, None], R=noise[row])
            np.testing.assert_allclose(mean[row], reference.x[:, 0], rtol=1e-9, atol=1e-9)
            np.testing.assert_allclose(cov[row], reference.P, rtol=1e-9, atol=1e-9)
            np.testing.assert_allclose(
                distance[row], reference.mahalanobis**2, rtol=1e-9, atol=1e-9
            )
            np.testing.assert_allclose(
                log_det[row], np.linalg.slogdet(reference.S)[1], rtol=1e-9, atol=1e-9
            )


def test_normalised_innovations_are_chi_square() -> None:
    """Targets that move as the model says, measured as it says: NIS must average 2."""
    rng = np.random.default_rng(3)
    count, frames, sigma, dt = 50, 100, 0.7, 1 / 30
    transition, process_noise = MOTION.transition(dt), MOTION.process_noise(dt)
    noise = np.broadcast_to(sigma**2 * np.eye(2), (count, 2, 2))
    state = np.hstack(
        (rng.uniform(0, 300, (count, 2)), rng.normal(0, MOTION.initial_speed_sigma, (count, 2)))
    )
    xy = state[:, :2] + rng.normal(0, sigma, (count, 2))
    mean, cov = MOTION.initial(xy, noise)
    jitter = np.linalg.cholesky(process_noise)
    total, inside = 0.0, 0
    gate = gate_threshold(0.95)
    for _ in range(frames):
        state = state @ transition.T + rng.normal(size=(count, 4)) @ jitter.T
        xy = state[:, :2] + rng.normal(0, sigma, (count, 2))
        mean, cov = kalman.predict(mean, cov, transition, process_noise)
        nis, _ = kalman.innovation_statistics(xy - mean[:, :2], cov[:, :2, :2] + noise)
        total += nis.sum()
        inside += int((nis <= gate).sum())
        mean, cov = kalman.update(mean, cov, xy, noise)
    looks = count * frames
    low, high = chi2.ppf([0.0005, 0.9995], 2 * looks)
    assert low < total < high
    assert inside / looks == pytest.approx(0.95, abs=0.012)


@pytest.mark.parametrize("probability", [0.5, 0.95, 0.997])
def test_gate_is_the_chi_square_quantile(probability: float) -> None:
    assert gate_threshold(probability) == pytest.approx(chi2.ppf(probability, 2), rel=1e-12)


@given(
    st.lists(st.sampled_from([0.0, 1e-6, 1 / 30, 1.0, 3600.0]), min_size=1, max_size=60),
    st.floats(1e-3, 1e3),
)
def test_covariances_stay_symmetric_positive_definite(steps: list[float], sigma: float) -> None:
    noise = np.full((1, 1, 1), sigma**2) * np.eye(2)
    mean, cov = MOTION.initial(np.array([[10.0, 20.0]]), noise)
    for dt in steps:
        mean, cov = kalman.predict(mean, cov, MOTION.transition(dt), MOTION.process_noise(dt))
        mean, cov = kalman.update(mean, cov, mean[:, :2] + sigma, noise)
        assert np.isfinite(mean).all()
        np.testing.assert_array_equal(cov, np.swapaxes(cov, 1, 2))
        # Scaled to correlations: px^2 and (px/s)^2 differ by many orders after an hour.
        scale = np.sqrt(np.diagonal(cov[0]))
        assert np.linalg.eigvalsh(cov[0] / np.outer(scale, scale)).min() > 0


def test_hours_of_updates_keep_the_covariance_sound() -> None:
    noise = 0.49 * np.eye(2)[None]
    mean, cov = MOTION.initial(np.zeros((1, 2)), noise)
    transition, process_noise = MOTION.transition(1 / 30), MOTION.process_noise(1 / 30)
    for _ in range(10_000):
        mean, cov = kalman.predict(mean, cov, transition, process_noise)
        mean, cov = kalman.update(mean, cov, np.zeros((1, 2)), noise)
    assert np.linalg.eigvalsh(cov[0]).min() > 0
    assert cov[0, 0, 0] < 0.49
