r"""Devices whose step is a table over the weight, with linear interpolation.

    UP: w += s_up L_up(u)(1 + c xi),   DOWN: w -= s_dn L_dn(u)(1 + c xi),   u = (w - b_min) / (b_max - b_min)

then clip to `[b_min, b_max]`; `c = dw_min_std`. The nodes of a table stand at equal distances from `b_min` (first) to
`b_max` (last); a table of one node is constant. The pulse generator counts in units of `dw_min L_up` at the middle node
(the upper one of two), or of `dw_min` if that is not positive.

Reference: the data-driven device of Rasch et al. 2021, doi:10.1109/AICAS51828.2021.9458494.
"""

from functools import reduce
from itertools import pairwise
from typing import Any

import jax.numpy as jnp

from analogjax._pytree import is_static, pytree
from analogjax._typing import Array, Scalar
from analogjax.physics.checks import check, check_number, is_finite
from analogjax.physics.device import Cells
from analogjax.physics.devices.coarse import numbers_for
from analogjax.physics.devices.nonlinear import Nonlinear, width

Table = tuple[Scalar, ...] | Array  # [n] relative step at each node [1]


@pytree
class PiecewiseStep(Nonlinear):
    """Step interpolated from a table, within hard bounds. `devices/nonlinear.py` states the error of the fast
    evaluation.
    """

    piecewise_up: Table = (1.0,)
    """Relative up step at equally spaced weights from the lower to the upper bound [1]."""
    piecewise_down: Table = (1.0,)
    """Relative down step at equally spaced weights from the lower to the upper bound [1]."""
    write_noise_std: Scalar = 0.0
    """Standard deviation of the apparent weight around the persistent one, in units of `dw_min` [1]."""
    apply_write_noise_on_set: bool = True
    """Apply write noise also when weights are written directly."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("piecewise_up", "piecewise_down"):
            if isinstance(getattr(self, name), list):  # a list would be traced node by node
                object.__setattr__(self, name, tuple(getattr(self, name)))
            check(self, _is_table(getattr(self, name)), name, "needs a tuple of one or more finite numbers.")
        same = len(self.piecewise_down) == len(self.piecewise_up)
        check(self, same, "piecewise_down", f"needs as many nodes as piecewise_up, {len(self.piecewise_up)}.")
        check_number(self, "write_noise_std", low=0)

    @property
    def granularity(self) -> Scalar:
        middle = self.piecewise_up[len(self.piecewise_up) // 2]
        if is_static(middle):
            return self.dw_min * middle if middle > 0 else self.dw_min
        return self.dw_min * jnp.where(middle > 0, middle, 1.0)

    @property
    def largest_step(self) -> Scalar:
        return reduce(numbers_for(self).maximum, (*self.piecewise_up, *self.piecewise_down))

    def step(self, cells: Cells, v: Array, up: Array) -> Array:
        s = jnp.where(up, cells["dwmin_up"], cells["dwmin_down"])
        place = (len(self.piecewise_up) - 1) * (v - cells["min_bound"]) / width(cells)
        return s * _interpolated(
            [jnp.where(up, *nodes) for nodes in zip(self.piecewise_up, self.piecewise_down, strict=True)], place
        )


def _interpolated(nodes: list[Array], place: Array) -> Array:
    """The table at `place` `[O, I]`, in units of nodes: each segment adds its rise as far as it has been passed."""
    value = nodes[0] * jnp.ones_like(place)
    for k, (low, high) in enumerate(pairwise(nodes)):
        value = value + (high - low) * jnp.clip(place - k, 0.0, 1.0)
    return value


def _is_table(table: Any) -> bool:
    if not is_static(table):
        return True  # arrays pass, as everywhere
    numbers = isinstance(table, tuple) and len(table) > 0
    return numbers and all(is_finite(node) for node in table)
