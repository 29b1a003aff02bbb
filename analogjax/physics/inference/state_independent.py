r"""A generic material, whose noise does not depend on the conductance unless the coefficients make it so.

With `h = g / g_max`, for each conductance (see `power_law` for how they enter):

    s  = prog_noise_scale (c_0 + c_1 h + c_2 h^2)                                              [uS]
    nu : mean  drift_nu_mean,  std  drift_nu_std, both times drift_scale                       [1]
    q  = read_noise_scale |g_d / g_max|                                                        [uS]

The programming noise is in microsiemens, whatever `g_max`. Reference: the law of drift and reads is that of Nandakumar
et al. 2019, doi:10.1109/ICECS46596.2019.8964852; the numbers do not describe a particular material.
"""

import jax.numpy as jnp

from analogjax._pytree import pytree
from analogjax._typing import Array, Key, Scalar
from analogjax.physics.checks import check, check_number
from analogjax.physics.inference.converters import Converter
from analogjax.physics.inference.converters.single_pair import converter_for
from analogjax.physics.inference.material import Material
from analogjax.physics.inference.power_law import check_law, draw_exponents, drifted, flicker, polynomial, seen, written


@pytree
class StateIndependent(Material):
    """Generic noise (aihwkit's `StateIndependentNoiseModel`). Raises `ConfigError` for invalid values."""

    g_converter: Converter | None = None
    """How weights are split over conductances; None: a `SinglePair` of `g_max`."""
    g_max: Scalar | None = None
    """Conductance at h = 1 [uS]; None: that of the converter, else 25."""
    prog_coeff: tuple[float, ...] | Array = (0.2, 0.0, 0.0)
    """Coefficients of the programming noise, a polynomial in h = g / g_max, lowest order first [uS]."""
    prog_noise_scale: Scalar = 1.0
    """Factor of the programming noise [1]."""
    drift_nu_mean: Scalar = 0.1
    """Mean drift exponent [1]."""
    drift_nu_std: Scalar = 0.05
    """Device-to-device variation of the exponent [1]."""
    drift_scale: Scalar = 1.0
    """Factor of the drift exponents [1]."""
    t_0: Scalar = 20.0
    """Time between programming and t = 0 [s]."""
    read_noise_scale: Scalar = 1.0
    """Factor of the read noise [1]."""
    t_read: Scalar = 250e-9
    """Duration of one read [s]."""
    keeps_conductances: bool = False
    """Whether drift starts from the programmed conductances; False: from those of the programmed weights."""

    def __post_init__(self) -> None:
        check_number(self, "drift_nu_std", low=0)
        check_number(self, "drift_nu_mean")
        check(self, self.prog_coeff is not None, "prog_coeff", "needs numbers; (0.2, 0.0, 0.0) is the default.")
        check_law(self)
        _ = self.converter  # raises the error if g_max disagrees

    @property
    def converter(self) -> Converter:  # type: ignore[override]
        """The converter between weights and conductances."""
        return converter_for(self.g_converter, self.g_max)

    def write(self, g: Array, key: Key) -> Array:
        return written(g, self.prog_noise_scale * polynomial(self.prog_coeff, g / self.converter.g_max), key)

    def remember(self, g: Array, key: Key) -> Array:
        one = jnp.ones_like(g)
        mean, std = self.drift_scale * self.drift_nu_mean * one, self.drift_scale * self.drift_nu_std * one
        return draw_exponents(mean, std, key)

    def read(self, g: Array, memory: Array, t: Scalar, key: Key) -> Array:
        now = drifted(g, memory, t, self.t_0)
        noise = self.read_noise_scale * jnp.abs(now / self.converter.g_max) * flicker(t + self.t_0, self.t_read)
        return seen(now, noise, key)
