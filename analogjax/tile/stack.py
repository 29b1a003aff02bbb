"""Stacks of chips: apply to each chip what is defined for one."""

from collections.abc import Callable
from typing import Any

import jax

from analogjax._typing import Key, PyTree


def over_stack(act: Callable[..., Any], stack: tuple[int, ...], data: tuple[Any, ...], key: Key) -> Any:
    """Call `act(*data, key)` for each chip of a stack, with a key of its own. Consumes `key`.

    Every array of `data` has the axes of `stack` in front; for one chip, `()`, there are none.
    """
    if not stack:
        return act(*data, key)
    depth = len(stack)
    flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[depth:]), (data, jax.random.split(key, stack)))
    done = jax.vmap(lambda data, key: act(*data, key))(*flat)
    return jax.tree.map(lambda leaf: leaf.reshape(*stack, *leaf.shape[1:]), done)


def over_model(act: Callable[[Any, Key], Any], tree: PyTree, kinds: Any, key: Key) -> PyTree:
    """Call `act(node, key)` for every node of the given kinds in a tree; node number `n` uses `fold_in(key, n)`."""
    flat, treedef = jax.tree.flatten(tree, is_leaf=lambda node: isinstance(node, kinds))
    return jax.tree.unflatten(treedef, [act(node, jax.random.fold_in(key, n)) for n, node in enumerate(flat)])
