r"""Mixed precision: gradients are accumulated digitally, and written to the devices in whole steps.

    chi += eta d x^T  (digital);  for each row: n = trunc(chi / eps),  chi -= n eps,  the devices are pulsed by -n eps

Every `transfer_every` mini-batches, for all rows or `n_rows_per_transfer` of them; `eps` is `granularity`, or the step
of the device. With `n_x_bins` or `n_d_bins` x and d are first quantised to that many levels between +-their largest
magnitude. As in aihwkit, the first transfer is one vector late, and update and update-bl management are on for the
writes.

Letters: `O` rows, `I` columns, `B` batch. Reference: Nandakumar et al. 2020, doi:10.3389/fnins.2020.00406.
"""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from analogjax._pytree import pytree
from analogjax._typing import Array, DType, Key, Scalar
from analogjax.physics.checks import check, check_flags, check_number, is_whole
from analogjax.physics.compounds.parts import cell
from analogjax.physics.compounds.parts.cell import is_device
from analogjax.physics.compounds.parts.lines import each_line
from analogjax.physics.device import PulsedDevice
from analogjax.physics.devices import ConstantStep
from analogjax.physics.pulses import Pulses, outer_product
from analogjax.random import uniform

_START = -1  # the count of vectors begins one early, so that the first transfer is one late


@pytree
class MixedState:
    """State of a mixed-precision compound."""

    w: Array
    """Weight as a read sees it `[O, I]` [w]."""
    part: Any
    """State of the device."""
    chi: Array
    """Digital sum of the gradients not yet written `[O, I]` [w]."""
    row: Array
    """Next row to write `[]` int32."""
    clock: Array
    """Vectors seen so far `[]` int32."""


