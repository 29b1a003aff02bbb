"""Tiles in checkpoints that the real aihwkit wrote: weights, constants of devices, mapping scales and learning rate.

Keys and noise are not in them; a tile keeps its own. A matrix on several chips is an array of tiles there, each with a
state of its own, `array.<column of chips>.<row of chips>`.
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from analogjax._typing import Array
from analogjax.tile import TileArray
from compat import tile_weights
from compat import torch_bridge as bridge
from compat.aihwkit.exceptions import TileError, TileModuleError
from compat.torch_package import torch

_STATE, _SCALES = "analog_tile_state", "mapping_scales"
# what is in a state dict there, beside the state of a tile, and says nothing more
_BESIDE = ("analog_ctx", "shared_weights", _SCALES, "alpha", "tile.weight")
_OF_EACH_CHIP = ("input_range", "input_range_update_idx", "out_scaling_alpha")  # of which a layer has one here


def with_state(state_dict: Mapping[str, Any], prefix: str) -> Any:
    """The state of the tile at a prefix as aihwkit wrote it, of an array those of all its chips; `None`: it did not."""
    one = state_dict.get(prefix + _STATE)
    if one is not None and _is_of_aihwkit(one):
        return {(0, 0): _Chip(state_dict, prefix, one)}
    head, chips = prefix + "array.", {}
    for name, value in state_dict.items():
        if name.startswith(head) and name.endswith(f".{_STATE}") and _is_of_aihwkit(value):
            column, row = (int(part) for part in name[len(head) :].split(".")[:2])
            chips[row, column] = _Chip(state_dict, f"{head}{column}.{row}.", value)
    return chips or None


def names_in(prefix: str, chips: Mapping[tuple[int, int], Any]) -> set[str]:
    """The names in a state dict that belong to these chips, and to no parameter of ours."""
    places = [prefix, *(f"{prefix}array.{column}.{row}." for row, column in chips)]
    own = {place + name for place in places for name in (*_BESIDE, _STATE)}
    return own | {place + name for place in places[1:] for name in _OF_EACH_CHIP}


class _Chip:
    """What a state dict has of one chip."""

    def __init__(self, state_dict: Mapping[str, Any], prefix: str, state: dict[str, Any]) -> None:
        self.state, self.where = state, prefix + _STATE
        self.weights = state["analog_tile_weights"].detach().float().numpy()
        scales = state_dict.get(prefix + _SCALES, state.get(_SCALES))
        self.scales = np.ones(1, np.float32) if scales is None else scales.detach().float().numpy().reshape(-1)
        alpha = state_dict.get(prefix + "alpha")
        self.of_its_own = [name for name in _OF_EACH_CHIP if prefix + name in state_dict]
        self.has_drifted = alpha is not None and not bool(torch.all(alpha == 1))


def take(module: Any, chips: Mapping[tuple[int, int], _Chip]) -> None:
    """Put what aihwkit saved into a tile module. Raises `TileModuleError` where it does not fit."""
    tile = module.chips.tile
    grid = tile.grid if isinstance(tile, TileArray) else (1, 1)
    if {(row, column) for row in range(grid[0]) for column in range(grid[1])} != set(chips):
        raise TileModuleError(f"the checkpoint has {len(chips)} chips, and the model {grid[0] * grid[1]}.")
    own = next((chip.of_its_own for chip in chips.values() if len(chips) > 1 and chip.of_its_own), [])
    if own:
        raise TileModuleError(
            f"each chip has its own {own[0]} in aihwkit, and here the layer has one for all. Take the weights alone: "
            "model.load_state_dict of one without it, then calibrate or train it."
        )
    if any(chip.has_drifted for chip in chips.values()):
        raise TileModuleError("its weights had drifted when they were saved; save a model that was not programmed.")
    _take_constants(module, chips)
    whole = _joined([[chips[row, column].weights for column in range(grid[1])] for row in range(grid[0])])
    tile = module.chips.tile
    if whole.shape != tuple(tile_weights.raw(tile).shape):
        raise TileModuleError(f"weights of shape {whole.shape} for a tile of shape {tuple(tile.shape)}.")
    if not _is_sum(tile):
        tile = tile_weights.put_in(tile, jnp.asarray(whole))
    module.chips.tile = tile_weights.with_chip(tile, scale=_scales(tile, chips, grid))
    module.set_learning_rate(next(iter(chips.values())).state.get("analog_lr"))


def _is_of_aihwkit(state: Any) -> bool:
    return isinstance(state, Mapping) and "analog_tile_weights" in state and "arrays" not in state


def _is_sum(tile: Any) -> bool:
    """Whether the weights are sums of hidden ones, which have been set."""
    return hasattr(tile.config.device, "devices")


def _take_constants(module: Any, chips: Mapping[tuple[int, int], _Chip]) -> None:
    names = next(iter(chips.values())).state.get("analog_tile_hidden_parameter_names") or []
    shown = module.get_hidden_parameters()
    if list(names) != list(shown):
        raise TileModuleError(f"its devices have {list(names)}, and those of the model {list(shown)}.")
    if not names:
        return
    if len(chips) > 1:
        raise TileModuleError("devices of a matrix on several chips can't be taken from aihwkit's checkpoints.")
    values = chips[0, 0].state["analog_tile_hidden_parameters"]
    try:
        module.set_hidden_parameters(dict(zip(names, values.detach().float(), strict=True)))
    except TileError as error:
        raise TileModuleError(str(error)) from error


def _joined(parts: list[list[np.ndarray]]) -> np.ndarray:
    try:
        return np.concatenate([np.concatenate(row, axis=1) for row in parts])
    except ValueError as error:
        raise TileModuleError(f"the chips of the checkpoint do not make one matrix ({error}).") from None


def _scales(tile: Any, chips: Mapping[tuple[int, int], _Chip], grid: tuple[int, int]) -> Array:
    """The mapping scale of each chip, or of each output of each chip (padded with 1), in the form of the tile's."""
    each = tile_weights.chip_of(tile).scale.ndim > (0 if grid == (1, 1) else 2)
    each = each or any(chip.scales.size > 1 for chip in chips.values())
    rows = tile_weights.chip_of(tile).shape[0]
    found = np.ones((*grid, rows), np.float32)
    for (row, column), chip in chips.items():
        found[row, column, : chip.weights.shape[0]] = chip.scales
    found = found if each else found[..., 0]
    return bridge.beside_torch(jnp.asarray(found[0, 0] if grid == (1, 1) else found))
