r"""Hardware-aware training on chips that nobody has seen: each step programs the weights anew.

    W' = drift(program(W, k_program), t, k_drift)

As a weight modifier this is the noise of the material itself, with the drift of a given time, instead of a distribution
fitted to it. Reference: Joshi et al. 2020, doi:10.1038/s41467-020-16108-9.
"""

import jax

from analogjax._pytree import is_static, pytree
from analogjax._typing import Array, Key, Scalar
from analogjax.physics.checks import check
from analogjax.physics.inference.noise_model import NoiseModel
from analogjax.physics.inference.pcm import PCMLike


@pytree
class FreshChip:
    """Weight modifier: the weights of a chip of the material that was just programmed, at time `t`.

    Raises:
        ConfigError: If the noise model is none, or the time is negative.

    Example:
        >>> HardwareAware(modifier=FreshChip(noise_model=PCMLike()), fresh_chips=1)
    """

    noise_model: NoiseModel = PCMLike()
    """Material of the chips."""
    t: Scalar = 0.0
    """Time since programming [s]."""

    def __post_init__(self) -> None:
        check(self, isinstance(self.noise_model, NoiseModel), "noise_model", "needs a noise model, such as PCMLike().")
        check(self, not is_static(self.t) or bool(self.t >= 0), "t", "needs a time in seconds, 0 or more.")

    def modify(self, w: Array, key: Key) -> Array:
        """The weights `[O, I]` of a new chip [w]. Consumes `key`."""
        k_program, k_drift = jax.random.split(key)
        return self.noise_model.drift(self.noise_model.program(w, k_program), self.t, k_drift)
