"""The chips of a grid of tile modules as one native `TileArray`, where a program is compiled as a whole, and back.

Chips of one matrix may differ by a row and a column. The smaller ones are padded: with devices like those at their
edge, which hold nothing, are never read and never pulsed. What such devices are afterwards is dropped.

The array stays stacked from one step to the next; each chip gets what has moved when somebody asks for it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from analogjax._typing import Key
from analogjax.physics.compounds import Transfer
from analogjax.tile import Tile, TileArray
from analogjax.tile.array import cut_sizes
from compat import torch_bridge as bridge

Shape = tuple[int, ...]


class Unstackable(Exception):
    """Why the chips of a grid can't be one native array."""


def chips_of(grid: Any) -> "bridge.Chips | StackedChips":
    """What holds the chips of tile modules `grid[column][row]`: of one its own. Raises `Unstackable`."""
    if len(grid) == len(grid[0]) == 1:
        return grid[0][0].chips
    return StackedChips(grid)


@dataclass(frozen=True, eq=False)
class Stack:
    """What a `bridge.Program` says of the arrays of a tile, for those of an array of tiles."""

    structure: Any
    moving: tuple[int, ...]  # which arrays an update changes

    @classmethod
    def of(cls, structure: Any) -> "Stack":
        """That of arrays of a structure."""
        numbered: TileArray = jax.tree.unflatten(structure, list(range(structure.num_leaves)))
        return cls(structure, tuple(jax.tree.leaves((numbered.tiles.state, numbered.tiles.average))))

    def tile(self, leaves: Any) -> TileArray:
        """The array of tiles with these arrays."""
        return jax.tree.unflatten(self.structure, leaves)

    def moving_of(self, array: TileArray) -> bridge.Leaves:
        """The arrays that an update changes."""
        leaves = jax.tree.leaves(array)
        return [leaves[place] for place in self.moving]


class StackedChips:
    """The chips of tile modules `grid[column][row]`, in the place of the `bridge.Chips` of one."""

    def __init__(self, grid: Any) -> None:
        self._modules = [column[row] for row in range(len(grid[0])) for column in grid]
        self._grid = (len(grid[0]), len(grid))
        tiles = [module.chips.tile for module in self._modules]
        outputs = [tile.shape[0] for tile in tiles[:: len(grid)]]
        inputs = [tile.shape[1] for tile in tiles[: len(grid)]]
        for sizes in (outputs, inputs):
            if sizes != cut_sizes(sum(sizes), len(sizes)):
                raise Unstackable(f"a matrix on chips of unequal sizes {sizes}")
        if len({jax.tree.structure(tile) for tile in tiles}) > 1:
            raise Unstackable("a matrix on chips that differ in more than their sizes")
        self._whole = sum(outputs), sum(inputs)
        self._back = self._bring_up_to_date  # one object, by which it is known
        self._stack(tiles)
        self.program = Stack.of(jax.tree.structure(self.tile))

    @property
    def root(self) -> Key:
        """The key of the first chip."""
        return self._modules[0].chips.root

    def next_use(self) -> int:
        """The number of the next draw from it."""
        return self._modules[0].chips.next_use()

    @property
    def tile(self) -> TileArray:
        """The native array."""
        if not all(self._is_known(n, module.chips) for n, module in enumerate(self._modules)):
            self._stack([module.chips.tile for module in self._modules])
        return self._array

    @tile.setter
    def tile(self, array: TileArray) -> None:
        self._array = bridge.beside_torch(array)
        for module in self._modules:
            module.chips.behind = self._back
        self._bring_up_to_date()

    @property
    def leaves(self) -> bridge.Leaves:
        """The arrays of the native array."""
        return jax.tree.leaves(self.tile)

    def moved(self, leaves: bridge.Leaves, moved: bridge.Leaves) -> None:
        """Hold these arrays, but for those that an update has changed to `moved`."""
        now = list(leaves)
        for place, leaf in zip(self.program.moving, moved, strict=True):
            now[place] = leaf
        self._array = self.program.tile(now)
        for module in self._modules:
            module.chips.behind = self._back

    def _is_known(self, n: int, chips: bridge.Chips) -> bool:
        """Whether a chip holds what its part of the array holds, or is still to get it."""
        return chips.behind is self._back or (chips is self._seen[n][0] and chips.writes == self._seen[n][1])

    def _stack(self, tiles: Sequence[Tile]) -> None:
        states = _stacked([tile.state for tile in tiles], self._grid, holds_nothing=True)
        others = _stacked([replace(tile, state=None) for tile in tiles], self._grid)  # type: ignore[arg-type]
        chips = bridge.beside_torch(replace(others, state=states))
        self._array = TileArray(tiles=chips, outputs=self._whole[0], inputs=self._whole[1])
        self._note()

    def _note(self) -> None:
        """Remember which chips the array holds, and how often they had been written to."""
        self._seen = [(module.chips, module.chips.writes) for module in self._modules]

    def _bring_up_to_date(self) -> None:
        """Give the chips that are behind their parts of the array."""
        chips = [module.chips for module in self._modules]
        behind = [one.behind is self._back for one in chips]
        for one in chips:
            one.behind = None if one.behind is self._back else one.behind
        for one, is_behind, tile in zip(chips, behind, self._parts([one.tile for one in chips]), strict=True):
            if is_behind:
                one.tile = tile
        self._note()

    def _parts(self, like: Sequence[Tile]) -> Iterator[Tile]:
        """The tiles of the array, of the shapes of those in `like`."""
        tiles = jax.tree.map(np.asarray, self._array.tiles)
        for n, own in enumerate(like):
            place = divmod(n, self._grid[1])
            tile = jax.tree.map(lambda leaf, old, place=place: _part(leaf[place], old.shape), tiles, own)
            yield replace(tile, state=_with_own_lines(tile.config.device, tile.state, own.shape))


def _stacked(trees: Sequence[Any], grid: tuple[int, int], holds_nothing: bool = False) -> Any:
    """Trees of arrays as one with two axes more, `[rows, columns]`, each array padded to the largest."""

    def act(*leaves: Any) -> np.ndarray:
        size = [max(sizes) for sizes in zip(*(leaf.shape for leaf in leaves), strict=True)]
        padded = [_padded(np.asarray(leaf), size, holds_nothing and leaf.ndim > 1) for leaf in leaves]
        return np.stack(padded).reshape(*grid, *size)

    return jax.tree.map(act, *trees)


def _padded(leaf: np.ndarray, size: list[int], with_zeros: bool) -> np.ndarray:
    missing = [(0, n - own) for n, own in zip(size, leaf.shape, strict=True)]
    if not any(n for _, n in missing):
        return leaf
    return np.pad(leaf, missing) if with_zeros else np.pad(leaf, missing, mode="edge")


def _part(leaf: np.ndarray, shape: Shape) -> np.ndarray:
    return np.array(leaf[tuple(slice(0, n) for n in shape)])


def _with_own_lines(device: Any, state: Any, shape: tuple[int, int]) -> Any:
    """The state of a chip whose pointers may have come to a line of the padding: they go on at the first one."""
    if not isinstance(device, Transfer):
        return state
    return replace(state, pointer=state.pointer % device.reader.size(shape)[1])
