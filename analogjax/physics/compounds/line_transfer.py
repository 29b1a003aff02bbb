r"""What all Tiki-Taka compounds share: a first array that is pulsed, and lines that are read and handed on in turn.

See `transfer.py` for the equations. Letters: `O` rows, `I` columns.
"""

import math
import warnings
from dataclasses import replace

import jax
import jax.numpy as jnp
from jax import lax

from analogjax._pytree import is_off, is_static, pytree
from analogjax._typing import Array, DType, Key, Scalar
from analogjax.errors import ConfigError
from analogjax.physics.checks import check, check_number
from analogjax.physics.compounds.schedule import put, take, walk
from analogjax.physics.compounds.unit_cell import UnitCell, part_of, with_part
from analogjax.physics.crossbar import Frozen
from analogjax.physics.device import Cells, PulsedDevice, State
from analogjax.physics.periphery import Periphery, mvm
from analogjax.physics.pulses import Pulses, Trains, trains
from analogjax.random import bernoulli

Rates = tuple[Scalar, Scalar]  # learning rate of the update, and that of the pulses of the vector at hand

# one pulse for each step of the buffer
SINGLE_PULSES = Pulses(desired_bl=1, update_bl_management=False, update_management=False)


@pytree
class LineTransfer(UnitCell):
    """The fields of `Transfer`, and what is done with them. Abstract: only what is done with a value differs."""

    devices: tuple[PulsedDevice, ...]
    gamma: float = 0.0  # weight of each array relative to the next in the sum [1]
    gamma_vec: tuple[float, ...] = ()  # the weights themselves; empty: from gamma
    transfer_every: float = 1.0  # vectors (or mini-batches) between two reads of the first array; 0: never
    transfer_every_vec: tuple[float, ...] = ()  # of each array; empty: from transfer_every
    no_self_transfer: bool = True  # the last array is not read
    units_in_mbatch: bool = True  # transfer_every counts mini-batches
    n_reads_per_transfer: int = 1  # lines that are read each time
    transfer_columns: bool = True  # columns, otherwise rows
    with_reset_prob: Scalar = 0.0  # probability that a device of a column that was read is reset [1]
    random_selection: bool = False  # begin at a random line each time
    fast_lr: Scalar = 1.0  # learning rate of the first array; 0: that of the update
    transfer_lr: Scalar = 1.0  # learning rate of the transfers
    transfer_lr_vec: tuple[float, ...] = ()  # of each array; empty: transfer_lr
    scale_transfer_lr: bool = True  # transfer_lr is relative to that of the update
    scale_fast_lr: bool = True  # fast_lr is relative to that of the update
    transfer_forward: Periphery = Periphery()  # of the reads
    transfer_update: Pulses = Pulses()  # of the writes

    def __post_init__(self) -> None:
        n = len(self.devices)
        if n < 2:
            raise ConfigError(f"{type(self).__name__}(devices=...): has {n}; needs two or more devices.")
        if not hasattr(self.devices[0], "respond"):
            raise ConfigError(
                f"{type(self).__name__}(devices=...): the first, {self.devices[0]!r}, sees no pulses: not pulsed."
            )
        for name in ("gamma_vec", "transfer_every_vec", "transfer_lr_vec"):
            check(self, len(getattr(self, name)) in (0, n), name, f"needs one number for each of the {n} devices.")
        good = isinstance(self.n_reads_per_transfer, int) and self.n_reads_per_transfer > 0
        check(self, good, "n_reads_per_transfer", "needs a whole number > 0.")
        for name in self._of_the_program:
            check(self, is_static(getattr(self, name)), name, "is part of the program: give a plain number.")
        check_number(self, "fast_lr", "transfer_lr", low=0)
        check_number(self, "with_reset_prob", low=0, high=1)
        check(self, self.gammas[-1] != 0, "gamma_vec", "the last array holds the written weights: not 0.")
        columns = self.transfer_columns or is_off(self.with_reset_prob)
        check(self, columns, "with_reset_prob", "only columns can be reset: use transfer_columns=True.")

    @property
    def _of_the_program(self) -> tuple[str, ...]:
        """Fields that can't be arrays: what is compiled depends on them."""
        return "gamma", "gamma_vec", "transfer_every", "transfer_every_vec"

    @property
    def parts(self) -> tuple[PulsedDevice, ...]:
        """The arrays."""
        return self.devices

    @property
    def gammas(self) -> tuple[float, ...]:
        """The weight of each array in the sum."""
        n = len(self.devices)
        return self.gamma_vec or tuple(self.gamma ** (n - 1 - k) if k < n - 1 else 1.0 for k in range(n))

    @property
    def axis(self) -> int:
        """The axis that numbers the lines which are read: -1 for columns, -2 for rows."""
        return -1 if self.transfer_columns else -2

    @property
    def reading(self) -> Periphery:
        """The converters of the reads, without management."""
        return self.transfer_forward.unmanaged()

    def periods(self, shape: tuple[int, int], batch: int) -> tuple[int, ...]:
        """Vectors between two reads of each array; 0: never."""
        outputs, lines = shape if self.transfer_columns else shape[::-1]
        slower, n = self.slower(outputs / self.reads_at_once(lines)), len(self.devices)
        every = self.transfer_every_vec or tuple(self.transfer_every * slower**k for k in range(n))
        if self.no_self_transfer:
            every = (*every[:-1], 0.0)
        return tuple(math.ceil(one * batch) if self.units_in_mbatch else round(one) for one in every)

    def slower(self, sweep: float) -> float:
        """How many times less often each next array is read by default; `sweep` reads write all outputs once."""
        return sweep

    def reads_at_once(self, lines: int) -> int:
        """Lines that are read each time of an array that has so many: each of them once, at most."""
        return min(self.n_reads_per_transfer, lines)

    def fabricate(self, shape: tuple[int, int], dtype: DType, key: Key) -> Cells:
        k_cells, k_read = jax.random.split(key)
        cells = super().fabricate(shape, dtype, k_cells)
        outputs, lines = shape if self.transfer_columns else shape[::-1]
        if lines < self.n_reads_per_transfer:
            warnings.warn(
                f"{type(self).__name__}(n_reads_per_transfer={self.n_reads_per_transfer}): an array of "
                f"{shape[0]} x {shape[1]} has {lines} {'columns' if self.transfer_columns else 'rows'}, which are all "
                f"read once each time; give {lines} or less.",
                stacklevel=2,
            )
        frozen = self.reading.fabricate(outputs, dtype, k_read, inputs=lines)

        def spread(value: Array) -> Array:
            """One value for each output, or for each output and line, as a matrix of the array's own shape."""
            each = jnp.broadcast_to(value.reshape(outputs, -1), (outputs, lines))
            return each if self.transfer_columns else each.T

        return cells | {f"reading.{name}": spread(value) for name, value in frozen.items()}

    def write(self, cells: Cells, w: Array, key: Key) -> State:
        last = len(self.devices) - 1
        parts = tuple(
            device.write(part_of(cells, k), w / self.gammas[-1] if k == last else jnp.zeros_like(w), own)
            for k, (device, own) in enumerate(zip(self.devices, jax.random.split(key, last + 1), strict=True))
        )
        state = State(w=w, parts=parts, clock=jnp.zeros((), jnp.int32), memory=self.remembered(w))
        return self.summed(state)

    def remembered(self, w: Array) -> dict[str, Array]:
        """What is remembered besides the weights, at the beginning."""
        return {"pointer": jnp.zeros((len(self.devices),), jnp.int32)}

    def update(self, p: Pulses, cells: Cells, state: State, x: Array, d: Array, lr: Scalar, key: Key) -> State:
        if not p.pulse_type.pulsed:
            raise ConfigError(
                f"{type(self).__name__} with pulse_type={p.pulse_type.value!r}: its first array collects pulses; use "
                "'StochasticCompressed', or a plain device."
            )
        k_trains, k_draw, k_noise = jax.random.split(key, 3)
        rate, state = self.fast_rate(p, state, x, d, lr)
        t = trains(p, x, d, rate, self.granularity, k_trains)
        periods, batch = self.periods((state.w.shape[0], state.w.shape[1]), x.shape[0]), x.shape[0]
        assert state.clock is not None
        begun: Array = state.clock

        def pulse(state: State, t: Trains, k_draw: Key, k_noise: Key) -> State:
            part = self.devices[0].respond(
                p, part_of(cells, 0), state.parts[0], self.chopped(state, t), k_draw, k_noise
            )
            return with_part(state, 0, part)

        def act(state: State, seen: Array, key: Key) -> State:
            now = rate if jnp.ndim(rate) == 0 else jnp.asarray(rate)[seen - begun - 1]
            return self.transfer(cells, state, (lr, now), periods, seen, key)

        state = walk(state, t, _meeting(periods), begun, pulse, act, (k_draw, k_noise))
        return self.summed(replace(state, clock=begun + batch))

    def fast_rate(self, p: Pulses, state: State, x: Array, d: Array, lr: Scalar) -> tuple[Scalar, State]:
        """The learning rate that the pulses of the first array are counted with, of all or each vector `[B]`."""
        if is_static(self.fast_lr) and self.fast_lr == 0:
            return lr, state
        scaled = self.fast_lr * lr if self.scale_fast_lr else jnp.asarray(self.fast_lr)
        rate = jnp.where(jnp.asarray(self.fast_lr) > 0, scaled, lr)
        return jnp.where(jnp.asarray(lr) > 0, rate, 0.0), state

    def chopped(self, state: State, t: Trains) -> Trains:
        """The trains as the first array sees them."""
        return t

    def transfer(self, cells: Cells, state: State, lr: Rates, periods: tuple[int, ...], seen: Array, key: Key) -> State:
        """Read and write for each array whose turn it is. Consumes `key`."""
        only, keys = [k for k, period in enumerate(periods) if period > 0], jax.random.split(key, len(periods))
        for k in only:

            def move(s: State, k: int = k, own: Key = keys[k]) -> State:
                return self._move(k, cells, s, lr, own)

            due = self.due(k, state, periods[k], seen)
            state = move(state) if len(only) == 1 else lax.cond(due, move, lambda s: s, state)
        return state

    def due(self, k: int, state: State, period: int, seen: Array) -> Array:
        """Whether array `k` is read after vector number `seen`."""
        return seen % period == 0

    def _move(self, k: int, cells: Cells, state: State, lr: Rates, key: Key) -> State:
        """The next lines of array `k` go to the array after it. Consumes `key`."""
        assert state.memory is not None
        lines = state.w.shape[self.axis]
        k_start, k_lines = jax.random.split(key)
        start = jax.random.randint(k_start, (), 0, lines) if self.random_selection else state.memory["pointer"][k]

        def one(n: Array, state: State) -> State:
            return self._line(k, cells, state, (start + n) % lines, lr, jax.random.fold_in(k_lines, n))

        reads = self.reads_at_once(lines)
        state = one(jnp.zeros((), jnp.int32), state) if reads == 1 else lax.fori_loop(0, reads, one, state)
        assert state.memory is not None
        pointer = state.memory["pointer"].at[k].set((start + reads) % lines)
        return replace(state, memory=state.memory | {"pointer": pointer})

    def _line(self, k: int, cells: Cells, state: State, line: Array, lr: Rates, key: Key) -> State:
        k_read, k_reset, k_write = jax.random.split(key, 3)
        v = self.read_line(k, cells, state, line, k_read)
        if not is_off(self.with_reset_prob):
            state = self._reset_line(k, cells, state, line, k_reset)
        return self.deliver(k, cells, state, line, v, lr, k_write)

    def read_line(self, k: int, cells: Cells, state: State, line: Array, key: Key) -> Array:
        """What the converters say of a column `[O]` (or row `[I]`) of array `k`. Consumes `key`."""
        p, seen = self.reading, {"w": state.parts[k].w}
        seen |= {name.removeprefix("reading."): cell for name, cell in cells.items() if name.startswith("reading.")}
        if not self.transfer_columns:
            seen = {name: matrix.T for name, matrix in seen.items()}
        # aihwkit reads with -1 on the line
        if p.ignores_silent_inputs:
            seen, x = take(seen, line, -1), -jnp.ones((1, 1), seen["w"].dtype)
        else:
            x = -jax.nn.one_hot(line, seen["w"].shape[1], dtype=seen["w"].dtype)[None]
        w = seen.pop("w")
        frozen: Frozen = {name: each if name == "read_asymmetry" else each[:, 0] for name, each in seen.items()}
        return -mvm(p, w, x, frozen, key, None)[0]

    def _reset_line(self, k: int, cells: Cells, state: State, line: Array, key: Key) -> State:
        k_which, k_reset = jax.random.split(key)
        part = take(state.parts[k], line, -1)
        chosen = bernoulli(k_which, jnp.asarray(self.with_reset_prob), part.w.shape)
        fresh = self.devices[k].reset_cells(take(part_of(cells, k), line, -1), part, chosen, k_reset)
        return with_part(state, k, put(state.parts[k], fresh, line, -1))

    def deliver(self, k: int, cells: Cells, state: State, line: Array, v: Array, lr: Rates, key: Key) -> State:
        """Write the values `v` that were read from array `k` to the array after it. Consumes `key`."""
        return self.write_line(k + 1, cells, state, line, v, self.transfer_rate(k, lr[0]), key)

    def transfer_rate(self, k: int, lr: Scalar) -> Scalar:
        """The learning rate of transfers from array `k`."""
        rate = self.transfer_lr_vec[k] if self.transfer_lr_vec else self.transfer_lr
        return rate * lr if self.scale_transfer_lr else rate

    def write_line(self, to: int, cells: Cells, state: State, line: Array, v: Array, lr: Scalar, key: Key) -> State:
        """Pulse a column (or row) of array `to` (at most the last) by `lr v`. Consumes `key`."""
        to, axis = min(to, len(self.devices) - 1), self.axis
        part, own = take(state.parts[to], line, axis), take(part_of(cells, to), line, axis)
        one = jnp.ones((1, 1), v.dtype)
        x, d = (one, -v[None]) if self.transfer_columns else (-v[None], one)
        return with_part(
            state, to,
            put(state.parts[to], self.devices[to].update(self.transfer_update, own, part, x, d, lr, key), line, axis),
        )  # fmt: skip


