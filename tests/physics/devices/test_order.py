"""Samples of a batch take their turns where an array is small, and where updates are digital with bounds."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax import random
from analogjax.physics import ConstantStep, LinearStep, PowStep, Pulses, SoftBounds, SoftBoundsReference
from tests.physics.devices.nonlinear_samples import alike, made
from tests.tolerance import assert_close

SHAPE = (3, 4)
DEVICES = {
    "constant": ConstantStep(dw_min=0.005, dw_min_std=0.0),
    "linear": LinearStep(dw_min=0.005, dw_min_std=0.0, gamma_up=0.3, gamma_down=0.2),
    "soft bounds": SoftBounds(dw_min=0.005, dw_min_std=0.0),
    "reference": SoftBoundsReference(dw_min=0.005, dw_min_std=0.0, reference_std=0.05, subtract_symmetry_point=True),
}


def batch(size, shape=SHAPE):
    k_x, k_d = jax.random.split(random.key(size))
    return jax.random.uniform(k_x, (size, shape[1]), minval=-1), jax.random.normal(k_d, (size, shape[0]))


@partial(jax.jit, static_argnames="p")
def updated(p, device, cells, state, x, d, key):
    return device.update(p, cells, state, x, d, jnp.float32(0.1), key).w


@pytest.mark.parametrize("kind", ["StochasticCompressed", "MeanCount"])
@pytest.mark.parametrize("name", DEVICES)
def test_a_small_array_moves_as_pulse_by_pulse_to_its_bounds_and_back(name, kind):
    device, (x, d) = DEVICES[name], batch(7)
    cells, state = made(device, SHAPE, 0.4)
    both = [
        updated(Pulses(pulse_type=kind, sequential=exact), device, cells, state, x, d, random.key(1))
        for exact in (False, True)
    ]
    assert np.all(np.abs(both[1] - state.w) < 1)
    assert_close(*both, factor=50)  # closed forms of up to 31 pulses against roundings of each
    # the whole batch at once, as a large array has it, is another thing
    whole = updated(Pulses(pulse_type=kind), device, *large(cells, state, x, d), random.key(1))[:3, :4]
    assert np.max(np.abs(both[1] - whole)) > 0.005


def large(cells, state, x, d):
    """The same array in a corner of a large one, whose other lines are quiet."""

    def corner(a):
        return jnp.zeros((64, 64), a.dtype).at[: a.shape[0], : a.shape[1]].set(a)

    wide = jax.tree.map(corner, (cells, state))
    return *wide, jnp.pad(x, ((0, 0), (0, 64 - x.shape[1]))), jnp.pad(d, ((0, 0), (0, 64 - d.shape[1])))


def test_noisy_samples_in_turn_have_the_moments_of_single_pulses_n_4096():
    device = alike(PowStep, dw_min=0.02, pow_gamma=2.0)
    cells, state = made(device, SHAPE, 0.3)
    x, d = batch(4)
    keys = jax.random.split(random.key(3), 4096)
    both = [
        np.asarray(jax.vmap(lambda key, p=p: updated(p, device, cells, state, x, d, key))(keys), np.float64)
        for p in (Pulses(), Pulses(sequential=True))
    ]
    error = np.abs(both[0].mean(0) - both[1].mean(0))
    # the pulses are the same, only their noise is not: their difference tells the standard error
    assert np.all(error <= 4 * (both[0] - both[1]).std(0) / 64 + 1e-6)
    assert np.all(np.abs(both[0].std(0) / both[1].std(0) - 1) < 4 / np.sqrt(4096))


def test_a_digital_update_within_bounds_is_clipped_after_each_sample():
    device = alike(ConstantStep)
    cells, state = made(device, (1, 1), 0.5)
    x, d = jnp.ones((3, 1)), jnp.asarray([[-5.0], [1.0], [1.0]])  # up by 0.5, then down by 0.1 twice
    w = updated(Pulses(pulse_type="NoneWithDevice"), device, cells, state, x, d, random.key(0))
    np.testing.assert_allclose(w, 0.6 - 0.2, rtol=1e-6)
