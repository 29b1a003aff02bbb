"""Exponential steps against their equation."""

import jax.numpy as jnp
import numpy as np
import pytest

from analogjax import random
from analogjax.errors import ConfigError
from analogjax.physics import ExpStep
from analogjax.physics.presets import PCM, RERAM_ES
from tests.physics.devices.nonlinear_samples import SMALL, alike, assert_step, made, pulsed_once, pulses
from tests.tolerance import assert_close

NOISY = {"dw_min": 0.004, "A_up": -1.2, "A_down": -0.3, "gamma_up": 3.0, "gamma_down": 2.0, "a": -0.5, "b": 0.1}


def mean_step(device, w, up):
    z = 2 * device.a * w / (device.w_max - device.w_min) + device.b
    if up:
        return device.dw_min * max(1 - device.A_up * np.exp(device.gamma_up * z), 0)
    return -device.dw_min * max(1 - device.A_down * np.exp(-device.gamma_down * z), 0)


@pytest.mark.parametrize("up", [True, False], ids=["up", "down"])
def test_one_step_n_1e6(up):
    device = alike(ExpStep, **NOISY)
    mean = mean_step(device, 0.2, up)
    assert_step(pulsed_once(device, 0.2, up), mean, 0.3 * abs(mean))


def test_noise_with_a_constant_and_a_part_of_the_weight_n_1e6():
    device = alike(ExpStep, **NOISY, dw_min_std_add=0.004, dw_min_std_slope=0.02)
    mean = mean_step(device, -0.2, up=False)
    assert_step(pulsed_once(device, -0.2, False), mean, 0.3 * (abs(mean) + 0.004 + 0.02 * 0.2))


def test_a_step_never_turns_round():
    device = alike(ExpStep, dw_min_std=0.0, A_up=2.0, gamma_up=0.0)  # 1 - A < 0: no step at all
    cells, state = made(device, SMALL, 0.1)
    moved = device.pulse(cells, state, jnp.ones(SMALL, jnp.int8), random.key(0))
    np.testing.assert_array_equal(moved.w, state.w)


def test_up_and_down_steps_cancel_at_the_symmetry_point():
    # 1 - A e^(g z) = 1 - A e^(-g z) at z = 0, that is at w = -b R / (2 a)
    device = alike(ExpStep, dw_min_std=0.0, A_up=-0.8, A_down=-0.8, gamma_up=4.0, gamma_down=4.0, a=0.5, b=0.25)
    cells, state = made(device, SMALL, -0.25 * 1.2)
    up, down = (device.pulse(cells, state, jnp.full(SMALL, s, jnp.int8), random.key(0)).w for s in (1, -1))
    assert_close(up - state.w, state.w - down, factor=200)  # differences of weights 300 times as large


def test_granularity_is_the_nominal_down_step():
    device = ExpStep(dw_min=0.01, up_down=0.2, A_down=-0.5, gamma_down=2.0, b=0.1)
    assert float(device.granularity) == pytest.approx(0.01 * 0.8 * (1 + 0.5 * np.exp(-0.2)))
    assert float(ExpStep(dw_min=0.01, A_down=2.0, gamma_down=0.0).granularity) == pytest.approx(0.01)


@pytest.mark.parametrize("device", [RERAM_ES, PCM], ids=["ReRAM", "PCM"])
def test_presets_stay_within_their_bounds(device):
    cells, state = made(device, SMALL, 0.1)
    for up, down in ((500, 0), (0, 500), (300, 300)):
        counts = (jnp.full(SMALL, n, jnp.int32) for n in (up, down))
        state = pulses(device, cells, state, *counts, random.key(up))
        v = state.w if state.persistent is None else state.persistent
        assert np.all((v >= cells["min_bound"]) & (v <= cells["max_bound"]))


def test_phase_change_memory_has_the_values_of_aihwkit():
    values = {"A_up": -27.235, "A_down": -2.235, "gamma_up": 2.5, "gamma_down": 2.5, "a": -1.0, "b": 0.0}
    values |= {"dw_min": 0.01, "w_max": 2.0, "w_min": 0.0, "dw_min_dtod": 0.2, "up_down_dtod": 0.05, "w_max_dtod": 0.1}
    values |= {"w_min_dtod": 0.0, "dw_min_std": 0.6, "dw_min_std_add": 0.042, "dw_min_std_slope": 0.108}
    assert PCM == ExpStep(**values, reset=0.01, reset_dtod=0.02)


@pytest.mark.parametrize("name", ["A_up", "gamma_down", "a", "dw_min_std_add", "dw_min_std_slope", "write_noise_std"])
def test_what_is_no_number_is_refused(name):
    with pytest.raises(ConfigError, match=rf"ExpStep\({name}=nan\): needs a finite number"):
        ExpStep(**{name: float("nan")})


def test_negative_noise_is_refused():
    with pytest.raises(ConfigError, match=r"ExpStep\(dw_min_std_add=-0.1\): .*at least 0"):
        ExpStep(dw_min_std_add=-0.1)
