r"""Converters: a grid of levels within bounds, for signals going into a crossbar (DAC) and coming out of it (ADC).

    r = 2 res bound            the step, of a resolution `res` relative to the full range (above 1: number of steps)
    q(v) = r round(v / r)      half to even, or stochastically: r floor(v / r + uniform)

A resolution of 0 or less is ideal, and so is any with a bound of 0 or less, which is infinite; both may be traced.
Derivatives are straight-through
(Bengio et al. 2013, arXiv:1308.3432; Esser et al. 2020, arXiv:1902.08153): rounding has that of the identity, and
`(q(v) - v) / r` in the step; a bound lets pass what it holds, itself included.
"""

import jax
import jax.numpy as jnp

from analogjax._pytree import is_static
from analogjax._typing import Array, Key, Scalar
from analogjax.random import uniform


def step_of(res: Scalar, bound: Scalar) -> Scalar:
    """The converter step in units of the signal; 0 means ideal. `res` above 1 counts steps."""
    if not (is_static(res) and is_static(bound)):
        relative = jnp.where(jnp.asarray(res) > 1, 1 / jnp.asarray(res), res)
        return jnp.where(jnp.asarray(res) > 0, relative * 2 * bound, 0.0)
    if res <= 0 or bound <= 0:
        return 0.0
    return (1 / res if res > 1 else res) * 2 * bound


def quantise(v: Array, step: Scalar, key: Key | None) -> Array:
    """Round to the grid `step`, half to even, or stochastically if a `key` is given (which is consumed)."""
    if is_static(step) and step <= 0:
        return v
    on = jnp.asarray(step) > 0  # a traced step may turn out to be off
    grid = jnp.where(on, step, 1.0)
    dither = None if key is None else uniform(key, v.shape).astype(v.dtype)
    rounded = _rounded(v, grid, dither)
    return rounded if is_static(step) else jnp.where(on, rounded, v)


def clip(v: Array, bound: Scalar) -> Array:
    """`v` within `+-bound`; a bound of 0 or less is infinite."""
    if is_static(bound) and bound <= 0:
        return v
    # a whole number has no derivative: JAX would refuse to multiply by it
    limit = float(bound) if is_static(bound) else jnp.where(jnp.asarray(bound) > 0, bound, jnp.inf)
    return _held(v, limit)


@jax.custom_jvp
def _rounded(v: Array, grid: Array, dither: Array | None) -> Array:
    level = jnp.round(v / grid) if dither is None else jnp.floor(v / grid + dither)
    return level * grid


@_rounded.defjvp
def _rounded_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    (v, grid, dither), (dv, dgrid, _) = primals, tangents
    rounded = _rounded(v, grid, dither)
    return rounded, dv + (rounded - v) / grid * dgrid


@jax.custom_jvp
def _held(v: Array, limit: Array) -> Array:
    return jnp.clip(v, -limit, limit)


@_held.defjvp
def _held_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    (v, limit), (dv, dlimit) = primals, tangents
    return _held(v, limit), jnp.where(jnp.abs(v) <= limit, dv, jnp.sign(v) * dlimit)
