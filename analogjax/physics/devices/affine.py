r"""Steps that are affine in the weight: the shared law of linear-step and soft-bounds devices.

    UP: v += (s_up + k_up v),   DOWN: v -= (s_dn + k_dn v)

with noise `c xi` times the whole step (multiplicative) or times `s` alone (additive).

Counted evaluation. `n` equal pulses without noise have the closed form of a geometric series, and `n_up` and `n_down`
evenly interleaved pulses follow the flow

    dv/dt = a v + b,  a = n_up log(1 + k_up) + n_dn log(1 - k_dn),  b = n_up l(k_up) s_up - n_dn l(-k_dn) s_dn,
    v(1) = v(0) e^a + b (e^a - 1) / a,      l(k) = log(1 + k) / k,

which is the exact mean for pulses of one direction, and of second order in the step for mixed ones: the order of up
and down pulses within a batch changes the result by at most `n_up n_dn |k_up s_dn - k_dn s_up| / 2` (times the growth
`max(1 + k_up, 1)^n_up max(1 - k_dn, 1)^n_dn`, for steps that grow).

The noise of the single pulses is added as one normal of their summed variance. Additive noise of variance `(c s)^2` per
pulse decays along the path; multiplicative noise of `n` pulses of one direction has, exactly,

    Var v = u^2 [((1 + k)^2 + (k c)^2)^n - (1 + k)^(2n)],   u = v(0) + s / k      (k -> 0: n (c s)^2)

and that of mixed ones is evaluated on the flow above, again to second order in the step. Clipping happens once, at the
end. Devices for which this matters are not counted; see `devices/coarse.py`.
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
    return v + sign.astype(v.dtype) * step


def many_pulses(law: Affine, v: Array, up: Array, down: Array, key: Key) -> Array:
    """`v` `[O, I]` after `up` and `down` pulses per crosspoint, evenly interleaved, not clipped."""
    n_up, n_down = up.astype(v.dtype), down.astype(v.dtype)
    log_up, rate_up = _log_and_ratio(law.k_up)
    log_down, rate_down = _log_and_ratio(-law.k_down)
    a = jnp.minimum(n_up * log_up + n_down * log_down, _LARGEST)
    b = n_up * rate_up * law.s_up - n_down * rate_down * law.s_down
    # e^a - 1 = a ratio(a): rounding e^a itself would add up over many updates
    end = v + (v * a + b) * _expm1_ratio(a)
    if is_off(law.noise):
        return end
    if law.multiplicative:
        variance = _multiplicative_variance(law, v, end, n_up, n_down, a)
    else:
        n = jnp.maximum(n_up + n_down, 1.0)
        power = n_up * law.s_up**2 + n_down * law.s_down**2
        variance = law.noise**2 * power * _expm1_ratio(2 * a * (n - 1) / n)
    return end + root(variance) * normal(key, v.shape, v.dtype)


def root(variance: Array) -> Array:
    """Square root whose slope at 0, where there is no pulse, is 0 instead of infinite."""
    some = variance > 0
    return jnp.where(some, jnp.sqrt(jnp.where(some, variance, 1.0)), 0.0)


def _multiplicative_variance(law: Affine, v: Array, end: Array, n_up: Array, n_down: Array, a: Array) -> Array:
    """Variance of `v` after noisy pulses: `sum_i (c step_i)^2`, each decaying over the pulses that follow it.

    The steps of one direction shrink or grow by `1 + k` from pulse to pulse, so that the squared steps and their
    decay combine to `n c^2 step_0^2 (1 + k)^(2 (n - 1)) ((1 + q)^n - 1) / (n q)`, `q = (k c / (1 + k))^2`: the formula
    of this module.
    """
    n = jnp.maximum(n_up + n_down, 1.0)
    rest = (n - 1) / n  # a single pulse is taken where it starts, many on their path
    first = _mean_square_step(law, v, n_up, n_down, n)
    last = _mean_square_step(law, end, n_up, n_down, n)
    pure = (n_up == 0) | (n_down == 0)
    # one direction: every pulse contributes step_0^2 (1 + k)^(2 (n - 1)); mixed: the mean over the path, decaying
    path = jnp.where(n > 1, (first + last) / 2, first) * _expm1_ratio(2 * a * rest)
    straight = first * jnp.exp(jnp.minimum(2 * a * rest, _LARGEST))
    k = jnp.where(n_up > 0, law.k_up, -law.k_down)
    q = (law.noise * k / jnp.maximum(1 + k, 1e-3)) ** 2
    spread = _expm1_ratio(jnp.minimum(n * jnp.log1p(q), _LARGEST)) * jnp.log1p(q) / jnp.where(q > 0, q, 1.0)
    gain = jnp.where(q > 0, spread, 1.0)
    return law.noise**2 * (n_up + n_down) * jnp.where(pure, straight * gain, path)


def _mean_square_step(law: Affine, v: Array, n_up: Array, n_down: Array, n: Array) -> Array:
    step_up, step_down = law.s_up + law.k_up * v, law.s_down + law.k_down * v
    return (n_up * step_up**2 + n_down * step_down**2) / n


_LARGEST = 60.0  # e^60 is beyond every bound: clipping ends what grows so far, and inf would become NaN


def _log_and_ratio(k: Array) -> tuple[Array, Array]:
    """`log(1 + k)` and `log(1 + k) / k`; a slope beyond -1 overshoots its bound in one pulse, where clipping ends."""
    k = jnp.maximum(k, -0.999)
    log = jnp.log1p(k)
    return log, jnp.where(jnp.abs(k) > 1e-6, log / jnp.where(jnp.abs(k) > 1e-6, k, 1.0), 1.0)


def _expm1_ratio(a: Array) -> Array:
    a = jnp.minimum(a, _LARGEST)
    small = jnp.abs(a) < 1e-6
    return jnp.where(small, 1 + a / 2, jnp.expm1(a) / jnp.where(small, 1.0, a))
