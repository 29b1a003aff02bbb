"""Tile modules."""

from compat.aihwkit.simulator.tiles.analog import AnalogTile as AnalogTile
from compat.aihwkit.simulator.tiles.array import TileModuleArray as TileModuleArray
from compat.aihwkit.simulator.tiles.floating_point import FloatingPointTile as FloatingPointTile
from compat.aihwkit.simulator.tiles.inference import InferenceTile as InferenceTile
from compat.aihwkit.simulator.tiles.inference import InferenceTileWithPeriphery as InferenceTileWithPeriphery
from compat.aihwkit.simulator.tiles.inference_torch import TorchInferenceTile as TorchInferenceTile
from compat.aihwkit.simulator.tiles.module import TileModule as TileModule
from compat.aihwkit.simulator.tiles.quantized_inference_torch import (
    QuantizedTorchInferenceTile as QuantizedTorchInferenceTile,
)
