r"""Transfers: gradients are accumulated on one array and transferred, line by line, to the next.

    A = w_0 receives the pulses of x and d;  after a number of vectors one of its columns (or rows) is read,
    v = mvm(A, e_j),  and the next array is pulsed with  w_1 += lr_t v e_j^T,  and so on along the devices.

    W = sum_k gamma_k w_k,  gamma_{n-1-k} = gamma^k  (gamma = 0: the last array alone)

A `Transfer` is made of parts, each with its own equation and its own state; a part that is None is left out:

    schedule   whose turn it is              reader      what a read gives           fast    rate of the first array
    buffer     a digital sum in between      chopper     signs that flip             writer  rate and pulses of writes
    reference  a running mean to subtract    warm_start  coarse arrays learn first

With choppers, the first array receives the pulses of `c_x x` and `c_d d`, a value `v` read from it counts as `c_in
c_out (v - mu)`, and its contribution to W is `gamma_0 c_x c_d w_0`. Written weights go to the last array; the others
start at 0.

The known algorithms are short functions: `tiki_taka.py`, `residual.py`, `e_rider.py`.
Letters: `O` rows, `I` columns, `B` batch, `K` arrays. Reference: Gokmen & Haensch 2020, doi:10.3389/fnins.2020.00103.
"""

import math
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from analogjax._pytree import is_off, pytree
from analogjax._typing import Array, DType, Key, Scalar
from analogjax.errors import ConfigError
from analogjax.physics.compounds.parts import cell
from analogjax.physics.compounds.parts import chopper as chopping
from analogjax.physics.compounds.parts.buffer import StepBuffer, Transferred, WeightBuffer
from analogjax.physics.compounds.parts.chopper import Chopper, ChopperState, PeriodicChopper
from analogjax.physics.compounds.parts.fitting import check_transfer
from analogjax.physics.compounds.parts.lines import put, take
from analogjax.physics.compounds.parts.rates import FastRate, Writer
from analogjax.physics.compounds.parts.reader import Reader
from analogjax.physics.compounds.parts.reference import MeanState, RunningMean
from analogjax.physics.compounds.parts.schedule import Schedule
from analogjax.physics.compounds.parts.walk import walk
from analogjax.physics.compounds.parts.warm_start import WarmStart, WarmState
from analogjax.physics.crossbar import Frozen
from analogjax.physics.device import PulsedDevice
from analogjax.physics.pulses import Pulses
from analogjax.physics.trains import Trains, trains
from analogjax.random import bernoulli


@pytree
class TransferCells:
    """Constants of a chip, drawn when it is made."""

    arrays: tuple[Any, ...]
    """Constants of the devices of each array."""
    reading: Frozen
    """Constants of the periphery of the reads `[O, I]` each."""


@pytree
class TransferState:
    """State of a transfer. Parts that the algorithm does not have are None."""

    w: Array
    """Weight as a read sees it `[O, I]` [w]."""
    parts: tuple[Any, ...]
    """States of the arrays."""
    clock: Array
    """Vectors seen so far `[]` int32."""
    pointer: Array
    """Next line of each array `[K]` int32."""
    largest: Array | None
    """Running maxima of |x| and |d| `[2]`; None: not tracked."""
    buffers: tuple[Array, ...]
    """Buffer in front of each array but the first `[O, I]` each; empty: no buffer."""
    chopper: ChopperState | None
    """Signs of the lines; None: no chopper."""
    reference: MeanState | None
    """Running mean and reference; None: no reference."""
    warm_start: WarmState | None
    """Progress of the warm start; None: no warm start."""


class _Rates(NamedTuple):
    update: Scalar  # learning rate of the update
    fast: Scalar  # that of the pulses of the vector at hand


