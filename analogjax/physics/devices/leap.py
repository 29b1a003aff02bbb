r"""Many pulses of a nonlinear device in few leaps (tau-leaping), down to a rest that is applied pulse by pulse.

A leap takes `m = max(1, (n - 48) / 4)` of the `n` pulses that are left, `u` UP and `d` DOWN as a random order has them,
but no more than change the step by about a tenth, `m |f'| <= 0.1`, or by a fifth through noise,
`m (sigma f' / f)^2 <= 0.2^2`. With the net step `G = u f_up - d f_dn` and its slope `G'` at the start,

    v += G E(h G') + sqrt(q E(2 h G')) xi,     E(x) = (e^x - 1) / x,   h = (m - 1) / m,
    q = u sigma_up^2 + d sigma_dn^2, half-way along the leap,              then clip

`m = 1` is a single pulse, exactly. The mean of a leap is off, relative to what its pulses move, by

    (m f')^2 / 6 + m^2 |f'' f| / 6 + m |f''| sigma^2 / (4 f)     (at most 1.4 % for exponential steps, mostly by noise)

and by no more than `m f'^2 / 2` (`(1 + f')^m` is taken as `e^(m f')`) for linear ones. Where the slope of a table
jumps, the old slope is followed to the end of the leap: `m |jump of f'| / 2` of that leap at most. Where a leap ends
beyond a bound it is clipped once, so that pulses that leave the bound again within that leap are counted as if they had
not been clipped: at most the sum of the steps of that leap, of which the single pulses at the end leave little.

Reference: Gillespie 2001, doi:10.1063/1.1378322.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from analogjax._typing import Array, Key
from analogjax.random import normal, uniform

FEW = 64  # counts up to this are left to single pulses
_TAIL = 48  # pulses that are never part of a leap of several
_CHANGE = 0.1  # largest relative change of a step in one leap
_NOISE = 0.2  # largest standard deviation of that change through noise


class Sizes(NamedTuple):
    """Mean and spread of one pulse of either direction at a weight, `[O, I]` each [w]."""

    up: Array
    down: Array
    spread_up: Array
    spread_down: Array


def leapt(
    sizes: Callable[[Array], Sizes], low: Array, high: Array, v: Array, up: Array, down: Array, key: Key
) -> tuple[Array, Array, Array]:
    """`v` `[O, I]` after all but at most `FEW` of the `up` and `down` pulses, and what is left of them.

    `low` and `high` are the bounds. Consumes `key`.
    """

    def leap(carry: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        i, v, up, down = carry
        k_split, k_noise = jax.random.split(jax.random.fold_in(key, i))
        at, slope = jax.jvp(sizes, (v,), (jnp.ones_like(v),))
        m = jnp.where(up + down > FEW, _pulses_of_a_leap(at, slope, up, down), 0)
        n_up = _share(m, up, down, k_split)
        move, variance = _moments(at, slope, n_up.astype(v.dtype), (m - n_up).astype(v.dtype))
        moved = jnp.clip(v + move + jnp.sqrt(variance) * normal(k_noise, v.shape, v.dtype), low, high)
        return i + 1, jnp.where(m > 0, moved, v), up - n_up, down - (m - n_up)

    start = (jnp.asarray(0, jnp.int32), v, up, down)
    return lax.while_loop(lambda carry: jnp.any(carry[2] + carry[3] > FEW), leap, start)[1:]


def _pulses_of_a_leap(at: Sizes, slope: Sizes, up: Array, down: Array) -> Array:
    most = jnp.maximum((up + down - _TAIL) // 4, 1)
    limits = []
    for n, f, df, sigma in ((up, at.up, slope.up, at.spread_up), (down, at.down, slope.down, at.spread_down)):
        step, noise = jnp.abs(df) / _CHANGE, jnp.abs(sigma * df) / (_NOISE * jnp.maximum(jnp.abs(f), 1e-30))
        limits.append(jnp.where(n > 0, jnp.maximum(step, noise**2), 0.0))
    limit = 1 / jnp.maximum(jnp.maximum(*limits), 1e-6)
    return jnp.clip(limit.astype(jnp.int32), 1, most)


def _share(m: Array, up: Array, down: Array, key: Key) -> Array:
    """How many of `m` pulses go up where all orders are equally likely: hypergeometric, by its mean and variance."""
    k_spread, k_round = jax.random.split(key)
    left = jnp.maximum(up + down, 1).astype(jnp.float32)
    p, size = up.astype(jnp.float32) / left, m.astype(jnp.float32)
    variance = size * p * (1 - p) * (left - size) / jnp.maximum(left - 1, 1)
    # rounding at random adds 1/6 on average, and is all there is for a single pulse
    variance = jnp.where(m > 1, jnp.maximum(variance - 1 / 6, 0.0), 0.0)
    drawn = size * p + jnp.sqrt(variance) * normal(k_spread, m.shape)
    n_up = jnp.floor(drawn + uniform(k_round, m.shape)).astype(jnp.int32)
    return jnp.clip(n_up, jnp.maximum(m - down, 0), jnp.minimum(m, up))


def _moments(at: Sizes, slope: Sizes, n_up: Array, n_down: Array) -> tuple[Array, Array]:
    """Mean and variance of the move of a leap: the formulas of this module."""
    m = jnp.maximum(n_up + n_down, 1)
    h = (m - 1) / m
    net, growth = n_up * at.up - n_down * at.down, h * (n_up * slope.up - n_down * slope.down)
    q = n_up * at.spread_up**2 + n_down * at.spread_down**2
    change = n_up * at.spread_up * slope.spread_up + n_down * at.spread_down * slope.spread_down
    q = jnp.maximum(q + h * net * change, 0.0)
    return net * _expm1_ratio(growth), q * _expm1_ratio(2 * growth)


def _expm1_ratio(x: Array) -> Array:
    small = jnp.abs(x) < 1e-6
    return jnp.where(small, 1 + x / 2, jnp.expm1(x) / jnp.where(small, 1.0, x))
