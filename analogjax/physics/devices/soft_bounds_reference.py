r"""Soft-bounds devices read against a reference device.

With `v = w + ref`:

    UP: v += s_up (1 - v / b_max)(1 + c xi)      DOWN: v -= s_dn (1 - v / b_min)(1 + c xi)
    additive noise (`mult_noise=False`): v += s_up (1 - v / b_max + c xi), v -= s_dn (1 - v / b_min + c xi)

then `v` is clipped to `[b_min, b_max]`. `b_max` and `b_min` are divided by `|1 + slope_dtod xi|`; a bound of the wrong
sign drops its slope. `ref = reference_mean + reference_std xi`, plus the symmetry point

    sp = (s_up - s_dn) / (s_up / b_max - s_dn / b_min)

if `subtract_symmetry_point`, which then also shifts the reset value (a convention of aihwkit). Reference: Rasch et al.
2023, arXiv:2303.04721; Onen et al. 2022, doi:10.3389/frai.2022.891624.
"""

import jax
import jax.numpy as jnp

from analogjax._pytree import pytree
from analogjax._typing import Array, Key, Scalar
from analogjax.physics.checks import check_number
from analogjax.physics.device import Cells, State
from analogjax.physics.devices.affine import Affine, many_pulses, one_pulse
from analogjax.physics.devices.coarse import LEAST, numbers_for
from analogjax.physics.devices.pulsed import Pulsed, clipped, hidden
from analogjax.random import normal


@pytree
class SoftBoundsReference(Pulsed):
    """Soft bounds minus a reference. `devices/affine.py` states the error of the fast evaluation."""

    mult_noise: bool = False
    """Cycle-to-cycle variation scales the whole step, not only its constant part."""
    write_noise_std: Scalar = 0.0
    """Standard deviation of the apparent weight around the persistent one, in units of `dw_min` [1]."""
    apply_write_noise_on_set: bool = True
    """Apply write noise also when weights are written directly."""
    slope_up_dtod: Scalar = 0.0
    """Device-to-device variation of the slope of the up step [1]."""
    slope_down_dtod: Scalar = 0.0
    """Device-to-device variation of the slope of the down step [1]."""
    reference_mean: Scalar = 0.0
    """Mean of the reference device's weight, which is subtracted [w]."""
    reference_std: Scalar = 0.0
    """Device-to-device variation of the reference, absolute [w]."""
    subtract_symmetry_point: bool = False
    """Set the reference of each device to its symmetry point."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "write_noise_std", low=0)
        check_number(self, "slope_up_dtod", "slope_down_dtod", "reference_mean", "reference_std")

    @property
    def largest_step(self) -> Scalar:
        xp, high, low = numbers_for(self), self.w_max, -self.w_min
        ratio = xp.maximum(high, low) / xp.maximum(xp.minimum(high, low), LEAST)
        return xp.where(xp.minimum(high, low) > 0, 1 + ratio, 1.0)

    def specialise(self, cells: Cells, key: Key) -> Cells:
        k_up, k_down, k_ref = jax.random.split(key, 3)
        high, low = cells["max_bound"], cells["min_bound"]
        proper = (high > 0) & (low < 0)
        spread_up = jnp.abs(1 + self.slope_up_dtod * normal(k_up, high.shape, high.dtype))
        spread_down = jnp.abs(1 + self.slope_down_dtod * normal(k_down, high.shape, high.dtype))
        high, low = jnp.where(proper, high / spread_up, high), jnp.where(proper, low / spread_down, low)
        reference = self.reference_mean + self.reference_std * normal(k_ref, high.shape, high.dtype)
        cells = cells | {"max_bound": high, "min_bound": low, "reference": reference}
        if not self.subtract_symmetry_point:
            return cells
        point = jnp.where(proper, symmetry_point(cells), 0.0)
        return cells | {"reference": reference + point, "reset_bias": cells.get("reset_bias", 0.0) + point}

    def pulse(self, cells: Cells, state: State, sign: Array, key: Key) -> State:
        k_step, k_seen = jax.random.split(key)
        reference = cells["reference"]
        v = clipped(cells, one_pulse(self._law(cells), hidden(state) + reference, sign, k_step))
        # an untouched cell keeps its bits: adding and taking away the reference would round
        w = jnp.where(sign == 0, hidden(state), v - reference)
        return self.seen(state, w, k_seen, sign != 0)

    def pulses(self, cells: Cells, state: State, up: Array, down: Array, key: Key) -> State:
        k_step, k_seen = jax.random.split(key)
        reference, touched, law = cells["reference"], up + down > 0, self._law(cells)
        start, left = _entered(law, cells, hidden(state) + reference, up, down)
        v = clipped(cells, many_pulses(law, start, *left, k_step))
        return self.seen(state, jnp.where(touched, v - reference, hidden(state)), k_seen, touched)

    def _law(self, cells: Cells) -> Affine:
        s_up, s_down, high, low = cells["dwmin_up"], cells["dwmin_down"], cells["max_bound"], cells["min_bound"]
        return Affine(
            s_up=s_up,
            k_up=jnp.where(high > 0, -s_up / jnp.where(high > 0, high, 1.0), 0.0),
            s_down=s_down,
            k_down=jnp.where(low < 0, -s_down / jnp.where(low < 0, low, 1.0), 0.0),
            noise=self.dw_min_std,
            multiplicative=self.mult_noise,
        )


def _entered(law: Affine, cells: Cells, v: Array, up: Array, down: Array) -> tuple[Array, tuple[Array, Array]]:
    """`v` and the remaining pulses after a start beyond a bound, where a reference may put a written weight, has been
    left.

    That takes one pulse of any kind, because it is clipped. Its noise is ignored where it leads further inside.
    """
    inside = clipped(cells, v)
    falls = jnp.where(v > inside, down > 0, up == 0)
    step = jnp.where(falls, -(law.s_down + law.k_down * v), law.s_up + law.k_up * v)
    outside = (v != inside) & (up + down > 0)
    v = jnp.where(outside, clipped(cells, v + step), v)
    return v, (up - (outside & ~falls).astype(up.dtype), down - (outside & falls).astype(down.dtype))


def symmetry_point(cells: Cells) -> Array:
    """Weight at which up and down steps of soft-bounds devices are equal, `[O, I]` [w]."""
    s_up, s_down = cells["dwmin_up"], cells["dwmin_down"]
    slope = s_up / cells["max_bound"] - s_down / cells["min_bound"]
    return jnp.where(slope == 0, 0.0, (s_up - s_down) / jnp.where(slope == 0, 1.0, slope))
