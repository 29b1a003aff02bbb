r"""Tau-leaping: many pulses of a nonlinear device applied in a few leaps; the rest is left to be applied one by one.

A leap takes `m` of the `n` remaining pulses, `u` UP and `d` DOWN as in a random order: no more than change the step by
about a tenth, `m |f'| <= 0.1`, or by a fifth through noise, `m (sigma f' / f)^2 <= 0.2^2`, and the spread likewise, `m
|sigma'| f / sigma <= 0.1` and `m sigma'^2 <= 0.2^2`, and bend their path by 0.4 %, `m^2 |f'' f| / 6 <= 0.004`. Where
they could reach a bound, `m <= max(1, (n - 48) / 4)`: the last pulses before it are applied singly. Leaps continue
while more than a few crosspoints could leap by 4 or more pulses, or any has more than 64 left; all crosspoints take
part in each leap. With the net step `G = u f_up - d f_dn` and its derivatives at the start,

    v += L + h (2 m - 1) / (12 m) G'' L^2 + sqrt(q E(2 h a)) xi,     L = b E(a),     E(x) = (e^x - 1) / x,
    a = u log(1 + f_up') + d log(1 - f_dn'),   b = u l(f_up') f_up - d l(-f_dn') f_dn,   l(k) = log(1 + k) / k,
    q = u sigma_up^2 + d sigma_dn^2, at the middle of the leap,   h = (m - 1) / m,         then clip

`m = 1` is exactly a single pulse, and any number of pulses in one direction are exact where `f` is straight (`L` is the
flow of `devices/affine.py` along the slope). `f''` is averaged over the path of the leap. The error of the mean of a
leap, relative to the movement by its pulses, is

    m^3 |f'''| f^2 / 72 + m |f''| sigma^2 / (4 f)     (1.4 % at most for exponential steps, mostly by noise)

and, where the slope of a table jumps, at most 0.4 % of that leap. A leap that ends beyond a bound is clipped once, so
that pulses that leave the bound again within that leap are counted as if they had not been clipped. This error is at
most the sum of the steps of that leap; little of it remains after the single pulses at the end.

Reference: Gillespie 2001, doi:10.1063/1.1378322.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from analogjax._typing import Array, Key
from analogjax.random import normal, uniform

FEW = 64  # more pulses than this always leap
WORTH = 4  # pulses of a leap for which it is worth while: a leap costs as much as several single pulses
_TAIL = 48  # pulses before a bound that are never part of a leap of several
_CHANGE = 0.1  # largest relative change of a step in one leap
_BEND = 0.004  # largest part that the bend of the steps has in a leap
_STEEPEST = 0.125  # slope of a step beyond which leaps are of one pulse
_NOISE = 0.2  # largest standard deviation of that change through noise
_GROWTH, _SIGMAS = 1.2, 6.0  # how far a leap may go at most: its steps grown so much, and its noise so many times


class Sizes(NamedTuple):
    """Mean and spread of one pulse of either direction at a weight, `[O, I]` each [w]."""

    up: Array
    down: Array
    spread_up: Array
    spread_down: Array


class Bend(NamedTuple):
    """Half of `f''` for a pulse of either direction, `[O, I]` each [1/w], and the squared distance over which it was
    measured.
    """

    up: Array
    down: Array
    square: Array


def leapt(
    sizes: Callable[[Array], Sizes], low: Array, high: Array, v: Array, up: Array, down: Array, few: int, key: Key
) -> tuple[Array, Array, Array]:
    """`v` `[O, I]` after the leaps of `up` and `down` pulses, and the pulses left, at most `FEW` per crosspoint.

    `low` and `high` are the bounds. If only `few` crosspoints have a long leap ahead, none leaps. Consumes `key`.
    """
    dtype = v.dtype
    v = v.astype(jnp.promote_types(dtype, jnp.float32))

    def leap(carry: tuple[Array, ...]) -> tuple[Array, ...]:
        i, v, up, down, _ = carry
        k_split, k_noise = jax.random.split(jax.random.fold_in(key, i))
        at, slope = jax.jvp(sizes, (v,), (jnp.ones_like(v),))
        m = _pulses_of_a_leap(at, slope, (v - low, high - v), up, down)
        bend, m = _bent(sizes, (low, high), v, at, slope, _shares(m, up, down), m)
        n_up = _share(m, up, down, k_split)
        move, variance = _moments(at, slope, bend, n_up.astype(v.dtype), (m - n_up).astype(v.dtype))
        moved = jnp.clip(v + move + jnp.sqrt(variance) * normal(k_noise, v.shape, v.dtype), low, high)
        left, long = up + down - m, m >= WORTH
        return i + 1, jnp.where(m > 0, moved, v), up - n_up, left - (up - n_up), jnp.sum(long & (left >= WORTH))

    def more(carry: tuple[Array, ...]) -> Array:
        return (carry[4] > few) | jnp.any(carry[2] + carry[3] > FEW)

    start: tuple[Array, ...] = (jnp.asarray(0), v, up, down, jnp.sum(up + down >= WORTH))
    _, v, up, down, _ = lax.while_loop(more, leap, start)
    return v.astype(dtype), up, down


def _pulses_of_a_leap(at: Sizes, slope: Sizes, room: tuple[Array, Array], up: Array, down: Array) -> Array:
    """`m` `[O, I]` as limited by slope, noise and bounds; `room` is the distance to the lower and the upper bound."""
    n, limits = up + down, []
    sides = (
        (up, at.up, slope.up, at.spread_up, slope.spread_up),
        (down, at.down, slope.down, at.spread_down, slope.spread_down),
    )
    for count, f, df, sigma, dsigma in sides:
        f, tiny = jnp.abs(f), 1e-30
        step = jnp.maximum(jnp.abs(df), jnp.abs(dsigma) * f / jnp.maximum(sigma, tiny)) / _CHANGE
        noise = jnp.maximum(jnp.abs(sigma * df) / jnp.maximum(f, tiny), jnp.abs(dsigma)) / _NOISE
        limits.append(jnp.where(count > 0, jnp.maximum(step, noise**2), 0.0))
    limit = 1 / jnp.maximum(jnp.maximum(*limits), 1e-6)
    m = jnp.clip(limit.astype(jnp.int32), 1, n)
    near = jnp.minimum(m, jnp.maximum((n - _TAIL) // 4, 1))
    return jnp.where(_free(at, room, *_shares(m, up, down)), m, near)


def _shares(m: Array, up: Array, down: Array) -> tuple[Array, Array]:
    """UP and DOWN pulses among `m` on average."""
    m, up, down = (n.astype(jnp.float32) for n in (m, up, down))
    share = m / jnp.maximum(up + down, 1)
    return share * up, share * down


def _free(at: Sizes, room: tuple[Array, Array], n_up: Array, n_down: Array) -> Array:
    """Whether these pulses can't reach a bound."""
    noise = _SIGMAS * jnp.sqrt(n_up * at.spread_up**2 + n_down * at.spread_down**2)
    down_to, up_to = _GROWTH * n_down * jnp.abs(at.down) + noise, _GROWTH * n_up * jnp.abs(at.up) + noise
    return (down_to < room[0]) & (up_to < room[1])


