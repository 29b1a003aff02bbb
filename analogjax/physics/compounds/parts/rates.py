r"""Learning rates of a transfer: for the pulses of the first array, and for the writes to the others.

`auto_scale` chooses the first one so that the pulse trains are well used: `fast_lr desired_bl dw_min / (m_x m_d)`, with
running maxima `m <- (1 - tau) m + tau max|v|` of each vector, `tau = (1 - auto_momentum) / B`.

Letters: `B` batch. Reference: Rasch, Carta, Fagbohungbe & Gokmen 2024, doi:10.1038/s41467-024-51221-z.
"""

import jax.numpy as jnp
from jax import lax

from analogjax._pytree import is_off, is_static, pytree
from analogjax._typing import Array, Scalar
from analogjax.physics.checks import check, check_flags, check_kind, check_number, check_numbers
from analogjax.physics.compounds.parts.cell import digital
from analogjax.physics.pulses import Pulses

SINGLE_PULSES = Pulses(desired_bl=1, update_bl_management=False, update_management=False)
"""One pulse for each step of a buffer."""


@pytree
class FastRate:
    """Learning rate of the first array."""

    fast_lr: Scalar = 1.0
    """0: that of the update."""
    scale_fast_lr: bool = True
    """`fast_lr` is relative to that of the update."""
    auto_scale: bool = False
    """Follow the largest |x| and |d|."""
    auto_momentum: Scalar = 0.99
    """Of these maxima, per mini-batch [1]."""

    def __post_init__(self) -> None:
        check_flags(self)
        check_number(self, "fast_lr", low=0)
        check_number(self, "auto_momentum", low=0, high=1)
        scales = not (self.auto_scale and is_off(self.fast_lr))
        check(self, scales, "auto_scale", "scales fast_lr, which is 0: give fast_lr above 0, or auto_scale=False.")

    @property
    def follows(self) -> bool:
        """Whether running maxima are tracked."""
        return self.auto_scale

    def begin(self, w: Array) -> Array | None:
        """Initial maxima of |x| and |d| `[2]`."""
        return digital((2,), w.dtype) if self.follows else None

    def rate(
        self, p: Pulses, largest: Array | None, x: Array, d: Array, lr: Scalar, granularity: Scalar
    ) -> tuple[Scalar, Array | None]:
        """The learning rate of all vectors, or of each `[B]`, and the maxima afterwards."""
        if largest is not None:
            return self._followed(p, largest, x, d, lr, granularity)
        if is_static(self.fast_lr) and self.fast_lr == 0:
            return lr, None
        scaled = self.fast_lr * lr if self.scale_fast_lr else jnp.asarray(self.fast_lr)
        rate = jnp.where(jnp.asarray(self.fast_lr) > 0, scaled, lr)
        return jnp.where(jnp.asarray(lr) > 0, rate, 0.0), None

    def _followed(
        self, p: Pulses, largest: Array, x: Array, d: Array, lr: Scalar, granularity: Scalar
    ) -> tuple[Scalar, Array]:
        tau = (1 - self.auto_momentum) / x.shape[0]

        def follow(largest: Array, new: Array) -> tuple[Array, Array]:
            moved = jnp.where(new > 0, (1 - tau) * largest + tau * new, largest)
            largest = jnp.where(largest > 0, moved, new)
            return largest, largest

        tops = jnp.stack([jnp.max(jnp.abs(x), -1), jnp.max(jnp.abs(d), -1)], axis=-1)
        largest, each = lax.scan(follow, largest, tops.astype(largest.dtype))
        product = each[:, 0] * each[:, 1]
        rate = self.fast_lr * p.desired_bl * granularity / jnp.where(product > 0, product, 1.0)
        return rate * lr if self.scale_fast_lr else jnp.where(jnp.asarray(lr) > 0, rate, 0.0), largest


@pytree
class Writer:
    """How values read from an array are written to the next one."""

    transfer_lr: Scalar = 1.0
    """Learning rate of the transfers."""
    transfer_lr_vec: tuple[float, ...] = ()
    """Of each array `[K]`; empty: `transfer_lr`."""
    scale_transfer_lr: bool = True
    """`transfer_lr` is relative to that of the update."""
    transfer_update: Pulses = Pulses()
    """Pulses of the writes."""

    def __post_init__(self) -> None:
        check_flags(self)
        check_kind(self, "transfer_update", Pulses)
        check_number(self, "transfer_lr", low=0)
        check_numbers(self, "transfer_lr_vec", low=0)

    def rate(self, k: int, lr: Scalar) -> Scalar:
        """Learning rate of transfers from array `k`."""
        rate = self.transfer_lr_vec[k] if self.transfer_lr_vec else self.transfer_lr
        return rate * lr if self.scale_transfer_lr else rate
