"""The interacting multiple models against filterpy's, and what they promise."""

import numpy as np
import pytest
from filterpy.kalman import IMMEstimator, KalmanFilter
from hypothesis import given
from hypothesis import strategies as st

from tracking import imm, kalman
from tracking.motion import ConstantVelocity, Manoeuvres

MOTION = ConstantVelocity(acceleration_sigma=60.0, initial_speed_sigma=40.0)
MANOEUVRES = Manoeuvres()
DT = 1 / 30


def noises(dt: float) -> np.ndarray:
    return MANOEUVRES.densities[:, None, None] * MOTION.process_noise(dt)


def beginnings(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    mean, cov = MOTION.initial(
        rng.uniform(0, 300, (count, 2)), np.tile(0.2 * np.eye(2), (count, 1, 1))
    )
    share = np.tile(MANOEUVRES.shares, (count, 1))
    return np.repeat(mean[:, None], 2, axis=1), np.repeat(cov[:, None], 2, axis=1), share


def step(
    states: tuple[np.ndarray, np.ndarray, np.ndarray], dt: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    mean, cov, share = imm.interact(*states, MANOEUVRES.switching(dt))
    return *kalman.predict(mean, cov, MOTION.transition(dt), noises(dt)), share


def test_batch_equals_filterpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imm, "LEAST_PROBABILITY", 0.0)  # filterpy's has no floor
    rng = np.random.default_rng(1)
    count = 12
    states = beginnings(rng, count)
    references = []
    for row in range(count):
        filters = []
        for q in noises(DT):
            one = KalmanFilter(dim_x=4, dim_z=2)
            one.x, one.P = states[0][row, 0][:, None].copy(), states[1][row, 0].copy()
            one.F, one.H, one.Q = MOTION.transition(DT), np.eye(2, 4), q
            filters.append(one)
        references.append(IMMEstimator(filters, MANOEUVRES.shares, MANOEUVRES.switching(DT)))
    place, velocity = states[0][:, 0, :2].copy(), rng.normal(0, 80, (count, 2))
    for frame in range(90):
        if frame % 30 == 29:
            velocity = rng.normal(0, 120, (count, 2))
        place = place + velocity * DT
        xy = place + rng.normal(0, 0.4, (count, 2))
        factor = rng.normal(size=(count, 2, 2))
        noise = 0.05 * factor @ np.swapaxes(factor, 1, 2) + 0.1 * np.eye(2)
        states = imm.update(*step(states, DT), xy, noise)
        mean, cov = imm.combined(*states)
        for row, reference in enumerate(references):
            for one in reference.filters:
                one.R = noise[row]
            reference.predict()
            reference.update(xy[row][:, None])
            np.testing.assert_allclose(states[2][row], reference.mu, atol=1e-9)
            np.testing.assert_allclose(mean[row], reference.x[:, 0], rtol=1e-9)
            np.testing.assert_allclose(cov[row], reference.P, rtol=1e-7, atol=1e-9)


def test_a_turn_is_followed_sooner_than_by_constant_velocity_and_flight_more_quietly() -> None:
    """Two legs of 2 s with a right angle, 50 times."""
    rng = np.random.default_rng(2)
    count = 50
    times = np.arange(120) * DT
    truth = np.stack((np.minimum(times, 2.0) * 90, np.maximum(times - 2.0, 0.0) * 90), axis=1)
    noise = np.tile(0.25 * np.eye(2), (count, 1, 1))
    switching = beginnings(rng, count)
    mean, cov = MOTION.initial(np.zeros((count, 2)), noise)
    switching = (
        np.repeat(mean[:, None], 2, axis=1),
        np.repeat(cov[:, None], 2, axis=1),
        switching[2],
    )
    errors = []
    for place in truth[1:]:
        xy = place + rng.normal(0, 0.5, (count, 2))
        mean, cov = kalman.predict(mean, cov, MOTION.transition(DT), MOTION.process_noise(DT))
        mean, cov = kalman.update(mean, cov, xy, noise)
        switching = imm.update(*step(switching, DT), xy, noise)
        both = imm.combined(*switching)[0][:, :2], mean[:, :2]
        errors.append([np.sqrt(np.square(each - place).sum(axis=1).mean()) for each in both])
    by_switching, by_one = np.array(errors).T
    quiet, turn = slice(30, 59), slice(61, 70)
    assert by_switching[quiet].mean() < 0.97 * by_one[quiet].mean()
    assert by_switching[turn].mean() < by_one[turn].mean()


@given(st.floats(0, 10), st.floats(0, 10))
def test_switching_composes_and_keeps_the_shares(first: float, second: float) -> None:
    both = MANOEUVRES.switching(first) @ MANOEUVRES.switching(second)
    np.testing.assert_allclose(both, MANOEUVRES.switching(first + second), atol=1e-12)
    np.testing.assert_allclose(MANOEUVRES.shares @ both, MANOEUVRES.shares, atol=1e-12)
    assert (both >= 0).all()
    assert MANOEUVRES.shares @ MANOEUVRES.densities == pytest.approx(1.0)


def test_prediction_is_that_of_the_mean_noise() -> None:
    """What smoothing relies on."""
    rng = np.random.default_rng(3)
    states = beginnings(rng, 5)
    for _ in range(5):
        xy = states[0][:, 0, :2] + rng.normal(0, 3, (5, 2))
        states = imm.update(*step(states, DT), xy, np.tile(0.2 * np.eye(2), (5, 1, 1)))
    mean, cov = imm.combined(*states)
    predicted = step(states, 0.3)
    noise = np.tensordot(predicted[2], noises(0.3), axes=1)
    expected = kalman.predict(mean, cov, MOTION.transition(0.3), noise)
    for one, other in zip(imm.combined(*predicted), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)


def test_covariances_stay_positive_definite_for_hours() -> None:
    rng = np.random.default_rng(4)
    states = beginnings(rng, 3)
    noise = np.tile(0.1 * np.eye(2), (3, 1, 1))
    place = states[0][:, 0, :2]
    for frame in range(9_000):  # 2.5 frames a second
        states = step(states, 0.4)
        if frame % 7:
            kick = 40.0 if frame % 500 == 0 else 0.3
            states = imm.update(*states, place + rng.normal(0, kick, (3, 2)), noise)
        if frame % 100 == 0:
            for cov in (states[1], imm.combined(*states)[1]):
                np.testing.assert_array_equal(cov, np.swapaxes(cov, -1, -2))
                assert (np.linalg.eigvalsh(cov) > 0).all()
            np.testing.assert_allclose(states[2].sum(axis=1), 1.0)
            assert (states[2] > 0).all()
