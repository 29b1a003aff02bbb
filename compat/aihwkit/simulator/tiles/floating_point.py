"""The tile module of exact arithmetic."""

from compat.aihwkit.simulator.tiles.module import TileModule


class FloatingPointTile(TileModule):
    """Exact weights and products."""
