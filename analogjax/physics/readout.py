r"""The two converters of a crossbar with their noise, and the amplifier in front of the ADC.

    u   = clip(q(x, r_in), +-inp_bound) + inp_noise xi,   negative u times (1 - inp_asymmetry)        (DAC)
    y <- f y / (1 + n_i |y|),     n_i = |out_nonlinearity / b (1 + out_nonlinearity_std xi_i)|         (amplifier)
         f = (1 + (mean n + r_series) slope_calibration b)^2
    y <- y (1 - out_asymmetry) where negative,   y <- clip(q(y + s_i xi, r_out), +-out_bound)          (ADC)

`b` is out_bound, or 1 where that is infinite; `xi_i` and `s_i` are fixed when the chip is made, `xi` is drawn for each
element at each read. Letters: `B` batch, `I` inputs, `O` outputs.

Reference: Rasch et al. 2021, doi:10.1109/AICAS51828.2021.9458494; Rasch et al. 2023, doi:10.1038/s41467-023-40770-4
(S-shaped saturation and its calibration).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax.numpy as jnp

from analogjax._pytree import is_off, is_static
from analogjax._typing import Array, Key, Scalar
from analogjax.physics.converters import clip, quantise, step_of
from analogjax.physics.crossbar import Frozen
from analogjax.random import normal

if TYPE_CHECKING:
    from analogjax.physics.periphery import Periphery


def dac(p: Periphery, u: Array, k_round: Key, k_noise: Key) -> Array:
    """The signals `[B, I]` that the crossbar sees for scaled inputs `u` `[B, I]`. Consumes both keys."""
    u = quantise(u, _step(p, p.inp_res, p.inp_bound), k_round if p.inp_sto_round else None)
    u = clip(u, p.inp_bound)
    if not is_off(p.inp_noise):
        u = u + p.inp_noise * normal(k_noise, u.shape, u.dtype)
    return u if is_off(p.inp_asymmetry) else jnp.where(u < 0, u * (1 - p.inp_asymmetry), u)


def adc(p: Periphery, y: Array, frozen: Frozen, k_noise: Key, k_round: Key) -> tuple[Array, Array]:
    """Digital outputs `[B, O]` of column outputs `y` `[B, O]`, and which vectors fitted `[B, 1]`. Consumes the keys."""
    y = _amplified(p, y, frozen)
    if not is_off(p.out_asymmetry):
        y = jnp.where(y < 0, y * (1 - p.out_asymmetry), y)
    if not is_off(p.out_noise):
        y = y + frozen.get("out_noise", p.out_noise) * normal(k_noise, y.shape, y.dtype)
    y = quantise(y, _step(p, p.out_res, p.out_bound), k_round if p.out_sto_round else None)
    if is_static(p.out_bound) and p.out_bound <= 0:
        return y, jnp.ones((y.shape[0], 1), bool)
    held = clip(y, p.out_bound)
    over = held != y if p.bm_test_negative_bound else held < y
    over = over & ~jnp.isnan(y)  # reading again would not mend it
    return held, ~jnp.any(over, -1, keepdims=True)


def _step(p: Periphery, res: Scalar, bound: Scalar) -> Scalar:
    step = step_of(res, bound)
    if not p.torch_semantics:
        return step
    return abs(step) if isinstance(step, (int, float)) else jnp.abs(step)


def _amplified(p: Periphery, y: Array, frozen: Frozen) -> Array:
    """`y` after the S-shaped saturation, and what calibration gives back of its mean slope."""
    if is_off(p.out_nonlinearity) and is_off(p.slope_calibration):
        return y
    full = _full_range(p)
    n = jnp.abs(p.out_nonlinearity / full) * frozen.get("out_nonlinearity", 1.0)
    y = y / (1 + jnp.abs(n * y))
    if is_off(p.slope_calibration):
        return y
    return y * (1 + (jnp.mean(n) + p.r_series) * p.slope_calibration * full) ** 2


def _full_range(p: Periphery) -> Scalar:
    if is_static(p.out_bound):
        return p.out_bound if p.out_bound > 0 else 1.0
    return jnp.where(p.out_bound > 0, p.out_bound, 1.0)
