"""Soft bounds given by pulses: the derived numbers, and that those pulses span the range."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax import random
from analogjax.errors import ConfigError
from analogjax.physics import SoftBounds, SoftBoundsPmax
from tests.physics.devices.nonlinear_samples import SMALL, alike, assert_step, made, pulsed_once, pulses
from tests.tolerance import assert_close, assert_same_bits

LAW = {"p_max": 400, "alpha": 0.004, "range_min": -0.8, "range_max": 0.7}
B = 1.5 / (1 - np.exp(-1.6))


def test_derived_numbers():
    made = SoftBoundsPmax(**LAW).soft_bounds
    derived = {"w_min": -0.8, "w_max": -0.8 + B, "dw_min": 0.004 * B, "up_down": 1 - 1.6 / B}
    for name, value in derived.items():
        assert getattr(made, name) == pytest.approx(value)
    assert SoftBoundsPmax(**LAW).granularity == made.dw_min


@pytest.mark.parametrize("up", [True, False], ids=["up", "down"])
def test_one_step_n_1e6(up):
    mean = 0.004 * B * (1 - 0.2 / (-0.8 + B)) if up else -0.004 * B * (1.6 / B) * (1 + 0.2 / 0.8)
    assert_step(pulsed_once(alike(SoftBoundsPmax, **LAW), 0.2, up), mean, 0.3 * abs(mean))


def test_the_pulses_that_span_the_range():
    device = alike(SoftBoundsPmax, **LAW, dw_min_std=0.0)
    cells, state = made(device, SMALL, -0.8)
    fraction = (B - 0.8) / B  # as `up_down` lowers the down step only, fewer than p_max do it
    counts = jnp.full(SMALL, round(400 * fraction), jnp.int32)
    end = pulses(device, cells, state, counts, 0 * counts, random.key(0)).w
    left = (1 - 0.004 / fraction) ** counts[0, 0]  # its limit for small alpha is e^(-alpha p_max)
    assert_close(end, np.full(SMALL, -0.8 + B * (1 - left)), factor=4)  # hundreds of roundings
    np.testing.assert_allclose(end, 0.7, atol=0.005)


def test_up_and_down_steps_cancel_at_the_symmetry_point():
    device = alike(SoftBoundsPmax, **LAW, dw_min_std=0.0)
    s_up, s_down = 0.004 * B, 0.004 * B * 1.6 / B
    point = (s_up - s_down) / (s_up / (-0.8 + B) + s_down / 0.8)
    cells, state = made(device, SMALL, point)
    up, down = (device.pulse(cells, state, jnp.full(SMALL, s, jnp.int8), random.key(0)).w for s in (1, -1))
    np.testing.assert_allclose(up - state.w, state.w - down, atol=1e-6)


def test_it_is_the_soft_bounds_device_of_those_numbers():
    device = SoftBoundsPmax(**LAW, write_noise_std=2.0)
    same = device.soft_bounds
    assert type(same) is SoftBounds
    for one in (made(device, SMALL, 0.1), made(same, SMALL, 0.1)):
        counts = jnp.full(SMALL, 3, jnp.int32)
        assert_same_bits(
            device.pulses(*one, counts, counts, random.key(1)), same.pulses(*one, counts, counts, random.key(1))
        )


def test_its_numbers_can_be_changed_and_swept():
    assert replace(SoftBoundsPmax(**LAW), range_min=-1.0).soft_bounds.w_min == -1.0
    steps = jax.vmap(lambda n: SoftBoundsPmax(p_max=n).granularity)(jnp.asarray([500.0, 1000.0]))
    assert_close(steps, [SoftBoundsPmax(p_max=n).granularity for n in (500, 1000)])


def test_what_is_wrong_is_refused():
    with pytest.raises(ConfigError, match=r"SoftBoundsPmax\(p_max=0\): .*at least"):
        SoftBoundsPmax(p_max=0)
    with pytest.raises(ConfigError, match=r"SoftBoundsPmax\(range_min=0.1\): .*at most 0"):
        SoftBoundsPmax(range_min=0.1)
    with pytest.raises(ConfigError, match=r"SoftBoundsPmax\(range_max=-2.0\): needs more than range_min=-1.0"):
        SoftBoundsPmax(range_max=-2.0)
    with pytest.raises(ConfigError, match=r"SoftBoundsPmax\(dw_min=0.1\): follows from p_max"):
        SoftBoundsPmax(dw_min=0.1)