@pytree
class Transfer:
    """Arrays that pass on what they have learnt, and the parts that define the algorithm.

    Raises:
        ConfigError: If the parts do not fit together.
    """

    devices: tuple[PulsedDevice, ...]
    """Of each array `[K]`, two or more."""
    gamma: float = 0.0
    """Weight of each array relative to the next in the sum [1]."""
    gamma_vec: tuple[float, ...] = ()
    """The weights themselves `[K]`; empty: from `gamma`."""
    schedule: Schedule = Schedule()
    """When each array is read."""
    reader: Reader = Reader()
    """How lines are read, and how many at a time."""
    fast: FastRate = FastRate()
    """Learning rate of the first array."""
    writer: Writer = Writer()
    """Learning rate and pulses of the writes."""
    buffer: WeightBuffer | StepBuffer | None = None
    """Digital accumulation between read and write; None: written at once."""
    chopper: Chopper | PeriodicChopper | None = None
    """Random or periodic sign flips of lines; None: none."""
    reference: RunningMean | None = None
    """Running mean subtracted from what is read; None: nothing."""
    warm_start: WarmStart | None = None
    """Initial training of one array at a time; None: all at once."""

    def __post_init__(self) -> None:
        check_transfer(self)

    @property
    def gammas(self) -> tuple[float, ...]:
        """The weight of each array in the sum `[K]`."""
        n = len(self.devices)
        return self.gamma_vec or tuple(self.gamma ** (n - 1 - k) if k < n - 1 else 1.0 for k in range(n))

    @property
    def granularity(self) -> Scalar:
        return cell.mean_granularity(self.devices)

    @property
    def needs_rest(self) -> bool:
        return any(device.needs_rest for device in self.devices)

    def periods(self, shape: tuple[int, int], batch: int) -> tuple[int, ...]:
        """Vectors between two reads of each array `[K]`; 0: never."""
        outputs, lines = self.reader.size(shape)
        return self.schedule.periods(self.devices, lines, outputs / self.reader.at_once(lines), batch)

    def fabricate(self, shape: tuple[int, int], dtype: DType, key: Key) -> TransferCells:
        k_cells, k_read = jax.random.split(key)
        arrays = cell.fabricate_each(self.devices, shape, dtype, k_cells)
        return TransferCells(arrays=arrays, reading=self.reader.fabricate(shape, dtype, k_read))

    def write(self, cells: TransferCells, w: Array, key: Key) -> TransferState:
        n, (others, lines) = len(self.devices), self.reader.size((w.shape[0], w.shape[1]))
        weights = [w / self.gammas[-1] if k == n - 1 else jnp.zeros_like(w) for k in range(n)]
        state = TransferState(
            w=w,
            parts=cell.write_each(self.devices, cells.arrays, weights, key),
            clock=jnp.zeros((), jnp.int32),
            pointer=jnp.zeros((n,), jnp.int32),
            largest=self.fast.begin(w),
            buffers=() if self.buffer is None else (cell.digital(w.shape, w.dtype),) * (n - 1),
            chopper=None if self.chopper is None else chopping.begin(lines, others),
            reference=None if self.reference is None else self.reference.begin(w, lines),
            warm_start=None if self.warm_start is None else self.warm_start.begin(n),
        )
        return self.summed(state)

    def summed(self, state: TransferState) -> TransferState:
        """The state with its visible weight recomputed, including the first array, without its signs, if it has a
        weight.
        """
        weights = [part.w for part in state.parts]
        if self.gammas[0] != 0 and state.chopper is not None:
            if self.reference is not None and state.reference is not None and self.reference.in_weight:
                reference = self.reference.now(state.reference, self.reader.axis)
                weights[0] = (weights[0] - reference).astype(weights[0].dtype)
            x, d = self._signs(state.chopper)
            weights[0] = (d[:, None] * x[None, :]).astype(weights[0].dtype) * weights[0]
        return replace(state, w=cell.weighted(self.gammas, weights))

    def _signs(self, chopper: ChopperState) -> tuple[Array, Array]:
        """The choppers of x `[I]` and of d `[O]`."""
        found = chopper.inside, chopper.outside
        return found if self.reader.transfer_columns else found[::-1]

    def update(
        self, p: Pulses, cells: TransferCells, state: TransferState, x: Array, d: Array, lr: Scalar, key: Key
    ) -> TransferState:
        if not p.pulse_type.pulsed:
            raise ConfigError(
                f"Transfer with pulse_type={p.pulse_type.value!r}: its first array collects pulses; use "
                "'StochasticCompressed', or a plain device."
            )
        k_trains, k_draw, k_noise = jax.random.split(key, 3)
        rate, largest = self.fast.rate(p, state.largest, x, d, lr, self.devices[0].granularity)
        t = trains(p, x, d, rate, self.granularity, k_trains)
        batch, begun = x.shape[0], state.clock
        periods = self.periods((state.w.shape[0], state.w.shape[1]), batch)

        def pulse(state: TransferState, t: Trains, k_draw: Key, k_noise: Key) -> TransferState:
            seen = self._chopped(state, t)
            part = self.devices[0].respond(p, cells.arrays[0], state.parts[0], seen, k_draw, k_noise)
            return replace(state, parts=cell.replaced(state.parts, 0, part))

        def act(state: TransferState, seen: Array, key: Key) -> TransferState:
            now = rate if jnp.ndim(rate) == 0 else jnp.asarray(rate)[seen - begun - 1]
            return self._transfer(cells, state, _Rates(lr, now), periods, seen, key)

        state = replace(state, largest=largest)
        # a common divisor of all periods; 0: none
        state = walk(state, t, math.gcd(*periods), begun, pulse, act, (k_draw, k_noise))
        return self.summed(replace(state, clock=begun + batch))

    def _chopped(self, state: TransferState, t: Trains) -> Trains:
        """The trains with the signs of the choppers applied."""
        if state.chopper is None:
            return t
        x, d = self._signs(state.chopper)
        return replace(t, minus_x=t.minus_x ^ (x < 0)[None, :], minus_d=t.minus_d ^ (d < 0)[None, :])

    def _transfer(
        self, cells: TransferCells, state: TransferState, lr: _Rates, periods: tuple[int, ...], seen: Array, key: Key
    ) -> TransferState:
        """Read and write for each array that is due after vector number `seen`. Consumes `key`."""
        only, keys = [k for k, period in enumerate(periods) if period > 0], jax.random.split(key, len(periods))
        for k in only:

            def move(s: TransferState, k: int = k, own: Key = keys[k]) -> TransferState:
                return self._move(k, cells, s, lr, own)

            due = seen % periods[k] == 0
            if state.warm_start is not None and k > 0:
                due = due & (state.warm_start.warming == 0)
            state = move(state) if len(only) == 1 else lax.cond(due, move, lambda s: s, state)
        if self.warm_start is None or state.warm_start is None or periods[0] == 0:
            return state
        lines = state.w.shape[self.reader.axis]
        sweep = lines / self.reader.at_once(lines)
        counted = self.warm_start.counted(state.warm_start, sweep, seen % periods[0] == 0)
        return replace(state, warm_start=counted)

    def _move(self, k: int, cells: TransferCells, state: TransferState, lr: _Rates, key: Key) -> TransferState:
        """Transfer the next lines of array `k` to the array after it. Consumes `key`."""
        lines = state.w.shape[self.reader.axis]
        k_start, k_lines = jax.random.split(key)
        start = jax.random.randint(k_start, (), 0, lines) if self.reader.random_selection else state.pointer[k]

        def one(n: Array, state: TransferState) -> TransferState:
            return self._line(k, cells, state, (start + n) % lines, lr, jax.random.fold_in(k_lines, n))

        reads = self.reader.at_once(lines)
        state = one(jnp.zeros((), jnp.int32), state) if reads == 1 else lax.fori_loop(0, reads, one, state)
        return replace(state, pointer=state.pointer.at[k].set((start + reads) % lines))

    def _line(
        self, k: int, cells: TransferCells, state: TransferState, line: Array, lr: _Rates, key: Key
    ) -> TransferState:
        """Read a line of array `k`, reset it if required, and write it to the array after it. Consumes `key`."""
        k_read, k_reset, k_write = jax.random.split(key, 3)
        v = self.reader.read(cells.reading, state.parts[k].w, line, k_read)
        v = v.astype(jnp.promote_types(v.dtype, jnp.float32))  # digital from here on
        if not is_off(self.reader.with_reset_prob):
            state = self._reset_line(k, cells, state, line, k_reset)
        if self.chopper is not None and state.chopper is not None:
            return self._unchopped(self.chopper, state.chopper, cells, state, line, v, lr, k_write)
        if state.warm_start is None or k > 0:
            return self._deliver(k, min(k + 1, len(self.devices) - 1), cells, state, line, v, lr, k_write)
        choices = [
            lambda s, to=to: self._deliver(0, to, cells, s, line, v, lr, k_write) for to in range(1, len(self.devices))
        ]
        # once warm, array 0 goes to array 1
        return lax.switch(jnp.maximum(state.warm_start.warming - 1, 0), choices, state)

    def _reset_line(self, k: int, cells: TransferCells, state: TransferState, line: Array, key: Key) -> TransferState:
        k_which, k_reset = jax.random.split(key)
        part = take(state.parts[k], line, -1)
        chosen = bernoulli(k_which, jnp.asarray(self.reader.with_reset_prob), part.w.shape)
        fresh = self.devices[k].reset_cells(take(cells.arrays[k], line, -1), part, chosen, k_reset)
        return replace(state, parts=cell.replaced(state.parts, k, put(state.parts[k], fresh, line, -1)))

    def _unchopped(
        self, chopper: Chopper | PeriodicChopper, signs: ChopperState, cells: TransferCells, state: TransferState,
        line: Array, v: Array, lr: _Rates, key: Key,
    ) -> TransferState:  # fmt: skip
        """Remove sign and reference from what was read of the first array; then signs may flip."""
        k_write, k_in, k_out = jax.random.split(key, 3)
        samples = allowed = None
        if self.reference is not None and state.reference is not None:
            v, reference = self.reference.measure(state.reference, line, self.reader.axis, v, chopper.period)
            samples, allowed = self.reference.due(signs.passes, chopper.period)
            state = replace(state, reference=reference)
        v = (signs.inside[line] * signs.outside).astype(v.dtype) * v
        state = self._deliver(0, 1, cells, state, line, v, lr, k_write, samples, allowed)
        signs, flipped = chopping.after_read(chopper, signs, line, k_in, k_out)
        if state.reference is not None:
            switched = state.reference.switched.at[line].set(flipped)
            state = replace(state, reference=replace(state.reference, switched=switched))
        return replace(state, chopper=signs)

    def _deliver(
        self, k: int, to: int, cells: TransferCells, state: TransferState, line: Array, v: Array, lr: _Rates, key: Key,
        samples: Array | None = None, allowed: Array | None = None,
    ) -> TransferState:  # fmt: skip
        """Write the values `v` read from array `k`, or the whole steps in the buffer, to array `to`.

        `samples`: see `Transferred`; `allowed`: False if it is too early to write. Consumes `key`.
        """
        axis, rate = self.reader.axis, self.writer.rate(k, lr.update)
        if self.buffer is not None:
            if self.gammas[k] > 0 and self.gammas[to] > 0:
                rate = rate * self.gammas[k] / self.gammas[to]  # as far as both arrays count in the weight
            of = self._transferred(k, to, state, lr, rate, samples)
            held = jnp.squeeze(take(state.buffers[to - 1], line, axis), axis)
            v, held = self.buffer.add(held, v, of, self.writer.transfer_update.desired_bl)
            buffer = put(state.buffers[to - 1], jnp.expand_dims(held, axis), line, axis)
            state = replace(state, buffers=cell.replaced(state.buffers, to - 1, buffer))
            rate = self.buffer.step * of.slow_step
        v = (v if allowed is None else jnp.where(allowed, v, 0.0)).astype(state.w.dtype)
        part = self._pulsed_line(to, cells, take(state.parts[to], line, axis), line, v, rate, key)
        return replace(state, parts=cell.replaced(state.parts, to, put(state.parts[to], part, line, axis)))

    def _transferred(
        self, k: int, to: int, state: TransferState, lr: _Rates, rate: Scalar, samples: Array | None
    ) -> Transferred:
        fast, slow = self.devices[k].granularity, self.devices[to].granularity
        # as in aihwkit, neither transfer_every_vec nor the batch counts
        vectors = state.w.shape[self.reader.axis] * abs(self.schedule.transfer_every)
        return Transferred(rate, lr.fast, fast, slow, vectors, samples)

    def _pulsed_line(
        self, to: int, cells: TransferCells, part: Any, line: Array, v: Array, lr: Scalar, key: Key
    ) -> Any:
        """The state of a column (or row) of array `to`, pulsed by `lr v`. Consumes `key`."""
        own, one = take(cells.arrays[to], line, self.reader.axis), jnp.ones((1, 1), v.dtype)
        x, d = (one, -v[None]) if self.reader.transfer_columns else (-v[None], one)
        return self.devices[to].update(self.writer.transfer_update, own, part, x, d, lr, key)

    def rest(self, cells: TransferCells, state: TransferState, key: Key, alpha: Scalar = 1.0) -> TransferState:
        parts = cell.rest_each(self.devices, cells.arrays, state.parts, key, alpha)
        return self.summed(replace(state, parts=parts))

    def reset_cells(self, cells: TransferCells, state: TransferState, chosen: Array, key: Key) -> TransferState:
        parts = cell.reset_each(self.devices, cells.arrays, state.parts, chosen, key)
        return self.summed(replace(state, parts=parts))

    def age(self, cells: TransferCells, state: TransferState, dt: Scalar, key: Key) -> TransferState:
        return self.summed(replace(state, parts=cell.age_each(self.devices, cells.arrays, state.parts, dt, key)))
