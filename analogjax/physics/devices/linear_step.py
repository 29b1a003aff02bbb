r"""Devices whose step is linear in the weight, with hard bounds.

    UP: w += (s_up + k_up w)(1 + c xi)        k_up = -gamma_up' s_up / ref_up
    DOWN: w -= (s_dn + k_dn w)(1 + c xi)      k_dn = -gamma_dn' s_dn / ref_dn,      then clip;  c = dw_min_std

`gamma' = gamma + gamma_dtod xi` (its magnitude unless `allow_increasing`). With additive noise (`mult_noise=False`) the
step is `s (1 + c xi) + k w`. `ref` is the mean bound of that side, or each device's own bound. `SoftBounds` is the case
gamma = 1 with each device's own bound, so that the step vanishes where the bound lies.

`SoftBoundsPmax` defines soft bounds by the number of pulses that span a range:

    B = (range_max - range_min) / (1 - e^(-p_max alpha))
    w_min = range_min,   w_max = range_min + B,   dw_min = alpha B,   up_down = 1 + 2 range_min / B

are intended to lead from `range_min` to `range_max` in `p_max` up pulses, along `B (1 - e^(-alpha p))`. As in aihwkit,
`up_down` lowers the down step only (see `devices/pulsed.py`), so the up pulses are faster than intended by a factor `B
/ w_max` and the down pulses by 2: `p_max w_max / B` up pulses span the range.

Reference: Gokmen & Vlasov 2016, doi:10.3389/fnins.2016.00333; Fusi & Abbott 2007, doi:10.1038/nn1859 (soft bounds).
"""

import dataclasses
import math
from functools import reduce
from typing import Any

import jax
import jax.numpy as jnp

from analogjax._pytree import is_static, pytree
from analogjax._typing import Array, DType, Key, Scalar
from analogjax.physics.checks import check, check_number
from analogjax.physics.device import Cells, State
from analogjax.physics.devices.affine import Affine, many_pulses, one_pulse
from analogjax.physics.devices.coarse import numbers_for
from analogjax.physics.devices.pulsed import Pulsed, clipped, hidden
from analogjax.random import normal


@pytree
class _Linear(Pulsed):
    """Pulse response linear in the weight. Abstract: a device defines its slopes."""

    mult_noise: bool = True
    """Cycle-to-cycle variation scales the whole step, not only its constant part."""
    write_noise_std: Scalar = 0.0
    """Standard deviation of the apparent weight around the persistent one, in units of `dw_min` [1]."""
    apply_write_noise_on_set: bool = True
    """Apply write noise also when weights are written directly."""
    reverse_up: bool = False
    """The up step grows towards the upper bound."""
    reverse_down: bool = False
    """The down step grows towards the lower bound."""
    reverse_offset: Scalar = 0.01
    """Keeps a reversed step from vanishing at its bound [w]."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "write_noise_std", low=0)
        check_number(self, "reverse_offset")
        additive = not self.mult_noise and (self.reverse_up or self.reverse_down)
        check(self, not additive, "mult_noise", "reversed steps are defined with multiplicative noise; set it to True.")

    def pulse(self, cells: Cells, state: State, sign: Array, key: Key) -> State:
        k_step, k_seen = jax.random.split(key)
        w = clipped(cells, one_pulse(self._law(cells), hidden(state), sign, k_step))
        return self.seen(state, w, k_seen, sign != 0)

    def pulses(self, cells: Cells, state: State, up: Array, down: Array, key: Key) -> State:
        k_step, k_seen = jax.random.split(key)
        w = clipped(cells, many_pulses(self._law(cells), hidden(state), up, down, k_step))
        return self.seen(state, w, k_seen, up + down > 0)

    def _law(self, cells: Cells) -> Affine:
        return Affine(
            s_up=cells["dwmin_up"],
            k_up=cells["slope_up"],
            s_down=cells["dwmin_down"],
            k_down=cells["slope_down"],
            noise=self.dw_min_std,
            multiplicative=self.mult_noise,
        )

    def _largest(self, gamma_up: Scalar, gamma_down: Scalar) -> Scalar:
        """The largest step of mean devices for these slopes, relative to the step at 0."""
        ref_up = self.w_min - self.reverse_offset if self.reverse_up else self.w_max
        ref_down = self.w_max + self.reverse_offset if self.reverse_down else self.w_min
        xp = numbers_for(self)
        rises: list[Any] = [
            gamma * xp.where(ref == 0, 0.0, xp.abs(bound) / xp.where(ref == 0, 1.0, xp.abs(ref)))
            for gamma, ref in ((gamma_up, ref_up), (gamma_down, ref_down))
            for bound in (self.w_max, self.w_min)
        ]
        return 1 + reduce(xp.maximum, rises)

    def _slopes(self, cells: Cells, gamma_up: Array, gamma_down: Array, high: Array, low: Array) -> Cells:
        """Slopes for relative decreases `gamma` at the reference bounds `high` and `low`."""
        ref_up = low - self.reverse_offset if self.reverse_up else high
        ref_down = high + self.reverse_offset if self.reverse_down else low
        return {
            "slope_up": -gamma_up * _quotient(cells["dwmin_up"], ref_up),
            "slope_down": -gamma_down * _quotient(cells["dwmin_down"], ref_down),
        }


def _quotient(step: Array, bound: Array) -> Array:
    return jnp.where(bound == 0, 0.0, step / jnp.where(bound == 0, 1.0, bound))


@pytree
class LinearStep(_Linear):
    """Step linear in the weight, within hard bounds. `devices/affine.py` states the error of the fast evaluation."""

    gamma_up: Scalar = 0.0
    """Relative decrease of the up step from 0 to the upper bound [1]."""
    gamma_down: Scalar = 0.0
    """Relative decrease of the down step from 0 to the lower bound [1]."""
    gamma_up_dtod: Scalar = 0.05
    """Device-to-device variation of `gamma_up`, absolute [1]."""
    gamma_down_dtod: Scalar = 0.05
    """Device-to-device variation of `gamma_down`, absolute [1]."""
    allow_increasing: bool = False
    """Allow that variation to make a step grow towards its bound."""
    mean_bound_reference: bool = True
    """Slopes refer to the mean bounds instead of each device's own."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "gamma_up", "gamma_down", "gamma_up_dtod", "gamma_down_dtod")

    @property
    def largest_step(self) -> Scalar:
        size = numbers_for(self).abs
        up, down = size(self.gamma_up) + size(self.gamma_up_dtod), size(self.gamma_down) + size(self.gamma_down_dtod)
        return self._largest(up, down)

    def specialise(self, cells: Cells, key: Key) -> Cells:
        k_up, k_down = jax.random.split(key)
        high, low = cells["max_bound"], cells["min_bound"]
        up = self.gamma_up + self.gamma_up_dtod * normal(k_up, high.shape, high.dtype)
        down = self.gamma_down + self.gamma_down_dtod * normal(k_down, high.shape, high.dtype)
        if not self.allow_increasing:
            up, down = jnp.abs(up), jnp.abs(down)
        if self.mean_bound_reference:
            high, low = jnp.full_like(high, self.w_max), jnp.full_like(low, self.w_min)
        return cells | self._slopes(cells, up, down, high, low)


