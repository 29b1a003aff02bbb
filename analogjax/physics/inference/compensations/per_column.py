r"""Drift compensation of each output: columns of a chip that fade faster are raised more.

    alpha_o(t) = b_0,o / b_o(t),   b_o = max(mean_i |Y_io|, 1e-4),   Y `[I, O]` the response to each unit vector

An output of a tile is a column of the circuit. Convention of aihwkit 1.2.0; the idea is that of Joshi et al. 2020,
doi:10.1038/s41467-020-16108-9, for each column instead of the chip.
"""

import jax.numpy as jnp

from analogjax._pytree import pytree
from analogjax._typing import Array, Scalar
from analogjax.physics.inference.compensations.floor import check_floor


@pytree
class PerColumnCompensation:
    """One factor for each output of each chip (aihwkit's `PerColumnDriftCompensation`)."""

    least: Scalar = 1e-4
    """Floor of the mean readout of an output [w]."""

    def __post_init__(self) -> None:
        check_floor(self)

    def readout(self, y: Array, used: Array) -> Array:
        """`b` `[O]` of responses `y` `[I, O]`; `used` `[I, O]` is 1 where there is a device and 0 in padding."""
        return jnp.maximum(jnp.sum(jnp.abs(y) * used, 0) / jnp.maximum(jnp.sum(used, 0), 1), self.least)

    def baseline(self, y: Array, exact: Array, used: Array) -> Array:
        """`b_0` `[O]`, the readout of `y`."""
        return self.readout(y, used)

    def factor(self, baseline: Array, y: Array, used: Array) -> Array:
        """`alpha` `[O]`, by which outputs are multiplied."""
        return baseline / self.readout(y, used)
