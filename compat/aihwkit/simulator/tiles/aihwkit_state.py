"""Tiles in checkpoints that the real aihwkit wrote: weights, constants of devices, mapping scales and learning rate.

Keys and noise are not in them; a tile keeps its own.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np

from compat import tile_weights
from compat import torch_bridge as bridge
from compat.aihwkit.exceptions import TileError, TileModuleError
from compat.torch_package import torch

_STATE, _SCALES = "analog_tile_state", "mapping_scales"
# what is in a state dict there, beside the state of a tile, and says nothing more
_BESIDE = ("analog_ctx", "shared_weights", _SCALES, "alpha", "tile.weight")


def with_state(state_dict: Mapping[str, Any], prefix: str) -> Any:
    """The state of the tile at a prefix as aihwkit wrote it; `None`: it did not."""
    state = state_dict.get(prefix + _STATE)
    if not isinstance(state, Mapping) or "analog_tile_weights" not in state or "arrays" in state:
        return None
    return _Chip(state_dict, prefix, state)


def names_in(prefix: str) -> set[str]:
    """The names in a state dict that belong to the chip at a prefix, and to no parameter of ours."""
    return {prefix + name for name in (*_BESIDE, _STATE)}


class _Chip:
    """What a state dict has of one chip."""

    def __init__(self, state_dict: Mapping[str, Any], prefix: str, state: Mapping[str, Any]) -> None:
        self.state = state
        self.weights = state["analog_tile_weights"].detach().float().numpy()
        scales = state_dict.get(prefix + _SCALES, state.get(_SCALES))
        self.scales = np.ones(1, np.float32) if scales is None else scales.detach().float().numpy().reshape(-1)
        alpha = state_dict.get(prefix + "alpha")
        self.has_drifted = alpha is not None and not bool(torch.all(alpha == 1))


def take(module: Any, chip: _Chip) -> None:
    """Put what aihwkit saved into a tile module. Raises `TileModuleError` where it does not fit."""
    if chip.has_drifted:
        raise TileModuleError("its weights had drifted when they were saved; save a model that was not programmed.")
    shape = tuple(module.chips.tile.shape)
    if chip.weights.shape != shape:
        raise TileModuleError(f"weights of shape {chip.weights.shape} for a tile of shape {shape}.")
    if chip.scales.size not in (1, shape[0]):
        raise TileModuleError(f"{chip.scales.size} mapping scales for a tile of {shape[0]} outputs.")
    _take_constants(module, chip)
    tile = module.chips.tile
    if not hasattr(tile.config.device, "devices"):  # else the weights are sums of hidden ones, which have been set
        tile = tile_weights.put_in(tile, jnp.array(chip.weights))
    each = tile.scale.ndim > 0 or chip.scales.size > 1
    scale = np.broadcast_to(chip.scales, shape[:1]) if each else chip.scales[0]
    module.chips.tile = replace(tile, scale=bridge.beside_torch(jnp.array(scale)))
    module.set_learning_rate(chip.state.get("analog_lr"))


def _take_constants(module: Any, chip: _Chip) -> None:
    names = chip.state.get("analog_tile_hidden_parameter_names") or []
    shown = module.get_hidden_parameters()
    if list(names) != list(shown):
        raise TileModuleError(f"its devices have {list(names)}, and those of the model {list(shown)}.")
    if not names:
        return
    values = chip.state["analog_tile_hidden_parameters"]
    try:
        module.set_hidden_parameters(dict(zip(names, values.detach().float(), strict=True)))
    except TileError as error:
        raise TileModuleError(str(error)) from error