@pytree
class BufferedLines(LineTransfer):
    """A digital buffer between two arrays. Abstract: how values go in and out differs."""

    transfer_update: Pulses = SINGLE_PULSES
    step: Scalar = 1.0  # pulses for each whole number in the buffer [1]
    momentum: Scalar = 0.0  # of the buffer that is kept when it is written [1]
    forget_buffer: bool = True  # keep momentum times all of it; else what was not written, and momentum of what was

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "step", "momentum", low=0)

    def transfer_rate(self, k: int, lr: Scalar) -> Scalar:
        """Relative to the parts that both arrays have in the visible weight, where they have any."""
        rate, gammas = super().transfer_rate(k, lr), self.gammas
        return rate * gammas[k] / gammas[k + 1] if gammas[k] > 0 and gammas[k + 1] > 0 else rate

    def left(self, held: Array, taken: Array) -> Array:
        """What stays of `held` where `taken` was written."""
        return self.momentum * held if self.forget_buffer else held - (1 - self.momentum) * taken

    def held(self, state: State, name: str, line: Array) -> Array:
        """The line of a digital matrix, as a vector."""
        assert state.memory is not None
        return jnp.squeeze(take(state.memory[name], line, self.axis), self.axis)

    def holding(self, state: State, line: Array, **values: Array) -> State:
        """The state with other vectors in that line of digital matrices."""
        assert state.memory is not None
        put_back = {
            name: put(state.memory[name], jnp.expand_dims(value, self.axis), line, self.axis)
            for name, value in values.items()
        }
        return replace(state, memory=state.memory | put_back)


def _meeting(periods: tuple[int, ...]) -> int:
    """A period that none of the periods misses; 0: there is none."""
    return math.gcd(*periods)
