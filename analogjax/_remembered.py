"""Things made from equal descriptions, made once: JAX looks a compilation up by the function, not by what it does."""

from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")


def remembered(make: Callable[[Given], Made], size: int = 8) -> Callable[[Given], Made]:
    """`make`, which gives the same thing again for an argument that equals one of the last `size`.

    An argument that can't be hashed, because it holds arrays, can't be looked up: for it a new thing is made each time.
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
