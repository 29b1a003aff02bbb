"""Stacks of chips: apply to each chip what is defined for one."""

from collections.abc import Callable
from typing import Any

import jax

from analogjax._typing import Key


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