def _bent(
    sizes: Callable[[Array], Sizes],
    bounds: tuple[Array, Array],
    v: Array,
    at: Sizes,
    slope: Sizes,
    shares: tuple[Array, Array],
    m: Array,
) -> tuple[Bend, Array]:
    """The bend over the path of `m` pulses, and the number of pulses it allows."""
    n_up, n_down = shares
    move = jnp.clip(v + _flow(at, slope, n_up, n_down)[0], *bounds) - v
    ahead, still = sizes(v + move), jnp.abs(move) < 1e-9
    square = jnp.where(still, 1.0, move) ** 2
    up, down = (
        jnp.where(still, 0.0, (there - here - rise * move) / square)
        for here, rise, there in ((at.up, slope.up, ahead.up), (at.down, slope.down, ahead.down))
    )
    part = (n_up * jnp.abs(up) + n_down * jnp.abs(down)) * square / 3
    whole = n_up * jnp.abs(at.up) + n_down * jnp.abs(at.down)
    allowed = m.astype(v.dtype) * jnp.sqrt(jnp.minimum(_BEND * whole / jnp.maximum(part, 1e-30), 1.0))
    return Bend(up, down, square), jnp.maximum(allowed.astype(jnp.int32), jnp.minimum(m, 1))


def _share(m: Array, up: Array, down: Array, key: Key) -> Array:
    """How many of `m` pulses go up where all orders are equally likely: hypergeometric, by its mean and variance."""
    k_spread, k_round = jax.random.split(key)
    left = jnp.maximum(up + down, 1).astype(jnp.float32)
    p, size = up.astype(jnp.float32) / left, m.astype(jnp.float32)
    variance = size * p * (1 - p) * (left - size) / jnp.maximum(left - 1, 1)
    # random rounding adds 1/6 on average, and is the only term for a single pulse
    variance = jnp.where(m > 1, jnp.maximum(variance - 1 / 6, 0.0), 0.0)

    def draw() -> Array:
        drawn = size * p + jnp.sqrt(variance) * normal(k_spread, m.shape)
        n_up = jnp.floor(drawn + uniform(k_round, m.shape)).astype(jnp.int32)
        return jnp.clip(n_up, jnp.maximum(m - down, 0), jnp.minimum(m, up))

    # usually a leap takes all pulses or none, and nothing has to be drawn
    return lax.cond(jnp.any((m > 0) & (m < up + down)), draw, lambda: jnp.minimum(m, up))


