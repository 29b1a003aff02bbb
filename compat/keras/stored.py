"""The arrays of a pytree as variables of a Keras layer, so that Keras saves, loads and counts them."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.tree_util import tree_flatten_with_path

from analogjax._typing import Array, PyTree

Path = tuple[Any, ...]


class Stored:
    """One variable for each array of a pytree.

    Args:
        layer: The layer that gets the variables.
        name: How their names start.
        tree: The pytree, of concrete arrays.
        options: What `layer.add_weight` is told about the array at a path; trainable ones are kept as floats.
    """

    def __init__(self, layer: Any, name: str, tree: PyTree, options: Callable[[Path], dict[str, Any]]) -> None:
        flat, self._structure = tree_flatten_with_path(tree)
        self.paths = [path for path, _ in flat]
        self._dtypes = [leaf.dtype for _, leaf in flat]
        self.variables = [
            _variable(layer, f"{name}_{_named(path)}", leaf, options(path)) for path, leaf in flat
        ]  # fmt: skip

    def values(self) -> list[Array]:
        """The values of the variables."""
        return [variable.value for variable in self.variables]

    def tree(self, values: list[Array] | None = None) -> PyTree:
        """The pytree of these values, by default those of the variables."""
        values = self.values() if values is None else values
        leaves = [from_float(value, dtype) for value, dtype in zip(values, self._dtypes, strict=True)]
        return jax.tree.unflatten(self._structure, leaves)

    def values_of(self, tree: PyTree) -> list[Array]:
        """The values that the variables have for a pytree of the same structure."""
        leaves = jax.tree.leaves(tree)
        like = [variable.dtype for variable in self.variables]
        return [leaf if str(leaf.dtype) == dtype else to_float(leaf) for leaf, dtype in zip(leaves, like, strict=True)]


def to_float(value: Array) -> Array:
    """Whole numbers and bools as float32, exactly: in two halves `[..., 2]`, because floats have no 32 digits."""
    if jnp.issubdtype(value.dtype, jnp.bool_):
        return value.astype(jnp.float32)
    whole = value.astype(jnp.int32)
    return jnp.stack([whole >> 16, whole & 0xFFFF], -1).astype(jnp.float32)


def from_float(value: Array, dtype: Any) -> Array:
    """The array of which `to_float` made `value`; one of that dtype is returned as it is."""
    if value.dtype == dtype:
        return value
    if jnp.issubdtype(dtype, jnp.bool_):
        return value > 0.5
    high, low = value[..., 0].astype(jnp.int32), value[..., 1].astype(jnp.int32)
    return ((high << 16) | low).astype(dtype)


def _variable(layer: Any, name: str, leaf: Array, options: dict[str, Any]) -> Any:
    if options.get("trainable", False) and not jnp.issubdtype(leaf.dtype, jnp.floating):
        leaf = to_float(leaf)  # only floats have gradients
    # Keras hands its variables over to compiled steps, each of which needs memory of its own
    return layer.add_weight(
        shape=leaf.shape, dtype=str(leaf.dtype), initializer=lambda shape, dtype=None: leaf.copy(), name=name,
        autocast=False, **{"trainable": False, **options},
    )  # fmt: skip


def _named(path: Path) -> str:
    return "_".join(str(getattr(part, "name", getattr(part, "key", getattr(part, "idx", part)))) for part in path)
