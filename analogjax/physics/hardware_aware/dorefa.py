r"""The weights of DoReFa networks: squashed, then rounded.

    modify(w) = R(tanh(w) |dorefa_clip / tanh(a)|; res)

Reference: Zhou et al. 2016, arXiv:1606.06160.
"""

import jax.numpy as jnp

from analogjax._pytree import pytree
from analogjax._typing import Array, Key, Scalar
from analogjax.physics.checks import check_number
from analogjax.physics.hardware_aware.modifier import check_wmax, largest
from analogjax.physics.hardware_aware.rounding import to_levels


@pytree
class Dorefa:
    """Squashes weights into `+-dorefa_clip` and rounds them (aihwkit's `DOREFA`); the result is not near `w`.

    Raises:
        ConfigError: If a value is not a finite number, or the step or the largest weight is negative.

    Example:
        >>> Dorefa(res=0.05).modify(w, key)
    """

    res: Scalar
    """Step [w]; 0: weights stay as they are."""
    dorefa_clip: Scalar = 0.6
    """Magnitude that the largest weight gets [w]."""
    sto_round: bool = False
    """Round stochastically."""
    assumed_wmax: Scalar | None = None
    """The largest weight [w]; None: the actual max|w|."""

    def __post_init__(self) -> None:
        check_number(self, "res", low=0)
        check_number(self, "dorefa_clip")
        check_wmax(self)

    def modify(self, w: Array, key: Key) -> Array:
        """The squashed and rounded weights `[O, I]`. Random is the rounding, if stochastic; consumes `key`."""
        squashed = jnp.tanh(w) * jnp.abs(self.dorefa_clip / jnp.tanh(largest(w, self.assumed_wmax)))
        rounded = to_levels(squashed, self.res, key if self.sto_round else None)
        return jnp.where(jnp.asarray(self.res) > 0, rounded, w)
