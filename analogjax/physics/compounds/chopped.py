r"""Tiki-Taka with choppers: signs that flip from time to time, so that what devices do by themselves averages out.

    A sees the pulses of c_x x and c_d d;  a read of line i gives v_j, and the buffer takes

    H_ij += c_in[i] c_out[j] v_j L,   n = trunc(H_ij),   |n| <= pulses of one train,   w_1 += n step dw_min

`c_in` belongs to the lines that are read (columns, or rows), `c_out` to the others; `L` is the learning rate of the
transfer over the granularity of the buffer. A chopper of `c_in` flips after its line was read: at random with
`in_chop_prob`, or every `ceil(1 / in_chop_prob)` passes over the matrix; those of `c_out` after the last line.

`DynamicTransfer` (AGAD) measures what is read against the mean of the half-period before: `v - mu_ref` instead of `v`,
with a running mean `mu <- (1 - beta) mu + beta v` of each device and `mu_ref = mu` when a chopper has flipped. It needs
no reference array, and no choppers of the other lines. Nothing is written before every chopper had a whole period.

`auto_scale` sets the rate of the fast array from running maxima of |x| and |d|, so that trains are well used.
Reference: Rasch, Carta, Fagbohungbe & Gokmen 2024, doi:10.1038/s41467-024-51221-z.
"""

import math
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from analogjax._pytree import is_static, pytree
from analogjax._typing import Array, Key, Scalar
from analogjax.errors import ConfigError
from analogjax.physics.checks import check, check_number
from analogjax.physics.compounds.line_transfer import BufferedLines, Rates
from analogjax.physics.device import Cells, State
from analogjax.physics.pulses import Pulses, Trains

_BUFFER = "buffered_FP_weight_0"


