r"""Global drift compensation: one digital factor restores the mean output of the whole chip.

    alpha(t) = b_0 / b(t),   b = max(mean|Y|, 1e-4),   Y `[I, O]` the response of the chip to each unit vector

`b_0` is read right after programming, `b(t)` each time the chip is used, both with the noise of the converters.
Reference: Joshi et al. 2020, doi:10.1038/s41467-020-16108-9 (global drift compensation).
"""

import jax.numpy as jnp

from analogjax._pytree import pytree
from analogjax._typing import Array, Scalar
from analogjax.physics.inference.compensations.floor import check_floor


@pytree
class GlobalCompensation:
    """One factor for each chip (aihwkit's `GlobalDriftCompensation`)."""

    least: Scalar = 1e-4
    """Floor of the mean readout, so that the factor of an all-zero chip is finite [w]."""

    def __post_init__(self) -> None:
        check_floor(self)

    def readout(self, y: Array, used: Array) -> Array:
        """`b` `[]` of responses `y` `[I, O]`; `used` `[I, O]` is 1 where there is a device and 0 in padding."""
        return jnp.maximum(jnp.sum(jnp.abs(y) * used) / jnp.sum(used), self.least)

    def baseline(self, y: Array, exact: Array, used: Array) -> Array:
        """`b_0` `[]`, the readout of `y`."""
        return self.readout(y, used)

    def factor(self, baseline: Array, y: Array, used: Array) -> Array:
        """`alpha` `[]`, by which outputs are multiplied."""
        return baseline / self.readout(y, used)
