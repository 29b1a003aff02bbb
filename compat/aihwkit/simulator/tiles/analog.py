"""The tile module of pulsed devices."""

from compat.aihwkit.simulator.tiles.module import CompiledTile
from compat.aihwkit.simulator.tiles.without_periphery import (
    AnalogTileWithoutPeriphery as AnalogTileWithoutPeriphery,
)


class AnalogTile(CompiledTile):
    """Pulsed devices with their converters, on one chip."""
