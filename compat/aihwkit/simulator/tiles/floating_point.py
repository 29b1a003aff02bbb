"""The tile module of exact arithmetic."""

from compat.aihwkit.simulator.tiles.module import CompiledTile


class FloatingPointTile(CompiledTile):
    """Exact weights and products."""
