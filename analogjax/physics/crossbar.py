r"""What the crossbar itself does to a product: wires, offsets, series resistance, weight noise.

Inputs `u` `[B, I]` after the DAC, weights `W` `[O, I]`; `xi` is a standard normal for each element, drawn at each read.

    y_i  = sum_j w_ij u_j
    y_i -= ir_drop c_i sum_j w_ij u_j (1 - (1 - j/I)^2),    a_i = I / ir_drop_g_ratio sum_j |w_ij| |u_j|,
           c = a (a (0.05 a - 0.2) + 0.5)                                    (column-wise IR drop, j = 0 .. I-1)
    y_i <- (1 - v_i) L(y_i + g) - (1 + v_i) L(g),    g = -v_offset_w_min sum_j u_j,    L(z) = z / (1 + min(rho |z|, M))
                                           (offsets v_i of the integrators, rho = r_series, M = r_series_max_total)
    y_i += w_noise |u| xi                  (AdditiveConstant)     or     w_noise sqrt(sum_j |w_ij| u_j^2) xi   (PCMRead)

Reference: Rasch et al. 2023, doi:10.1038/s41467-023-40770-4 (the crossbar model of these terms); Joshi et al. 2020,
doi:10.1038/s41467-020-16108-9 (read noise of phase change memory).
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import jax.numpy as jnp
from jax import lax

from analogjax._pytree import is_off, is_static
from analogjax._typing import Array, Key
from analogjax.random import normal

if TYPE_CHECKING:
    from analogjax.physics.periphery import Periphery

Frozen = dict[str, Array]  # what differs from output to output and is drawn once per chip


class WeightNoise(StrEnum):
    """Read noise of the weights, referred to the output."""

    NONE = "None"
    ADDITIVE_CONSTANT = "AdditiveConstant"
    PCM_READ = "PCMRead"


def product(w: Array, u: Array) -> Array:
    """The exact product `[B, O]`."""
    # full float32: tensor-core shortcuts would be a second, undeclared noise source
    return jnp.einsum("bi,oi->bo", u, w, precision=lax.Precision.HIGHEST)


def column_outputs(p: Periphery, w: Array, u: Array, frozen: Frozen, key: Key) -> Array:
    """What the columns of `w` `[O, I]` deliver to their ADCs for `u` `[B, I]`: `[B, O]`. Consumes `key`."""
    y = product(w, u)
    if not is_off(p.ir_drop):
        y = y - p.ir_drop * _ir_drop(p, w, u)
    if not (is_off(p.v_offset_std) and is_off(p.r_series)):
        y = _with_offset(p, y, u, frozen)
    return y + _weight_noise(p, w, u, key)


def _ir_drop(p: Periphery, w: Array, u: Array) -> Array:
    """What the wires of an average column lose `[B, O]`: a fit to the solved circuit, cubic in the column's load."""
    n = w.shape[1]
    load = (n / p.ir_drop_g_ratio) * product(jnp.abs(w), jnp.abs(u))
    depth = 1 - (1 - jnp.arange(n, dtype=u.dtype) / n) ** 2  # how much of the wire the current of input j shares
    return load * (load * (0.05 * load - 0.2) + 0.5) * product(w, u * depth)


def _with_offset(p: Periphery, y: Array, u: Array, frozen: Frozen) -> Array:
    v = frozen.get("v_offset", 0.0)
    if is_static(p.v_offset_w_min) and p.v_offset_w_min == 0:
        return (1 - v) * _loaded(p, y)
    g = -p.v_offset_w_min * jnp.sum(u, -1, keepdims=True)
    if is_off(p.r_series):
        return (1 - v) * y - 2 * v * g  # the same, without taking a small difference of large numbers
    return (1 - v) * _loaded(p, y + g) - (1 + v) * _loaded(p, g)


def _loaded(p: Periphery, y: Array) -> Array:
    """`y` behind the series resistance of the peripheral circuit."""
    if is_off(p.r_series):
        return y
    loss = p.r_series * jnp.abs(y)
    if not (is_static(p.r_series_max_total) and p.r_series_max_total <= 0):
        most = jnp.asarray(p.r_series_max_total)
        loss = jnp.minimum(loss, jnp.where(most > 0, most, jnp.inf))
    return y / (1 + loss)


def _weight_noise(p: Periphery, w: Array, u: Array, key: Key) -> Array | float:
    if p.w_noise_type is WeightNoise.NONE or is_off(p.w_noise):
        return 0.0
    if p.w_noise_type is WeightNoise.ADDITIVE_CONSTANT:
        power = jnp.sum(u * u, -1, keepdims=True)
    else:
        power = product(jnp.abs(w), u * u)
    return p.w_noise * jnp.sqrt(power) * normal(key, (u.shape[0], w.shape[0]), u.dtype)
