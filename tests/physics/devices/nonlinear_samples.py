"""A million crosspoints of one device, and what one pulse does to them."""

import jax
import jax.numpy as jnp
import numpy as np

from analogjax import random
from analogjax.physics.devices.pulsed import hidden

MILLION = (1000, 1000)
SMALL = (4, 6)
SPREADS = ("dw_min_dtod", "up_down_dtod", "w_max_dtod", "w_min_dtod", "pow_gamma_dtod")


def alike(kind, **fields):
    """A device of `kind` without differences from device to device."""
    none = {name: 0.0 for name in SPREADS if hasattr(kind(), name)}
    return kind(**(none | fields))


@jax.jit
def pulses(device, cells, state, up, down, key):
    return device.pulses(cells, state, up, down, key)


@jax.jit
def pulse(device, cells, state, sign, key):
    return device.pulse(cells, state, sign, key)


@jax.jit
def one_by_one(device, cells, state, signs, key):
    """`signs` `[N, ...]` one after the other, the counted evaluation's definition."""

    def step(state, part):
        sign, key = part
        return device.pulse(cells, state, jnp.broadcast_to(sign, state.w.shape), key), None

    return jax.lax.scan(step, state, (signs, jax.random.split(key, len(signs))))[0]


def made(device, shape, w, seed=0):
    """Cells and state of a chip that holds `w` everywhere."""
    k_cells, k_write = jax.random.split(random.key(seed))
    cells = device.fabricate(shape, "float32", k_cells)
    return cells, device.write(cells, jnp.broadcast_to(jnp.asarray(w, jnp.float32), shape), k_write)


def pulsed_once(device, w, up, seed=1):
    """The moves of a million pulses of one direction from `w`, in float64."""
    cells, state = made(device, MILLION, w)
    sign = jnp.full(MILLION, 1 if up else -1, jnp.int8)
    after = pulse(device, cells, state, sign, random.key(seed))
    return np.asarray(hidden(after) - hidden(state), np.float64).ravel()


def assert_step(moves, mean, std):
    """Mean and standard deviation of a million moves are those of the equation within 1 %."""
    np.testing.assert_allclose(moves.mean(), mean, rtol=0.01)
    np.testing.assert_allclose(moves.std(), std, rtol=0.01)
