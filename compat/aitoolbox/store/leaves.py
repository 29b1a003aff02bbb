"""A pytree in one `.npz` or `.safetensors` file: an array per leaf, and a JSON table of the leaves, without pickle.

Nothing is put into a node of the tree but the leaves that it had: what a node makes of other values is its own affair.

The member `table` holds, as UTF-8 bytes, `{"format", "leaves", "keys", "values", "generators"}`: a row
`[path, shape, dtype]` per leaf as `analogjax.store.arrays` describes it, the steps of each path, the values of the
leaves that are not arrays, and the generators of the PRNG keys. The array of row 12 is the member `0012`; dtypes
that NumPy has no name for (bfloat16) are stored as unsigned integers of their size.

In `.safetensors` files, which have bfloat16, an array has the name of its path, such as `params/layers_0/bias`; the
table is in the metadata and says in addition, in `names`, which is that of each row.
"""

import json
import os
import zipfile
from collections import Counter, OrderedDict
from pathlib import Path
from typing import Any

import jax
import numpy as np

from analogjax import random
from analogjax.store import arrays, json_values
from compat.aitoolbox.store import tensors_file
from compat.aitoolbox.store.errors import DamagedFile, WrongModel

FORMAT = 1
_SHOWN = 3
_OURS = {"ajx": random.FAST, "analogjax": random.FAST}  # generators that JAX knows by no name


def check(tree: Any) -> None:
    """Raises `TypeError`, naming the path, for a leaf that `write` could not write, `ValueError` for one that is gone,
    or for leaves whose paths are the same.
    """
    flat = _flat(tree)
    _rows(flat)
    steps = [json.dumps(_steps(path)) for path, _ in flat]
    for index, (path, leaf) in enumerate(flat):
        where = jax.tree_util.keystr(path) or "the model itself"
        if steps[index] in steps[:index]:
            raise ValueError(f"Two leaves of the model have the same path {where}: give its nodes keys that differ.")
        if not _is_array(leaf):
            _value(leaf, where)
        elif isinstance(leaf, jax.core.Tracer):
            raise TypeError(f"The leaf {where} is {leaf}, a value inside a transformation: save outside of jit.")
        elif isinstance(leaf, jax.Array) and leaf.is_deleted():
            raise ValueError(f"The leaf {where} was deleted or donated: save before its buffer is given away.")
        elif _is_key(leaf):
            _generator(_impl(leaf), where)


def write(file: Path, tree: Any) -> None:
    """Writes `tree`: arrays, typed keys, `None`, and plain Python values that JSON can hold.

    Raises `TypeError`, naming the path, for any other leaf.
    """
    flat = _flat(tree)
    members: dict[int, np.ndarray] = {}
    values, generators = {}, {}
    for index, (path, leaf) in enumerate(flat):
        if not _is_array(leaf):
            values[f"{index}"] = _value(leaf, jax.tree_util.keystr(path))
            continue
        if _is_key(leaf):
            generators[f"{index}"] = _impl(leaf)
            leaf = jax.random.key_data(leaf)
        members[index] = np.asarray(leaf)
    table = {
        "format": FORMAT,
        "leaves": [list(row) for row in _rows(flat)],
        "keys": [_steps(path) for path, _ in flat],
        "values": values,
        "generators": generators,
    }
    (_write_tensors if tensors_file.is_one(file) else _write_npz)(file, table, members)


def _write_npz(file: Path, table: dict[str, Any], members: dict[int, np.ndarray]) -> None:
    arrays = {f"{index:04d}": _storable(array) for index, array in members.items()}
    arrays["table"] = np.frombuffer(json_values.dumps(table).encode(), np.uint8)
    with open(file, "wb") as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]


def _write_tensors(file: Path, table: dict[str, Any], members: dict[int, np.ndarray]) -> None:
    paths = {index: "/".join(str(key) for _, key in table["keys"][index]) or "model" for index in members}
    many = {path for path, times in Counter(paths.values()).items() if times > 1}  # a step may have a slash in it
    names = {index: f"{path}#{index}" if path in many else path for index, path in paths.items()}
    arrays = {}
    for index, array in members.items():
        known = array.dtype.name == "bfloat16"
        stored = array if known else _storable(array)
        arrays[names[index]] = np.ascontiguousarray(stored).reshape(array.shape)
    tensors_file.write(file, arrays, table | {"names": {f"{index}": name for index, name in names.items()}})


def read(file: str | os.PathLike[str], like: Any = None) -> Any:
    """Returns the tree, bit for bit: in the structure and with the leaf types of `like`, or as dictionaries, lists
    and NumPy arrays without it, whose leaves come in the same order.

    Raises `WrongModel`, naming paths, if `like` has other leaves, and `DamagedFile` for a file that is not whole.
    """
    table, members = _contents(file)
    leaves = [_leaf(index, row, table, members) for index, row in enumerate(table["leaves"])]
    if like is None:
        return _nested(table["keys"], leaves)
    stored = [arrays.Row(path, tuple(shape), dtype) for path, shape, dtype in table["leaves"]]
    flat = _flat(like)
    wanted = _rows(flat)
    wrong = arrays.differences(stored, wanted)
    if wrong:
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise WrongModel(f"{os.fspath(file)} is of another model: {'; '.join(wrong[:_SHOWN])}{more}.")
    by_path = {row.path: leaf for row, leaf in zip(stored, leaves, strict=True)}
    structure = jax.tree_util.tree_structure(like, is_leaf=_is_leaf)
    return jax.tree_util.tree_unflatten(
        structure,
        [_like(leaf, by_path[row.path], row.path) for row, (_, leaf) in zip(wanted, flat, strict=True)],
    )


