"""Synthetic measurements: nominal devices with noise, pulsed one by one and read after each pulse."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from analogjax import random
from analogjax.fit import Trace
from analogjax.fit.law import nominal, nominal_cells

SIGNS = np.repeat([-1, 1, -1, 1], [200, 350, 350, 300]).astype(np.int8)  # to both bounds, and away from both


def traces(device, seed: int, n: int = 3, signs: np.ndarray = SIGNS) -> list[Trace]:
    """`n` traces of the device without spread, with its cycle-to-cycle and write noise."""
    noise = {name: getattr(device, name) for name in ("dw_min_std", "write_noise_std") if hasattr(device, name)}
    device = replace(nominal(device), **noise)
    cells = nominal_cells(device, n)

    @jax.jit
    def run(key):
        k_write, k_pulses = jax.random.split(key)

        def pulse(state, given):
            sign, key = given
            state = device.pulse(cells, state, jnp.full((1, n), sign), key)
            return state, state.w[0]

        first = device.write(cells, jnp.zeros((1, n)), k_write)
        return first.w[0], lax.scan(pulse, first, (jnp.asarray(signs), jax.random.split(k_pulses, len(signs))))[1]

    start, w = run(random.key(seed))
    return [Trace(signs=signs, weights=np.asarray(w[:, k]), start=float(start[k])) for k in range(n)]
