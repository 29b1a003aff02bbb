r"""Tiki-Taka: gradients are collected on one array and moved, line by line, to the next.

    A = w_0 sees the pulses of x and d;  every so many vectors one of its columns (or rows) is read,
    v = mvm(A, e_j),  and the next array is pulsed with  w_1 += lr_t v e_j^T,  and so on along the devices.

    W = sum_k gamma_k w_k,  gamma_{n-1-k} = gamma^k  (gamma = 0: the last array alone)

`BufferedTransfer` (version 2) puts a digital buffer between the two: `H_j += |lr_t| v`, and only whole multiples of
`thres_scale dw_min` are written, `n = trunc(H / (thres_scale dw_min))`, at most the pulses of one train.

Schedule: device `k` is read after every `transfer_every_k` vectors (times the batch size with `units_in_mbatch`); by
default each next array is read `O / n_reads_per_transfer` times less often, the last one never. Of an array with fewer
lines than `n_reads_per_transfer` each is read once, with a warning when the chip is made, as in aihwkit. Noise and
bound management of the reads are off, as in aihwkit. Written weights go to the last array; the others start at 0.

Letters: `O` rows, `I` columns. Reference: Gokmen & Haensch 2020, doi:10.3389/fnins.2020.00103 (version 1);
Gokmen 2021, doi:10.3389/frai.2021.699148 (version 2).
"""

import jax.numpy as jnp

from analogjax._pytree import pytree
from analogjax._typing import Array, Key, Scalar
from analogjax.physics.checks import check_number
from analogjax.physics.compounds.line_transfer import BufferedLines, LineTransfer, Rates
from analogjax.physics.device import Cells, State


@pytree
class Transfer(LineTransfer):
    """Tiki-Taka version 1 (aihwkit's `TransferCompound`)."""


@pytree
class BufferedTransfer(BufferedLines):
    """Tiki-Taka version 2 (aihwkit's `BufferedTransferCompound`)."""

    thres_scale: Scalar = 1.0  # threshold of the buffer in steps of the array that is written [1]
    momentum: Scalar = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "thres_scale", low=1e-30)

    def remembered(self, w: Array) -> dict[str, Array]:
        buffers = {f"buffered_FP_weight_{k}": jnp.zeros_like(w) for k in range(len(self.devices) - 1)}
        return super().remembered(w) | buffers

    def deliver(self, k: int, cells: Cells, state: State, line: Array, v: Array, lr: Rates, key: Key) -> State:
        name, step = f"buffered_FP_weight_{k}", self.devices[min(k + 1, len(self.devices) - 1)].granularity
        kept = self.held(state, name, line) + jnp.abs(self.transfer_rate(k, lr[0])) * v
        threshold, most = self.thres_scale * step, self.transfer_update.desired_bl
        n = jnp.clip(jnp.trunc(kept / threshold), -most, most)
        kept = jnp.where(n != 0, self.left(kept, n * threshold), kept)
        state = self.holding(state, line, **{name: kept})
        return self.write_line(k + 1, cells, state, line, n, self.step * step, key)
