r"""Devices whose step is a power of the distance to the bound, plain or read against a reference device.

With `R = b_max - b_min`:

    UP: v += s_up ((b_max - v) / R)^gamma_up (1 + c xi)       DOWN: v -= s_dn ((v - b_min) / R)^gamma_dn (1 + c xi)

then clip to `[b_min, b_max]`; `c = dw_min_std`. The exponents of each device are

    gamma_up = pow_gamma (1 + pow_gamma_dtod xi + min(pow_up_down, 0) + r)
    gamma_dn = pow_gamma (1 + pow_gamma_dtod xi - max(pow_up_down, 0) - r),      r = pow_up_down_dtod xi'

(their magnitudes with `enforce_consistency`). The pulse generator counts in units of `dw_min 0.5^pow_gamma`, the
nominal step midway between the bounds.

`PowStep` moves `v = w`. `PowStepReference` moves `v = w + ref`, `ref = reference_mean + reference_std xi`, plus the
symmetry point if `subtract_symmetry_point`, which then also shifts the reset value (a convention of aihwkit). That
point is reached from 0 by `n` alternating pulses: `p += f_up(p) - f_dn(p)`, `n = n_estimation_steps`, or for
`n_estimation_steps <= 0` as many as `min(10 R / min(s_up, s_dn), 10000)`.

Reference: Fusi & Abbott 2007, doi:10.1038/nn1859; Frascaroli et al. 2018, doi:10.1038/s41598-018-25376-x.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from analogjax._pytree import pytree
from analogjax._typing import Array, Key, Scalar
from analogjax.physics.checks import MOST, check, check_number, is_whole
from analogjax.physics.device import Cells
from analogjax.physics.devices.nonlinear import LARGEST, Nonlinear, width
from analogjax.random import normal


@pytree
class _Power(Nonlinear):
    """Power-law pulse response. Abstract: a device defines its reference."""

    pow_gamma: Scalar = 1.0
    """Mean exponent of the step [1]."""
    pow_gamma_dtod: Scalar = 0.1
    """Device-to-device variation of the exponent, relative [1]."""
    pow_up_down: Scalar = 0.0
    """Imbalance of the exponents of up and down steps [1]."""
    pow_up_down_dtod: Scalar = 0.0
    """Device-to-device variation of that imbalance, absolute [1]."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "pow_gamma", low=0)
        check_number(self, "pow_gamma_dtod", "pow_up_down", "pow_up_down_dtod")

    @property
    def granularity(self) -> Scalar:
        return self.dw_min * 0.5**self.pow_gamma

    def specialise(self, cells: Cells, key: Key) -> Cells:
        k_spread, k_split = jax.random.split(key)
        like = cells["max_bound"]
        spread = 1 + self.pow_gamma_dtod * normal(k_spread, like.shape, like.dtype)
        r = self.pow_up_down_dtod * normal(k_split, like.shape, like.dtype)
        up = self.pow_gamma * (spread + jnp.minimum(self.pow_up_down, 0.0) + r)
        down = self.pow_gamma * (spread - jnp.maximum(self.pow_up_down, 0.0) - r)
        if self.enforce_consistency:
            up, down = jnp.abs(up), jnp.abs(down)
        return cells | {"gamma_up": up, "gamma_down": down}

    def step(self, cells: Cells, v: Array, up: Array) -> Array:
        s = jnp.where(up, cells["dwmin_up"], cells["dwmin_down"])
        distance = jnp.where(up, cells["max_bound"] - v, v - cells["min_bound"]) / width(cells)
        return s * _power(distance, jnp.where(up, cells["gamma_up"], cells["gamma_down"]))


def _power(base: Array, exponent: Array) -> Array:
    """`base^exponent`, 0 at zero distance, computed by `exp` and `log`, which vectorise, unlike `pow`."""
    inside = base > 0
    log = jnp.log(jnp.where(inside, base, 1.0))
    at_bound = (exponent == 0).astype(base.dtype)
    return jnp.where(inside, jnp.exp(jnp.minimum(exponent * log, LARGEST)), at_bound)


