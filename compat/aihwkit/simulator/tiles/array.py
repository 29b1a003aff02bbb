"""The tile module of a matrix that is cut over several chips."""

from abc import ABCMeta
from typing import Any

from compat.aihwkit.simulator.tiles.array_of_tiles import TileGrid, split_sizes
from compat.aihwkit.simulator.tiles.module import CompiledTile


class TileModuleArray(CompiledTile, metaclass=ABCMeta):
    """Several chips that hold one matrix together (stacked into one native `TileArray`).

    Where the tiles of the configuration are not compiled, or have each a range of inputs of its own, it makes a
    `TileGrid` of them instead, which is an array for `isinstance`, too.
    """

    def __new__(cls, out_size: int = 0, in_size: int = 0, rpu_config: Any = None, bias: bool = False, **_: Any) -> Any:
        """Either of them."""
        copied = rpu_config is None  # its contents follow
        if copied or (issubclass(rpu_config.tile_class, CompiledTile) and rpu_config.tile_class.is_stacked(rpu_config)):
            return super().__new__(cls)
        return TileGrid(out_size, in_size, rpu_config, bias)

    def get_split_sizes(self, size: int, split_max_size: int) -> list[int]:
        """Sizes of the parts of so many rows or columns."""
        return split_sizes(size, split_max_size)


TileModuleArray.register(TileGrid)
