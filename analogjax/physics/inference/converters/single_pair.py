r"""Conversion between weights and conductances: one pair of devices for each weight.

    r = (g_max - g_min) / max|w|,   g+ = clip(w r, 0, g_max) + g_min,   g- = clip(-w r, 0, g_max) + g_min
    w = (g+ - g-) / r

`r` depends on the matrix. Conductances are stacked as slices `[2, O, I]`, in microsiemens, [uS]. Reference: Joshi et
al. 2020, doi:10.1038/s41467-020-16108-9 (weights as differences of two conductances).
"""

import jax.numpy as jnp

from analogjax._pytree import pytree
from analogjax._typing import Array, Scalar
from analogjax.physics.inference.converters.converter import LEAST, Converter, check_range, check_same


@pytree
class SinglePair:
    """One positive and one negative device for each weight (aihwkit's `SinglePairConductanceConverter`)."""

    g_max: Scalar = 25.0
    """Conductance of the largest weight [uS]."""
    g_min: Scalar = 0.0
    """Conductance of weight 0 [uS]."""

    def __post_init__(self) -> None:
        check_range(self)

    def conductances(self, w: Array) -> tuple[Array, Array]:
        """`[2, O, I]` (positive, negative) of weights `w` `[O, I]`, and the ratio `[]` [uS / w]."""
        ratio = (self.g_max - self.g_min) / jnp.maximum(jnp.max(jnp.abs(w)), LEAST)
        g = w * ratio
        return jnp.clip(jnp.stack([g, -g]), 0.0, self.g_max) + self.g_min, ratio

    def weights(self, g: Array, back: Array) -> Array:
        """The weights `[O, I]` of slices `g` `[2, O, I]`; `back` is the ratio `[]`."""
        return (g[0] - g[1]) / back


def converter_for(g_converter: Converter | None, g_max: Scalar | None, usual: Scalar = 25.0) -> Converter:
    """The converter of a material: the one given, else a pair of `g_max`, else of its `usual` conductance [uS].

    Raises `ConfigError` if both are given and disagree.
    """
    check_same(g_converter, g_max)
    if g_converter is None:
        return SinglePair(g_max=usual if g_max is None else g_max)
    return g_converter
