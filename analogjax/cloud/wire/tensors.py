"""Arrays and trained models as `TensorProto`s: names, shapes and values, exact to the bit."""

from __future__ import annotations

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


def tensor(messages: Any, name: str, array: Any) -> Any:
    """An `AttributeProto` with one array. Raises `DescriptionError` for a dtype that the protocol does not know."""
    values = np.asarray(array)
    if values.dtype.name not in _TYPES:
        raise DescriptionError(f"{name}: arrays of {values.dtype} can't travel; known are {', '.join(_TYPES)}.")
    number, field = _TYPES[values.dtype.name]
    made = messages.AttributeProto(name=name, type=messages.AttributeProto.TENSOR)
    made.t.dims.extend(values.shape)
    made.t.data_type = number
    numbers = values.astype(np.int32) if values.dtype == bool else values
    getattr(made.t, field).extend(numbers.ravel().tolist())
    return made


def array(attribute: Any) -> np.ndarray:
    """The array in an `AttributeProto`. Raises `DescriptionError` for a damaged one."""
    found = attribute.t
    dtype, field = _KINDS.get(found.data_type, ("", ""))
    values = getattr(found, field) if dtype else ()
    shape = tuple(found.dims)
    if not dtype or any(n < 0 for n in shape) or len(values) != int(np.prod(shape, dtype=np.int64)):
        raise DescriptionError(f"The tensor {attribute.name!r} is damaged.")
    return np.array(values, dtype).reshape(shape)


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
    """The variables that `weights_of` took apart. Raises `DescriptionError` where they are not of this model."""
    model = description.model()
    shapes = jax.eval_shape(lambda key: nn.init(model, description.sample(), key), jax.random.key(0))

    def fill(part: str, name: str, tree: Any) -> Any:
        arrays = weights[int(name.removeprefix("layers_"))]
        leaves = [_fitting(arrays, path, leaf) for path, leaf in _leaves(part, tree)]
        return jax.tree.unflatten(jax.tree.structure(tree), leaves)

    return nn.Variables(*(
        {name: fill(part, name, tree) for name, tree in getattr(shapes, part).items()} for part in ("params", "tiles")
    ))  # fmt: skip


def _leaves(part: str, tree: Any) -> list[tuple[str, Any]]:
    flat = jax.tree_util.tree_flatten_with_path(tree)[0]
    return [(f"{part}.{jax.tree_util.keystr(path, simple=True, separator='.')}", leaf) for path, leaf in flat]


def _fitting(arrays: Mapping[str, np.ndarray], path: str, like: Any) -> jax.Array:
    found = arrays.get(path)
    if found is None or found.shape != like.shape or found.dtype != like.dtype:
        shown = "nothing" if found is None else f"{found.dtype}{list(found.shape)}"
        raise DescriptionError(
            f"The weights are of another model: {path} is {shown}, not {like.dtype}{list(like.shape)}."
        )
    return jax.numpy.asarray(found)
