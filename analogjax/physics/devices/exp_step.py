r"""Devices whose step depends on the weight exponentially.

    UP: w += s_up max(1 - A_up e^(gamma_up z), 0) + sigma_up xi,       z = 2 a w / (b_max - b_min) + b
    DOWN: w -= s_dn max(1 - A_dn e^(-gamma_dn z), 0) + sigma_dn xi,    then clip to [b_min, b_max]

With `D` the mean step of that pulse, `sigma = dw_min_std (|D| + dw_min_std_add + dw_min_std_slope |w|)`: proportional
to the step, plus a constant and a part proportional to the weight.

The pulse generator counts in units of the nominal down step at `w = 0` (a convention of aihwkit), `dw_min (1 -
max(up_down, 0)) (1 - A_dn e^(-gamma_dn b))`, or of `dw_min` where that vanishes.

Reference: Gong et al. 2018, doi:10.1038/s41467-018-04485-1 (ReRAM); Nandakumar et al. 2018, doi:10.1063/1.5042408
(phase-change memory).
"""

from functools import reduce

import jax.numpy as jnp

from analogjax._pytree import is_off, pytree
from analogjax._typing import Array, Scalar
from analogjax.physics.checks import check_number
from analogjax.physics.device import Cells
from analogjax.physics.devices.coarse import numbers_for
from analogjax.physics.devices.nonlinear import LARGEST, Nonlinear, width


@pytree
class ExpStep(Nonlinear):
    """Step exponential in the weight, within hard bounds. `devices/nonlinear.py` states the error of the fast
    evaluation.
    """

    A_up: Scalar = 0.00081
    """Amplitude of the exponential in the up step [1]."""
    A_down: Scalar = 0.36833
    """Amplitude of the exponential in the down step [1]."""
    gamma_up: Scalar = 12.44625
    """Rate of the exponential in the up step [1]."""
    gamma_down: Scalar = 12.78785
    """Rate of the exponential in the down step [1]."""
    a: Scalar = 0.244
    """Scale of the weight inside the exponential [1]."""
    b: Scalar = 0.2425
    """Offset inside the exponential [1]."""
    dw_min_std_add: Scalar = 0.0
    """Constant part of the cycle-to-cycle variation, in units of `dw_min_std` [w]."""
    dw_min_std_slope: Scalar = 0.0
    """Part of the cycle-to-cycle variation proportional to |w|, in units of `dw_min_std` [1]."""
    write_noise_std: Scalar = 0.0
    """Standard deviation of the apparent weight around the persistent one, in units of `dw_min` [1]."""
    apply_write_noise_on_set: bool = True
    """Apply write noise also when weights are written directly."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "A_up", "A_down", "gamma_up", "gamma_down", "a", "b")
        check_number(self, "dw_min_std_add", "dw_min_std_slope", "write_noise_std", low=0)

    @property
    def granularity(self) -> Scalar:
        nominal = self.dw_min * (1 - jnp.maximum(self.up_down, 0.0))
        down = nominal * (1 - self.A_down * jnp.exp(-self.gamma_down * self.b))
        return jnp.where(down > 0, down, self.dw_min)

    @property
    def largest_step(self) -> Scalar:
        xp, span = numbers_for(self), self.w_max - self.w_min
        ends = [2 * self.a * v / xp.where(span > 0, span, 1.0) + self.b for v in (self.w_min, self.w_max)]
        ups = [1 - self.A_up * xp.exp(xp.minimum(self.gamma_up * z, LARGEST)) for z in ends]
        downs = [1 - self.A_down * xp.exp(xp.minimum(-self.gamma_down * z, LARGEST)) for z in ends]
        return reduce(xp.maximum, (*ups, *downs))

    def step(self, cells: Cells, v: Array, up: Array) -> Array:
        s = jnp.where(up, cells["dwmin_up"], cells["dwmin_down"])
        amplitude, rate = jnp.where(up, self.A_up, self.A_down), jnp.where(up, self.gamma_up, -self.gamma_down)
        z = 2 * self.a * v / width(cells) + self.b
        return s * jnp.maximum(1 - amplitude * jnp.exp(jnp.minimum(rate * z, LARGEST)), 0.0)

    def spread(self, v: Array, step: Array) -> Array:
        spread = jnp.abs(step)
        if not is_off(self.dw_min_std_add):
            spread = spread + self.dw_min_std_add
        if not is_off(self.dw_min_std_slope):
            size = jnp.where(v < 0, -v, v)  # `abs` has no slope at 0, and the length of a leap follows from the slope
            spread = spread + self.dw_min_std_slope * size
        return self.dw_min_std * spread
