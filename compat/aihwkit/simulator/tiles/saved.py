"""A tile in a state dict: plain tensors and numbers, so that `torch.load` needs no trust in the file."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from analogjax import random
from analogjax._typing import Key
from compat import torch_bridge as bridge
from compat.aihwkit.exceptions import TileModuleError
from compat.aihwkit.simulator.tiles.steps import counting, steps_of

_FORMAT = 1


def saved(module: Any) -> dict[str, Any]:
    """Everything of the tile of `module`: weights, device constants, state, key and number of draws."""
    chips = module.chips
    tile = chips.tile
    steps, arrays = steps_of(tile.config.device), bridge.named(tile)
    # constants that were set by hand may have made it another one than the configuration's
    measured = {"dw_min": list(steps)} if steps != module.configured_steps else {}
    return measured | {
        "format": _FORMAT,
        "analog_tile_class": type(module).__name__,
        "analog_lr": module.get_learning_rate(),
        "analog_tile_weights": arrays["state.w"],  # once more, by aihwkit's name: for programs that look at them
        "arrays": arrays,
        "key": saved_key(chips.root),
        "uses": chips.uses,
    }


def restored(module: Any, state: Any) -> None:
    """Put a saved state into `module`. Raises `TileModuleError` where it is of another kind of tile."""
    if not isinstance(state, dict) or state.get("format") != _FORMAT:
        raise TileModuleError("this is no tile state, neither of analogjax nor of aihwkit.")
    chips, arrays = module.chips, state["arrays"]
    tile = _shaped(chips, arrays)
    steps = tuple(state.get("dw_min", module.configured_steps))
    if len(steps) != len(module.configured_steps):
        raise TileModuleError(f"dw_min is of {len(steps)} devices, and the model has {len(module.configured_steps)}.")
    tile = counting(tile, steps)
    chips.tile = bridge.filled(tile, arrays, "the tile")
    chips.root = key_of(state["key"])
    chips.uses = state["uses"]
    module.set_learning_rate(state["analog_lr"])


def _shaped(chips: bridge.Chips, arrays: dict[str, Any]) -> Any:
    """A tile with the arrays that were saved: the module's own, or what it becomes once weights have drifted."""
    fresh = chips.tile
    aged = jax.eval_shape(lambda tile, key: tile.age(0.0, key), fresh, chips.root)
    for tile in (fresh, aged):
        names = {bridge.path_name(path) for path, _ in jax.tree_util.tree_flatten_with_path(tile)[0]}
        if names == set(arrays):
            return _with_scale_as(tile, arrays)
    ours = {bridge.path_name(path) for path, _ in jax.tree_util.tree_flatten_with_path(fresh)[0]}
    raise TileModuleError(
        f"the checkpoint is of another kind of tile: only there {sorted(set(arrays) - ours)}, only in the model "
        f"{sorted(ours - set(arrays))}. Make the model with the configuration it was saved with."
    )


def _with_scale_as(tile: Any, arrays: dict[str, Any]) -> Any:
    """The tile with a scale for each output, or with one for all, as the state that is to fill it has it."""
    given = tuple(arrays["scale"].shape)
    if given not in ((), (tile.shape[0],)):
        return tile  # what does not fit is said by those who fill it
    return replace(tile, scale=jax.ShapeDtypeStruct(given, tile.scale.dtype))


def saved_key(key: Key) -> Any:
    """A key as a tensor."""
    return bridge.copied(np.asarray(jax.random.key_data(key)).astype(np.int64))


def key_of(tensor: Any) -> Key:
    """The key of a tensor that `saved_key` gave."""
    data = jnp.asarray(tensor.numpy().astype(np.uint32))
    return bridge.beside_torch(jax.random.wrap_key_data(data, impl=random.FAST))
