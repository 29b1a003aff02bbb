r"""Phase change memory: programming noise, drift and read noise, fitted to a million devices.

With `h = g / g_max`, for each conductance (see `power_law` for how they enter):

    s  = prog_noise_scale (g_max / g_ref) (c_0 + c_1 h + c_2 h^2)                              [uS]
    nu : mean  clip(0.0244 - 0.0155 ln h, 0.049, 0.1),  std  clip(-0.0059 - 0.0125 ln h, 0.008, 0.045)
    q  = read_noise_scale |g_d| min(0.0088 / max(h_p^0.65, 0.001), 0.2)                        [uS]

Reference: Nandakumar et al. 2019, doi:10.1109/ICECS46596.2019.8964852; Joshi et al. 2020,
doi:10.1038/s41467-020-16108-9.
"""

import jax.numpy as jnp

from analogjax._pytree import pytree
from analogjax._typing import Array, Key, Scalar
from analogjax.physics.inference.converters import Converter
from analogjax.physics.inference.converters.single_pair import converter_for
from analogjax.physics.inference.drift_table import DriftTable
from analogjax.physics.inference.material import Material
from analogjax.physics.inference.power_law import (
    check_law,
    check_reference,
    draw_exponents,
    drifted,
    flicker,
    polynomial,
    seen,
    written,
)  # fmt: skip

COEFFICIENTS_OF_PCM = (0.26348, 1.9650, -1.1731)
"""Default of `prog_coeff`, of devices of `REFERENCE_OF_PCM` [uS]."""
REFERENCE_OF_PCM = 25.0
"""Largest conductance of the devices that PCM's coefficients were measured on [uS]."""
_LEAST = 1e-7  # of h, before its logarithm
_LEAST_READ = 1e-3 ** (1 / 0.65)  # of h, before its power


@pytree
class PCMLike(Material):
    """Phase-change memory (aihwkit's `PCMLikeNoiseModel`). Raises `ConfigError` for invalid values.

    Example:
        >>> programmed = program(tile, PCMLike(drift_scale=0.5), GlobalCompensation(), key)
    """

    prog_coeff: tuple[float, ...] | Array | None = None
    """Coefficients of the programming noise, a polynomial in h = g / g_max, lowest order first [uS]; None: those of
    PCM."""
    g_converter: Converter | None = None
    """How weights are split over conductances; None: a `SinglePair` of `g_max`."""
    g_max: Scalar | None = None
    """Conductance at h = 1 [uS]; None: that of the converter, else 25."""
    t_read: Scalar = 250e-9
    """Duration of one read [s]."""
    t_0: Scalar = 20.0
    """Time between programming and t = 0 [s]."""
    prog_noise_scale: Scalar = 1.0
    """Factor of the programming noise [1]."""
    read_noise_scale: Scalar = 1.0
    """Factor of the read noise [1]."""
    drift_scale: Scalar = 1.0
    """Factor of the drift exponents [1]."""
    prog_coeff_g_max_reference: Scalar | None = None
    """Largest conductance of the devices `prog_coeff` was measured on [uS]; None: 25 for those of PCM, else g_max."""
    exponents: DriftTable | None = None
    """Drift exponents over the conductance; None: those of PCM."""
    keeps_conductances: bool = False
    """Whether drift starts from the programmed conductances; False: from those of the programmed weights."""

    def __post_init__(self) -> None:
        check_law(self)
        check_reference(self, "prog_coeff_g_max_reference")
        if self.exponents is not None:
            self.exponents.check_covers(self.converter)
        _ = self.converter  # raises the error if g_max disagrees

    @property
    def converter(self) -> Converter:  # type: ignore[override]
        """The converter between weights and conductances."""
        return converter_for(self.g_converter, self.g_max)

    def write(self, g: Array, key: Key) -> Array:
        g_max, reference = self.converter.g_max, self.prog_coeff_g_max_reference
        if reference is None:
            reference = REFERENCE_OF_PCM if self.prog_coeff is None else g_max
        coefficients = COEFFICIENTS_OF_PCM if self.prog_coeff is None else self.prog_coeff
        spread = self.prog_noise_scale * (g_max / reference) * polynomial(coefficients, g / g_max)
        return written(g, spread, key)

    def remember(self, g: Array, key: Key) -> Array:
        if self.exponents is not None:
            mean, std = self.exponents.at(g)
        else:
            log = jnp.log(jnp.maximum(g / self.converter.g_max, _LEAST))
            mean, std = jnp.clip(0.0244 - 0.0155 * log, 0.049, 0.1), jnp.clip(-0.0059 - 0.0125 * log, 0.008, 0.045)
        return draw_exponents(self.drift_scale * mean, self.drift_scale * std, key)

    def read(self, g: Array, memory: Array, t: Scalar, key: Key) -> Array:
        now = drifted(g, memory, t, self.t_0)
        # the bound of h^0.65 as one of h: the slope of a power at 0 is infinite
        q = jnp.minimum(0.0088 / jnp.maximum(g / self.converter.g_max, _LEAST_READ) ** 0.65, 0.2)
        noise = self.read_noise_scale * jnp.abs(now) * q * flicker(t + self.t_0, self.t_read)
        return seen(now, noise, key)