@pytree
class ChoppedTransfer(BufferedLines):
    """Chopped Tiki-Taka, c-TTv2 (aihwkit's `ChoppedTransferCompound`). With `in_chop_prob=0` it is version 2."""

    units_in_mbatch: bool = False
    scale_fast_lr: bool = False
    in_chop_prob: Scalar = 0.1  # probability of a flip, or one over its period in passes [1]
    in_chop_random: bool = True  # flip at random, otherwise regularly
    out_chop_prob: Scalar = 0.0  # probability that a chopper of the other lines flips after a pass [1]
    buffer_granularity: Scalar = 1.0  # granularity of the buffer in steps of the fast array [1]
    auto_granularity: Scalar = 0.0  # above 0: granularity times this, over the vectors of one pass [1]
    no_buffer: bool = False  # what a read gives is written or lost
    auto_scale: bool = False  # rate of the fast array from running maxima of |x| and |d|
    auto_momentum: Scalar = 0.99  # of these maxima, per mini-batch [1]
    correct_gradient_magnitudes: bool = False  # divide the transfer rate by that of the fast array

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.devices) != 2:
            raise ConfigError(f"{type(self).__name__}(devices=...): has {len(self.devices)}; needs exactly two.")
        no_reset = is_static(self.with_reset_prob) and bool(self.with_reset_prob == 0)
        plain = no_reset and self.n_reads_per_transfer == 1 and not self.random_selection and self.no_self_transfer
        check(self, plain, "n_reads_per_transfer", "choppers go with one line at a time, in order, without reset.")
        check_number(self, "in_chop_prob", "out_chop_prob", "auto_momentum", low=0, high=1)
        check_number(self, "auto_granularity", low=0)
        regular = self.in_chop_random or is_static(self.in_chop_prob)
        check(self, regular, "in_chop_prob", "is a period without in_chop_random: give a plain number.")

    def periods(self, shape: tuple[int, int], batch: int) -> tuple[int, ...]:
        if self.transfer_every >= 0:
            return super().periods(shape, batch)
        first: Any = self.devices[0]
        states = (first.w_max - first.w_min) / first.granularity
        lines = shape[1] if self.transfer_columns else shape[0]
        return max(1, round(states / lines * abs(self.transfer_every))), 0

    @property
    def chop_period(self) -> int:
        """Passes between two regular flips."""
        assert is_static(self.in_chop_prob)
        return max(math.ceil(1 / self.in_chop_prob), 2) if self.in_chop_prob > 0 else 2

    def remembered(self, w: Array) -> dict[str, Array]:
        lines, others = (w.shape[1], w.shape[0]) if self.transfer_columns else w.shape
        return super().remembered(w) | {
            _BUFFER: jnp.zeros_like(w),
            "in_chopper": jnp.ones((lines,), jnp.int8),
            "out_chopper": jnp.ones((others,), jnp.int8),
            "passes": jnp.zeros((), jnp.int32),
            "largest": jnp.zeros((2,), w.dtype),
        }

    def fast_rate(self, p: Pulses, state: State, x: Array, d: Array, lr: Scalar) -> tuple[Scalar, State]:
        if not self.auto_scale or (is_static(self.fast_lr) and self.fast_lr <= 0):
            return super().fast_rate(p, state, x, d, lr)
        assert state.memory is not None
        tau = (1 - self.auto_momentum) / x.shape[0]

        def follow(largest: Array, new: Array) -> tuple[Array, Array]:
            moved = jnp.where(new > 0, (1 - tau) * largest + tau * new, largest)
            largest = jnp.where(largest > 0, moved, new)
            return largest, largest

        tops = jnp.stack([jnp.max(jnp.abs(x), -1), jnp.max(jnp.abs(d), -1)], axis=-1)
        largest, each = lax.scan(follow, state.memory["largest"].astype(tops.dtype), tops)
        product = each[:, 0] * each[:, 1]
        rate = self.fast_lr * p.desired_bl * self.devices[0].granularity / jnp.where(product > 0, product, 1.0)
        rate = rate * lr if self.scale_fast_lr else jnp.where(jnp.asarray(lr) > 0, rate, 0.0)
        return rate, replace(state, memory=state.memory | {"largest": largest})

    def chopped(self, state: State, t: Trains) -> Trains:
        x, d = self._choppers(state)
        return replace(t, minus_x=t.minus_x ^ (x < 0)[None, :], minus_d=t.minus_d ^ (d < 0)[None, :])

    def _choppers(self, state: State) -> tuple[Array, Array]:
        """The choppers of x `[I]` and of d `[O]`."""
        assert state.memory is not None
        found = state.memory["in_chopper"], state.memory["out_chopper"]
        return found if self.transfer_columns else found[::-1]

    def summed(self, state: State) -> State:
        """The visible weight, in which the fast array (where it has any part) is freed from its choppers."""
        if self.gammas[0] == 0 or state.memory is None:
            return super().summed(state)
        x, d = self._choppers(state)
        fast, slow = state.parts
        signs = (d[:, None] * x[None, :]).astype(fast.w.dtype)
        return replace(state, w=self.gammas[0] * signs * fast.w + self.gammas[1] * slow.w)

    def buffer_scale(self, lr: Rates, shape: tuple[int, int]) -> Scalar:
        """What a value that was read is multiplied with before it goes to the buffer."""
        fast, slow = (device.granularity for device in self.devices)
        unit = jnp.where(jnp.asarray(self.buffer_granularity) > 0, self.buffer_granularity, 1.0) * fast
        if not is_static(self.auto_granularity) or self.auto_granularity > 0:
            vectors = (shape[1] if self.transfer_columns else shape[0]) * abs(self.transfer_every)
            unit = unit * jnp.where(jnp.asarray(self.auto_granularity) > 0, self.auto_granularity / vectors, 1.0)
        rate = jnp.abs(self.transfer_rate(0, lr[0]))
        if self.correct_gradient_magnitudes:
            return rate / jnp.where(jnp.asarray(lr[1]) > 0, lr[1], 1.0) / (unit * slow / fast)
        return rate / unit

    def deliver(self, k: int, cells: Cells, state: State, line: Array, v: Array, lr: Rates, key: Key) -> State:
        assert state.memory is not None
        k_write, k_in, k_out = jax.random.split(key, 3)
        sign = (state.memory["in_chopper"][line] * state.memory["out_chopper"]).astype(v.dtype)
        value, state = self.seen(state, line, v)
        held = jnp.zeros_like(v) if self.no_buffer else self.held(state, _BUFFER, line)
        scale = self.sample_scale(state, self.buffer_scale(lr, (state.w.shape[0], state.w.shape[1])))
        omega, most = held + sign * value * scale, self.transfer_update.desired_bl
        n = jnp.where(jnp.abs(omega) >= 1, jnp.clip(jnp.trunc(omega), -most, most), 0.0)
        state = self.holding(state, line, **{_BUFFER: jnp.where(n != 0, self.left(omega, n), omega)})
        n = n * self.may_write(state)
        state = self.write_line(1, cells, state, line, n, self.step * self.devices[1].granularity, k_write)
        return self._flip(state, line, k_in, k_out)

    def seen(self, state: State, line: Array, v: Array) -> tuple[Array, State]:
        """What counts of the values `v` that were read."""
        return v, state

    def sample_scale(self, state: State, scale: Scalar) -> Scalar:
        """`scale` at this pass."""
        return scale

    def may_write(self, state: State) -> Array | float:
        """1, or 0 where it is too early to write."""
        return 1.0

    def _flip(self, state: State, line: Array, k_in: Key, k_out: Key) -> State:
        """After a read: flip choppers, and count the pass after the last line."""
        memory = state.memory
        assert memory is not None
        flips = self.flips(memory, k_in)
        inside = memory["in_chopper"].at[line].multiply(jnp.where(flips, -1, 1).astype(jnp.int8))
        last = line == inside.shape[0] - 1
        out = memory["out_chopper"]
        if not is_static(self.out_chop_prob) or self.out_chop_prob > 0:
            hit = jax.random.bernoulli(k_out, self.out_chop_prob, out.shape) & last
            out = jnp.where(hit, -out, out).astype(jnp.int8)
        memory = memory | {"in_chopper": inside, "out_chopper": out, "passes": memory["passes"] + last}
        if "switched" in memory:
            memory = memory | {"switched": memory["switched"].at[line].set(flips)}
        return replace(state, memory=memory)

    def flips(self, memory: dict[str, Array], key: Key) -> Array:
        """Whether the chopper of the line that was read flips."""
        if self.in_chop_random:
            return jax.random.bernoulli(key, self.in_chop_prob)
        at_end = memory["passes"] % self.chop_period == self.chop_period - 1
        return at_end & (self.in_chop_prob > 0)


