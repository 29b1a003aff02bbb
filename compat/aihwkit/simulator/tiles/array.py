"""The tile module of a matrix that is cut over several chips."""

from compat.aihwkit.simulator.tiles.module import TileModule


class TileModuleArray(TileModule):
    """Several chips that hold one matrix together (stacked into one native `TileArray`)."""
