r"""ReRAM of a compute-in-memory chip, whose conductances relax: known at 1 second, 1 day and 2 days.

With `h = g / g_max` of the *target* `g`, and `P_n` the polynomial of time `t_n`:

    g_p = max(g + s_0 xi, 0),   g(t_n) = max(g + s_n xi, 0),   s_n = noise_scale (g_max / g_ref) P_n(h)    [uS]

The conductance at a later time is drawn around the target, not around what was programmed: only the distribution at
each time is known. Reads themselves have no further noise. aihwkit writes that `P` was fitted with 40 uS, but computes
as if it had been with `g_max`; so does this. Reference: Wan et al. 2022, doi:10.1038/s41586-022-04992-8.
"""

from itertools import pairwise

import jax.numpy as jnp

from analogjax._pytree import pytree
from analogjax._typing import Array, Key, Scalar
from analogjax.physics.checks import check, check_number
from analogjax.physics.inference.converters import Converter
from analogjax.physics.inference.converters.single_pair import converter_for
from analogjax.physics.inference.material import Material
from analogjax.physics.inference.noise_model import TIME_TOLERANCE, check_time
from analogjax.physics.inference.power_law import COEFFICIENTS, check_reference, is_polynomial, polynomial, written


@pytree
class ReRAMWan2022(Material):
    """Relaxing ReRAM (aihwkit's `ReRamWan2022NoiseModel`).

    Drift to any other than the known times is refused; where the time is traced, so that nobody can tell, the weights
    of another time are NaN.

    Raises:
        ConfigError: If times and coefficients do not fit, or a value is out of range.
    """

    times: tuple[float, ...] = (1.0, 86400.0, 172800.0)
    """Times at which the distribution is known, in ascending order [s]. The first is that of programming, too."""
    coefficients: tuple[tuple[float, ...], ...] = (
        (0.348, 16.030, -43.853, 45.393, -16.815),
        (0.701, 22.086, -50.773, 47.095, -16.458),
        (0.782, 20.274, -43.507, 37.062, -11.934),
    )
    """For each time the coefficients of a polynomial in h = g / g_max, lowest order first [uS]."""
    g_converter: Converter | None = None
    """How weights are split over conductances; None: a `SinglePair` of `g_max`."""
    g_max: Scalar | None = None
    """Conductance at h = 1 [uS]; None: that of the converter, else 25."""
    noise_scale: Scalar = 1.0
    """Factor of all noise [1]."""
    coeff_g_max_reference: Scalar | None = None
    """Largest conductance of the devices `coefficients` were measured on [uS]; None: g_max."""
    keeps_conductances: bool = False
    """Whether drift is computed in the ratio of the target weights; False: in that of the programmed weights, by which
    all later weights are larger by the largest programmed weight over the largest target."""

    def __post_init__(self) -> None:
        times = self.times
        good = isinstance(times, tuple) and bool(times) and all(isinstance(t, (int, float)) and t >= 0 for t in times)
        check(self, good, "times", "needs a tuple of times, 0 or more, in seconds.")
        rising = all(a < b for a, b in pairwise(times))
        check(self, rising, "times", "needs times in ascending order, each once.")
        fits = isinstance(self.coefficients, tuple) and len(self.coefficients) == len(times)
        check(self, fits, "coefficients", f"needs one polynomial for each of the {len(times)} times.")
        check(self, all(map(is_polynomial, self.coefficients)), "coefficients", f"each {COEFFICIENTS}")
        check_number(self, "noise_scale", low=0)
        check_reference(self, "coeff_g_max_reference")
        _ = self.converter  # raises the error if g_max disagrees

    @property
    def converter(self) -> Converter:  # type: ignore[override]
        """The converter between weights and conductances."""
        return converter_for(self.g_converter, self.g_max)

    @property
    def known_times(self) -> tuple[float, ...]:
        """The times that there is a distribution for [s]."""
        return self.times

    def write(self, g: Array, key: Key) -> Array:
        return written(g, self._spreads(g)[0], key)

    def remember(self, g: Array, key: Key) -> Array:
        """The targets themselves: later conductances are drawn around them."""
        return g

    def read(self, g: Array, memory: Array, t: Scalar, key: Key) -> Array:
        check_time(self, t, "ReRAMWan2022.read")
        # comparisons and sums keep this differentiable and let the time be traced
        now = [jnp.asarray(jnp.abs(t - known) <= TIME_TOLERANCE * known, memory.dtype) for known in self.times]
        spread = sum(on * one for on, one in zip(now, self._spreads(memory), strict=True))
        return written(memory, jnp.where(sum(now) > 0, spread, jnp.nan), key)

    def _spreads(self, g: Array) -> list[Array]:
        """Standard deviations `[S, O, I]` at each time, of targets `g` [uS]."""
        g_max = self.converter.g_max
        reference = g_max if self.coeff_g_max_reference is None else self.coeff_g_max_reference
        scale = self.noise_scale * (g_max / reference)
        return [scale * polynomial(one, g / g_max) for one in self.coefficients]
