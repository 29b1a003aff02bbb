r"""Several devices at each crosspoint, read as a weighted sum: `W = sum_k gamma_k w_k`, `gamma_k = 1/n` by default.

Who gets the pulses of one vector update is the `update_policy`: ALL (each device the same trains, its own noise),
SINGLE_FIXED (`first_update_idx`), SINGLE_SEQUENTIAL (the next one, vector by vector), SINGLE_RANDOM (drawn for each
vector). Written weights go to every device (to the fixed one alone under SINGLE_FIXED).
Cells and states of device `k` carry the suffix `_k`, as aihwkit's hidden parameters do.
"""

from dataclasses import replace
from enum import StrEnum

import jax
import jax.numpy as jnp

from analogjax._pytree import pytree
from analogjax._typing import Array, Key, Scalar
from analogjax.errors import ConfigError
from analogjax.physics.checks import as_choice, check
from analogjax.physics.compounds.unit_cell import UnitCell, part_of
from analogjax.physics.device import Cells, PulsedDevice, State
from analogjax.physics.pulses import Pulses, Trains, trains


class UpdatePolicy(StrEnum):
    """Which devices of a unit cell are pulsed by one vector."""

    ALL = "All"
    SINGLE_FIXED = "SingleFixed"
    SINGLE_SEQUENTIAL = "SingleSequential"
    SINGLE_RANDOM = "SingleRandom"


@pytree
class Vector(UnitCell):
    """A unit cell of devices in parallel."""

    devices: tuple[PulsedDevice, ...]
    update_policy: UpdatePolicy = UpdatePolicy.ALL
    first_update_idx: int = 0  # device that is pulsed first (or only)
    gamma_vec: tuple[float, ...] = ()  # weight of each device in the sum [1]; empty: 1/n each

    def __post_init__(self) -> None:
        as_choice(self, "update_policy", UpdatePolicy)
        n = len(self.devices)
        if n == 0:
            raise ConfigError("Vector(devices=()): needs at least one device.")
        for k, device in enumerate(self.devices):
            if not hasattr(device, "respond"):
                raise ConfigError(f"Vector(devices=...): device {k}, {device!r}, sees no pulses; give pulsed devices.")
        check(self, len(self.gamma_vec) in (0, n), "gamma_vec", f"needs one number for each of the {n} devices.")
        check(self, 0 <= self.first_update_idx < n, "first_update_idx", f"there are {n} devices, counted from 0.")

    @property
    def parts(self) -> tuple[PulsedDevice, ...]:
        """The devices."""
        return self.devices

    @property
    def gammas(self) -> tuple[float, ...]:
        """The weight of each device in the sum."""
        return self.gamma_vec or (1 / len(self.devices),) * len(self.devices)

    def write(self, cells: Cells, w: Array, key: Key) -> State:
        zero, fixed = jnp.zeros_like(w), self.update_policy is UpdatePolicy.SINGLE_FIXED
        parts = tuple(
            device.write(
                part_of(cells, k),
                zero if fixed and k != self.first_update_idx else w,
                own,
            )
            for k, (device, own) in enumerate(zip(self.devices, jax.random.split(key, len(self.devices)), strict=True))
        )
        return self.summed(State(w=w, parts=parts, clock=jnp.asarray(self.first_update_idx, jnp.int32)))

    def update(self, p: Pulses, cells: Cells, state: State, x: Array, d: Array, lr: Scalar, key: Key) -> State:
        k_trains, k_respond = jax.random.split(key)
        if p.pulse_type.pulsed:
            k_draw, k_noise = jax.random.split(k_respond)
            return self.respond(p, cells, state, trains(p, x, d, lr, self.granularity, k_trains), k_draw, k_noise)
        raise ConfigError(
            f"Vector with pulse_type={p.pulse_type.value!r}: a floating-point update does not say how its devices "
            "share it; use 'StochasticCompressed', or a single device."
        )

    def respond(self, p: Pulses, cells: Cells, state: State, trains: Trains, k_draw: Key, k_noise: Key) -> State:
        k_choose, k_devices = jax.random.split(k_noise)
        chosen, clock = self._chosen(state, trains.length.shape[0], k_choose)
        parts = []
        keys = jax.random.split(k_devices, len(self.devices))
        for k, (device, part, own) in enumerate(zip(self.devices, state.parts, keys, strict=True)):
            mine = trains if self.update_policy is UpdatePolicy.ALL else trains.only(chosen == k)
            parts.append(device.respond(p, part_of(cells, k), part, mine, k_draw, own))
        return self.summed(replace(state, parts=tuple(parts), clock=clock))

    def _chosen(self, state: State, batch: int, key: Key) -> tuple[Array, Array | None]:
        """The device that each vector `[B]` pulses, and the index after the batch."""
        n, clock = len(self.devices), state.clock
        if self.update_policy is UpdatePolicy.SINGLE_RANDOM:
            return jax.random.randint(key, (batch,), 0, n), clock
        start = jnp.asarray(self.first_update_idx, jnp.int32) if clock is None else clock
        if self.update_policy is UpdatePolicy.SINGLE_SEQUENTIAL:
            # aihwkit moves on before each vector, so the first one goes to the device after first_update_idx
            return (start + 1 + jnp.arange(batch)) % n, (start + batch) % n
        return jnp.full((batch,), start), clock
