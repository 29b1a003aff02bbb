"""Arrays and trained models as `TensorProto`s: names, shapes and values, bit for bit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from analogjax import nn
from analogjax.cloud.description import Described
from analogjax.cloud.errors import DescriptionError

# dtype -> (number of the data type, field that holds the values)
_TYPES = {
    "float32": (1, "float_data"), "uint8": (2, "int32_data"), "int8": (3, "int32_data"), "uint16": (4, "int32_data"),
    "int16": (5, "int32_data"), "int32": (6, "int32_data"), "int64": (7, "int64_data"), "bool": (9, "int32_data"),
}  # fmt: skip
_KINDS = {number: (dtype, field) for dtype, (number, field) in _TYPES.items()}
_FIELDS = ("float_data", "int32_data", "int64_data", "string_data")
_MOST_DIMS, _MOST_VALUES = 16, 1 << 40
_PARTS = ("params", "tiles")
_LOGICAL = ("weight", "bias")  # of each layer, for readers; they follow from the rest


def tensor(messages: Any, name: str, array: Any) -> Any:
    """An `AttributeProto` with one array. Raises `DescriptionError` for a dtype unknown to the protocol."""
    values = np.asarray(array)
    if values.dtype.name not in _TYPES:
        raise DescriptionError(f"{name}: arrays of {values.dtype} can't be sent; known are {', '.join(_TYPES)}.")
    number, field = _TYPES[values.dtype.name]
    made = messages.AttributeProto(name=name, type=messages.AttributeProto.TENSOR)
    made.t.dims.extend(values.shape)
    made.t.data_type = number
    numbers = values.astype(np.int32) if values.dtype == bool else values
    getattr(made.t, field).extend(numbers.ravel().tolist())
    return made


def array(attribute: Any) -> np.ndarray:
    """The array in an `AttributeProto`. Raises `DescriptionError` for a damaged one."""
    found, name = attribute.t, attribute.name
    if found.data_type not in _KINDS:
        raise _damaged(name, f"its data type {found.data_type} is not one of {', '.join(_TYPES)}")
    dtype, field = _KINDS[found.data_type]
    for other in _FIELDS:
        if other != field and len(getattr(found, other)):
            raise _damaged(name, f"an array of {dtype} has its values in {field}, not in {other}")
    values, shape = getattr(found, field), _shape(found.dims, name)
    if len(values) != math.prod(shape):
        raise _damaged(name, f"its shape is {list(shape)}, and it has {len(values)} values")
    return _of_dtype(values, dtype, name).reshape(shape)


def _shape(dims: Sequence[int], name: str) -> tuple[int, ...]:
    """Dimensions that an array can have, whatever numpy would make of others."""
    if len(dims) > _MOST_DIMS:
        raise _damaged(name, f"it has {len(dims)} dimensions; at most {_MOST_DIMS} are known")
    if any(n < 0 for n in dims) or math.prod(max(n, 1) for n in dims) > _MOST_VALUES:
        raise _damaged(name, f"its shape is {list(dims)}")
    return tuple(dims)


def _of_dtype(values: Any, dtype: str, name: str) -> np.ndarray:
    """The values in their declared dtype, provided that this changes none of them."""
    if dtype == "float32":
        return np.array(values, np.float32)
    wide = np.array(values, np.int64)
    low, high = (0, 1) if dtype == "bool" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    if wide.size and not low <= wide.min() <= wide.max() <= high:
        raise _damaged(name, f"it has values from {wide.min()} to {wide.max()}; those of {dtype} are {low} to {high}")
    return wide.astype(dtype)


def _damaged(name: str, why: str) -> DescriptionError:
    return DescriptionError(f"The tensor {name[:60]!r} is damaged: {why}.")


def weights_of(description: Described, variables: nn.Variables) -> list[dict[str, np.ndarray]]:
    """For each layer: the logical `weight` (and `bias`), then every leaf of its parameters and chips by its path."""
    return [_layer_weights(variables, f"layers_{n}") for n, _ in enumerate(description.layers)]


def _layer_weights(variables: nn.Variables, name: str) -> dict[str, np.ndarray]:
    params, chips = variables.params.get(name, {}), variables.tiles.get(name, {})
    found = {}
    if "tile" in chips:
        found["weight"] = np.asarray(chips["tile"].read())
    elif "kernel" in params:
        found["weight"] = np.asarray(params["kernel"]).T
    if "bias" in params:
        found["bias"] = np.asarray(params["bias"])
    for part, tree in (("params", params), ("tiles", chips)):
        found |= {path: np.asarray(leaf) for path, leaf in _leaves(part, tree)}
    return found


def variables_of(description: Described, weights: Sequence[Mapping[str, np.ndarray]]) -> nn.Variables:
    """Reassemble the variables from the result of `weights_of`. Raises `DescriptionError` if they belong to another
    model.
    """
    shapes = _shapes(description)
    _check_names(shapes, description, weights)

    def fill(part: str, name: str, tree: Any) -> Any:
        arrays = weights[_number(name)]
        leaves = [jax.numpy.asarray(_fitting(arrays, path, leaf)) for path, leaf in _leaves(part, tree)]
        return jax.tree.unflatten(jax.tree.structure(tree), leaves)

    return nn.Variables(*(
        {name: fill(part, name, tree) for name, tree in getattr(shapes, part).items()} for part in _PARTS
    ))  # fmt: skip


def check_weights(description: Described, weights: Sequence[Mapping[str, np.ndarray]]) -> None:
    """Raise `DescriptionError` if they belong to another model, or contain numbers that are no valid weights.

    Does not touch an accelerator, which the service may share with its workers.
    """
    shapes = _shapes(description)
    _check_names(shapes, description, weights)
    for part in _PARTS:
        for name, tree in getattr(shapes, part).items():
            for path, leaf in _leaves(part, tree):
                found = _fitting(weights[_number(name)], path, leaf)
                if found.dtype.kind == "f" and not np.isfinite(found).all():
                    raise DescriptionError(f"The weights hold NaN or infinity: {path} of layers[{_number(name)}].")


def _shapes(description: Described) -> nn.Variables:
    """The variables of the model, their shapes and dtypes only."""

    def made(seed: Any) -> nn.Variables:
        return nn.init(description.model(), description.sample(), jax.random.key(seed))

    return jax.eval_shape(made, jax.ShapeDtypeStruct((), np.uint32))


def _check_names(shapes: nn.Variables, description: Described, weights: Sequence[Mapping[str, np.ndarray]]) -> None:
    if len(weights) != len(description.layers):
        raise DescriptionError(
            f"The weights are of another model: they have {len(weights)} layers, not {len(description.layers)}."
        )
    known = {(n, name) for n in range(len(weights)) for name in _LOGICAL}
    for part in _PARTS:
        for name, tree in getattr(shapes, part).items():
            known |= {(_number(name), path) for path, _ in _leaves(part, tree)}
    for n, arrays in enumerate(weights):
        for name in arrays:
            if (n, name) not in known:
                raise DescriptionError(f"The weights are of another model: layers[{n}] has no {name[:60]!r}.")


def _number(name: str) -> int:
    return int(name.removeprefix("layers_"))


def _leaves(part: str, tree: Any) -> list[tuple[str, Any]]:
    flat = jax.tree_util.tree_flatten_with_path(tree)[0]
    return [(f"{part}.{jax.tree_util.keystr(path, simple=True, separator='.')}", leaf) for path, leaf in flat]


def _fitting(arrays: Mapping[str, np.ndarray], path: str, like: Any) -> np.ndarray:
    found = arrays.get(path)
    if found is None or found.shape != like.shape or found.dtype != like.dtype:
        shown = "nothing" if found is None else f"{found.dtype}{list(found.shape)}"
        raise DescriptionError(
            f"The weights are of another model: {path} is {shown}, not {like.dtype}{list(like.shape)}."
        )
    return found
