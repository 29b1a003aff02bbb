r"""Converts inputs, errors and a learning rate to the pulse trains of a batch, before they are drawn.

In each of `BL` time slots a line fires with

    p_j = |x_j| B,   p_i = |d_i| A,   A B = eta / (dw_min BL),

independently, so that the expected number of coincidences is `eta |x_j d_i| / dw_min`. Update management balances the
two lines (the largest |x| and the largest |d| fire equally often); update-bl management shortens the train to
`BL = ceil(eta max|x| max|d| / dw_min)`, at most `desired_bl`.

Letters: `B` batch, `O` rows, `I` columns, `BL` train length, `eta` learning rate (not negative), `g` = `dw_min`.
Reference: Gokmen & Vlasov 2016, doi:10.3389/fnins.2016.00333; Gokmen, Onen & Haensch 2017,
doi:10.3389/fnins.2017.00538 (managements).
"""

from dataclasses import replace

import jax
import jax.numpy as jnp

from analogjax._pytree import is_static, pytree
from analogjax._typing import Array, Key, Scalar
from analogjax.physics.converters import quantise
from analogjax.physics.pulses import Pulses, PulseType


@pytree
class Trains:
    """The pulse trains of a batch before they are drawn: probabilities, signs and lengths."""

    p_x: Array
    """Probability that each column fires in a slot `[B, I]` [1]."""
    p_d: Array
    """Probability that each row fires in a slot `[B, O]` [1]."""
    minus_x: Array
    """Whether x < 0 `[B, I]` bool."""
    minus_d: Array
    """Whether d < 0 `[B, O]` bool."""
    length: Array
    """Slots used by each sample `[B]` int32."""
    pulse_type: PulseType = PulseType.STOCHASTIC_COMPRESSED
    """How the trains are drawn or counted."""

    def only(self, chosen: Array) -> "Trains":
        """The same trains with all samples silenced except the `chosen` ones (`[B]` bool)."""
        return replace(self, length=jnp.where(chosen, self.length, 0))


def trains(p: Pulses, x: Array, d: Array, learning_rate: Scalar, granularity: Scalar, key: Key) -> Trains:
    """Probabilities, signs and lengths for inputs `x` `[B, I]` and errors `d` `[B, O]`. Consumes `key`.

    `key` is used only where `sto_round` rounds the probabilities.
    """
    length, a, b = managed_length(p, x, d, learning_rate, granularity)
    k_x, k_d = jax.random.split(key)
    p_x, p_d = _probability(p, jnp.abs(x) * b[:, None], k_x), _probability(p, jnp.abs(d) * a[:, None], k_d)
    if p.pulse_type is PulseType.DETERMINISTIC_IMPLICIT:
        p_x, p_d = _implicit(p, p_x, p.x_res_implicit, k_x), _implicit(p, p_d, p.d_res_implicit, k_d)
    return Trains(p_x=p_x, p_d=p_d, minus_x=x < 0, minus_d=d < 0, length=length, pulse_type=p.pulse_type)


def managed_length(p: Pulses, x: Array, d: Array, learning_rate: Scalar, g: Scalar) -> tuple[Array, Array, Array]:
    """Train length `BL` `[B]` and the scales `A` (of d) and `B` (of x) `[B]` of each sample."""
    eta = jnp.asarray(learning_rate, x.dtype)
    top_x, top_d = jnp.max(jnp.abs(x), -1), jnp.max(jnp.abs(d), -1)
    length, wide = _plain_length(p, eta, g)
    length = jnp.full(top_x.shape, length, jnp.float32)
    x_val, d_val = top_x, p.um_grad_scale * top_d
    k = eta * x_val * d_val / g
    if p.update_bl_management:
        # ceil(0) would divide by zero below; such samples are silenced at the end
        length, wide = jnp.clip(jnp.ceil(k), 1, p.desired_bl), jnp.asarray(False)
    scale = jnp.where(wide, 1.0, jnp.sqrt(eta / (g * length)))
    quiet = (eta <= 0) | (top_x <= 0) | (top_d <= 0) | ~jnp.isfinite(k)
    if not (p.update_bl_management or p.update_management):
        return jnp.where(quiet, 0, length).astype(jnp.int32), scale, scale
    d_val = d_val * jnp.minimum(1.0, p.desired_bl / jnp.where(k > 0, k, 1.0))
    balance = jnp.sqrt(jnp.where(quiet, 1.0, x_val) / jnp.where(quiet, 1.0, d_val))
    return jnp.where(quiet, 0, length).astype(jnp.int32), scale * balance, scale / balance


def _plain_length(p: Pulses, eta: Array, g: Scalar) -> tuple[Array, Array]:
    """Length without update-bl management, and whether rows and columns fire with probability |d| and |x|."""
    if p.fixed_bl or p.update_bl_management:
        return jnp.asarray(p.desired_bl, jnp.float32), jnp.asarray(False)
    wide = g * p.desired_bl < eta
    return jnp.where(wide, jnp.maximum(jnp.ceil(eta / g), 1.0), p.desired_bl), wide


def _probability(p: Pulses, v: Array, key: Key) -> Array:
    # as in aihwkit, a resolution above 1 is a huge step here, not a number of steps
    return v if is_static(p.res) and p.res <= 0 else quantise(v, p.res, key if p.sto_round else None)


def _implicit(p: Pulses, v: Array, res: Scalar, key: Key) -> Array:
    return jnp.clip(quantise(v, res, jax.random.fold_in(key, 1) if p.sto_round else None), 0.0, 1.0)