@pytree
class SoftBounds(_Linear):
    """Step that shrinks linearly to zero at each device's own bound.

    `devices/affine.py` states the error of the fast evaluation.

    Example:
        >>> SoftBounds(dw_min=0.002, w_max=1.0, w_min=-1.0)
    """

    @property
    def largest_step(self) -> Scalar:
        return self._largest(1.0, 1.0)

    def specialise(self, cells: Cells, key: Key) -> Cells:
        one = jnp.ones_like(cells["max_bound"])
        return cells | self._slopes(cells, one, one, cells["max_bound"], cells["min_bound"])


_DERIVED = ("dw_min", "up_down", "w_max", "w_min")


@pytree
class SoftBoundsPmax(SoftBounds):
    """Soft bounds defined by the number of pulses that span a range; `soft_bounds` has the derived parameters."""

    p_max: Scalar = 1000
    """Number of up pulses intended to lead from `range_min` to `range_max` [1]."""
    alpha: Scalar = 0.0005
    """Curvature of that response [1 / pulse]."""
    range_min: Scalar = -1.0
    """Weight at which the response starts [w]."""
    range_max: Scalar = 1.0
    """Weight at which it ends [w]."""
    dw_min: Any = None
    """Derived from the response; leave it None."""
    up_down: Any = None
    """Derived from the response; leave it None."""
    w_max: Any = None
    """Derived from the response; leave it None."""
    w_min: Any = None
    """Derived from the response; leave it None."""

    def __post_init__(self) -> None:
        for name in _DERIVED:
            remedy = "follows from p_max, alpha, range_min and range_max; set those, or use SoftBounds."
            check(self, getattr(self, name) is None, name, remedy)
        check_number(self, "p_max", "alpha", low=1e-12)
        check_number(self, "range_min", high=0)
        check_number(self, "range_max")
        if is_static(self.range_min) and is_static(self.range_max):
            check(
                self,
                bool(self.range_max > self.range_min),
                "range_max",
                f"needs more than range_min={self.range_min!r}.",
            )
        made = self.soft_bounds  # checks the other fields
        check_number(made, "w_max", low=0)

    @property
    def soft_bounds(self) -> SoftBounds:
        """The same device in terms of its bounds and steps."""
        exponent = -self.p_max * self.alpha
        reach = -math.expm1(exponent) if is_static(exponent) else -jnp.expm1(exponent)
        b = (self.range_max - self.range_min) / reach
        derived = (b * self.alpha, 1 + 2 * self.range_min / b, self.range_min + b, self.range_min)
        shared = {field.name: getattr(self, field.name) for field in dataclasses.fields(SoftBounds)}
        return SoftBounds(**(shared | dict(zip(_DERIVED, derived, strict=True))))

    @property
    def granularity(self) -> Scalar:
        return self.soft_bounds.granularity

    @property
    def write_noise(self) -> Scalar:
        return self.soft_bounds.write_noise

    def coarse(self, one_way: bool = False) -> bool | Array:
        return self.soft_bounds.coarse(one_way)

    def fabricate(self, shape: tuple[int, int], dtype: DType, key: Key) -> Cells:
        return self.soft_bounds.fabricate(shape, dtype, key)
