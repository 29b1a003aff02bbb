r"""Phase-change memory as a disturbance: a pair of devices that is programmed, drifts and is read, with defects.

    g = clip(w, -a, a) g_max / a                                                                              [uS]
    targets:      0 where |g| <= zero_thres std_dev c_0; then, at random, stuck at reset (0), shifted by +-g_max, or of
                  random size; clipped to +-g_max
    programming:  g_p = g + std_dev (c_0 + c_1 h + c_2 h^2) xi,    h = |g| / g_max
    drift:        g_d = g_p ((t + t_0) / t_0)^-|s xi|,    s = clip(-0.0059 - 0.0125 ln h_p, 0.008, 0.045)
    read:         g_r = g_d + std_dev |g_d| q sqrt(ln((t + t_0 + t_r) / (2 t_r))) xi
                  q = min(0.0088 / max(h_p^0.65, 0.001), 0.2),    t_r = 250 ns
    modify(w) = sign(w) |g_r| a / g_max

A target of exactly 0 is not programmed, and stays 0. The mean drift is taken to be compensated: only its variability
from device to device counts. `sign(w)` is that of the target before its defects; `xi ~ N(0, 1)`, drawn anew in each
line for each weight.

Reference: Nandakumar et al. 2019, doi:10.1109/ICECS46596.2019.8964852; Joshi et al. 2020,
doi:10.1038/s41467-020-16108-9.
"""

import jax
import jax.numpy as jnp

from analogjax._pytree import is_static, pytree
from analogjax._typing import Array, Key, Scalar
from analogjax.physics.checks import check, check_number
from analogjax.physics.hardware_aware.modifier import check_wmax, largest
from analogjax.physics.inference.power_law import flicker, polynomial
from analogjax.random import bernoulli, normal, uniform

_COEFFICIENTS = (0.26348, 1.9650, -1.1731)  # of the programming noise [uS]
_T_READ = 250e-9
_LEAST = 1e-6  # of h, before its logarithm


@pytree
class PCMNoise:
    """Programming noise, variable drift and read noise of phase-change memory (aihwkit's `PCM_NOISE`, on a GPU there).

    Raises:
        ConfigError: If a value is not a finite number, or is out of its range.

    Example:
        >>> PCMNoise(pcm_t_inference=3600.0, pcm_prob_at_reset=0.01).modify(w, key)
    """

    std_dev: Scalar = 1.0
    """Factor of programming and read noise [1]."""
    g_max: Scalar = 25.0
    """Conductance of the largest weight [uS]."""
    pcm_zero_thres: Scalar = 0.0
    """Targets up to this multiple of the noise at 0 are left at reset [1]."""
    pcm_t_inference: Scalar = 0.0
    """Time of the read after the first one, over which conductances drift [s]."""
    pcm_prob_at_reset: Scalar = 0.0
    """Probability of a device stuck at reset [1]."""
    pcm_prob_at_gmax: Scalar = 0.0
    """Probability of a pair with a device stuck at g_max [1]."""
    pcm_prob_at_random: Scalar = 0.0
    """Probability of a device of random conductance [1]."""
    pcm_t0: Scalar = 20.0
    """Time between programming and the first read [s]."""
    assumed_wmax: Scalar | None = None
    """The largest weight [w]; None: the actual max|w|."""

    def __post_init__(self) -> None:
        check_number(self, "std_dev", "pcm_zero_thres", "pcm_t_inference", low=0)
        check_number(self, "pcm_prob_at_reset", "pcm_prob_at_gmax", "pcm_prob_at_random", low=0, high=1)
        check_number(self, "g_max", "pcm_t0")
        for name in ("g_max", "pcm_t0"):
            value = getattr(self, name)
            check(self, not is_static(value) or value > 0, name, "needs a number above 0.")
        check_wmax(self)

    def modify(self, w: Array, key: Key) -> Array:
        """The weights `[O, I]` of one chip. Consumes `key`."""
        k_targets, k_write, k_drift, k_read = jax.random.split(key, 4)
        a = largest(w, self.assumed_wmax)
        wanted = self._wanted(jnp.clip(w, -a, a) * (self.g_max / a))
        target = self._with_defects(wanted, k_targets)
        written = target + self.std_dev * self._spread(target) * normal(k_write, w.shape, w.dtype)
        h = jnp.abs(written) / self.g_max
        seen = self._read(self._drifted(written, h, k_drift), h, k_read)
        size = jnp.where(target == 0, 0.0, jnp.abs(seen)) * (a / self.g_max)
        return jnp.where(wanted < 0, -size, size)

    def _wanted(self, g: Array) -> Array:
        least = self.pcm_zero_thres * self.std_dev * _COEFFICIENTS[0]
        return jnp.where(jnp.abs(g) > least, g, 0.0)

    def _with_defects(self, g: Array, key: Key) -> Array:
        k_reset, k_stuck, k_side, k_random, k_size = jax.random.split(key, 5)

        def hit(key: Key, probability: Scalar) -> Array:
            return bernoulli(key, jnp.asarray(probability), g.shape)

        g = jnp.where(hit(k_reset, self.pcm_prob_at_reset), 0.0, g)
        shift = jnp.where(hit(k_side, 0.5), self.g_max, -self.g_max)
        g = jnp.where(hit(k_stuck, self.pcm_prob_at_gmax), g + shift, g)
        size = self.g_max * uniform(k_size, g.shape).astype(g.dtype)
        g = jnp.where(hit(k_random, self.pcm_prob_at_random), jnp.where(g > 0, size, -size), g)
        return jnp.clip(g, -self.g_max, self.g_max)

    def _spread(self, g: Array) -> Array:
        return polynomial(_COEFFICIENTS, jnp.abs(g) / self.g_max)

    def _drifted(self, g: Array, h: Array, key: Key) -> Array:
        std = jnp.clip(-0.0059 - 0.0125 * jnp.log(jnp.maximum(h, _LEAST)), 0.008, 0.045)
        nu = jnp.abs(std * normal(key, g.shape, g.dtype))
        return g * ((self.pcm_t_inference + self.pcm_t0) / self.pcm_t0) ** -nu

    def _read(self, g: Array, h: Array, key: Key) -> Array:
        q = jnp.minimum(0.0088 / jnp.maximum(h**0.65, 1e-3), 0.2)
        noise = self.std_dev * jnp.abs(g) * q * flicker(self.pcm_t_inference + self.pcm_t0, _T_READ)
        return g + noise * normal(key, g.shape, g.dtype)
