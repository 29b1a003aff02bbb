r"""Tiki-Taka: gradients are collected on one array and moved, line by line, to the next.

    A = w_0 sees the pulses of x and d;  every so many vectors one of its columns (or rows) is read,
    v = mvm(A, e_j),  and the next array is pulsed with  w_1 += lr_t v e_j^T,  and so on along the devices.

    W = sum_k gamma_k w_k,  gamma_{n-1-k} = gamma^k  (gamma = 0: the last array alone)

`BufferedTransfer` (version 2) puts a digital buffer between the two: `H_j += |lr_t| v`, and only whole multiples of
`thres_scale dw_min` are written, `n = trunc(H / (thres_scale dw_min))`, at most the pulses of one train.

Schedule: device `k` is read after every `transfer_every_k` vectors (times the batch size with `units_in_mbatch`); by
default each next array is read `O / n_reads_per_transfer` times less often, the last one never. Noise and bound
management of the reads are off, as in aihwkit. Written weights go to the last array; the others start at 0.

Letters: `O` rows, `I` columns. Reference: Gokmen & Haensch 2020, doi:10.3389/fnins.2020.00103 (version 1);
Gokmen 2021, doi:10.3389/frai.2021.699148 (version 2).
"""

from dataclasses import replace

import jax.numpy as jnp

from analogjax._pytree import pytree
from analogjax._typing import Array, Key, Scalar
from analogjax.physics.checks import check_number
from analogjax.physics.compounds.line_transfer import SINGLE_PULSES, LineTransfer, Rates
from analogjax.physics.compounds.schedule import put, take
from analogjax.physics.device import Cells, State
from analogjax.physics.pulses import Pulses


@pytree
class Transfer(LineTransfer):
    """Tiki-Taka version 1 (aihwkit's `TransferCompound`)."""


@pytree
class BufferedTransfer(LineTransfer):
    """Tiki-Taka version 2 (aihwkit's `BufferedTransferCompound`)."""

    transfer_update: Pulses = SINGLE_PULSES
    thres_scale: Scalar = 1.0  # threshold of the buffer in steps of the array that is written [1]
    step: Scalar = 1.0  # pulses for each threshold [1]
    momentum: Scalar = 0.1  # of the buffer that is kept when it is written [1]
    forget_buffer: bool = (
        True  # keep momentum times the buffer; otherwise only what was not written, and momentum of it
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "thres_scale", low=1e-30)
        check_number(self, "step", "momentum", low=0)

    def remembered(self, w: Array) -> dict[str, Array]:
        buffers = {f"buffered_FP_weight_{k}": jnp.zeros_like(w) for k in range(len(self.devices) - 1)}
        return super().remembered(w) | buffers

    def transfer_rate(self, k: int, lr: Scalar) -> Scalar:
        rate, gammas = super().transfer_rate(k, lr), self.gammas
        return rate * gammas[k] / gammas[k + 1] if gammas[k] > 0 and gammas[k + 1] > 0 else rate

    def deliver(self, k: int, cells: Cells, state: State, line: Array, v: Array, lr: Rates, key: Key) -> State:
        assert state.memory is not None
        name, axis = f"buffered_FP_weight_{k}", -1 if self.transfer_columns else -2
        step = self.devices[min(k + 1, len(self.devices) - 1)].granularity
        kept = take(state.memory[name], line, axis).reshape(v.shape) + jnp.abs(self.transfer_rate(k, lr[0])) * v
        threshold, most = self.thres_scale * step, self.transfer_update.desired_bl
        n = jnp.clip(jnp.trunc(kept / threshold), -most, most)
        left = self.momentum * kept if self.forget_buffer else kept - (1 - self.momentum) * n * threshold
        kept = jnp.where(n != 0, left, kept)
        buffer = put(state.memory[name], jnp.expand_dims(kept, axis), line, axis)
        state = replace(state, memory=state.memory | {name: buffer})
        return self.write_line(k + 1, cells, state, line, n, self.step * step, key)
