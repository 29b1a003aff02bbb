"""Setting the constants and hidden weights of crosspoints from outside."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax.numpy as jnp

from analogjax._typing import Array, Key
from analogjax.tile import Tile
from compat import torch_bridge as bridge
from compat.aihwkit.exceptions import TileError
from compat.aihwkit.simulator.tiles.hidden import fixed_parameters, with_hidden_parameters
from compat.aihwkit.simulator.tiles.steps import counting, measured
from compat.torch_package import torch


def checked(given: Any, shown: Mapping[str, Any]) -> dict[str, Array]:
    """The values of `given` as arrays. Raises `TileError` unless it has the names, order and shapes of `shown`."""
    if not isinstance(given, Mapping):
        raise TileError(f"set_hidden_parameters: got {type(given).__name__}; give a dictionary of names and tensors.")
    missing, unknown = [name for name in shown if name not in given], [name for name in given if name not in shown]
    if missing or unknown:
        raise TileError(
            f"set_hidden_parameters: missing {missing}, unknown {unknown}; give all that get_hidden_parameters() gives."
        )
    for wanted, name in zip(shown, given, strict=True):
        if wanted != name:
            raise TileError(
                f"set_hidden_parameters: {name} comes where {wanted} belongs; keep get_hidden_parameters()'s order."
            )
    return {name: _array(name, value, tuple(shown[name].shape)) for name, value in given.items()}


def _array(name: str, value: Any, shape: tuple[int, ...]) -> Array:
    try:
        tensor = torch.as_tensor(value).detach().to("cpu", torch.float32)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TileError(f"set_hidden_parameters: {name} is no tensor of numbers ({error}).") from error
    if tuple(tensor.shape) != shape:
        raise TileError(f"set_hidden_parameters: {name} has the shape {tuple(tensor.shape)}, and needs {shape}.")
    if not bool(torch.isfinite(tensor).all()):
        raise TileError(f"set_hidden_parameters: {name} has values that are not finite numbers.")
    return bridge.beside_torch(jnp.array(tensor.numpy()))  # a copy: the tensor stays the caller's


def with_given(tile: Tile, given: Mapping[str, Array], key: Key) -> Tile:
    """A tile with these constants and hidden weights. Consumes `key`. Raises `TileError`."""
    device = tile.config.device
    for name, value, remedy in fixed_parameters(device, tile.cells):
        if not bool(jnp.all(given[name] == value)):
            raise TileError(
                f"set_hidden_parameters: {name} must be {value} everywhere: these devices have none; set {remedy} in "
                "the configuration."
            )
    cells, state = with_hidden_parameters(device, tile.cells, tile.state, given, key)
    return counting(replace(tile, cells=cells, state=state), measured(device, tile.cells, cells))
