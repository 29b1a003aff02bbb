r"""Phase change memory: programming noise, drift and read noise, fitted to a million devices.

With `h = g / g_max`, for each conductance (see `power_law` for how they enter):

    s  = prog_noise_scale (g_max / g_ref) (c_0 + c_1 h + c_2 h^2)                              [uS]
    nu : mean  clip(0.0244 - 0.0155 ln h, 0.049, 0.1),  std  clip(-0.0059 - 0.0125 ln h, 0.008, 0.045)
    q  = read_noise_scale |g_d| min(0.0088 / max(h_p^0.65, 0.001), 0.2)                        [uS]

Reference: Nandakumar et al. 2019, doi:10.1109/ICECS46596.2019.8964852; Joshi et al. 2020,
doi:10.1038/s41467-020-16108-9.
"""

import jax.numpy as jnp

from analogjax._pytree import is_static, pytree
from analogjax._typing import Array, Key, Scalar
from analogjax.physics.checks import check
from analogjax.physics.inference.conductance import Converter, converter_for
from analogjax.physics.inference.noise_model import Programmed
from analogjax.physics.inference.power_law import check_law, drift, flicker, polynomial, program

_COEFFICIENTS = (0.26348, 1.9650, -1.1731)  # of devices of 25 uS [uS]
_REFERENCE = 25.0
_LEAST = 1e-7  # of h, before its logarithm


@pytree
class PCMLike:
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

    def __post_init__(self) -> None:
        check_law(self)
        value = self.prog_coeff_g_max_reference
        good = value is None or not is_static(value) or (isinstance(value, (int, float)) and value > 0)
        check(self, good, "prog_coeff_g_max_reference", "needs a conductance above 0 [uS], or None.")
        converter_for(self.g_converter, self.g_max)

    @property
    def converter(self) -> Converter:
        """The converter between weights and conductances."""
        return converter_for(self.g_converter, self.g_max)

    def program(self, w: Array, key: Key) -> Programmed:
        """Program `w` `[O, I]`. Random are the noise and the drift exponent of each device. Consumes `key`."""
        return program(self.converter, w, self._spread, self._exponents, key)

    def drift(self, programmed: Programmed, t: Scalar, key: Key) -> Array:
        """The weights `[O, I]` after `t` seconds. Random is the read noise of each device. Consumes `key`."""
        return drift(self.converter, programmed, t, self.t_0, lambda g, now: self._read_noise(g, now, t), key)

    def _spread(self, g: Array) -> Array:
        g_max = self.converter.g_max
        reference = self.prog_coeff_g_max_reference
        if reference is None:
            reference = _REFERENCE if self.prog_coeff is None else g_max
        coefficients = _COEFFICIENTS if self.prog_coeff is None else self.prog_coeff
        return self.prog_noise_scale * (g_max / reference) * polynomial(coefficients, g / g_max)

    def _exponents(self, g: Array) -> tuple[Array, Array]:
        log = jnp.log(jnp.maximum(g / self.converter.g_max, _LEAST))
        mean, std = jnp.clip(0.0244 - 0.0155 * log, 0.049, 0.1), jnp.clip(-0.0059 - 0.0125 * log, 0.008, 0.045)
        return self.drift_scale * mean, self.drift_scale * std

    def _read_noise(self, g: Array, now: Array, t: Scalar) -> Array:
        h = g / self.converter.g_max
        q = jnp.minimum(0.0088 / jnp.maximum(h**0.65, 1e-3), 0.2)
        return self.read_noise_scale * jnp.abs(now) * q * flicker(t + self.t_0, self.t_read)
