"""Conductances of a model for the Fusion chip, and back; files are those of `analogjax.experiments`."""

import csv
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from analogjax.experiments.conductance_file import ConductanceFileError, Matrix, header, read_table, write_table
from compat.aihwkit.exceptions import FusionExportError, TileError
from compat.aihwkit.inference.converter.fusion import FusionConductanceConverter
from compat.aihwkit.nn.modules.base import AnalogLayerBase
from compat.aihwkit.simulator.tiles.base import TileModuleBase
from compat.aihwkit.simulator.tiles.inference import InferenceTileWithPeriphery
from compat.torch_package import torch


@torch.no_grad()
def fusion_export(
    analog_model: Any, g_converter: Any = None, file_name: str | None = None
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """The conductances of each layer of a model (chip by chip, one list), what leads back, and its state dict.

    `g_converter` is a `FusionConductanceConverter` unless given. With `file_name` a CSV file is written, too. Raises
    `TileError` for layers that are not for inference.
    """
    converter = deepcopy(g_converter) or FusionConductanceConverter()
    conductances: dict[str, list[float]] = {}
    params: dict[str, list[Any]] = {}
    for name, layer in analog_model.named_analog_layers():
        conductances[name], params[name] = [], []
        for tile in _tiles_of(layer):
            targets, leads_back = converter.convert_to_conductances(_weights_on(tile).clone())
            params[name].append(leads_back)
            for g in targets:
                conductances[name] += g.flatten().tolist()
    if file_name is not None:
        write_table(file_name, _matrices(analog_model), conductances)
    return conductances, params, deepcopy(analog_model.state_dict())  # whatever the model becomes


@torch.no_grad()
def fusion_import(
    conductance_data: dict[str, Any] | str, analog_model: Any, params: dict[str, Any], state_dict: Any = None,
    g_converter: Any = None,
) -> Any:  # fmt: skip
    """The model, in evaluation mode, with the weights that conductances (of a file, or by layer) stand for.

    `params` and `state_dict` are those of `fusion_export`. Raises `TileError` for layers that are not for inference,
    and `FusionExportError` for conductances of another model; the model is then as it was.
    """
    converter = deepcopy(g_converter) or FusionConductanceConverter()
    if isinstance(conductance_data, str):
        conductance_data = _fusion_load_csv(conductance_data, _fusion_get_csv_header(analog_model))
    found = {}
    for name, layer in analog_model.named_analog_layers():
        if name not in conductance_data or name not in params:
            raise FusionExportError(f"there are no conductances, or no parameters, of the layer {name}.")
        found[name] = _weights(layer, conductance_data[name], params[name], converter, name)
    if state_dict is not None:
        analog_model.load_state_dict(state_dict)
    analog_model.eval()
    for name, layer in analog_model.named_analog_layers():
        for tile, weights in zip(_tiles_of(layer), found[name], strict=True):
            _weights_on(tile).copy_(weights)
    return analog_model


def _weights(layer: Any, values: Any, params: list[Any], converter: Any, name: str) -> list[Any]:
    """The weights `[O, I]` of each chip of a layer, in units of the devices."""
    left, found = torch.as_tensor(values, dtype=torch.float32), []
    for tile, leads_back in zip(_tiles_of(layer), params, strict=True):
        targets, _ = converter.convert_to_conductances(_weights_on(tile).clone())
        sizes = [g.numel() for g in targets]
        if len(left) < sum(sizes):
            raise FusionExportError(f"{name} has {len(values)} conductances, which are too few for its chips.")
        parts, left = left[: sum(sizes)].split(sizes), left[sum(sizes) :]
        g = [part.reshape(one.shape) for part, one in zip(parts, targets, strict=True)]
        found.append(converter.convert_back_to_weights(g, leads_back))
    if len(left):
        raise FusionExportError(f"{name} has {len(values)} conductances, {len(left)} more than its chips.")
    return found


def _tiles_of(layer: Any) -> Iterator[Any]:
    """The tiles of a layer. Raises `TileError` for one that is not for inference."""
    for tile in layer.analog_tiles():
        if not isinstance(tile, InferenceTileWithPeriphery):
            raise TileError(
                f"{type(tile).__name__}: conductances are those of chips for inference (InferenceRPUConfig)."
            )
        yield tile


def _weights_on(tile: Any) -> Any:
    """The trained weights `[O, I]` themselves, without the column of an analog bias."""
    return tile.shared_weights[:, : tile.in_size]


def _matrices(analog_model: Any) -> list[Matrix]:
    """What the file says about the layers; other modules, but for containers and tiles, count in their numbers."""
    found, number = [], 0
    for name, module in analog_model.named_modules():
        container = isinstance(module, AnalogLayerBase) and module.IS_CONTAINER
        if isinstance(module, (TileModuleBase, torch.nn.ModuleList)) or container:
            continue
        number += 1
        if isinstance(module, AnalogLayerBase):
            rows, *columns = module.get_weights()[0].shape
            found.append(Matrix(name, type(module).__name__, (rows, torch.Size(columns).numel()), number))
    return found


def _fusion_get_csv_header(analog_model: Any) -> str:
    """The lines of the file that describe the layers."""
    return header(_matrices(analog_model))


def _fusion_load_csv(file_name: str, header: str) -> dict[str, list[float]]:
    """The conductances in a file by layer. Raises `FusionExportError` unless it begins with `header`."""
    try:
        with open(file_name, newline="", encoding="utf-8") as file:
            begun, names = file.read(len(header)), next(csv.reader(file), [])
    except (OSError, UnicodeError, csv.Error) as error:
        raise FusionExportError(f"{file_name}: can't be read: {error}") from None
    if begun != header:
        raise FusionExportError(f"{file_name}: is of other layers; it begins with\n{begun}\ninstead of\n{header}")
    numbers, kinds, _, rows, columns = (line.split(",") for line in header.splitlines())
    described = zip(names, kinds, rows, columns, numbers, strict=False)
    try:
        found = read_table(file_name, [Matrix(n, k, (int(r), int(c)), int(i)) for n, k, r, c, i in described])
    except ConductanceFileError as error:
        raise FusionExportError(str(error)) from None
    return {name: values.tolist() for name, values in found.items()}
