"""Warm start: at first the gradient bypasses the fine arrays and is written to the coarsest, then to the next finer
one.

While array `m > 1` is warming up, the first array is read every `T_0` vectors and written to array `m`; after
so many `sweeps` over all lines, array `m - 1` follows, and in the end all arrays learn, each on its time scale.
Reference: Li, Wu, Liu, Gokmen & Chen 2025, arXiv:2510.02516.
"""

import math

import jax.numpy as jnp

from analogjax._pytree import is_static, pytree
from analogjax._typing import Array
from analogjax.physics.checks import MOST, check, is_finite


@pytree(kw_only=False)
class WarmState:
    """Progress of the warm start."""

    warming: Array
    """Array that is warming up `[]` int32; 0: none."""
    transfers: Array
    """Reads since its warm-up began `[]` int32."""


@pytree
class WarmStart:
    """Trains coarse arrays before fine ones."""

    sweeps: float = 1.0
    """Sweeps into each array, from the coarsest to the second finest; `inf`: until `next_array` is called [1]."""

    def __post_init__(self) -> None:
        check(self, is_static(self.sweeps), "sweeps", "is part of the program: give a plain number.")
        number = is_finite(self.sweeps) or self.sweeps == math.inf
        check(self, number and self.sweeps > 0, "sweeps", "needs a number of sweeps above 0, or inf.")

    def begin(self, arrays: int) -> WarmState:
        """Start by warming up the coarsest array."""
        return WarmState(jnp.asarray(arrays - 1, jnp.int32), jnp.zeros((), jnp.int32))

    def counted(self, state: WarmState, sweep: float, read: Array) -> WarmState:
        """The state after a read, if `read`; a sweep has the given number of reads."""
        most = math.ceil(min(self.sweeps * sweep, MOST))
        transfers = state.transfers + read
        over = (transfers >= most) & (state.warming > 0)
        return WarmState(jnp.where(over, state.warming - 1, state.warming), jnp.where(over, 0, transfers))
