"""A small cache of compiled functions: equal arguments return the same function object, so that JAX does not recompile.

JAX caches compilations by the identity of the function, not by what it computes.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")


def remembered(make: Callable[[Given], Made], size: int = 8) -> Callable[[Given], Made]:
    """Cache the last `size` results of `make`, by equality of its argument.

    An argument that can't be hashed, because it contains arrays, is not cached: each call makes a new result.
    """
    kept = lru_cache(maxsize=size)(make)

    def look_up(given: Given) -> Made:
        return kept(given) if _hashable(given) else make(given)

    return look_up


def _hashable(value: object) -> bool:
    try:
        hash(value)
    except TypeError:  # itself, or something inside it
        return False
    return True
