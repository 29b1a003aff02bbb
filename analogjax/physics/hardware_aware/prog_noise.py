r"""Programming noise of a pair of devices: as `Poly`, but a weight keeps its sign.

    modify(w) = sign(w) |w + a (std_dev / g_max) (c_0 + c_1 h + c_2 h^2 + ...) xi|,    h = |w| / a

`xi ~ N(0, 1)` for each weight; sign(0) is 1: only one device of a pair is programmed, and what noise takes below zero
is reflected.

Reference: Joshi et al. 2020, doi:10.1038/s41467-020-16108-9 (coefficients).
"""

import jax.numpy as jnp

from analogjax._pytree import is_static, pytree
from analogjax._typing import Array, Key, Scalar
from analogjax.physics.checks import check, check_number, check_numbers
from analogjax.physics.hardware_aware.modifier import check_wmax, largest
from analogjax.physics.inference.power_law import polynomial
from analogjax.random import normal


@pytree
class ProgNoise:
    """Noise that depends on the size of a weight, and leaves its sign (aihwkit's `PROG_NOISE`).

    Raises:
        ConfigError: If a value is not a finite number, or is negative or 0 where it must not be.

    Example:
        >>> ProgNoise(std_dev=1.0).modify(w, key)
    """

    std_dev: Scalar = 1.0
    """Factor of the noise [1]."""
    coeffs: tuple[float, ...] | Array = (0.26348, 1.9650, -1.1731)
    """Coefficients of the noise, lowest order first [uS]."""
    g_max: Scalar = 25.0
    """Conductance of the largest weight [uS]."""
    assumed_wmax: Scalar | None = None
    """The largest weight [w]; None: the actual max|w|."""

    def __post_init__(self) -> None:
        check_number(self, "std_dev", low=0)
        check_number(self, "g_max")
        check(self, not is_static(self.g_max) or bool(self.g_max > 0), "g_max", "needs a conductance above 0 [uS].")
        check_numbers(self, "coeffs")
        check_wmax(self)

    def modify(self, w: Array, key: Key) -> Array:
        """The noisy weights `[O, I]`, each with its own sign. Consumes `key`."""
        a = largest(w, self.assumed_wmax)
        noise = a * (self.std_dev / self.g_max) * polynomial(self.coeffs, jnp.abs(w) / a)
        return jnp.where(w < 0, -1, 1) * jnp.abs(w + noise * normal(key, w.shape, w.dtype))
