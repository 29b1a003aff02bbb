r"""One device for each weight: the range of the weights is the range of the conductances.

    r = (g_max - g_min) / (max w - min w),   g = (w - min w) r + g_min,   w = min w + (g - g_min) / r

There is no conductance 0 for weight 0, so drift of all devices moves the zero too. Slices `[1, O, I]` [uS]. Reference:
Falcone et al. 2025, doi:10.1002/adfm.202504688 (weights of CMO/HfOx cells).
"""

from typing import NamedTuple

import jax.numpy as jnp

from analogjax._field_docs import document_fields
from analogjax._pytree import pytree
from analogjax._typing import Array, Scalar
from analogjax.physics.inference.converters.converter import LEAST, check_range


@document_fields
class Affine(NamedTuple):
    """What leads back from the conductances of single devices."""

    ratio: Array
    """Conductance per weight `[]` [uS / w]."""
    lowest: Array
    """The weight at `g_min` `[]` [w]."""


@pytree
class SingleDevice:
    """One device for each weight (aihwkit's `SingleDeviceConductanceConverter`)."""

    g_max: Scalar = 88.199997
    """Conductance of the largest weight [uS]."""
    g_min: Scalar = 9.0
    """Conductance of the smallest (most negative) weight [uS]."""

    def __post_init__(self) -> None:
        check_range(self)

    def conductances(self, w: Array) -> tuple[Array, Affine]:
        """`[1, O, I]` of weights `w` `[O, I]`, and the ratio and the lowest weight, which lead back."""
        lowest = jnp.min(w)
        ratio = (self.g_max - self.g_min) / jnp.maximum(jnp.max(w) - lowest, LEAST)
        return ((w - lowest) * ratio + self.g_min)[None], Affine(ratio, lowest)

    def weights(self, g: Array, back: Affine) -> Array:
        """The weights `[O, I]` of the slice `g` `[1, O, I]`."""
        return back.lowest + (g[0] - self.g_min) / back.ratio
