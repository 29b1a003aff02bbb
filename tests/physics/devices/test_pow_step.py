"""Power-law steps, plain and read against a reference, against their equations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax import random
from analogjax.errors import ConfigError
from analogjax.physics import PowStep, PowStepReference
from tests.physics.devices.nonlinear_samples import SMALL, alike, assert_step, made, pulse, pulsed_once, pulses
from tests.tolerance import assert_close, assert_mean, assert_std

LAW = {"dw_min": 0.008, "w_max": 0.7, "w_min": -0.5, "pow_gamma": 1.7}
WIDE = (128, 128)


@pytest.mark.parametrize("up", [True, False], ids=["up", "down"])
def test_one_step_n_1e6(up):
    mean = 0.008 * ((0.7 - 0.2) / 1.2) ** 1.7 if up else -0.008 * ((0.2 + 0.5) / 1.2) ** 1.7
    assert_step(pulsed_once(alike(PowStep, **LAW), 0.2, up), mean, 0.3 * abs(mean))


@pytest.mark.parametrize("up", [True, False], ids=["up", "down"])
def test_one_step_against_a_reference_n_1e6(up):
    device = alike(PowStepReference, **LAW, reference_mean=0.15)
    mean = 0.008 * ((0.7 - 0.35) / 1.2) ** 1.7 if up else -0.008 * ((0.35 + 0.5) / 1.2) ** 1.7
    assert_step(pulsed_once(device, 0.2, up), mean, 0.3 * abs(mean))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 3.0])
def test_no_step_at_the_bound(gamma):
    device = alike(PowStep, **(LAW | {"pow_gamma": gamma}), dw_min_std=0.0)
    for w, sign in ((0.7, 1), (-0.5, -1)):
        cells, state = made(device, SMALL, w)
        moved = device.pulse(cells, state, jnp.full(SMALL, sign, jnp.int8), random.key(0))
        np.testing.assert_array_equal(moved.w, state.w)


def test_exponents_n_16k():
    cells = made(PowStep(pow_gamma=2.0, pow_gamma_dtod=0.1, pow_up_down=0.2, pow_up_down_dtod=0.05), WIDE, 0.0)[0]
    up, down = np.ravel(cells["gamma_up"]), np.ravel(cells["gamma_down"])
    assert_mean(up, 2.0)
    assert_mean(down, 1.6)  # a positive imbalance lowers the exponent of the down step only
    for exponent in (up, down):
        assert_std(exponent, 2 * np.hypot(0.1, 0.05))
    assert_std(up - down, 2 * 2 * 0.05)  # the spread is shared, the imbalance has opposite signs


def test_exponents_are_positive_only_if_consistency_is_enforced():
    wild = {"pow_gamma": 1.0, "pow_gamma_dtod": 1.0, "w_max_dtod": 0.0, "w_min_dtod": 0.0}
    assert made(PowStep(**wild), WIDE, 0.0)[0]["gamma_up"].min() >= 0
    device = PowStep(**wild, enforce_consistency=False)
    cells, state = made(device, WIDE, 0.6)
    assert cells["gamma_up"].min() < 0
    assert np.isfinite(device.pulse(cells, state, jnp.ones(WIDE, jnp.int8), random.key(0)).w).all()


@pytest.mark.parametrize("pairs", [50, -1, 300])
def test_the_symmetry_point_is_where_pairs_of_pulses_lead(pairs):
    device = PowStepReference(
        dw_min=0.02, pow_gamma=1.5, up_down=0.2, subtract_symmetry_point=True, n_estimation_steps=pairs
    )
    cells = made(device, SMALL, 0.0)[0]
    up, down = (lambda p, way=way: device.step(cells, p, jnp.asarray(way)) for way in (True, False))
    times = 10_000 if pairs < 0 else pairs
    point = jax.jit(lambda: jax.lax.fori_loop(0, times, lambda _, p: p + up(p) - down(p), jnp.zeros(SMALL)))()
    np.testing.assert_allclose(cells["reference"], point, atol=2e-5)  # 1 / 1000 of a step
    assert_close(cells["reset_bias"], cells["reference"])
    if pairs < 0:
        np.testing.assert_allclose(up(point), down(point), atol=1e-6)


def test_a_stuck_device_has_no_symmetry_point():
    device = PowStepReference(subtract_symmetry_point=True, corrupt_devices_prob=1.0)
    cells, state = made(device, SMALL, 0.0)
    np.testing.assert_array_equal(cells["reference"], 0)
    np.testing.assert_array_equal(device.pulse(cells, state, jnp.ones(SMALL, jnp.int8), random.key(0)).w, state.w)


def test_the_bounds_hold_for_the_sum_with_the_reference():
    device = alike(PowStepReference, **LAW, reference_mean=0.3)
    cells, state = made(device, SMALL, 0.7)  # writing clips the weight itself, as in aihwkit
    np.testing.assert_array_equal(state.w, np.float32(0.7))
    moved = device.pulse(cells, state, jnp.ones(SMALL, jnp.int8), random.key(0))
    assert_close(moved.w, np.full(SMALL, 0.7 - 0.3))


@pytest.mark.parametrize("w_max", [0.3, 0.4, 0.6])
def test_a_full_device_with_a_reference_stays_where_it_is(w_max):
    """A base below 0 by rounding is no NaN, which aihwkit turns into the other bound."""
    device = alike(PowStepReference, dw_min=0.05, w_max=w_max, pow_gamma=0.5, reference_std=0.1)
    cells, state = made(device, WIDE, 0.0)
    full = np.asarray(cells["max_bound"] - cells["reference"])
    state = pulses(device, cells, state, jnp.full(WIDE, 200), jnp.zeros(WIDE, int), random.key(0))
    for n in range(3):
        state = pulse(device, cells, state, jnp.ones(WIDE, jnp.int8), random.key(n))
        np.testing.assert_allclose(state.w, full, atol=1e-6)


def test_granularity_is_the_step_half_way():
    assert PowStep(dw_min=0.01, pow_gamma=2.0).granularity == pytest.approx(0.0025)


def test_what_is_wrong_is_refused():
    with pytest.raises(ConfigError, match=r"PowStep\(pow_gamma=-1.0\): .*at least 0"):
        PowStep(pow_gamma=-1.0)
    with pytest.raises(ConfigError, match=r"PowStep\(write_noise_std=-1.0\): .*at least 0"):
        PowStep(write_noise_std=-1.0)
    with pytest.raises(ConfigError, match=r"PowStepReference\(n_estimation_steps=1.5\): needs a whole number"):
        PowStepReference(n_estimation_steps=1.5)
    with pytest.raises(ConfigError, match=r"PowStepReference\(reference_std=inf\): needs a finite number"):
        PowStepReference(reference_std=float("inf"))
