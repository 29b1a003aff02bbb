r"""Several devices at each crosspoint, read as a weighted sum: `W = sum_k gamma_k w_k`, `gamma_k = 1/n` by default.

The `update_policy` decides which devices are pulsed by one vector: ALL (the same trains for each device, with its own
noise), SINGLE_FIXED (`first_update_idx`), SINGLE_SEQUENTIAL (the next one, vector by vector), SINGLE_RANDOM (drawn for
each vector). Written weights go to every device (under SINGLE_FIXED, only to the fixed one).
"""

from enum import StrEnum
from typing import Any

import jax
import jax.numpy as jnp

from analogjax._pytree import pytree
from analogjax._typing import Array, DType, Key, Scalar
from analogjax.errors import ConfigError
from analogjax.physics.checks import as_choice, check, check_numbers, is_whole
from analogjax.physics.compounds.parts import cell
from analogjax.physics.device import PulsedDevice
from analogjax.physics.pulses import Pulses
from analogjax.physics.trains import Trains, trains


class UpdatePolicy(StrEnum):
    """Which devices of a unit cell are pulsed by a vector."""

    ALL = "All"
    SINGLE_FIXED = "SingleFixed"
    SINGLE_SEQUENTIAL = "SingleSequential"
    SINGLE_RANDOM = "SingleRandom"


@pytree
class VectorState:
    """State of a unit cell."""

    w: Array
    """Weight as a read sees it `[O, I]` [w]."""
    parts: tuple[Any, ...]
    """States of the devices."""
    clock: Array
    """Device pulsed next `[]` int32, for SINGLE_SEQUENTIAL."""


@pytree
class Vector:
    """A unit cell of devices in parallel (aihwkit's `VectorUnitCell`)."""

    devices: tuple[PulsedDevice, ...]
    """Devices of each crosspoint."""
    update_policy: UpdatePolicy = UpdatePolicy.ALL
    """Which of the devices are pulsed by an update."""
    first_update_idx: int = 0
    """Device pulsed first, or the only one pulsed."""
    gamma_vec: tuple[float, ...] = ()
    """Weight of each device in the sum [1]; empty: 1/n each."""

    def __post_init__(self) -> None:
        as_choice(self, "update_policy", UpdatePolicy)
        cell.check_devices(self)
        check_numbers(self, "gamma_vec")
        n = len(self.devices)
        if n == 0:
            raise ConfigError("Vector(devices=()): needs at least one device.")
        cell.check_pulsed("Vector", self.devices)
        check(self, len(self.gamma_vec) in (0, n), "gamma_vec", f"needs one number for each of the {n} devices.")
        check(
            self,
            is_whole(self.first_update_idx, 0, n - 1),
            "first_update_idx",
            f"there are {n} devices, counted from 0.",
        )

    @property
    def gammas(self) -> tuple[float, ...]:
        """The weight of each device in the sum."""
        return self.gamma_vec or (1 / len(self.devices),) * len(self.devices)

    @property
    def granularity(self) -> Scalar:
        return cell.mean_granularity(self.devices)

    @property
    def needs_rest(self) -> bool:
        return any(device.needs_rest for device in self.devices)

    def fabricate(self, shape: tuple[int, int], dtype: DType, key: Key) -> tuple[Any, ...]:
        return cell.fabricate_each(self.devices, shape, dtype, key)

    def write(self, cells: tuple, w: Array, key: Key) -> VectorState:
        fixed, zero = self.update_policy is UpdatePolicy.SINGLE_FIXED, jnp.zeros_like(w)
        weights = [zero if fixed and k != self.first_update_idx else w for k in range(len(self.devices))]
        parts = cell.write_each(self.devices, cells, weights, key)
        return self._holding(parts, jnp.asarray(self.first_update_idx, jnp.int32))

    def summed(self, state: VectorState) -> VectorState:
        """The state with its visible weight recomputed."""
        return self._holding(state.parts, state.clock)

    def _holding(self, parts: tuple, clock: Array) -> VectorState:
        """The state for these states of the devices."""
        return VectorState(w=cell.weighted(self.gammas, [part.w for part in parts]), parts=parts, clock=clock)

    def update(
        self, p: Pulses, cells: tuple, state: VectorState, x: Array, d: Array, lr: Scalar, key: Key
    ) -> VectorState:
        k_trains, k_respond = jax.random.split(key)
        if p.pulse_type.pulsed:
            k_draw, k_noise = jax.random.split(k_respond)
            return self.respond(p, cells, state, trains(p, x, d, lr, self.granularity, k_trains), k_draw, k_noise)
        raise ConfigError(
            f"Vector with pulse_type={p.pulse_type.value!r}: a floating-point update does not define how its devices "
            "share it; use 'StochasticCompressed', or a single device."
        )

    def respond(
        self, p: Pulses, cells: tuple, state: VectorState, trains: Trains, k_draw: Key, k_noise: Key
    ) -> VectorState:
        k_choose, k_devices = jax.random.split(k_noise)
        chosen, clock = self._chosen(state, trains.length.shape[0], k_choose)
        parts = []
        keys = jax.random.split(k_devices, len(self.devices))
        for k, (device, part, own) in enumerate(zip(self.devices, state.parts, keys, strict=True)):
            mine = trains if self.update_policy is UpdatePolicy.ALL else trains.only(chosen == k)
            parts.append(device.respond(p, cells[k], part, mine, k_draw, own))
        return self._holding(tuple(parts), clock)

    def rest(self, cells: tuple, state: VectorState, key: Key, alpha: Scalar = 1.0) -> VectorState:
        return self._holding(cell.rest_each(self.devices, cells, state.parts, key, alpha), state.clock)

    def reset_cells(self, cells: tuple, state: VectorState, chosen: Array, key: Key) -> VectorState:
        return self._holding(cell.reset_each(self.devices, cells, state.parts, chosen, key), state.clock)

    def age(self, cells: tuple, state: VectorState, dt: Scalar, key: Key) -> VectorState:
        return self._holding(cell.age_each(self.devices, cells, state.parts, dt, key), state.clock)

    def _chosen(self, state: VectorState, batch: int, key: Key) -> tuple[Array, Array]:
        """The device that each vector `[B]` pulses, and the index after the batch."""
        n, clock = len(self.devices), state.clock
        if self.update_policy is UpdatePolicy.SINGLE_RANDOM:
            return jax.random.randint(key, (batch,), 0, n), clock
        if self.update_policy is UpdatePolicy.SINGLE_SEQUENTIAL:
            # aihwkit moves on before each vector, so the first one goes to the device after first_update_idx
            return (clock + 1 + jnp.arange(batch)) % n, (clock + batch) % n
        return jnp.full((batch,), clock), clock
