r"""Steps that are affine in the weight: the shared law of linear-step and soft-bounds devices.

    UP: v += (s_up + k_up v),   DOWN: v -= (s_dn + k_dn v)

with noise `c xi` times the whole step (multiplicative) or times `s` alone (additive).

Counted evaluation. `n` equal pulses without noise have the closed form of a geometric series, and `n_up` and `n_down`
evenly interleaved pulses follow the flow

    dv/dt = a v + b,  a = n_up log(1 + k_up) + n_dn log(1 - k_dn),  b = n_up l(k_up) s_up - n_dn l(-k_dn) s_dn,
    v(1) = v(0) e^a + b (e^a - 1) / a,      l(k) = log(1 + k) / k,

which is the exact mean for pulses of one direction, and of second order in the step for mixed ones: the order of up
and down pulses within a batch changes the result by at most `n_up n_dn |k_up s_dn + k_dn s_up|` / 2. The noise of the
single pulses is added as one normal of the summed variance, each pulse taken at the mean position of the path; its
relative error is of the order of `n k`. Clipping happens once, at the end.
"""

from typing import NamedTuple

import jax.numpy as jnp

from analogjax._pytree import is_off
from analogjax._typing import Array, Key, Scalar
from analogjax.random import normal


class Affine(NamedTuple):
    """The law of each crosspoint, `[O, I]` each, and its noise."""

    s_up: Array
    k_up: Array
    s_down: Array
    k_down: Array
    noise: Scalar  # cycle-to-cycle noise [1]
    multiplicative: bool


def one_pulse(law: Affine, v: Array, sign: Array, key: Key) -> Array:
    """`v` `[O, I]` after one pulse of `sign` (+1 UP, -1 DOWN, 0 none) per crosspoint, not clipped."""
    s, k = jnp.where(sign > 0, law.s_up, law.s_down), jnp.where(sign > 0, law.k_up, law.k_down)
    step = s + k * v
    if not is_off(law.noise):
        step = step + (step if law.multiplicative else s) * law.noise * normal(key, v.shape, v.dtype)
    return v + sign * step


def many_pulses(law: Affine, v: Array, up: Array, down: Array, key: Key) -> Array:
    """`v` `[O, I]` after `up` and `down` pulses per crosspoint, evenly interleaved, not clipped."""
    n_up, n_down = up.astype(v.dtype), down.astype(v.dtype)
    log_up, rate_up = _log_and_ratio(law.k_up)
    log_down, rate_down = _log_and_ratio(-law.k_down)
    a = n_up * log_up + n_down * log_down
    b = n_up * rate_up * law.s_up - n_down * rate_down * law.s_down
    # e^a - 1 = a ratio(a): rounding e^a itself would add up over many updates
    end = v + (v * a + b) * _expm1_ratio(a)
    if is_off(law.noise):
        return end
    n = jnp.maximum(n_up + n_down, 1.0)
    rest = (n - 1) / n  # a single pulse is taken where it starts, many at the middle of their path
    middle = v + 0.5 * rest * (end - v)
    step_up, step_down = law.s_up, law.s_down
    if law.multiplicative:
        step_up, step_down = step_up + law.k_up * middle, step_down + law.k_down * middle
    variance = (n_up * step_up**2 + n_down * step_down**2) * _expm1_ratio(2 * a * rest)
    return end + law.noise * jnp.sqrt(variance) * normal(key, v.shape, v.dtype)


def _log_and_ratio(k: Array) -> tuple[Array, Array]:
    """`log(1 + k)` and `log(1 + k) / k`; a slope beyond -1 overshoots its bound in one pulse, where clipping ends."""
    k = jnp.maximum(k, -0.999)
    log = jnp.log1p(k)
    return log, jnp.where(jnp.abs(k) > 1e-6, log / jnp.where(jnp.abs(k) > 1e-6, k, 1.0), 1.0)


def _expm1_ratio(a: Array) -> Array:
    small = jnp.abs(a) < 1e-6
    return jnp.where(small, 1 + a / 2, jnp.expm1(a) / jnp.where(small, 1.0, a))
