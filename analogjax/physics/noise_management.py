r"""Noise management: the scale `alpha` by which each input vector is divided, so that it fills the range of the DAC.

    AbsMax          m = max|x|, at most thres
    Max             max x, at most thres
    Constant        thres, or 1 where that is 0
    AverageAbsMax   A <- (1 - decay) A + decay m, vector by vector; the first one initialises A
    AbsMaxNPSum     max(m, p), p = 0.6 max(sum of positive x, -sum of negative x) / out_bound (1 if unbounded),
                    at most m times the reduction that the DAC bears: then not even the worst case, every weight at 0.6,
                    clips

Letters: `B` batch, `I` inputs. Units: [x] input, [1] relative.
Reference: Gokmen, Onen & Haensch 2017, doi:10.3389/fnins.2017.00538 (noise management).
"""

from enum import StrEnum
from typing import NamedTuple

import jax.numpy as jnp
from jax import lax

from analogjax._field_docs import document_fields
from analogjax._pytree import is_off, pytree
from analogjax._typing import Array, Scalar
from analogjax._varying import varying_like
from analogjax.physics.checks import as_choice, check_number

_ASSUMED_WMAX = 0.6  # the weight bound assumed by the worst-case input scale


class InputScale(StrEnum):
    """How the scale of an input vector is computed."""

    ABS_MAX = "AbsMax"
    ABS_MAX_NP_SUM = "AbsMaxNPSum"
    MAX = "Max"
    CONSTANT = "Constant"
    AVERAGE_ABS_MAX = "AverageAbsMax"


@document_fields
class Limits(NamedTuple):
    """What the converters allow in the worst case."""

    out_bound: Scalar
    """Range of the ADC [y]; 0 or less: unlimited."""
    reduction: Array
    """Factor by which a signal may be divided before the steps of the DAC are too coarse for it [1]."""


@pytree
class NoiseManagement:
    """Scales each input vector to the range of the DAC.

    Raises:
        ConfigError: If the kind is unknown, or a value is not a finite number.
    """

    kind: InputScale = InputScale.ABS_MAX
    """How it follows from the vector; 'AverageAbsMax' is the running mean that a tile keeps."""
    thres: Scalar = 0.0
    """Cap of the scale, or its value for 'Constant' [x]; 0 or less: no cap."""
    decay: Scalar = 1e-3
    """Forgetting rate of 'AverageAbsMax', per vector [1]."""

    def __post_init__(self) -> None:
        as_choice(self, "kind", InputScale)
        check_number(self, "thres")
        check_number(self, "decay", low=0)

    def scale(self, x: Array, limits: Limits, average: Array | None = None) -> Array:
        """The scale `[B, 1]` by which each vector of `x` `[B, I]` is divided; a vector with a scale of 0 or less gives
        0.

        `average` is the running mean before this batch (None or 0: no vector seen so far).
        """
        if self.kind is InputScale.CONSTANT:
            one = jnp.ones((x.shape[0], 1), x.dtype)
            return one * jnp.where(jnp.asarray(self.thres) > 0, self.thres, 1.0)
        if self.kind is InputScale.AVERAGE_ABS_MAX:
            return self.average(x, average)[:, None]
        if self.kind is InputScale.MAX:
            return self._cap(jnp.max(x, -1, keepdims=True))
        scale = self._cap(_abs_max(x))
        return _np_sum(x, scale, limits) if self.kind is InputScale.ABS_MAX_NP_SUM else scale

    def worst_case(self, x: Array, limits: Limits) -> Array | None:
        """The scale `[B, 1]` of 'AbsMaxNPSum', 1 for a vector of zeros; None where `scale` is that already."""
        if self.kind is InputScale.ABS_MAX_NP_SUM:
            return None
        return worst_case(x, limits, self._cap(_abs_max(x)))

    def average(self, x: Array, average: Array | None) -> Array:
        """The running mean `[B]` of max|x| after each vector; the very first vector initialises it."""

        def step(mean: Array, peak: Array) -> tuple[Array, Array]:
            mean = jnp.where(mean > 0, (1 - self.decay) * mean + self.decay * peak, peak)
            return mean, mean

        start = jnp.zeros((), x.dtype) if average is None else average.astype(x.dtype)
        peaks = jnp.max(jnp.abs(x), -1)
        return lax.scan(step, varying_like(start, (self, peaks)), peaks)[1]

    def _cap(self, scale: Array) -> Array:
        if is_off(self.thres):
            return scale
        return jnp.where(jnp.asarray(self.thres) > 0, jnp.minimum(scale, self.thres), scale)


def worst_case(x: Array, limits: Limits, scale: Array | None = None) -> Array:
    """The scale `[B, 1]` at which not even weights at their bound clip, 1 for zeros; at least `scale` (or max|x|)."""
    scale = _np_sum(x, _abs_max(x) if scale is None else scale, limits)
    return jnp.where(scale > 0, scale, 1.0)


def _abs_max(x: Array) -> Array:
    return jnp.max(jnp.abs(x), -1, keepdims=True)


def _np_sum(x: Array, scale: Array, limits: Limits) -> Array:
    """At least the scale at which even the worst case, every weight at its bound, would not clip."""
    one_sided = jnp.maximum(jnp.maximum(x, 0).sum(-1, keepdims=True), jnp.maximum(-x, 0).sum(-1, keepdims=True))
    bound = jnp.asarray(limits.out_bound)
    worst = one_sided * _ASSUMED_WMAX / jnp.where(bound > 0, bound, 1.0)
    limited = jnp.isfinite(limits.reduction)
    most = jnp.where(limited, scale * jnp.where(limited, limits.reduction, 1.0), jnp.inf)
    return jnp.maximum(scale, jnp.minimum(worst, most))
