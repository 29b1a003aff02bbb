"""The tile module of pulsed devices."""

from compat.aihwkit.simulator.tiles.module import TileModule


class AnalogTile(TileModule):
    """Pulsed devices with their converters, on one chip."""