@pytree
class MixedPrecision:
    """Mixed-precision training (aihwkit's `MixedPrecisionCompound`)."""

    device: PulsedDevice = ConstantStep()
    """The device of each crosspoint."""
    transfer_every: int = 1
    """Mini-batches between two transfers; 0: never transfer."""
    n_rows_per_transfer: int = -1
    """Rows written at each transfer; -1: all, 0: none."""
    random_row: bool = False
    """Start each transfer at a random row."""
    granularity_override: Scalar = (
        0.0  # aihwkit's `granularity`: what is written in whole steps of [w]; 0: the device's
    )
    """Weight change that counts as one step [w]; 0: the granularity of the device."""
    transfer_lr: Scalar = 1.0
    """Pulses per step of the digital sum [1]."""
    n_x_bins: int = 0
    """Levels to which x is quantised; 0: not quantised."""
    n_d_bins: int = 0
    """Levels to which d is quantised; 0: not quantised."""
    stoc_round_x: bool = True
    """Round x stochastically."""
    stoc_round_d: bool = True
    """Round d stochastically."""

    def __post_init__(self) -> None:
        for name, low in (("transfer_every", 0), ("n_rows_per_transfer", -1), ("n_x_bins", 0), ("n_d_bins", 0)):
            check(self, is_whole(getattr(self, name), low), name, f"needs a whole number of {low} or more.")
        check(self, is_device(self.device), "device", "needs a device of analogjax.physics.")
        check_flags(self)
        check_number(self, "granularity_override", "transfer_lr", low=0)

    @property
    def granularity(self) -> Scalar:
        """Weight change that is written as one step [w]."""
        own = jnp.asarray(self.granularity_override)
        return jnp.where(own > 0, own, self.device.granularity)

    @property
    def needs_rest(self) -> bool:
        return self.device.needs_rest

    def fabricate(self, shape: tuple[int, int], dtype: DType, key: Key) -> Any:
        return self.device.fabricate(shape, dtype, key)

    def write(self, cells: Any, w: Array, key: Key) -> MixedState:
        part = self.device.write(cells, w, key)
        row, clock = jnp.zeros((), jnp.int32), jnp.full((), _START, jnp.int32)
        return MixedState(w=part.w, part=part, chi=cell.digital(w.shape, w.dtype), row=row, clock=clock)

    def update(self, p: Pulses, cells: Any, state: MixedState, x: Array, d: Array, lr: Scalar, key: Key) -> MixedState:
        k_x, k_d, k_write = jax.random.split(key, 3)
        batch, period = x.shape[0], self.transfer_every * x.shape[0]
        x = _binned(x, self.n_x_bins, k_x if self.stoc_round_x else None)
        d = _binned(d, self.n_d_bins, k_d if self.stoc_round_d else None)
        clock = state.clock
        if period == 0 or self.n_rows_per_transfer == 0:
            return replace(self._collect(state, x, d, lr), clock=clock + batch)
        cut = jnp.mod(-clock - 1, period)  # the vector after which rows are written; at most one in a batch
        due = (cut < batch) & (clock + cut + 1 > 0) & (jnp.asarray(lr) != 0)
        before = (jnp.arange(batch) <= cut)[:, None] | ~due
        state = self._collect(state, jnp.where(before, x, 0.0), d, lr)
        state = lax.cond(due, lambda s: self._transfer(p, cells, s, k_write), lambda s: s, state)
        if batch > 1:
            state = self._collect(state, jnp.where(before, 0.0, x), d, lr)
        return replace(state, clock=clock + batch)

    def _collect(self, state: MixedState, x: Array, d: Array, lr: Scalar) -> MixedState:
        return replace(state, chi=state.chi + outer_product(x.astype(state.chi.dtype), d.astype(state.chi.dtype), lr))

    def _transfer(self, p: Pulses, cells: Any, state: MixedState, key: Key) -> MixedState:
        """Write the whole steps of each row that is due. Consumes `key`."""
        k_start, k_rows = jax.random.split(key)
        chi, rows = state.chi, state.w.shape[0]
        number = rows if self.n_rows_per_transfer < 0 else min(self.n_rows_per_transfer, rows)
        start = state.row
        if self.random_row and number < rows:
            start = jax.random.randint(k_start, (), 0, rows)
        now = (jnp.mod(jnp.arange(rows) - start, rows) < number)[:, None]
        eps = self.granularity
        n = jnp.where(now, jnp.trunc(chi / eps), 0.0)
        pulses = replace(p, update_management=True, update_bl_management=True)
        lr, one = eps * self.transfer_lr, jnp.ones((1, 1), chi.dtype)

        def row(own: Any, part: Any, n: Array, key: Key) -> Any:
            return self.device.update(pulses, own, part, n[None], one, lr, key)

        part = each_line(row, cells, state.part, n, 0, k_rows)
        return replace(state, w=part.w, part=part, chi=chi - n * eps, row=jnp.mod(start + number, rows))

    def rest(self, cells: Any, state: MixedState, key: Key, alpha: Scalar = 1.0) -> MixedState:
        return self._with(state, self.device.rest(cells, state.part, key, alpha))

    def reset_cells(self, cells: Any, state: MixedState, chosen: Array, key: Key) -> MixedState:
        return self._with(state, self.device.reset_cells(cells, state.part, chosen, key))

    def age(self, cells: Any, state: MixedState, dt: Scalar, key: Key) -> MixedState:
        return self._with(state, self.device.age(cells, state.part, dt, key))

    def _with(self, state: MixedState, part: Any) -> MixedState:
        return replace(state, w=part.w, part=part)


def _binned(v: Array, bins: int, key: Key | None) -> Array:
    """Each vector of `v` `[B, N]` on `bins // 2` levels of each sign, up to its largest magnitude."""
    levels = bins // 2
    if levels == 0:
        return v
    top = jnp.max(jnp.abs(v), -1, keepdims=True)
    width = jnp.where(top > 0, top / levels, 1.0)
    scaled = v / width
    n = jnp.round(scaled) if key is None else jnp.floor(scaled + uniform(key, v.shape).astype(v.dtype))
    return jnp.clip(n, -levels, levels) * width
