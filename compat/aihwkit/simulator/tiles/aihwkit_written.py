"""A model's checkpoint as the real aihwkit writes it: the reverse of `aihwkit_state`.

Classes are named as they are there. What a chip was programmed to, the key of its noise, and hidden counters of
compounds are not part of it: aihwkit goes on with its own.
"""

import importlib
import os
import pickle
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from analogjax.store.files import replacing
from compat import tile_weights
from compat.aihwkit.exceptions import TileModuleError
from compat.aihwkit.simulator.tiles.module import CompiledTile
from compat.aihwkit.simulator.tiles.tile_module import STATE, TileModule
from compat.aihwkit.version import __version__
from compat.torch_package import torch

_OURS = "compat.aihwkit"
_CONFIGS = "aihwkit.simulator.configs."
_SPLIT = {
    f"{_CONFIGS}{name}": f"{_CONFIGS}configs" for name in ("basic", "inference", "inference_torch")
}  # in one there


class _Place:
    """A module that is imported, under aihwkit's name, where the file is read."""

    def __init__(self, name: str) -> None:
        self.name = name


class _Pickler(pickle.Pickler):
    """Names classes of ours as they are named in aihwkit."""

    def reducer_override(self, obj: Any) -> Any:
        """What `pickle` asks for each object."""
        if isinstance(obj, _Place):
            return importlib.import_module, (obj.name,)
        if isinstance(obj, type) and obj.__module__.startswith(_OURS):
            place = obj.__module__.removeprefix("compat.")
            return getattr, (_Place(_SPLIT.get(place, place)), obj.__qualname__)
        return NotImplemented


class _AsPickle:
    """What `torch.save` wants of a module like `pickle`."""

    Pickler: ClassVar[type] = _Pickler
    __name__: ClassVar[str] = "pickle"


def save_for_aihwkit(model: Any, file: Any) -> None:
    """Save a model so that the real aihwkit loads it: `model.load_state_dict(torch.load(file, weights_only=False))`.

    Args:
        model: An analog model; its counterpart there has the same layers and configurations.
        file: A name, or a binary file. A file of that name is replaced only when all is written.

    Raises:
        TileModuleError: For a tile of torch code, with its name. Nothing is written then.
    """
    state = aihwkit_state_dict(model)
    if not isinstance(file, (str, os.PathLike)):
        torch.save(state, file, pickle_module=_AsPickle)
        return
    with replacing(Path(file)) as draft, open(draft, "wb") as stream:  # torch refuses the name of a draft
        torch.save(state, stream, pickle_module=_AsPickle)


@torch.no_grad()
def aihwkit_state_dict(model: Any) -> dict[str, Any]:
    """The state dict of a model as aihwkit has it. Raises `TileModuleError`, see `save_for_aihwkit`."""
    tiles: dict[str, Any] = {
        f"{name}." if name else "": one for name, one in model.named_modules() if isinstance(one, TileModule)
    }
    own = {prefix + name for prefix, tile in tiles.items() for name in (STATE, *tile._parameters, *tile._buffers)}
    written = {name: value for name, value in model.state_dict().items() if name not in own}
    for prefix, tile in tiles.items():
        written |= _of_tile(prefix, tile)
    return written


def _of_tile(prefix: str, tile: Any) -> dict[str, Any]:
    """What a state dict of aihwkit has of one tile; weights are in units of the device."""
    if not isinstance(tile, CompiledTile):
        raise TileModuleError(f"{prefix[:-1]}: a {type(tile).__name__}, which is of torch code, can't be written.")
    native = tile.chips.tile
    weights, hidden = torch.from_numpy(np.array(tile_weights.raw(native))), tile.get_hidden_parameters()
    values = {"analog_ctx": weights, "bias": tile.bias, "out_scaling_alpha": tile.out_scaling_alpha}
    values |= {"input_range": tile.input_range, "mapping_scales": tile.mapping_scales}
    values |= {"input_range_update_idx": None if tile.input_range is None else tile.input_range_update_idx}
    values |= {name: tile._parameters.get(name) for name in ("scale_quant_update_idx", "bias_quant_update_idx")}
    in_torch = hasattr(tile.rpu_config, "simulator_tile_class")
    if tile.analog_ctx.use_torch_update:  # torch trains the weights
        values |= {"tile.weight" if in_torch else "shared_weights": weights, "alpha": torch.ones(1)}
    state = {
        "analog_tile_weights": weights,
        "analog_tile_hidden_parameters": torch.stack(list(hidden.values())) if hidden else torch.zeros(0),
        "analog_tile_hidden_parameter_names": list(hidden),
        "analog_tile_class": tile.rpu_config.tile_class.__name__,
        "analog_lr": None if in_torch else tile.get_learning_rate(),
        "analog_ctx": weights,
        "state_extra": None,
        "aihwkit_version": __version__,
        "rpu_config": tile.rpu_config,
    }
    found = {prefix + name: value.detach().clone() for name, value in values.items() if value is not None}
    return found | {prefix + STATE: state}
