r"""A pair of devices that are pulsed upwards only: `W = w_plus - w_minus`.

An UP request pulses `w_plus` up, a DOWN request pulses `w_minus` up, so both fill up. Every `refresh_every`
mini-batches (or vectors) each column of both is read, and where the larger weight exceeds `refresh_upper_thres` of its
range and the smaller one `refresh_lower_thres`, both devices are reset and their difference is written to the larger
one.

Device 0 is `w_minus`, device 1 `w_plus`, as in aihwkit; both have the same parameters. With `copy_inverted` the second
is a mirror, as aihwkit makes it: of its own draws for steps (swapped), bounds (negated and swapped) and reference
(negated), of the first one's for slopes (negated and swapped) and powers (swapped).
Letters: `O` rows, `I` columns. Reference: Gokmen & Haensch 2020, doi:10.3389/fnins.2020.00103.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp

from analogjax._pytree import pytree
from analogjax._typing import Array, DType, Key, Scalar
from analogjax.errors import ConfigError
from analogjax.physics.checks import check, check_flags, check_kind, check_number, is_whole
from analogjax.physics.compounds.parts import cell
from analogjax.physics.compounds.parts.lines import each_line
from analogjax.physics.compounds.parts.walk import walk
from analogjax.physics.counting import coincidences, each_pulse
from analogjax.physics.device import Cells, State
from analogjax.physics.devices.coarse import answer
from analogjax.physics.devices.pulsed import Pulsed
from analogjax.physics.periphery import Periphery, mvm
from analogjax.physics.pulses import Pulses
from analogjax.physics.trains import Trains, trains

_MIRRORED = {"dwmin_up": "dwmin_down", "dwmin_down": "dwmin_up"}
# the law of a mirrored weight, which is the first device's
_OF_FIRST = {"slope_up": ("slope_down", -1), "slope_down": ("slope_up", -1), "gamma_up": ("gamma_down", 1),
             "gamma_down": ("gamma_up", 1)}  # fmt: skip


@pytree
class OneSidedState:
    """State of a pair."""

    w: Array
    """Weight as a read sees it `[O, I]` [w]."""
    parts: tuple[State, State]
    """States of the minus and of the plus device."""
    clock: Array
    """Vectors seen so far `[]` int32."""


Pair = tuple[Cells, Cells]  # constants of the minus and of the plus device


@pytree
class OneSided:
    """A pair of one-sided devices (aihwkit's `OneSidedUnitCell`)."""

    device: Pulsed
    """The device used twice at each crosspoint."""
    refresh_every: int = 0
    """Mini-batches between two refreshes; 0: never."""
    units_in_mbatch: bool = True
    """Count `refresh_every` in mini-batches, otherwise in vectors."""
    refresh_upper_thres: Scalar = 0.75
    """Fraction of the range above which the larger weight makes a pair due for refresh [1]."""
    refresh_lower_thres: Scalar = 0.25
    """Fraction of the range above which the smaller weight must be for it [1]."""
    refresh_forward: Periphery = Periphery()
    """Periphery of the reads during a refresh."""
    refresh_update: Pulses = Pulses()
    """Pulses of the writes during a refresh."""
    copy_inverted: bool = False
    """Make the second device of each pair the mirror image of the first."""

    def __post_init__(self) -> None:
        if not isinstance(self.device, Pulsed):
            raise ConfigError(f"OneSided(device={self.device!r}): needs a pulsed device of analogjax.physics.")
        check(self, is_whole(self.refresh_every, 0), "refresh_every", "needs a whole number; 0 for no refresh.")
        check_flags(self)
        check_kind(self, "refresh_forward", Periphery)
        check_kind(self, "refresh_update", Pulses)
        check_number(self, "refresh_upper_thres", "refresh_lower_thres", low=0)
        noisy = self.refresh_every > 0 and getattr(self.device, "write_noise_std", 0.0) != 0.0
        check(self, not noisy, "refresh_every", "a device with write noise can't be refreshed.")

    @property
    def devices(self) -> tuple[Pulsed, Pulsed]:
        """The minus and the plus device."""
        return self.device, self.device

    @property
    def granularity(self) -> Scalar:
        return self.device.granularity

    @property
    def needs_rest(self) -> bool:
        return self.device.needs_rest

    def fabricate(self, shape: tuple[int, int], dtype: DType, key: Key) -> Pair:
        minus, plus = cell.fabricate_each(self.devices, shape, dtype, key)
        return minus, (_mirrored(minus, plus) if self.copy_inverted else plus)

    def write(self, cells: Pair, w: Array, key: Key) -> OneSidedState:
        halves = jnp.maximum(-w, 0.0), jnp.maximum(w, 0.0)
        return _holding(cell.write_each(self.devices, cells, halves, key), jnp.zeros((), jnp.int32))

    def update(
        self, p: Pulses, cells: Pair, state: OneSidedState, x: Array, d: Array, lr: Scalar, key: Key
    ) -> OneSidedState:
        if not p.pulse_type.pulsed:
            raise ConfigError(f"OneSided with pulse_type={p.pulse_type.value!r}: it is pulsed; use another type.")
        k_trains, k_draw, k_noise = jax.random.split(key, 3)
        t = trains(p, x, d, lr, self.granularity, k_trains)
        period, begun = self.refresh_every * (x.shape[0] if self.units_in_mbatch else 1), state.clock

        def pulse(state: OneSidedState, t: Trains, k_draw: Key, k_noise: Key) -> OneSidedState:
            return self.respond(p, cells, state, t, k_draw, k_noise)

        def refresh(state: OneSidedState, seen: Array, key: Key) -> OneSidedState:
            return self.refresh(cells, state, key)

        state = walk(state, t, period, begun, pulse, refresh, (k_draw, k_noise))
        return replace(state, clock=begun + x.shape[0])

    def respond(
        self, p: Pulses, cells: Pair, state: OneSidedState, trains: Trains, k_draw: Key, k_noise: Key
    ) -> OneSidedState:
        coarse = p.sequential or self.device.coarse(one_way=True)
        return answer(coarse, self, p, cells, state, trains, k_draw, k_noise)

    def exactly(
        self, cells: Pair, state: OneSidedState, trains: Trains, k_draw: Key, k_noise: Key, most: int | None = None
    ) -> OneSidedState:
        """The pair after each pulse in order; `most` as in `each_pulse`. Consumes both keys."""
        minus, plus = cells

        def visit(pair: tuple[State, State], sign: Array, key: Key) -> tuple[State, State]:
            k_minus, k_plus = jax.random.split(key)
            down, up = jnp.where(sign < 0, 1, 0).astype(sign.dtype), jnp.where(sign > 0, 1, 0).astype(sign.dtype)
            return self.device.pulse(minus, pair[0], down, k_minus), self.device.pulse(plus, pair[1], up, k_plus)

        pair = each_pulse(trains, k_draw, visit, state.parts, k_noise, most)
        return _holding(pair, state.clock)

    def counted(self, cells: Pair, state: OneSidedState, trains: Trains, k_draw: Key, k_noise: Key) -> OneSidedState:
        """The pair after all pulses at once. Consumes both keys."""
        k_minus, k_plus = jax.random.split(k_noise)
        up, down = coincidences(trains, k_draw)
        none = jnp.zeros_like(up)
        pair = (
            self.device.pulses(cells[0], state.parts[0], down, none, k_minus),
            self.device.pulses(cells[1], state.parts[1], up, none, k_plus),
        )
        return _holding(pair, state.clock)

    def summed(self, state: OneSidedState) -> OneSidedState:
        """The state with its visible weight recomputed."""
        return _holding(state.parts, state.clock)

    def rest(self, cells: Pair, state: OneSidedState, key: Key, alpha: Scalar = 1.0) -> OneSidedState:
        return _holding(cell.rest_each(self.devices, cells, state.parts, key, alpha), state.clock)

    def reset_cells(self, cells: Pair, state: OneSidedState, chosen: Array, key: Key) -> OneSidedState:
        return _holding(cell.reset_each(self.devices, cells, state.parts, chosen, key), state.clock)

    def age(self, cells: Pair, state: OneSidedState, dt: Scalar, key: Key) -> OneSidedState:
        return _holding(cell.age_each(self.devices, cells, state.parts, dt, key), state.clock)

    def refresh(self, cells: Pair, state: OneSidedState, key: Key) -> OneSidedState:
        """Reset the pairs that have filled up, and write their difference. Consumes `key`."""
        k_read, k_reset, k_write = jax.random.split(key, 3)
        minus, plus = (self._read(part.w, own) for part, own in zip(state.parts, jax.random.split(k_read), strict=True))
        full = jnp.abs(jnp.asarray(self.device.w_max))
        high, low = jnp.maximum(plus, minus) / full, jnp.minimum(plus, minus) / full
        chosen = (high > self.refresh_upper_thres) & (low > self.refresh_lower_thres)
        parts, resets, writes = [], jax.random.split(k_reset), jax.random.split(k_write)
        for k, larger in ((0, minus - plus), (1, plus - minus)):
            own = cells[k]
            part = self.device.reset_cells(own, state.parts[k], chosen, resets[k])
            wanted = jnp.where(chosen & (larger > 0), larger, 0.0)
            parts.append(self._written(own, part, wanted, writes[k]))
        return _holding((parts[0], parts[1]), state.clock)

    def _read(self, w: Array, key: Key) -> Array:
        """Each column, read with an input of 1, `[O, I]`."""
        return mvm(self.refresh_forward, w, jnp.eye(w.shape[1], dtype=w.dtype), {}, key, None).T

    def _written(self, cells: Cells, part: State, wanted: Array, key: Key) -> State:
        """Columns share no device, so each is one vector, pulsed by `wanted` `[O, I]`."""
        one = jnp.ones((1, 1), wanted.dtype)

        def column(own: Cells, part: State, d: Array, key: Key) -> State:
            return self.device.update(self.refresh_update, own, part, one, -d[None], 1.0, key)

        return each_line(column, cells, part, wanted, 1, key)


def _holding(parts: tuple, clock: Array) -> OneSidedState:
    """The state for these states of the minus and the plus device."""
    return OneSidedState(w=parts[1].w - parts[0].w, parts=(parts[0], parts[1]), clock=clock)


def _mirrored(first: Cells, plus: Cells) -> Cells:
    """The constants of the plus device, mirrored."""
    mirrored = {_MIRRORED.get(name, name): value for name, value in plus.items()}
    mirrored |= {name: sign * first[other] for name, (other, sign) in _OF_FIRST.items() if other in first}
    mirrored |= {"max_bound": -plus["min_bound"], "min_bound": -plus["max_bound"]}
    return mirrored | ({"reference": -plus["reference"]} if "reference" in plus else {})
