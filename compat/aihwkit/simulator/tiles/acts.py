"""What happens to the devices of a tile from outside: each is a function of the tile."""

from dataclasses import fields, replace
from typing import Any

import jax
import jax.numpy as jnp

from analogjax._typing import Array, Key, Scalar
from analogjax.physics.compounds import Vector
from analogjax.physics.compounds.vector import UpdatePolicy
from analogjax.tile import Mapping
from compat.aihwkit.exceptions import TileError


def decayed(tile: Any, alpha: Scalar, key: Key) -> Any:
    """The tile after its devices have decayed for `alpha` mini-batches. Consumes `key`."""
    return _rested(tile, "diffusion", alpha, key)


def diffused(tile: Any, key: Key) -> Any:
    """The tile after its devices have diffused for one mini-batch. Consumes `key`."""
    return _rested(tile, "lifetime", 1.0, key)


def _rested(tile: Any, without: str, alpha: Scalar, key: Key) -> Any:
    config = tile.config
    only = replace(config, device=_without(config.device, without))
    return replace(replace(tile, config=only).rest(key, alpha), config=config)


def _without(device: Any, name: str) -> Any:
    """The device, and those inside it, with one of its parameters off."""
    found = {field.name for field in fields(device)}
    changes: dict[str, Any] = {name: 0.0} if name in found else {}
    if "devices" in found:
        changes["devices"] = tuple(_without(part, name) for part in device.devices)
    elif "device" in found:
        changes["device"] = _without(device.device, name)
    return replace(device, **changes) if changes else device


def put_weights(tile: Any, w: Array, key: Key) -> Any:
    """The tile with weights `w` `[O, I]`, in units of the chip, written as they are. Consumes `key`.

    Of a unit cell whose pulses go to one fixed device, that device alone is written.
    """
    config = tile.config
    plain = replace(config, mapping=Mapping())
    written = replace(tile, config=plain).write(w, key)
    state = written.state
    if _is_fixed(config.device):
        state = _one_written(config.device, tile.state, state)
    return replace(tile, state=state)


def _is_fixed(device: Any) -> bool:
    return isinstance(device, Vector) and device.update_policy is UpdatePolicy.SINGLE_FIXED


def _one_written(device: Vector, old: Any, new: Any) -> Any:
    """The state `old` with the device that its clock points to as it is in `new`, where the first one was written."""
    fresh = new.parts[device.first_update_idx]
    parts = tuple(_where(old.clock == k, fresh, part) for k, part in enumerate(old.parts))
    return device.summed(replace(old, parts=parts))


def _where(condition: Array, new: Any, old: Any) -> Any:
    def choose(a: Array, b: Array) -> Array:
        return jnp.where(condition.reshape(condition.shape + (1,) * (a.ndim - condition.ndim)), a, b)

    return jax.tree.map(choose, new, old)


def selected(tile: Any) -> int:
    """The device of a unit cell that the next pulses go to, where the cell keeps count of it; else 0."""
    if not isinstance(tile.config.device, Vector):
        return 0
    state: Any = tile.state
    return int(state.clock.reshape(-1)[0])


def selecting(tile: Any, index: int) -> Any:
    """The tile whose unit cells pulse that device next; others are as they were. Raises `TileError`."""
    device = tile.config.device
    if not isinstance(device, Vector):
        return tile
    held: Any = tile.state
    if not 0 <= index < len(device.devices):
        raise TileError(f"set_hidden_update_index({index}): there are {len(device.devices)} devices, counted from 0.")
    return replace(tile, state=replace(held, clock=jnp.full_like(held.clock, index)))