@pytree
class PowStep(_Power):
    """Step that shrinks as a power of the distance to the bound.

    `devices/nonlinear.py` states the error of the fast evaluation.
    """

    write_noise_std: Scalar = 0.0
    """Standard deviation of the apparent weight around the persistent one, in units of `dw_min` [1]."""
    apply_write_noise_on_set: bool = True
    """Apply write noise also when weights are written directly."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "write_noise_std", low=0)


@pytree
class PowStepReference(_Power):
    """Power-law steps minus a reference. `devices/nonlinear.py` states the error of the fast evaluation."""

    subtract_symmetry_point: bool = False
    """Set the reference of each device to its symmetry point."""
    n_estimation_steps: int = -1
    """Pairs of pulses used to find the symmetry point; 0 or less: enough to converge."""
    reference_mean: Scalar = 0.0
    """Mean of the reference device's weight, which is subtracted [w]."""
    reference_std: Scalar = 0.0
    """Device-to-device variation of the reference, absolute [w]."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(
            self,
            is_whole(self.n_estimation_steps, -MOST),
            "n_estimation_steps",
            "needs a whole number, 0 or less for as many as it takes.",
        )
        check_number(self, "reference_mean", "reference_std")

    def specialise(self, cells: Cells, key: Key) -> Cells:
        k_power, k_reference = jax.random.split(key)
        cells, like = super().specialise(cells, k_power), cells["max_bound"]
        reference = self.reference_mean + self.reference_std * normal(k_reference, like.shape, like.dtype)
        if not self.subtract_symmetry_point:
            return cells | {"reference": reference}
        point = self._symmetry_point(cells)
        return cells | {"reference": reference + point, "reset_bias": cells.get("reset_bias", 0.0) + point}

    def _symmetry_point(self, cells: Cells) -> Array:
        """The weight reached from 0 by `n` pairs of an up and a down pulse, `[O, I]` [w]."""
        slower = jnp.minimum(jnp.abs(cells["dwmin_up"]), jnp.abs(cells["dwmin_down"]))
        pairs = jnp.minimum(jnp.round(10 * width(cells) / jnp.maximum(slower, 1e-30)), 10_000)
        if self.n_estimation_steps > 0:
            pairs = jnp.full_like(pairs, self.n_estimation_steps)

        def pair(p: Array) -> Array:
            return self.step(cells, p, jnp.asarray(True)) - self.step(cells, p, jnp.asarray(False))

        movable = cells["max_bound"] > cells["min_bound"]
        return jnp.where(movable, _iterated(pair, cells["min_bound"], cells["max_bound"], pairs), 0.0)


_LEAPS = 64


def _iterated(move: Callable[[Array], Array], low: Array, high: Array, times: Array) -> Array:
    """`p += move(p)` from 0, `times` `[O, I]`, in 64 leaps, for a `move` that falls through 0 between `low` and `high`.

    A leap of `h` moves follows the linearised one, `p += g ((1 + g')^h - 1) / g'`, but not past the rest point, which
    it halves the distance to instead. That is exact for 64 moves or fewer and once the rest point is reached, and of
    second order in `h / times` between.
    """

    def leap(i: Array, carry: tuple[Array, ...]) -> tuple[Array, ...]:
        p, low, high, left = carry
        h = jnp.ceil(left / jnp.asarray(_LEAPS - i, left.dtype))
        g, slope = jax.jvp(move, (p,), (jnp.ones_like(p),))
        slope = jnp.clip(slope, -0.999, -1e-12)
        low, high = jnp.where(g > 0, p, low), jnp.where(g < 0, p, high)
        far = p + g * jnp.expm1(h * jnp.log1p(slope)) / slope
        end = jnp.where(g > 0, high, low)
        far = jnp.where(jnp.where(g > 0, far >= end, far <= end), (p + end) / 2, far)
        return jnp.where(h > 1, jnp.where(g == 0, p, far), p + h * g), low, high, left - h

    return lax.fori_loop(0, _LEAPS, leap, (jnp.zeros_like(low), low, high, times))[0]
