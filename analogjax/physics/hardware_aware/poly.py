r"""Gaussian noise whose strength is a polynomial in the size of a weight.

    modify(w) = w + a std_dev (c_0 + c_1 h + c_2 h^2 + ...) xi,    h = |w| / a,    xi ~ N(0, 1) for each weight

By default the polynomial is the programming noise of phase-change memory, relative to its largest conductance.

Reference: Joshi et al. 2020, doi:10.1038/s41467-020-16108-9 (coefficients).
"""

import jax.numpy as jnp

from analogjax._pytree import pytree
from analogjax._typing import Array, Key, Scalar
from analogjax.physics.checks import check_number, check_numbers
from analogjax.physics.hardware_aware.modifier import check_wmax, largest
from analogjax.physics.inference.power_law import polynomial
from analogjax.random import normal


@pytree
class Poly:
    """Noise that depends on the size of a weight (aihwkit's `POLY`); weights may change their sign.

    Raises:
        ConfigError: If a value is not a finite number, or is negative where it must not be.

    Example:
        >>> Poly(std_dev=1.0, coeffs=(0.01, 0.05)).modify(w, key)
    """

    std_dev: Scalar = 1.0
    """Factor of the noise [1]."""
    coeffs: tuple[float, ...] | Array = (0.0105392, 0.0768, -0.046925)
    """Coefficients of the noise relative to the largest weight, lowest order first [1]."""
    assumed_wmax: Scalar | None = None
    """The largest weight [w]; None: the actual max|w|."""

    def __post_init__(self) -> None:
        check_number(self, "std_dev", low=0)
        check_numbers(self, "coeffs")
        check_wmax(self)

    def modify(self, w: Array, key: Key) -> Array:
        """The noisy weights `[O, I]`. Consumes `key`."""
        a = largest(w, self.assumed_wmax)
        return w + a * self.std_dev * polynomial(self.coeffs, jnp.abs(w) / a) * normal(key, w.shape, w.dtype)