def _contents(file: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The table, and the arrays by the numbers of their rows."""
    try:
        if tensors_file.is_one(file):
            arrays, table = tensors_file.read(file)
            members = {f"{int(index):04d}": arrays[name] for index, name in table["names"].items()}
        else:
            with open(file, "rb") as stream, np.load(stream, allow_pickle=False) as stored:
                members = {name: stored[name] for name in stored.files}
            table = json_values.loads(members.pop("table").tobytes())
        if table["format"] != FORMAT:
            raise DamagedFile(f"{os.fspath(file)} was written by a newer version: update analogjax to read it.")
        return table, members
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise DamagedFile(
            f"{os.fspath(file)} is damaged or not a checkpoint of this library ({error}): restore it from a copy."
        ) from error


def _leaf(index: int, row: list[Any], table: dict[str, Any], members: dict[str, np.ndarray]) -> Any:
    path, shape, dtype = row
    if f"{index}" in table["values"]:
        return table["values"][f"{index}"]
    try:
        array = members[f"{index:04d}"]
        if f"{index}" in table["generators"]:
            generator = _generator(table["generators"][f"{index}"], path)
            return jax.random.wrap_key_data(jax.numpy.asarray(array), impl=generator)
        return array.view(jax.numpy.dtype(dtype)).reshape(shape)
    except (KeyError, ValueError, TypeError) as error:
        raise DamagedFile(f"The checkpoint's array of {path} does not fit its table ({error}): restore it.") from error


def _flat(tree: Any) -> list[tuple[Any, Any]]:
    return jax.tree_util.tree_flatten_with_path(tree, is_leaf=_is_leaf)[0]


def _rows(flat: list[tuple[Any, Any]]) -> list[arrays.Row]:
    return arrays.table([(path, leaf if _is_described(leaf) else None) for path, leaf in flat])


def _is_leaf(node: Any) -> bool:
    """`None` and empty containers are leaves too, so that they come back."""
    return node is None or (isinstance(node, (dict, list, tuple)) and not node)


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, (jax.Array, np.ndarray, np.generic))


def _is_described(leaf: Any) -> bool:
    return _is_array(leaf) or isinstance(leaf, jax.ShapeDtypeStruct)


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _impl(key: jax.Array) -> str:
    return str(jax.random.key_impl(key))


def _generator(name: str, where: str) -> Any:
    """What JAX takes as the generator of this name. Raises `TypeError` if there is none."""
    if name in _OURS:
        return _OURS[name]
    try:
        jax.random.key(0, impl=name)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"The key {where} is of the generator {name!r}, which cannot be found by its name: save its "
            "jax.random.key_data(key), and make the key again with jax.random.wrap_key_data."
        ) from error
    return name


def _storable(array: np.ndarray) -> np.ndarray:
    array = array.astype(array.dtype.newbyteorder("="), copy=False)  # the table does not record the byte order
    if type(array.dtype).__module__ == "numpy.dtypes":
        return array
    return np.ascontiguousarray(array).view(f"u{array.dtype.itemsize}").reshape(array.shape)


def _value(leaf: Any, path: str) -> Any:
    try:
        json_values.encode(leaf)
    except TypeError as error:
        raise TypeError(f"The leaf {path} of the model cannot be saved: {error}") from None
    return leaf


def _steps(path: Any) -> list[list[Any]]:
    return [_step(entry) for entry in path]


def _step(entry: Any) -> list[Any]:
    if isinstance(entry, jax.tree_util.SequenceKey):
        return ["index", entry.idx]
    if isinstance(entry, jax.tree_util.GetAttrKey):
        return ["key", entry.name]
    key = entry.key if isinstance(entry, (jax.tree_util.DictKey, jax.tree_util.FlattenedIndexKey)) else str(entry)
    return ["key", key if isinstance(key, (str, int)) else str(key)]


def _nested(paths: list[list[list[Any]]], leaves: list[Any]) -> Any:
    if len(paths) == 1 and not paths[0]:
        return leaves[0]
    tree: dict[Any, Any] = {}
    lists = set()
    for path, leaf in zip(paths, leaves, strict=True):
        node = tree
        for depth, (kind, key) in enumerate(path):
            if kind == "index":
                lists.add(json.dumps([step for step in path[:depth]]))
            node = node.setdefault(key, {}) if depth + 1 < len(path) else node
        node[path[-1][1]] = leaf
    return _with_lists(tree, lists, [])


def _with_lists(node: Any, lists: set[str], path: list[Any]) -> Any:
    if type(node) is not dict:
        return node
    is_list = json.dumps(path) in lists
    kind = "index" if is_list else "key"
    items = {key: _with_lists(item, lists, [*path, [kind, key]]) for key, item in node.items()}
    if is_list:
        return [items[index] for index in sorted(items)]
    # JAX flattens plain dictionaries in the order of their keys, and classes in the order of their fields
    try:
        in_order = list(items) == sorted(items)
    except TypeError:  # keys of several types
        in_order = False
    return items if in_order else OrderedDict(items)


def _like(leaf: Any, stored: Any, path: str) -> Any:
    if not _is_described(leaf):
        return leaf if _is_leaf(leaf) and leaf is not None else stored
    try:
        return arrays.as_in(leaf, np.asarray(jax.random.key_data(stored)) if _is_key(stored) else stored, path)
    except ValueError as error:
        raise WrongModel(str(error)) from None
