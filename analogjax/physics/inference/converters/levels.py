r"""Devices that can hold a few conductances only: whatever another converter asks for is rounded to a level.

    g_s = argmin_l |l - g'_s|,   g' = converter.conductances(w)           (a tie goes to the lower level)

What is programmed is a level plus the noise of the material, so materials keep the conductances: see `Converter`.
Slices as those of the converter [uS].
"""

from itertools import pairwise

import jax.numpy as jnp

from analogjax._pytree import is_static, pytree
from analogjax._typing import Array, PyTree, Scalar
from analogjax.physics.checks import check, check_numbers
from analogjax.physics.inference.converters.converter import Converter
from analogjax.physics.inference.converters.single_pair import SinglePair


@pytree
class Levels:
    """Conductances out of a table. aihwkit has no such converter.

    Example:
        >>> Levels(levels=(0.0, 5.0, 10.0, 15.0, 20.0, 25.0))
    """

    levels: tuple[float, ...] | Array
    """Conductances that a device can hold `[L]`, in ascending order [uS]."""
    converter: Converter = SinglePair()
    """How weights are split over conductances before they are rounded."""

    def __post_init__(self) -> None:
        if not is_static(self.levels):
            check(self, getattr(self.levels, "ndim", 0) == 1, "levels", "needs conductances `[L]`, ascending [uS].")
            return
        values = self.levels
        check(self, isinstance(values, tuple) and len(values) > 0, "levels", "needs a tuple of conductances [uS].")
        check_numbers(self, "levels", low=0)
        rising = all(a < b for a, b in pairwise(values))
        check(self, rising, "levels", "needs conductances in ascending order, each once.")

    @property
    def g_max(self) -> Scalar:
        """Largest conductance that the converter asks for [uS]."""
        return self.converter.g_max

    @property
    def rounds(self) -> bool:
        """Always true: different weights have the same conductances."""
        return True

    def conductances(self, w: Array) -> tuple[Array, PyTree]:
        """Levels `[slices, O, I]` of weights `w` `[O, I]`, and what leads back, that of the converter."""
        g, back = self.converter.conductances(w)
        levels = jnp.asarray(self.levels, g.dtype)
        return levels[jnp.searchsorted((levels[1:] + levels[:-1]) / 2, g)], back

    def weights(self, g: Array, back: PyTree) -> Array:
        """The weights `[O, I]` of any conductances `g` `[slices, O, I]`, on a level or not."""
        return self.converter.weights(g, back)
