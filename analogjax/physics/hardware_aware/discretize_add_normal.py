r"""Weights rounded to a few levels, with Gaussian noise.

    modify(w) = a R(w / a; res) + std_dev a xi,    xi ~ N(0, 1) for each weight

It stands for levels that are written with noise. Reference: Rasch et al. 2023, doi:10.1038/s41467-023-40770-4.
"""

import jax

from analogjax._pytree import pytree
from analogjax._typing import Array, Key, Scalar
from analogjax.physics.checks import check_number
from analogjax.physics.hardware_aware.modifier import check_wmax, largest
from analogjax.physics.hardware_aware.rounding import to_levels
from analogjax.random import normal


@pytree
class DiscretizeAddNormal:
    """Rounds weights to a grid, then adds noise (aihwkit's `DISCRETIZE_ADD_NORMAL`).

    Raises:
        ConfigError: If a value is not a finite number, 0 or more.

    Example:
        >>> DiscretizeAddNormal(res=1 / 15, std_dev=0.05).modify(w, key)
    """

    res: Scalar
    """Step relative to the largest weight [1]; 0: none."""
    std_dev: Scalar
    """Standard deviation of the noise relative to the largest weight [1]."""
    sto_round: bool = False
    """Round stochastically."""
    assumed_wmax: Scalar | None = None
    """The largest weight [w]; None: the actual max|w|."""

    def __post_init__(self) -> None:
        check_number(self, "res", "std_dev", low=0)
        check_wmax(self)

    def modify(self, w: Array, key: Key) -> Array:
        """The rounded and noisy weights `[O, I]`. Consumes `key`."""
        k_round, k_noise = jax.random.split(key)
        a = largest(w, self.assumed_wmax)
        rounded = a * to_levels(w / a, self.res, k_round if self.sto_round else None)
        return rounded + self.std_dev * a * normal(k_noise, w.shape, w.dtype)
