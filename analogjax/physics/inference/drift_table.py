r"""Drift exponents from a table, for phase change memory that drifts in another way.

    nu = |mu + sigma xi|,   mu and sigma linearly interpolated at the target conductance, constant beyond the table

Reference: N. Li et al. 2023, doi:10.1002/aelm.202201190 (drift that depends on the conductance).
"""

from itertools import pairwise

import jax.numpy as jnp

from analogjax._pytree import is_static, pytree
from analogjax._typing import Array
from analogjax.errors import ConfigError
from analogjax.physics.checks import check, check_numbers
from analogjax.physics.inference.converters import Converter


@pytree
class DriftTable:
    """Mean and variation of drift exponents over the conductance (of aihwkit's `CustomDriftPCMLikeNoiseModel`).

    Example:
        >>> PCMLike(exponents=DriftTable(g=(0.0, 25.0), nu_mean=(0.08, 0.03), nu_std=(0.03, 0.01)))
    """

    g: tuple[float, ...] | Array
    """Conductances of the entries `[N]`, in ascending order [uS]."""
    nu_mean: tuple[float, ...] | Array
    """Mean exponent at each of them `[N]` [1]."""
    nu_std: tuple[float, ...] | Array
    """Device-to-device variation of the exponent at each of them `[N]` [1]."""

    def __post_init__(self) -> None:
        for name, low in (("g", 0.0), ("nu_mean", -jnp.inf), ("nu_std", 0.0)):
            value = getattr(self, name)
            shaped = len(value) == len(self.g) > 1 if isinstance(value, tuple) else getattr(value, "ndim", 0) == 1
            check(self, shaped, name, "needs a tuple of numbers, at least two, as many for each of the three.")
            if isinstance(value, tuple):
                check_numbers(self, name, low)
        rising = not is_static(self.g) or all(a <= b for a, b in pairwise(self.g))
        check(self, rising, "g", "needs conductances in ascending order.")

    def at(self, g: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of the exponents of conductances `g` `[S, O, I]`."""
        wide = jnp.promote_types(g.dtype, jnp.float32)  # `jnp.interp` has no narrow types
        table = [jnp.asarray(values, wide) for values in (self.g, self.nu_mean, self.nu_std)]
        mean, std = (jnp.interp(g.astype(wide), table[0], values).astype(g.dtype) for values in table[1:])
        return mean, std

    def check_covers(self, converter: Converter) -> None:
        """Raise `ConfigError` if a converter gives conductances beyond the table."""
        lowest, highest = getattr(converter, "g_min", 0.0), converter.g_max
        if not is_static((self.g, lowest, highest)):
            return
        if lowest < self.g[0] or highest > self.g[-1]:
            raise ConfigError(
                f"DriftTable(g={self.g!r}): the converter gives conductances from {lowest:g} to {highest:g} uS, which "
                "are beyond the table; extend the table."
            )
