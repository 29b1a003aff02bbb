"""The chips of a grid of tile modules as one native `TileArray`, where a program is compiled as a whole, and back.

Chips of one matrix may differ by a row and a column. The smaller ones are padded: with devices like those at their
edge, which hold nothing, are never read and never pulsed. What such devices are afterwards is dropped.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import jax
import jax.numpy as jnp

from analogjax._typing import Array, Key
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
    """What a `bridge.Program` says of the arrays of one tile, for those of a grid, row by row."""

    programs: tuple[bridge.Program, ...]
    shapes: tuple[tuple[int, int], ...]  # of each chip `[o, i]`
    grid: tuple[int, int]  # rows, columns
    moving: tuple[tuple[Shape, ...], ...]  # shapes of what an update changes of each chip

    @property
    def whole(self) -> tuple[int, int]:
        """Rows and columns of the matrix."""
        columns = self.grid[1]
        return sum(rows for rows, _ in self.shapes[::columns]), sum(inputs for _, inputs in self.shapes[:columns])

    def tile(self, leaves: bridge.Leaves) -> TileArray:
        """The array of tiles with these arrays of all chips."""
        counts = [program.structure.num_leaves for program in self.programs]
        each = [program.tile(own) for program, own in zip(self.programs, _parted(leaves, counts), strict=True)]
        return self.stacked(each)

    def stacked(self, each: Sequence[Tile]) -> TileArray:
        """The array of these tiles."""
        states = _stacked([tile.state for tile in each], self.grid, holds_nothing=True)
        alike = [replace(tile, state=None) for tile in each]  # type: ignore[arg-type]
        tiles = replace(_stacked(alike, self.grid), state=states)
        return TileArray(tiles=tiles, outputs=self.whole[0], inputs=self.whole[1])

    def unstacked(self, array: TileArray, like: Sequence[Any]) -> Iterator[Tile]:
        """The tiles of an array, of the shapes of those in `like`."""
        for n, (own, shape) in enumerate(zip(like, self.shapes, strict=True)):
            place = divmod(n, self.grid[1])
            tile = jax.tree.map(lambda leaf, old, place=place: leaf[place][_corner(old.shape)], array.tiles, own)
            yield replace(tile, state=_with_own_lines(tile.config.device, tile.state, shape))

    def moving_of(self, array: TileArray) -> bridge.Leaves:
        """The arrays of all chips that an update changes."""
        found: bridge.Leaves = []
        for n, (shape, sizes) in enumerate(zip(self.shapes, self.moving, strict=True)):
            state = _with_own_lines(array.config.device, array.tiles.state, shape)
            leaves, place = jax.tree.leaves((state, array.tiles.average)), divmod(n, self.grid[1])
            found += [leaf[place][_corner(size)] for leaf, size in zip(leaves, sizes, strict=True)]
        return found


class StackedChips:
    """The chips of tile modules `grid[column][row]`, in the place of the `bridge.Chips` of one."""

    def __init__(self, grid: Any) -> None:
        self._modules = [column[row] for row in range(len(grid[0])) for column in grid]
        tiles = [module.chips.tile for module in self._modules]
        outputs = [tile.shape[0] for tile in tiles[:: len(grid)]]
        inputs = [tile.shape[1] for tile in tiles[: len(grid)]]
        for sizes in (outputs, inputs):
            if sizes != cut_sizes(sum(sizes), len(sizes)):
                raise Unstackable(f"a matrix on chips of unequal sizes {sizes}")
        if len({jax.tree.structure(tile) for tile in tiles}) > 1:
            raise Unstackable("a matrix on chips that differ in more than their sizes")
        self.program = Stack(
            tuple(module.chips.program for module in self._modules),
            tuple((rows, columns) for rows in outputs for columns in inputs),
            (len(outputs), len(inputs)),
            tuple(
                tuple(leaf.shape for leaf in module.chips.program.moving_of(tile))
                for module, tile in zip(self._modules, tiles, strict=True)
            ),
        )

    @property
    def root(self) -> Key:
        """The key of the first chip."""
        return self._modules[0].chips.root

    def next_use(self) -> int:
        """The number of the next draw from it."""
        return self._modules[0].chips.next_use()

    @property
    def leaves(self) -> bridge.Leaves:
        """The arrays of all chips."""
        return [leaf for module in self._modules for leaf in module.chips.leaves]

    def moved(self, leaves: bridge.Leaves, moved: bridge.Leaves) -> None:
        """Let the chips hold these arrays, but for those that an update has changed to `moved`."""
        programs = self.program.programs
        old = _parted(leaves, [program.structure.num_leaves for program in programs])
        new = _parted(moved, [len(program.moving) for program in programs])
        for module, *own in zip(self._modules, old, new, strict=True):
            module.chips.moved(*own)

    @property
    def tile(self) -> TileArray:
        """The native array."""
        return self.program.stacked([module.chips.tile for module in self._modules])

    @tile.setter
    def tile(self, array: TileArray) -> None:
        chips = [module.chips for module in self._modules]
        tiles = list(self.program.unstacked(array, [one.tile for one in chips]))
        for one, tile in zip(chips, tiles, strict=True):
            one.tile = tile


def _parted(leaves: bridge.Leaves, counts: list[int]) -> list[bridge.Leaves]:
    ends = list(accumulate(counts))
    return [leaves[end - count : end] for end, count in zip(ends, counts, strict=True)]


def _stacked(trees: Sequence[Any], grid: tuple[int, int], holds_nothing: bool = False) -> Any:
    """Trees of arrays as one with two axes more, `[rows, columns]`, each array padded to the largest."""

    def act(*leaves: Array) -> Array:
        size = [max(sizes) for sizes in zip(*(leaf.shape for leaf in leaves), strict=True)]
        padded = jnp.stack([_padded(leaf, size, holds_nothing and leaf.ndim > 1) for leaf in leaves])
        return padded.reshape(*grid, *padded.shape[1:])

    return jax.tree.map(act, *trees)


def _padded(leaf: Array, size: list[int], with_zeros: bool) -> Array:
    missing = [(0, n - own) for n, own in zip(size, leaf.shape, strict=True)]
    return jnp.pad(leaf, missing, mode="constant" if with_zeros else "edge") if any(n for _, n in missing) else leaf


def _corner(shape: Shape) -> tuple[slice, ...]:
    return tuple(slice(0, n) for n in shape)


def _with_own_lines(device: Any, state: Any, shape: tuple[int, int]) -> Any:
    """The state of a chip whose pointers may have come to a line of the padding: they go on at the first one."""
    if not isinstance(device, Transfer):
        return state
    return replace(state, pointer=state.pointer % device.reader.size(shape)[1])
