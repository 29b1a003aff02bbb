"""A warm start: the gradient first goes past the fine arrays into the coarsest, then into the next finer one.

While array `m > 1` is warming up, the first array is read every `T_0` vectors and written to array `m`; after
`warm_start` sweeps over all lines it is the turn of `m - 1`, and in the end of all arrays, each on its time scale.
Reference: Li, Wu, Liu, Gokmen & Chen 2025, arXiv:2510.02516.
"""

import math

import jax.numpy as jnp

from analogjax._pytree import is_static, pytree
from analogjax._typing import Array
from analogjax.physics.checks import check


@pytree(kw_only=False)
class WarmState:
    """Whose turn it is."""

    warming: Array
    """Array that is warming up `[]` int32; 0: none."""
    transfers: Array
    """Reads since its warm-up began `[]` int32."""


@pytree
class WarmStart:
    """Coarse arrays learn before fine ones."""

    warm_start: float = 1.0
    """Sweeps into each array, from the coarsest to the second finest; `inf`: until `next_array` is called [1]."""

    def __post_init__(self) -> None:
        check(self, is_static(self.warm_start), "warm_start", "is part of the program: give a plain number.")
        check(self, self.warm_start > 0, "warm_start", "needs a number of sweeps above 0, or inf.")

    def begin(self, arrays: int) -> WarmState:
        """The coarsest array is the first to warm up."""
        return WarmState(jnp.asarray(arrays - 1, jnp.int32), jnp.zeros((), jnp.int32))

    def counted(self, state: WarmState, sweep: float, read: Array) -> WarmState:
        """The state after `read` or not; a sweep has so many reads."""
        reads = self.warm_start * sweep
        most = math.ceil(reads) if math.isfinite(reads) else 2**31 - 1
        transfers = state.transfers + read
        over = (transfers >= most) & (state.warming > 0)
        return WarmState(jnp.where(over, state.warming - 1, state.warming), jnp.where(over, 0, transfers))
