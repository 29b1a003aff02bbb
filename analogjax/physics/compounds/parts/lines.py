"""Lines of a crossbar: taking one out, putting it back, and visiting all at once. Axis -1 counts columns, -2 rows."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from analogjax._typing import Array, Key


def take(tree: Any, line: Array, axis: int) -> Any:
    """Line number `line` of every array of a tree that has rows and columns: axis -1 a column, -2 a row."""
    return jax.tree.map(lambda leaf: lax.dynamic_slice_in_dim(leaf, line, 1, axis) if leaf.ndim > 1 else leaf, tree)


def put(tree: Any, piece: Any, line: Array, axis: int) -> Any:
    """Put `piece` back where `take` took it from; leaves without lines come from the piece."""
    return jax.tree.map(
        lambda leaf, new: lax.dynamic_update_slice_in_dim(leaf, new, line, axis) if leaf.ndim > 1 else new, tree, piece
    )


def each_line(visit: Callable[..., Any], cells: Any, state: Any, values: Array, axis: int, key: Key) -> Any:
    """Call `visit(cells, state, value, key) -> state` for every row (`axis` 0) or column (1) at once; they share no
    device.

    Leaves without rows and columns are the same for all lines. Consumes `key`.
    """
    leaves, structure = jax.tree.flatten(state)
    axes = [axis if leaf.ndim > 1 else None for leaf in leaves]

    def one(cells: Any, leaves: list[Array], value: Array, key: Key) -> list[Array]:
        own = jax.tree.map(lambda cell: jnp.expand_dims(cell, axis), cells)
        whole = [leaf if at is None else jnp.expand_dims(leaf, axis) for leaf, at in zip(leaves, axes, strict=True)]
        new = jax.tree.leaves(visit(own, jax.tree.unflatten(structure, whole), value, key))
        return [leaf if at is None else jnp.squeeze(leaf, axis) for leaf, at in zip(new, axes, strict=True)]

    keys = jax.random.split(key, values.shape[axis])
    done = jax.vmap(one, in_axes=(axis, axes, axis, 0), out_axes=axes)(cells, leaves, values, keys)
    return jax.tree.unflatten(structure, done)
