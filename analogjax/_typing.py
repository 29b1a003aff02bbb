"""Every type alias of the library."""

from typing import Any, TypeAlias

import jax
import numpy as np

Array: TypeAlias = jax.Array
Key: TypeAlias = jax.Array  # a typed key: jax.random.key(seed) or analogjax.random.key(seed)
Scalar: TypeAlias = float | jax.Array  # a Python number is compiled in, an array is traced
DType: TypeAlias = np.dtype | type[np.generic] | str
Shape: TypeAlias = tuple[int, ...]
PyTree: TypeAlias = Any
