r"""Weights rounded to a few levels.

    modify(w) = a R(w / a; res)    half away from zero, or stochastically

Reference: Bengio et al. 2013, arXiv:1308.3432 (straight-through rounding).
"""

from analogjax._pytree import pytree
from analogjax._typing import Array, Key, Scalar
from analogjax.physics.checks import check_number
from analogjax.physics.converters import quantise, step_of
from analogjax.physics.hardware_aware.modifier import check_wmax, largest
from analogjax.physics.hardware_aware.rounding import to_levels


@pytree
class Discretize:
    """Rounds weights to a grid (aihwkit's `DISCRETIZE`).

    Raises:
        ConfigError: If the step is not a finite number, 0 or more.

    Example:
        >>> Discretize(res=1 / 15).modify(w, key)
    """

    res: Scalar
    """Step relative to the largest weight [1]; 0: none."""
    sto_round: bool = False
    """Round stochastically."""
    assumed_wmax: Scalar | None = None
    """The largest weight [w]; None: the actual max|w|."""
    like_converters: bool = False
    """Round as DAC and ADC do: relative to the full range 2 a, half to even, a `res` above 1 counting the steps."""

    def __post_init__(self) -> None:
        check_number(self, "res", low=0)
        check_wmax(self)

    def modify(self, w: Array, key: Key) -> Array:
        """The rounded weights `[O, I]`. Random is the rounding, if stochastic; consumes `key`."""
        a, dither = largest(w, self.assumed_wmax), key if self.sto_round else None
        if self.like_converters:
            return quantise(w, step_of(self.res, a), dither)
        return a * to_levels(w / a, self.res, dither)