def _moments(at: Sizes, slope: Sizes, bend: Bend, n_up: Array, n_down: Array) -> tuple[Array, Array]:
    """Mean and variance of a leap: the formulas of this module."""
    m = jnp.maximum(n_up + n_down, 1)
    h = (m - 1) / m
    move, growth = _flow(at, slope, n_up, n_down)
    q = n_up * at.spread_up**2 + n_down * at.spread_down**2
    change = n_up * at.spread_up * slope.spread_up + n_down * at.spread_down * slope.spread_down
    q = jnp.maximum(q + h * (n_up * at.up - n_down * at.down) * change, 0.0)
    # if up and down nearly cancel on average, the measured distance is short and says little about a longer move
    square = jnp.minimum(move**2, bend.square)
    bent = (n_up * bend.up - n_down * bend.down) * square * h * (2 * m - 1) / (6 * m)
    single = n_up * at.up - n_down * at.down  # however steep the step
    return jnp.where(m > 1, move + bent, single), q * _expm1_ratio(2 * h * growth)


def _flow(at: Sizes, slope: Sizes, n_up: Array, n_down: Array) -> tuple[Array, Array]:
    """`L` and `a` of this module."""
    k_up, k_down = (jnp.clip(k, -_STEEPEST, _STEEPEST) for k in (slope.up, -slope.down))
    up, down = _log1p_ratio(k_up), _log1p_ratio(k_down)
    growth = n_up * up * k_up + n_down * down * k_down
    return (n_up * up * at.up - n_down * down * at.down) * _expm1_ratio(growth), growth


def _log1p_ratio(k: Array) -> Array:
    """`log(1 + k) / k` for `|k| <= 0.125`, to 1e-6."""
    return 1 - k * (1 / 2 - k * (1 / 3 - k * (1 / 4 - k * (1 / 5 - k / 6))))


def _expm1_ratio(x: Array) -> Array:
    """`(e^x - 1) / x` for `|x| <= 0.25`, to 1e-7."""
    return 1 + x * (1 / 2 + x * (1 / 6 + x * (1 / 24 + x * (1 / 120 + x / 720))))
