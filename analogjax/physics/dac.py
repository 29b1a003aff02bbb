r"""The digital-to-analog converter (DAC) at each input of a crossbar.

    u = clip(q(x, r), +-bound) + noise xi,    negative u times (1 - asymmetry),    r = 2 res bound

`q(x, r)` rounds to the grid `r` (half to even, or stochastically); `xi` is a standard normal for each element, drawn at
each read. Letters: `B` batch, `I` inputs. Units: [x] normalised input, [1] relative.

Reference: Rasch et al. 2021, doi:10.1109/AICAS51828.2021.9458494.
"""

import jax.numpy as jnp

from analogjax._pytree import is_off, pytree
from analogjax._typing import Array, Key, Scalar
from analogjax.physics.checks import check_flags, check_number
from analogjax.physics.converters import clip, quantise, step_of
from analogjax.random import normal


@pytree
class DAC:
    """Digital-to-analog converter, with the noise behind it.

    Raises:
        ConfigError: If a value is not a finite number, or a noise is negative.
    """

    bound: Scalar = 1.0
    """The signal is clipped to +-bound [x]; 0 or less: not at all. Must be 1 with noise management."""
    res: Scalar = 1 / (2**7 - 2)
    """Step relative to the full range 2 bound [1]; above 1: number of steps; 0 or less: ideal."""
    sto_round: bool = False
    """Round stochastically instead of half to even."""
    noise: Scalar = 0.0
    """Standard deviation of the noise behind the converter [x]."""
    asymmetry: Scalar = 0.0
    """Gain that negative signals lose [1]."""
    max_res: Scalar = 0.25
    """Coarsest step relative to a signal to which managements may reduce that signal [1]."""

    def __post_init__(self) -> None:
        check_flags(self)
        check_number(self, "noise", low=0)
        check_number(self, "bound", "res", "asymmetry", "max_res")

    @property
    def reduction(self) -> Array:
        """Factor by which a signal may be divided before the steps are too coarse for it [1]."""
        step = jnp.asarray(step_of(self.res, self.bound))
        return jnp.where(step > 0, self.max_res / jnp.where(step > 0, step, 1.0), jnp.inf)

    def convert(self, u: Array, k_round: Key, k_noise: Key) -> Array:
        """Signals `[B, I]` at the crossbar for scaled inputs `u` `[B, I]`. Consumes both keys."""
        u = quantise(u, step_of(self.res, self.bound), k_round if self.sto_round else None)
        u = clip(u, self.bound)
        if not is_off(self.noise):
            u = u + self.noise * normal(k_noise, u.shape, u.dtype)
        return u if is_off(self.asymmetry) else jnp.where(u < 0, u * (1 - self.asymmetry), u)
