r"""Files of conductances: the weights of a model for a chip that is programmed elsewhere, and what was read back there.

The format is that of aihwkit's export for the Fusion chip, a CSV file. Five lines describe the matrices (one column for
each): number, kind, number of weights, rows, columns. A line has their names; then there is one line of conductances
[uS] for each matrix, slice after slice, row by row.
"""

import csv
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from analogjax._field_docs import document_fields
from analogjax._typing import Array, PyTree
from analogjax.errors import AnalogError, ShapeError
from analogjax.physics.inference import Converter
from analogjax.store.files import replacing
from analogjax.tile import Tile, TileArray


class ConductanceFileError(AnalogError, ValueError):
    """A file of conductances does not belong to the model, or is none."""


@document_fields
class Matrix(NamedTuple):
    """What the file says about a matrix."""

    name: str
    """Name of the layer."""
    kind: str
    """Kind of the layer."""
    shape: tuple[int, int]
    """Rows and columns `(O, I)`."""
    number: int
    """Number of the layer in its model, from 1 on."""


def export_conductances(path: str | os.PathLike[str], tiles: PyTree, converter: Converter) -> None:
    """Write the conductances of all tiles of a model to a file; a matrix on several chips is converted as a whole.

    Args:
        path: The file. It is replaced only when all of it is written.
        tiles: Tiles, such as `Variables.tiles`. Their device weights are converted, without output scales.
        converter: From weights to conductances, such as `Fusion()`.

    Example:
        >>> export_conductances("chips.csv", variables.tiles, Fusion())
    """
    found = _matrices(tiles)
    rows = {one.name: converter.conductances(_raw(tile))[0] for one, tile in found}
    write_table(path, [one for one, _ in found], {name: np.asarray(g).ravel() for name, g in rows.items()})


def import_conductances(path: str | os.PathLike[str], tiles: PyTree, converter: Converter) -> PyTree:
    """Return the tiles of a model with the weights that the conductances in a file stand for.

    Args:
        path: A file as `export_conductances` writes it, of conductances as they were measured.
        tiles: The tiles that were exported. Their weights give the units (of `Fusion` also the signs) of those read.
        converter: The converter of the export.

    Returns:
        The tiles, whose devices hold the weights read from the file; everything else is as it was.

    Raises:
        ConductanceFileError: If the file is of another model or another converter, or can't be read.
    """
    found = _matrices(tiles)
    rows = read_table(path, [one for one, _ in found])
    made = []
    for one, tile in found:
        g, back = converter.conductances(_raw(tile))
        if rows[one.name].size != g.size:
            raise ConductanceFileError(
                f"{path}: {one.name} has {rows[one.name].size} conductances; {type(converter).__name__} has {g.size}."
            )
        made.append(_holding(tile, converter.weights(jnp.asarray(rows[one.name], g.dtype).reshape(g.shape), back)))
    structure = jax.tree.structure(tiles, is_leaf=_is_tile)
    return jax.tree.unflatten(structure, made)


def header(matrices: Sequence[Matrix]) -> str:
    """The five lines that describe matrices."""
    lines: list[list[Any]] = [
        [one.number for one in matrices], [one.kind for one in matrices],
        [one.shape[0] * one.shape[1] for one in matrices], *([one.shape[k] for one in matrices] for k in (0, 1)),
    ]  # fmt: skip
    return "".join(",".join(map(str, line)) + "\n" for line in lines)


def write_table(path: str | os.PathLike[str], matrices: Sequence[Matrix], rows: Mapping[str, Any]) -> None:
    """Write a file of conductances `rows` (by name, flat) of `matrices`, all of it or nothing."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([one.name for one in matrices])
    writer.writerows([float(g) for g in rows[one.name]] for one in matrices)
    with replacing(Path(path)) as draft:
        draft.write_text(header(matrices) + out.getvalue(), encoding="utf-8", newline="")


def read_table(path: str | os.PathLike[str], matrices: Sequence[Matrix]) -> dict[str, np.ndarray]:
    """The conductances in a file by name, flat. Raises `ConductanceFileError` unless it is of these matrices."""
    try:
        with open(path, newline="", encoding="utf-8") as file:
            lines = list(csv.reader(file))
    except (OSError, UnicodeError, csv.Error) as error:
        raise ConductanceFileError(f"{path}: can't be read: {error}") from None
    described = list(csv.reader(io.StringIO(header(matrices))))
    for what, ours, theirs in zip(("number", "kind", "weights", "rows", "columns"), described, lines, strict=False):
        if ours != theirs:
            raise ConductanceFileError(f"{path}: {what} of its matrices are {theirs}, and of the model {ours}.")
    names = [one.name for one in matrices]
    if len(lines) != len(described) + 1 + len(names) or lines[len(described)] != names:
        raise ConductanceFileError(f"{path}: does not have a line for each of {', '.join(names)}.")
    found = dict(zip(names, lines[len(described) + 1 :], strict=True))
    return {name: _numbers(path, name, row) for name, row in found.items()}


def _numbers(path: Any, name: str, row: list[str]) -> np.ndarray:
    try:
        values = np.array(row, np.float64)
    except ValueError as error:
        raise ConductanceFileError(f"{path}: the line of {name}: {error}") from None
    if not np.all(np.isfinite(values)):
        raise ConductanceFileError(f"{path}: the line of {name} has values that are not finite.")
    return values


def _is_tile(node: Any) -> bool:
    return isinstance(node, (Tile, TileArray))


def _matrices(tiles: PyTree) -> list[tuple[Matrix, Any]]:
    """All tiles, each with what the file says about it. Raises `ShapeError` for stacks of chips."""
    found = []
    for n, (path, tile) in enumerate(jax.tree_util.tree_flatten_with_path(tiles, is_leaf=_is_tile)[0]):
        name = jax.tree_util.keystr(path, simple=True, separator=".") or "tile"
        if tile.stack:
            raise ShapeError(f"{name} is a stack of {tile.stack} chips; export one of them.")
        found.append((Matrix(name, type(tile).__name__, tile.shape, n + 1), tile))
    return found


def _bare(tile: Any) -> Any:
    """The tile with output scales of 1."""
    chip = tile.tiles if isinstance(tile, TileArray) else tile
    bare = replace(chip, scale=jnp.ones_like(chip.scale))
    return replace(tile, tiles=bare) if isinstance(tile, TileArray) else bare


def _raw(tile: Any) -> Array:
    """What the devices hold, `[O, I]`."""
    return _bare(tile).read()


def _holding(tile: Any, w: Array) -> Any:
    """The tile whose devices hold `w` `[O, I]`; padding holds 0."""
    chip = tile.tiles if isinstance(tile, TileArray) else tile

    def held(state_w: Array) -> Any:
        one = replace(chip, state=replace(chip.state, w=state_w))
        return replace(tile, tiles=one) if isinstance(tile, TileArray) else one

    # reading only moves numbers about, so its transpose puts them back
    (state_w,) = jax.linear_transpose(lambda state_w: _raw(held(state_w)), chip.state.w)(w.astype(chip.state.w.dtype))
    return held(state_w)
