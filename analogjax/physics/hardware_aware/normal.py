r"""Gaussian noise on weights.

    AddNormal     modify(w) = w + std_dev a xi
    MultNormal    modify(w) = w (1 + std_dev a xi),    xi ~ N(0, 1) for each weight

Reference: Joshi et al. 2020, doi:10.1038/s41467-020-16108-9 (additive noise in training).
"""

from analogjax._pytree import pytree
from analogjax._typing import Array, Key, Scalar
from analogjax.physics.checks import check_number
from analogjax.physics.hardware_aware.modifier import check_wmax, largest
from analogjax.random import normal


@pytree
class AddNormal:
    """The same noise on every weight (aihwkit's `ADD_NORMAL`).

    Raises:
        ConfigError: If a value is not a finite number, 0 or more.

    Example:
        >>> AddNormal(std_dev=0.1).modify(w, key)
    """

    std_dev: Scalar
    """Standard deviation relative to the largest weight [1]."""
    assumed_wmax: Scalar | None = None
    """The largest weight [w]; None: the actual max|w|."""

    def __post_init__(self) -> None:
        check_number(self, "std_dev", low=0)
        check_wmax(self)

    def modify(self, w: Array, key: Key) -> Array:
        """The noisy weights `[O, I]`. Consumes `key`."""
        return w + self.std_dev * largest(w, self.assumed_wmax) * normal(key, w.shape, w.dtype)


@pytree
class MultNormal:
    """Noise in proportion to each weight (aihwkit's `MULT_NORMAL`).

    As in aihwkit's C++ code, it scales with the largest weight too: give `assumed_wmax=1` for a relative noise of
    `std_dev`, as of its torch tile.

    Raises:
        ConfigError: If a value is not a finite number, 0 or more.

    Example:
        >>> MultNormal(std_dev=0.1, assumed_wmax=1.0).modify(w, key)
    """

    std_dev: Scalar
    """Standard deviation relative to the weight, where the largest weight is 1 [1/w]."""
    assumed_wmax: Scalar | None = None
    """The largest weight [w]; None: the actual max|w|."""

    def __post_init__(self) -> None:
        check_number(self, "std_dev", low=0)
        check_wmax(self)

    def modify(self, w: Array, key: Key) -> Array:
        """The noisy weights `[O, I]`. Consumes `key`."""
        return w * (1 + self.std_dev * largest(w, self.assumed_wmax) * normal(key, w.shape, w.dtype))
