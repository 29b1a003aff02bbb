"""A column that is not disturbed, such as that of an analog bias."""

import jax.numpy as jnp

from analogjax._pytree import pytree
from analogjax._typing import Array, Key
from analogjax.physics.hardware_aware.modifier import WeightModifier


@pytree
class ExceptLastColumn:
    """Leaves the last column as it is, and out of the largest weight (aihwkit's `copy_last_column`).

    Example:
        >>> ExceptLastColumn(modifier=AddNormal(std_dev=0.05)).modify(w, key)
    """

    modifier: WeightModifier
    """What disturbs the other columns."""

    def modify(self, w: Array, key: Key) -> Array:
        """The disturbed columns and the last one `[O, I]`. Consumes `key`."""
        return jnp.concatenate([self.modifier.modify(w[:, :-1], key), w[:, -1:]], axis=1)
