r"""Multi-tile residual learning: a weight written in several arrays, each of which learns what the coarser ones miss.

    W = sum_k gamma^(N-1-k) w_k:   w_{N-1} is the coarsest array, with weight 1, and w_0 the finest

    w_0 sees the pulses of x and d;   every  T_k = transfer_every timescale^k  vectors a column (or row) of w_k is read,
    v = mvm(w_k, e_j),  and the next coarser array is pulsed with  w_{k+1} += lr_k v e_j^T

Arrays of few conductance states reach together what one of them cannot: the error shrinks with every array. Choose
`gamma` near a coarse array's step over its range, so that each array spans about one step of the next.

Warm start: the gradient first goes past the fine arrays into the coarsest, then into the next finer one, and so on;
only then do all of them learn, each on its time scale. While array `m > 1` is warming up, `w_0` is read every `T_0`
vectors and written to `w_m`; after `warm_start` sweeps over all lines, or when `next_array` is called (at a plateau of
the loss, say), it is the turn of `m - 1`. `warm_start = inf` leaves it to `next_array` alone.

aihwkit has nothing like it. Without warm start this is its `TransferCompound` with other time scales.
Letters: `O` rows, `I` columns, `N` arrays. Reference: Li, Wu, Liu, Gokmen & Chen 2025, arXiv:2510.02516.
"""

import math
from dataclasses import replace

import jax.numpy as jnp
from jax import lax

from analogjax._pytree import pytree
from analogjax._typing import Array, Key, Scalar
from analogjax.errors import ConfigError
from analogjax.physics.checks import check
from analogjax.physics.compounds.line_transfer import LineTransfer, Rates
from analogjax.physics.device import Cells, State


@pytree
class ResidualTransfer(LineTransfer):
    """Arrays of geometrically falling weight, finest first. All other fields are those of `Transfer`."""

    gamma: float = 0.5  # weight of each array relative to the next coarser one [1]
    transfer_every: float = 2.0
    timescale: float = 5.0  # how many times less often each coarser array is read [1]
    fast_lr: Scalar = 0.0
    transfer_lr: Scalar = 0.1
    scale_transfer_lr: bool = False
    warm_start: float = 0.0  # sweeps into each array, from the coarsest to the second finest; 0: no warm start

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self, self.timescale >= 1, "timescale", "needs a number of 1 or more.")
        check(self, self.warm_start >= 0, "warm_start", "needs 0 or a number of sweeps, or inf.")
        check(self, all(gamma > 0 for gamma in self.gammas), "gamma", "every array is part of the weight: above 0.")

    @property
    def _of_the_program(self) -> tuple[str, ...]:
        return *super()._of_the_program, "timescale", "warm_start"

    def slower(self, sweep: float) -> float:
        return self.timescale

    def remembered(self, w: Array) -> dict[str, Array]:
        if self.warm_start == 0:
            return super().remembered(w)
        warming = jnp.asarray(len(self.devices) - 1, jnp.int32)
        return super().remembered(w) | {"warming": warming, "warm_transfers": jnp.zeros((), jnp.int32)}

    def next_array(self, state: State) -> State:
        """The state with the warm start moved on to the next finer array, or ended. Raises `ConfigError`."""
        if state.memory is None or "warming" not in state.memory:
            raise ConfigError(f"{type(self).__name__}(warm_start={self.warm_start!r}): there is no warm start to end.")
        left = jnp.maximum(state.memory["warming"] - 1, 0)
        again = jnp.zeros_like(state.memory["warm_transfers"])
        return replace(state, memory=state.memory | {"warming": left, "warm_transfers": again})

    def due(self, k: int, state: State, period: int, seen: Array) -> Array:
        due = super().due(k, state, period, seen)
        return due if k == 0 or self.warm_start == 0 else due & (_memory(state)["warming"] == 0)

    def transfer(self, cells: Cells, state: State, lr: Rates, periods: tuple[int, ...], seen: Array, key: Key) -> State:
        state = super().transfer(cells, state, lr, periods, seen, key)
        if self.warm_start == 0 or periods[0] == 0:
            return state
        lines = state.w.shape[self.axis]
        sweep = self.warm_start * lines / self.reads_at_once(lines)
        most = math.ceil(sweep) if math.isfinite(sweep) else 2**31 - 1
        done = _memory(state)["warm_transfers"] + (seen % periods[0] == 0)
        state = replace(state, memory=_memory(state) | {"warm_transfers": done})
        return lax.cond((done >= most) & (_memory(state)["warming"] > 0), self.next_array, lambda s: s, state)

    def deliver(self, k: int, cells: Cells, state: State, line: Array, v: Array, lr: Rates, key: Key) -> State:
        if k > 0 or self.warm_start == 0:
            return super().deliver(k, cells, state, line, v, lr, key)

        def into(to: int) -> State:
            return self.write_line(to, cells, state, line, v, self.transfer_rate(to - 1, lr[0]), key)

        choices = [lambda to=to: into(to) for to in range(1, len(self.devices))]
        # once warm, array 0 goes to array 1
        return lax.switch(jnp.maximum(_memory(state)["warming"] - 1, 0), choices)


def _memory(state: State) -> dict[str, Array]:
    assert state.memory is not None
    return state.memory
