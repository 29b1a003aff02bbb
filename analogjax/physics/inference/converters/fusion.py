r"""IBM's Fusion chip: one device for each weight, scaled row by row; signs are kept digitally.

    g = |w| g_max / max_row |w|                                                one slice `[1, O, I]` [uS]
    w = a s,   s = g sign(w_0),   a = cov(s, w_0) / var(s) in each row         `w_0` the weights that were converted

So the unit of each row is found again from its conductances, by a line of least squares with an offset. If a row has
no spread, the line goes through 0, `a = sum s w_0 / sum s^2`. Convention of aihwkit 1.2.0.
"""

import jax.numpy as jnp

from analogjax._pytree import pytree
from analogjax._typing import Array, Scalar
from analogjax.physics.checks import check_number

_LEAST = 1e-10  # of the largest weight of a row [w]
_NO_SPREAD = 1e-10  # variance of a row of conductances over their mean square: rounding only


@pytree
class Fusion:
    """Conductances of the Fusion chip (aihwkit's `FusionConductanceConverter`)."""

    g_max: Scalar = 40.0
    """Conductance of the largest weight of each row, from 10 to 40 [uS]."""

    def __post_init__(self) -> None:
        check_number(self, "g_max", low=10, high=40)

    def conductances(self, w: Array) -> tuple[Array, Array]:
        """`[1, O, I]` of weights `w` `[O, I]`; what leads back are the weights themselves."""
        size = jnp.abs(w)
        return (size * (self.g_max / jnp.maximum(jnp.max(size, 1, keepdims=True), _LEAST)))[None], w

    def weights(self, g: Array, back: Array) -> Array:
        """The weights `[O, I]` of the slice `g` `[1, O, I]`; `back` `[O, I]` are the weights that were converted."""
        signed = g[0] * jnp.sign(back)
        centred = signed - jnp.mean(signed, 1, keepdims=True)
        variance, square = jnp.sum(centred**2, 1, keepdims=True), jnp.sum(signed**2, 1, keepdims=True)
        spread = variance > _NO_SPREAD * square
        x, norm = jnp.where(spread, centred, signed), jnp.where(spread, variance, square)
        return signed * (jnp.sum(x * back, 1, keepdims=True) / jnp.where(norm > 0, norm, 1))
