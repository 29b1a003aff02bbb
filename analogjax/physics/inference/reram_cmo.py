r"""ReRAM with a conductive metal oxide (CMO/HfOx): hardly any programming noise, a relaxation, and 1/f read noise.

For each conductance [uS], `t` in [s]:

    write   g_p = g + prog_noise_scale (c_0 + c_1 g) xi
    read    g_d = g_p + drift_scale (m ln t + (a ln t + b) xi)                                   t > 0
            g   = clip(g_d + read_noise_scale K log10(g_d) sqrt(ln((t + t_read) / (2 t_read))) xi, g_min, g_max)

At t = 0 a read sees what was programmed. Writing is that of a program-and-verify loop, whose acceptance range decides
about `c_0` and `c_1`. Reference: Falcone et al. 2025, arXiv:2502.04524; the numbers are those of aihwkit 1.2.0.
"""

import jax
import jax.numpy as jnp

from analogjax._pytree import pytree
from analogjax._typing import Array, Key, PyTree, Scalar
from analogjax.physics.checks import check, check_number
from analogjax.physics.inference.converters import Converter, SingleDevice
from analogjax.physics.inference.material import Material
from analogjax.physics.inference.power_law import check_times, flicker, is_polynomial, polynomial
from analogjax.random import normal

_LEAST = 1e-7  # of a time [s] or a conductance [uS], before its logarithm


@pytree
class ReRAMCMO(Material):
    """CMO/HfOx ReRAM (aihwkit's `ReRamCMONoiseModel`). Raises `ConfigError` for invalid values."""

    g_converter: Converter = SingleDevice()
    """How weights are held by conductances; reads never leave its range."""
    prog_coeff: tuple[float, ...] | Array = (0.00081107, 0.00106879)
    """Standard deviation of writing, a polynomial in the conductance [uS], lowest order first [uS]. By default that of
    an acceptance range of 0.2 %; that of 2 % is (0.0112185391, 0.01129027418)."""
    prog_noise_scale: Scalar = 1.0
    """Factor of the programming noise [1]."""
    read_noise_scale: Scalar = 1.0
    """Factor of the read noise [1]."""
    drift_scale: Scalar = 1.0
    """Factor of the relaxation [1]."""
    decay_mean: Scalar = -0.08900206
    """Shift of the conductance per unit of ln t, `m` [uS]."""
    decay_std_slope: Scalar = 0.04201137
    """Growth of the spread of the shift per unit of ln t, `a` [uS]."""
    decay_std: Scalar = 0.41183342
    """Spread of the shift after 1 s, `b` [uS]."""
    read_coeff: Scalar = 0.0277316483
    """Read noise per decade of conductance, `K` [uS]."""
    t_read: Scalar = 1e-6
    """Duration of one read [s]."""
    keeps_conductances: bool = False
    """Whether drift starts from the programmed conductances; False: from those of the programmed weights."""

    def __post_init__(self) -> None:
        check_number(self, "prog_noise_scale", "read_noise_scale", "drift_scale", low=0)
        check_number(self, "decay_mean", "decay_std_slope", "decay_std", "read_coeff")
        check_times(self, "t_read")
        remedy = "needs a tuple of numbers (c_0, c_1, ...), ascending in g [uS]."
        check(self, is_polynomial(self.prog_coeff), "prog_coeff", remedy)

    @property
    def converter(self) -> Converter:  # type: ignore[override]
        """The converter between weights and conductances."""
        return self.g_converter

    def write(self, g: Array, key: Key) -> Array:
        return g + self.prog_noise_scale * polynomial(self.prog_coeff, g) * normal(key, g.shape, g.dtype)

    def read(self, g: Array, memory: PyTree, t: Scalar, key: Key) -> Array:
        k_shift, k_read = jax.random.split(key)
        log = jnp.log(jnp.maximum(t, _LEAST))
        spread = self.decay_std_slope * log + self.decay_std
        shift = self.decay_mean * log + spread * normal(k_shift, g.shape, g.dtype)
        now = g + self.drift_scale * shift
        noise = self.read_coeff * jnp.log10(jnp.maximum(now, _LEAST)) * flicker(t, self.t_read)
        late = now + self.read_noise_scale * noise * normal(k_read, g.shape, g.dtype)
        low = getattr(self.converter, "g_min", 0.0)
        return jnp.where(jnp.asarray(t) > 0, jnp.clip(late, low, self.converter.g_max), g).astype(g.dtype)
