"""A pytree as a table of its leaves and a folder of arrays written by Orbax.

The table has one row `(path, shape, dtype)` per leaf, in the order of the tree; the array of row 12 is called `"0012"`
in the folder. Everything goes through NumPy, so the files do not depend on devices or shardings. Orbax accepts neither
arrays of size zero nor keys: the former are described completely by their row, of the latter the key data are stored.
"""

from __future__ import annotations

import errno
import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

_orbax_is_busy = threading.Lock()  # one checkpointer serves the process, and it keeps state during a call


class Row(NamedTuple):
    """One leaf: its path as `jax.tree_util.keystr` writes it, its shape, and the name of its dtype.

    The dtype of a typed key names its implementation and the words of one key, `"key<fry> 2"`; that of `None` is
    `"None"`.
    """

    path: str
    shape: tuple[int, ...]
    dtype: str

    def __str__(self) -> str:
        return self.dtype if self.dtype == "None" else f"{self.dtype}{list(self.shape)}"


def describe(tree: Any) -> list[Row]:
    """Return one row per leaf of `tree`, whose leaves are arrays, `jax.ShapeDtypeStruct`s or `None`.

    Raises `TypeError`, naming the path, for any other leaf, and `ValueError` if two leaves have the same path.
    """
    return table(jax.tree_util.tree_flatten_with_path(tree, is_leaf=_is_none)[0])


def table(leaves: list[tuple[Any, Any]]) -> list[Row]:
    """Like `describe`, for leaves given one by one with their paths."""
    rows = [_row(jax.tree_util.keystr(path) or "the tree itself", leaf) for path, leaf in leaves]
    if len({row.path for row in rows}) < len(rows):
        repeated = next(row.path for index, row in enumerate(rows) if row.path in {r.path for r in rows[:index]})
        raise ValueError(f"Two leaves of the tree have the same path {repeated}: give its nodes keys that differ.")
    return rows


def differences(stored: list[Row], wanted: list[Row]) -> list[str]:
    """Return one line for each path where the two tables differ; none if one tree can be read into the other."""
    here, there = ({row.path: row for row in rows} for rows in (stored, wanted))
    paths = list(dict.fromkeys([*there, *here]))
    return [
        f"{path}: {here.get(path, 'absent')} in the checkpoint, {there.get(path, 'absent')} in the model"
        for path in paths
        if here.get(path) != there.get(path)
    ]


def write(folder: Path, tree: Any) -> None:
    """Write the arrays of `tree` into the new folder `folder`; returns when all of them are in its files.

    Raises `OSError` with the cause if that fails.
    """
    stored = {}
    for index, leaf in enumerate(jax.tree_util.tree_leaves(tree, is_leaf=_is_none)):
        array = None if leaf is None else _to_numpy(leaf)
        if array is not None and array.size:
            stored[_name(index)] = array
    if not stored:
        return
    try:
        with _orbax_is_busy, _quiet_orbax():
            _checkpointer().save(folder, args=_orbax().args.PyTreeSave(stored))
    except Exception as error:
        number = re.search(r"os_error_code='(\d+)'", str(error))
        raise OSError(int(number[1]) if number else errno.EIO, f"Orbax could not write the arrays: {error}") from error


def read(folder: Path, rows: list[Row], like: Any) -> Any:
    """Return the tree that `write` stored under `rows`, bit for bit, in the structure of `like`.

    `rows` and `describe(like)` must have no differences. A leaf takes the type and the sharding that it has in
    `like`; what has none there is uncommitted, on the default device. Raises `OSError` with the cause if the files
    cannot be read, and `ValueError` for a 64-bit JAX array while JAX is set to 32 bits.
    """
    leaves, structure = jax.tree_util.tree_flatten(like, is_leaf=_is_none)
    index_of = {row.path: index for index, row in enumerate(rows)}
    wanted = [(_name(index_of[row.path]), row, leaf) for row, leaf in zip(describe(like), leaves, strict=True)]
    data = {name: _data_of(leaf) for name, _, leaf in wanted if leaf is not None}
    arrays = {name: np.zeros(struct.shape, struct.dtype) for name, struct in data.items() if not struct.size}
    arrays |= _restore(folder, [name for name, struct in data.items() if struct.size])
    return jax.tree_util.tree_unflatten(
        structure, [as_in(leaf, arrays.get(name), row.path) for name, row, leaf in wanted]
    )


