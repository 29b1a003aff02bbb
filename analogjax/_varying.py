"""For `jax.shard_map`: values vary over the mesh or do not, and loops must not mix the two kinds."""

from typing import Any, TypeVar

import jax
from jax import lax

_Tree = TypeVar("_Tree")


def varying_together(*trees: Any) -> Any:
    """Make every array vary over each axis of the mesh over which any of them varies.

    Loops over these values then see one kind only. Outside of `jax.shard_map` nothing changes.
    """
    return tuple(varying_like(tree, trees) for tree in trees)


def varies_like(tree: Any, reference: Any) -> bool:
    """Whether every array of `tree` varies over each axis of the mesh over which anything in `reference` varies."""
    axes = _all_axes(reference)
    return all(axes <= _axes(leaf) for leaf in jax.tree.leaves(tree))


def varying_like(tree: _Tree, reference: Any) -> _Tree:
    """`tree` with every array varying over each axis of the mesh over which anything in `reference` varies."""
    axes = _all_axes(reference)
    if not axes:
        return tree
    return jax.tree.map(lambda leaf: _cast(leaf, axes), tree)


def _all_axes(tree: Any) -> frozenset:
    return frozenset().union(*(_axes(leaf) for leaf in jax.tree.leaves(tree)))


def _axes(leaf: Any) -> frozenset:
    """The axes of the mesh over which a value varies; releases of JAX keep them under two names."""
    kind = jax.typeof(leaf)
    if hasattr(kind, "manual_axis_type"):
        return frozenset(kind.manual_axis_type.varying)
    return frozenset(getattr(kind, "vma", ()))


def _cast(leaf: Any, axes: frozenset) -> Any:
    missing = tuple(sorted(axes - _axes(leaf)))
    return lax.pcast(leaf, missing, to="varying") if missing else leaf
