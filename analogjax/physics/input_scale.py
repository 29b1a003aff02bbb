r"""Noise management: the scale `alpha` by which each input vector is divided, so that it fills the range of the DAC.

    None            1
    AbsMax          m = max|x|, at most nm_thres
    Max             max x, at most nm_thres
    Constant        nm_thres, or 1 where that is 0
    AverageAbsMax   A <- (1 - nm_decay) A + nm_decay m, vector by vector; the first one initialises A
    AbsMaxNPSum     max(m, p), p = 0.6 max(sum of positive x, -sum of negative x) / out_bound (1 if unbounded),
                    at most m max_bm_res / r_in: then not even the worst case, every weight at 0.6, clips

Reference: Gokmen, Onen & Haensch 2017, doi:10.3389/fnins.2017.00538 (noise management).
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import jax.numpy as jnp
from jax import lax

from analogjax._pytree import is_off
from analogjax._typing import Array
from analogjax._varying import varying_like
from analogjax.physics.converters import step_of

if TYPE_CHECKING:
    from analogjax.physics.periphery import Periphery

_ASSUMED_WMAX = 0.6  # the weight bound assumed by the worst-case input scale


class NoiseManagement(StrEnum):
    """How the input of one vector is scaled into the DAC range."""

    NONE = "None"
    ABS_MAX = "AbsMax"
    ABS_MAX_NP_SUM = "AbsMaxNPSum"
    MAX = "Max"
    CONSTANT = "Constant"
    AVERAGE_ABS_MAX = "AverageAbsMax"


def input_scale(p: Periphery, x: Array, average: Array | None = None) -> Array:
    """Noise management: the scale `alpha` `[B, 1]` by which each vector of `x` `[B, I]` is divided."""
    kind = p.noise_management
    one = jnp.ones((x.shape[0], 1), x.dtype)
    if kind is NoiseManagement.NONE:
        return one
    if kind is NoiseManagement.CONSTANT:
        return one * jnp.where(jnp.asarray(p.nm_thres) > 0, p.nm_thres, 1.0)
    if kind is NoiseManagement.AVERAGE_ABS_MAX:
        return average_abs_max(p, x, average)[:, None]
    if kind is NoiseManagement.MAX:
        return _cap(p, jnp.max(x, -1, keepdims=True))
    scale = _cap(p, jnp.max(jnp.abs(x), -1, keepdims=True))
    return _np_sum_scale(p, x, scale) if kind is NoiseManagement.ABS_MAX_NP_SUM else scale


def worst_case_scale(p: Periphery, x: Array) -> Array:
    """The scale `[B, 1]` of AbsMaxNPSum, whatever the noise management; 1 for a vector of zeros.

    Without noise management `nm_thres` means nothing, here as anywhere.
    """
    largest = jnp.max(jnp.abs(x), -1, keepdims=True)
    scale = _np_sum_scale(p, x, largest if p.noise_management is NoiseManagement.NONE else _cap(p, largest))
    return jnp.where(scale > 0, scale, 1.0)


def average_abs_max(p: Periphery, x: Array, average: Array | None) -> Array:
    """The running mean `[B]` of max|x| after each vector; the very first vector initialises it."""

    def step(mean: Array, peak: Array) -> tuple[Array, Array]:
        mean = jnp.where(mean > 0, (1 - p.nm_decay) * mean + p.nm_decay * peak, peak)
        return mean, mean

    start = jnp.zeros((), x.dtype) if average is None else average.astype(x.dtype)
    peaks = jnp.max(jnp.abs(x), -1)
    return lax.scan(step, varying_like(start, (p, peaks)), peaks)[1]


def _cap(p: Periphery, scale: Array) -> Array:
    return (
        scale if is_off(p.nm_thres) else jnp.where(jnp.asarray(p.nm_thres) > 0, jnp.minimum(scale, p.nm_thres), scale)
    )


def _np_sum_scale(p: Periphery, x: Array, scale: Array) -> Array:
    """At least the scale at which even the worst case, every weight at its bound, would not clip."""
    one_sided = jnp.maximum(jnp.maximum(x, 0).sum(-1, keepdims=True), jnp.maximum(-x, 0).sum(-1, keepdims=True))
    bound = jnp.asarray(p.out_bound)
    worst = one_sided * _ASSUMED_WMAX / jnp.where(bound > 0, bound, 1.0)
    step = jnp.asarray(step_of(p.inp_res, p.inp_bound))
    coarsest = scale / jnp.where(step > 0, step, 1.0) * p.max_bm_res
    worst = jnp.where(step > 0, jnp.minimum(worst, coarsest), worst)
    return jnp.maximum(scale, worst)
