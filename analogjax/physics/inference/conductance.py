r"""Conversion between weights and conductances: one pair of devices for each weight.

    r = (g_max - g_min) / max|w|,   g+ = clip(w r, 0, g_max) + g_min,   g- = clip(-w r, 0, g_max) + g_min
    w = (g+ - g-) / r

`r` depends on the matrix. Conductances are stacked as slices `[2, O, I]`, in microsiemens, [uS]. Reference: Joshi et
al. 2020, doi:10.1038/s41467-020-16108-9 (weights as differences of two conductances).
"""

from typing import Protocol

import jax.numpy as jnp

from analogjax._pytree import is_static, pytree
from analogjax._typing import Array, Scalar
from analogjax.errors import ConfigError
from analogjax.physics.checks import check, check_number

_LEAST = 1e-7  # of max|w|, so that a matrix of zeros has a ratio [w]


class Converter(Protocol):
    """Protocol: how one weight is represented by conductances."""

    @property
    def g_max(self) -> Scalar:
        """Largest programmed conductance [uS]."""
        ...

    def conductances(self, w: Array) -> tuple[Array, Array]:
        """Conductances `[slices, O, I]` of weights `w` `[O, I]`, and the ratio `[]` for converting back [uS / w]."""
        ...

    def weights(self, g: Array, ratio: Array) -> Array:
        """The weights `[O, I]` of slices `g` `[slices, O, I]`."""
        ...


@pytree
class SinglePair:
    """One positive and one negative device for each weight (aihwkit's `SinglePairConductanceConverter`)."""

    g_max: Scalar = 25.0
    """Conductance of the largest weight [uS]."""
    g_min: Scalar = 0.0
    """Conductance of weight 0 [uS]."""

    def __post_init__(self) -> None:
        check_number(self, "g_min", low=0)
        check_number(self, "g_max")
        fits = not is_static((self.g_max, self.g_min)) or bool(self.g_max > self.g_min)
        check(self, fits, "g_max", f"needs more than g_min={self.g_min!r}.")

    def conductances(self, w: Array) -> tuple[Array, Array]:
        """`[2, O, I]` (positive, negative) of weights `w` `[O, I]`, and the ratio `[]` [uS / w]."""
        ratio = (self.g_max - self.g_min) / jnp.maximum(jnp.max(jnp.abs(w)), _LEAST)
        g = w * ratio
        return jnp.clip(jnp.stack([g, -g]), 0.0, self.g_max) + self.g_min, ratio

    def weights(self, g: Array, ratio: Array) -> Array:
        """The weights `[O, I]` of slices `g` `[2, O, I]`."""
        return (g[0] - g[1]) / ratio


def converter_for(g_converter: Converter | None, g_max: Scalar | None) -> Converter:
    """The converter of a noise model, given a converter, or the largest conductance, or neither.

    Raises `ConfigError` if both are given and disagree.
    """
    if g_converter is None:
        return SinglePair() if g_max is None else SinglePair(g_max=g_max)
    if g_max is not None and is_static((g_max, g_converter.g_max)) and g_max != g_converter.g_max:
        raise ConfigError(
            f"g_max={g_max!r} with a converter of g_max={g_converter.g_max!r}: give one of the two, or the same "
            "number to both."
        )
    return g_converter
