r"""Rounding of weights to a grid, as programmed levels are rounded: half away from zero.

    R(v; r) = r sign(v) floor(|v| / r + 1/2),    or stochastically    r floor(v / r + uniform)

A step of 0 or less leaves `v` as it is.
"""

import jax.numpy as jnp

from analogjax._typing import Array, Key, Scalar
from analogjax.random import uniform


def to_levels(v: Array, step: Scalar, key: Key | None) -> Array:
    """`v` on the grid of `step` (0 or less: as it is), stochastically if a `key` is given, which is consumed."""
    on = jnp.asarray(step) > 0
    grid = jnp.where(on, step, 1.0).astype(v.dtype)
    if key is None:
        level = jnp.sign(v) * jnp.floor(jnp.abs(v / grid) + 0.5)
    else:
        level = jnp.floor(v / grid + uniform(key, v.shape).astype(v.dtype))
    return jnp.where(on, level * grid, v)