def _is_none(leaf: Any) -> bool:
    return leaf is None


def _is_key(leaf: Any) -> bool:
    return jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _name(index: int) -> str:
    return f"{index:04d}"


def _row(path: str, leaf: Any) -> Row:
    if leaf is None:
        return Row(path, (), "None")
    if not isinstance(leaf, (jax.Array, jax.ShapeDtypeStruct, np.ndarray, np.generic)):
        raise TypeError(
            f"The leaf {path} is of type {type(leaf).__name__}, not an array: "
            "make it one with jnp.asarray, make it static, or keep it in `meta`."
        )
    shape = tuple(int(size) for size in leaf.shape)
    if _is_key(leaf):
        words = ",".join(str(size) for size in _data_of(leaf).shape[len(shape) :])
        return Row(path, shape, f"{leaf.dtype} {words}")
    if isinstance(leaf.dtype, np.dtype) and leaf.dtype.kind in "OSUMmTV" and not _is_jax_dtype(leaf.dtype):
        raise TypeError(f"The leaf {path} has dtype {leaf.dtype}, which is not a number: keep it in `meta`.")
    return Row(path, shape, leaf.dtype.name)


def _is_jax_dtype(dtype: np.dtype) -> bool:
    return jax.dtypes.issubdtype(dtype, np.number)  # bfloat16 and its kin look like raw bytes to NumPy


def _data_of(leaf: Any) -> jax.ShapeDtypeStruct:
    """Shape and dtype of the stored array for `leaf`."""
    struct = jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)
    return jax.eval_shape(jax.random.key_data, struct) if _is_key(leaf) else struct


def _to_numpy(leaf: Any) -> np.ndarray:
    array = np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def as_in(leaf: Any, array: Any, path: str) -> Any:
    """Convert `array` (for a typed key its data) to a leaf of the type and placement of `leaf`.

    Raises `ValueError`, naming the `path`, for a 64-bit JAX array while JAX is set to 32 bits.
    """
    if leaf is None or array is None or isinstance(leaf, (np.ndarray, np.generic)):
        return array
    sharding = leaf.sharding if isinstance(leaf, jax.ShapeDtypeStruct) or leaf.committed else None
    if array.dtype != jax.dtypes.canonicalize_dtype(array.dtype):
        raise ValueError(
            f"{path} is {array.dtype}, which JAX cuts to 32 bits: set jax.config.update('jax_enable_x64', True)."
        )
    placed = jax.device_put(array, sharding)
    return jax.random.wrap_key_data(placed, dtype=leaf.dtype) if _is_key(leaf) else placed


def _restore(folder: Path, names: list[str]) -> dict[str, np.ndarray]:
    if not names:
        return {}
    orbax = _orbax()
    as_numpy = {name: orbax.RestoreArgs(restore_type=np.ndarray) for name in names}
    try:
        with _orbax_is_busy, _quiet_orbax():
            arrays = _checkpointer().restore(folder, args=orbax.args.PyTreeRestore(dict.fromkeys(names, 0), as_numpy))
    except Exception as error:
        raise OSError(errno.EIO, f"Orbax could not read the arrays: {error}") from error
    return {name: np.asarray(arrays[name]) for name in names}


def _orbax() -> Any:
    import orbax.checkpoint  # slow to import, and only those who save or restore need it

    return orbax.checkpoint


@cache
def _checkpointer() -> Any:
    # Synchronous, and made once because its set-up costs more than a small save. OCDBT: a dozen files, however many
    # arrays there are. Uncompressed: weights shrink by 8 %, and that takes longer than writing them.
    return _orbax().Checkpointer(_orbax().PyTreeCheckpointHandler(use_ocdbt=True, use_compression=False))


@contextmanager
def _quiet_orbax() -> Iterator[None]:
    """Suppress the 200 lines of traceback that Orbax logs for a failed thread; the same error is raised anyway."""

    def raised_anyway(record: logging.LogRecord) -> bool:
        return "raised an exception" not in record.getMessage()

    logger = logging.getLogger("absl")
    logger.addFilter(raised_anyway)
    try:
        yield
    finally:
        logger.removeFilter(raised_anyway)
