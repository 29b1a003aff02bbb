r"""Schedule of a transfer: after how many vectors each array is read.

    T_k = transfer_every timescale^k        times the batch size with `units_in_mbatch`, rounded up; 0: never

Without a `timescale`, each array is read once per sweep over the lines of the one before it, i.e. when all of its
outputs have been written. Reference: Gokmen & Haensch 2020, doi:10.3389/fnins.2020.00103.
"""

import math
from collections.abc import Sequence
from typing import Any

from analogjax._pytree import is_static, pytree
from analogjax.physics.checks import check, check_number, check_numbers


@pytree
class Schedule:
    """When each of `K` arrays is read."""

    transfer_every: float = 1.0
    """Vectors (or mini-batches) between two reads of the first array; 0: never. Below 0, only for pairs: so many times
    the vectors in which one pulse each would take a line of it through its states."""
    transfer_every_vec: tuple[float, ...] = ()
    """Of each array `[K]`; empty: from `transfer_every`."""
    timescale: float | None = None
    """How many times less often each next array is read [1]; None: once in a sweep of the array before it."""
    no_self_transfer: bool = True
    """The last array is not read."""
    units_in_mbatch: bool = True
    """`transfer_every` counts mini-batches, otherwise vectors."""

    def __post_init__(self) -> None:
        for name in ("transfer_every", "transfer_every_vec", "timescale"):
            check(self, is_static(getattr(self, name)), name, "is part of the program: give a plain number.")
        check_number(self, "transfer_every")
        check_numbers(self, "transfer_every_vec", low=0)
        slower = self.timescale is None or (isinstance(self.timescale, (int, float)) and 1 <= self.timescale < math.inf)
        check(self, slower, "timescale", "needs a number of 1 or more, or None.")

    def periods(self, devices: Sequence[Any], lines: int, sweep: float, batch: int) -> tuple[int, ...]:
        """Vectors between two reads of each array; 0: never.

        `lines`: lines of an array; `sweep`: reads that write all outputs of the next array once; `batch`: batch size.
        """
        if self.transfer_every < 0 and not self.transfer_every_vec:
            states = (devices[0].w_max - devices[0].w_min) / devices[0].granularity
            return max(1, round(states / lines * -self.transfer_every)), *(0,) * (len(devices) - 1)
        slower = sweep if self.timescale is None else self.timescale
        every = self.transfer_every_vec or tuple(self.transfer_every * slower**k for k in range(len(devices)))
        if self.no_self_transfer:
            every = (*every[:-1], 0.0)
        return tuple(math.ceil(one * batch) if self.units_in_mbatch else _whole(one) for one in every)


def _whole(vectors: float) -> int:
    """Rounded, but never to 0, which is never: what is due more often than after each vector is due after each."""
    return max(1, round(vectors)) if vectors > 0 else 0