@pytree
class DynamicTransfer(ChoppedTransfer):
    """AGAD: the reference is measured (aihwkit's `DynamicTransferCompound`)."""

    in_chop_random: bool = False
    experimental_correct_accumulation: bool = False  # divide by the number of passes in this half-period
    buffer_cap: Scalar = 0.0  # bound of a buffer that does not forget, in trains [1]; 0: none
    tail_weightening: Scalar = 5.0  # weight of the last passes of a half-period in the running mean [1]

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "buffer_cap", "tail_weightening", low=0)
        check(self, is_static(self.in_chop_prob), "in_chop_prob", "is a period: give a plain number.")
        measured = is_static(self.out_chop_prob) and bool(self.out_chop_prob == 0)
        check(self, measured, "out_chop_prob", "the reference is measured while no other sign changes; leave it at 0.")

    def remembered(self, w: Array) -> dict[str, Array]:
        lines = w.shape[1] if self.transfer_columns else w.shape[0]
        more = {"running_mean_weight": jnp.zeros_like(w), "past_mean_weight": jnp.zeros_like(w)}
        return super().remembered(w) | more | {"switched": jnp.zeros((lines,), bool)}

    def seen(self, state: State, line: Array, v: Array) -> tuple[Array, State]:
        assert state.memory is not None
        mean, past = (self.held(state, name, line) for name in ("running_mean_weight", "past_mean_weight"))
        past = jnp.where(state.memory["switched"][line], mean, past)
        beta = jnp.minimum(self.tail_weightening / self.chop_period, 1.0)
        new = {"past_mean_weight": past, "running_mean_weight": (1 - beta) * mean + beta * v}
        return v - past, self.holding(state, line, **new)

    def sample_scale(self, state: State, scale: Scalar) -> Scalar:
        if not self.experimental_correct_accumulation:
            return scale
        assert state.memory is not None
        sample = state.memory["passes"] % self.chop_period + 1
        return scale / jnp.minimum(sample, 1 / self.devices[0].granularity)

    def left(self, held: Array, taken: Array) -> Array:
        kept = super().left(held, taken)
        if self.forget_buffer:
            return kept
        cap = jnp.asarray(self.buffer_cap * self.transfer_update.desired_bl)
        return jnp.where(cap > 0, jnp.clip(kept, -cap, cap), kept)

    def may_write(self, state: State) -> Array | float:
        assert state.memory is not None
        return (state.memory["passes"] > self.chop_period).astype(state.w.dtype)

    def flips(self, memory: dict[str, Array], key: Key) -> Array:
        regular = memory["passes"] % self.chop_period == self.chop_period - 1
        return (regular | jax.random.bernoulli(key, self.in_chop_prob)) if self.in_chop_random else regular
