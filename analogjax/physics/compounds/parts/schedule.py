r"""Schedule of a transfer: after how many vectors each array is read.

    T_k = transfer_every timescale^k        times the batch size with `units_in_mbatch`, rounded up; 0: never

Without a `timescale`, each array is read once per sweep over the lines of the one before it, i.e. when all of its
outputs have been written. Reference: Gokmen & Haensch 2020, doi:10.3389/fnins.2020.00103.
"""

import math
from collections.abc import Sequence
from typing import Any

from analogjax._pytree import is_static, pytree
from analogjax.physics.checks import MOST, check, check_flags, check_number, check_numbers, is_finite


@pytree
class Schedule:
    """When each of `K` arrays is read."""

    transfer_every: float = 1.0
    """Vectors (or mini-batches) between two reads of the first array; 0: never. Below 0, only for pairs and in vectors:
    so many times the vectors in which one pulse each would take a line of it through its states."""
    transfer_every_vec: tuple[float, ...] = ()
    """Of each array `[K]`, in place of `transfer_every` and `timescale`; empty: from these."""
    timescale: float | None = None
    """How many times less often each next array is read [1]; None: once in a sweep of the array before it."""
    no_self_transfer: bool = True
    """The last array is not read."""
    units_in_mbatch: bool = True
    """`transfer_every` counts mini-batches, otherwise vectors."""

    def __post_init__(self) -> None:
        for name in ("transfer_every", "timescale"):
            check(self, is_static(getattr(self, name)), name, "is part of the program: give a plain number.")
        check_flags(self)
        check_number(self, "transfer_every")
        check_numbers(self, "transfer_every_vec", low=0)
        plain = is_static(self.transfer_every_vec)
        check(self, plain, "transfer_every_vec", "is part of the program: give a tuple of plain numbers.")
        for name, every in (
            ("transfer_every", (self.transfer_every,)),
            ("transfer_every_vec", self.transfer_every_vec),
        ):
            check(self, all(abs(one) <= MOST for one in every), name, f"is later than can be counted, {MOST} at most.")
        slower = self.timescale is None or is_finite(self.timescale, 1, MOST)
        check(self, slower, "timescale", f"needs a number from 1 to {MOST}, or None.")
        self._check_one_rule()

    def _check_one_rule(self) -> None:
        """Raise `ConfigError` for a field that would have no effect beside another one."""
        of_states, of_each = self.transfer_every < 0, bool(self.transfer_every_vec)
        check(self, not (of_states and of_each), "transfer_every", "is below 0: leave out transfer_every_vec, or it.")
        batches = of_states and self.units_in_mbatch
        check(self, not batches, "units_in_mbatch", "transfer_every below 0 counts vectors: give False.")
        other = "transfer_every_vec" if of_each else "transfer_every below 0"
        alone = self.timescale is None or not (of_states or of_each)
        check(self, alone, "timescale", f"has no effect beside {other}: give timescale=None, or leave that out.")

    def periods(self, devices: Sequence[Any], lines: int, sweep: float, batch: int) -> tuple[int, ...]:
        """Vectors between two reads of each array; 0: never.

        `lines`: lines of an array; `sweep`: reads that write all outputs of the next array once; `batch`: batch size.
        """
        if self.transfer_every < 0:
            states = (devices[0].w_max - devices[0].w_min) / devices[0].granularity
            return max(1, round(states / lines * -self.transfer_every)), *(0,) * (len(devices) - 1)
        slower = sweep if self.timescale is None else self.timescale
        every = self.transfer_every_vec or tuple(self.transfer_every * _power(slower, k) for k in range(len(devices)))
        if self.no_self_transfer:
            every = (*every[:-1], 0.0)
        vectors = (math.ceil(one * batch) if self.units_in_mbatch else _whole(one) for one in every)
        return tuple(one if one <= MOST else 0 for one in vectors)  # later than anything that is counted is never


def _whole(vectors: float) -> int:
    """Rounded, but never to 0, which is never: what is due more often than after each vector is due after each."""
    return max(1, round(vectors)) if vectors > 0 else 0


def _power(base: float, k: int) -> float:
    """`base^k`, or a number that is larger than anything that is counted."""
    return base**k if k * math.log2(base) < 900 else 2.0**900
