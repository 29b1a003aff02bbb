r"""Devices whose step does not depend on the weight.

    UP: w += s_up (1 + c xi),   DOWN: w -= s_dn (1 + c xi),   then clip to [b_min, b_max];   c = dw_min_std

Reference: Gokmen & Vlasov 2016, doi:10.3389/fnins.2016.00333.
"""

from dataclasses import replace

import jax.numpy as jnp

from analogjax._pytree import is_off, pytree
from analogjax._typing import Array, Key
from analogjax.physics.device import Cells, State
from analogjax.physics.devices.affine import root
from analogjax.physics.devices.pulsed import Pulsed, clipped
from analogjax.random import normal


@pytree
class ConstantStep(Pulsed):
    """Constant step within hard bounds.

    Fast evaluation: the sum of `n` independent steps has mean `n s` and standard deviation `sqrt(n) c s`, and is drawn
    as one normal. It is exact in distribution as long as no crosspoint reaches its bound within the batch. At a bound,
    pulses that leave it again are counted as if earlier ones had not been clipped (an error of at most the sum of the
    steps of that batch, towards the inside). Devices that cross much of their range in a batch are not counted; see
    `devices/coarse.py`.

    Example:
        >>> ConstantStep(dw_min=0.002, dw_min_std=1.0)
    """

    def pulse(self, cells: Cells, state: State, sign: Array, key: Key) -> State:
        step = jnp.where(sign > 0, cells["dwmin_up"], cells["dwmin_down"]) * sign.astype(state.w.dtype)
        noise = 1.0 if is_off(self.dw_min_std) else 1 + self.dw_min_std * normal(key, state.w.shape, state.w.dtype)
        return replace(state, w=clipped(cells, state.w + step * noise))

    def pulses(self, cells: Cells, state: State, up: Array, down: Array, key: Key) -> State:
        n_up, n_down = up.astype(state.w.dtype), down.astype(state.w.dtype)
        s_up, s_down = cells["dwmin_up"], cells["dwmin_down"]
        move = n_up * s_up - n_down * s_down
        if not is_off(self.dw_min_std):
            spread = root(n_up * s_up * s_up + n_down * s_down * s_down)
            move = move + self.dw_min_std * spread * normal(key, state.w.shape, state.w.dtype)
        return replace(state, w=clipped(cells, state.w + move))
