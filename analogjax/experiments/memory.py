"""How large the arrays of a computation are, found without computing or compiling it."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np


def largest_array(function: Callable[..., Any], *arguments: Any) -> int:
    """Bytes of the largest array that `function(*arguments)` makes on its way, at least 1."""
    return max([1, *_sizes(jax.make_jaxpr(function)(*arguments).jaxpr)])


def _sizes(jaxpr: Any) -> Iterator[int]:
    for equation in jaxpr.eqns:
        for made in equation.outvars:
            kind = made.aval
            if hasattr(kind, "shape") and isinstance(getattr(kind, "dtype", None), np.dtype):
                yield int(np.prod(kind.shape, dtype=np.int64)) * kind.dtype.itemsize
        for value in equation.params.values():
            for inner in value if isinstance(value, (tuple, list)) else (value,):
                inner = getattr(inner, "jaxpr", inner)
                if hasattr(inner, "eqns"):
                    yield from _sizes(inner)
