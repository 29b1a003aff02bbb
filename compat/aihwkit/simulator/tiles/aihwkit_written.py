"""A model's checkpoint as the real aihwkit writes it: the reverse of `aihwkit_state`.

Each chip has a state of its own there, and classes are named as they are there. What a chip was programmed to, the key
of its noise, and hidden counters of compounds are not part of it: aihwkit goes on with its own.
"""

import importlib
import pickle
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from analogjax.tile import TileArray
from analogjax.tile.array import cut_sizes
from compat import tile_weights
from compat.aihwkit.exceptions import TileModuleError
from compat.aihwkit.simulator.tiles.array import TileModuleArray
from compat.aihwkit.simulator.tiles.inference import InferenceTileWithPeriphery
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
            # an array is of one class there, whatever its chips are
            known = (
                TileModuleArray
                if issubclass(obj, InferenceTileWithPeriphery) and issubclass(obj, TileModuleArray)
                else obj
            )
            place = known.__module__.removeprefix("compat.")
            return getattr, (_Place(_SPLIT.get(place, place)), known.__qualname__)
        return NotImplemented


class _AsPickle:
    """What `torch.save` wants of a module like `pickle`."""

    Pickler: ClassVar[type] = _Pickler
    __name__: ClassVar[str] = "pickle"


def save_for_aihwkit(model: Any, file: Any) -> None:
    """Save a model so that the real aihwkit loads it: `model.load_state_dict(torch.load(file, weights_only=False))`.

    Args:
        model: An analog model; its counterpart there has the same layers and configurations.
        file: A name, or a binary file.

    Raises:
        TileModuleError: Where aihwkit would have another layout: layers whose name ends with `Mapped` on several chips,
            and devices of a matrix on several chips; with what it is. Nothing is written then.
    """
    state = aihwkit_state_dict(model)
    torch.save(state, file, pickle_module=_AsPickle)


@torch.no_grad()
def aihwkit_state_dict(model: Any) -> dict[str, Any]:
    """The state dict of a model as aihwkit has it. Raises `TileModuleError`, see `save_for_aihwkit`."""
    tiles: dict[str, Any] = {
        f"{name}." if name else "": one for name, one in model.named_modules() if isinstance(one, TileModule)
    }
    own = {prefix + name for prefix, tile in tiles.items() for name in (STATE, *tile._parameters, *tile._buffers)}
    written = {name: value for name, value in model.state_dict().items() if name not in own}
    for prefix, tile in tiles.items():
        layer = model.get_submodule(prefix[:-1].rpartition(".")[0])
        written |= _of_tile(prefix, tile, type(layer).__name__)
    return written


def _of_tile(prefix: str, tile: Any, layer: str) -> dict[str, Any]:
    if not isinstance(tile, CompiledTile):
        raise TileModuleError(f"{prefix[:-1]}: a {type(tile).__name__}, which is of torch code, can't be written.")
    if layer.endswith("Mapped"):
        raise TileModuleError(f"{prefix[:-1]}: aihwkit keeps the chips of {layer} in another layout; save a plain one.")
    written: dict[str, Any] = {} if tile.bias is None else {f"{prefix}bias": tile.bias.detach().clone()}
    for place, chip in _chips(prefix, tile):
        written |= chip
        written[f"{place}{STATE}"]["rpu_config"] = tile.rpu_config
    return written


def _chips(prefix: str, tile: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """The place of each chip, and what there is of it."""
    native = tile.chips.tile
    raw, scale = np.asarray(tile_weights.raw(native)), np.asarray(tile_weights.chip_of(native).scale)
    if not isinstance(native, TileArray):
        yield prefix, _chip(prefix, tile, raw, scale)
        return
    if tile.get_hidden_parameters():
        raise TileModuleError(
            f"{prefix[:-1]}: the devices of a matrix on {tile.chip_count} chips can't be written for aihwkit; set its "
            "mapping.max_input_size and max_output_size to 0, or use an inference configuration."
        )
    rows, columns = (np.cumsum([0, *cut_sizes(n, parts)]) for n, parts in zip(native.shape, native.grid, strict=True))
    for row in range(native.grid[0]):
        for column in range(native.grid[1]):
            place = f"{prefix}array.{column}.{row}."
            part = raw[rows[row] : rows[row + 1], columns[column] : columns[column + 1]]
            of_chip = scale[row, column] if scale.ndim == 2 else scale[row, column, : part.shape[0]]
            outputs = slice(rows[row], rows[row + 1])
            yield place, _chip(place, tile, part, of_chip, outputs)


def _chip(place: str, tile: Any, raw: Any, scale: Any, outputs: slice = slice(None)) -> dict[str, Any]:
    """What a state dict of aihwkit has of one chip with weights `[O, I]`, in units of the device."""
    weights, hidden = torch.from_numpy(raw.copy()), tile.get_hidden_parameters()
    values = {"analog_ctx": weights, "input_range": tile.input_range}
    values |= {"input_range_update_idx": None if tile.input_range is None else tile.input_range_update_idx}
    if tile.out_scaling_alpha is not None:
        alpha = tile.out_scaling_alpha
        values["out_scaling_alpha"] = alpha if alpha.numel() == 1 else alpha[outputs]
    if tile.mapping_scales is not None:
        values["mapping_scales"] = torch.from_numpy(np.array(scale, np.float32).reshape(-1))
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
    }
    found = {place + name: value.detach().clone() for name, value in values.items() if value is not None}
    return found | {f"{place}{STATE}": state}
