r"""The `WeightModifier` protocol: weights are disturbed while a network is trained, so that it learns to bear it.

    y = V(modify(w) x),    dL/dw = dL/d modify(w)

A forward pass reads the disturbed copy, and the gradient is given to the weights themselves (straight-through), which
is the business of the caller. `a` is the largest magnitude of the weights `[O, I]`, or the one that is assumed.

Reference: Joshi et al. 2020, doi:10.1038/s41467-020-16108-9 (noise in training); Rasch et al. 2023,
doi:10.1038/s41467-023-40770-4 (hardware-aware training).
"""

from typing import Any, Protocol, runtime_checkable

import jax.numpy as jnp

from analogjax._typing import Array, Key, Scalar
from analogjax.physics.checks import check_number


@runtime_checkable
class WeightModifier(Protocol):
    """Protocol of a disturbance. Every modifier is a `@pytree`: plain numbers are compiled in, arrays are traced.

    Example:
        >>> @pytree
        ... class Halved:
        ...     def modify(self, w, key):
        ...         return w / 2
    """

    def modify(self, w: Array, key: Key) -> Array:
        """Return a disturbed copy of weights.

        Args:
            w: Weights `[O, I]`, in units of the device [w].
            key: Consumed. Random is the disturbance, if it is.

        Returns:
            What a forward read sees `[O, I]` [w].
        """
        ...


def largest(w: Array, assumed_wmax: Scalar | None) -> Array:
    """`a`: `assumed_wmax`, or max|w| where that is `None`; 1 where either is 0."""
    a = jnp.max(jnp.abs(w)) if assumed_wmax is None else jnp.asarray(assumed_wmax, w.dtype)
    return jnp.where(a > 0, a, jnp.ones_like(a))


def check_wmax(modifier: Any) -> None:
    """Check the field `assumed_wmax` of a modifier. Raises `ConfigError`."""
    if modifier.assumed_wmax is not None:
        check_number(modifier, "assumed_wmax", low=0)
