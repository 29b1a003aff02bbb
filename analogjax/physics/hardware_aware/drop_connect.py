r"""Connections that are missing at random.

    modify(w) = 0 with probability pdrop, else what another modifier makes of w

Reference: Wan et al. 2013, "Regularization of neural networks using DropConnect" (ICML); the rest is not rescaled.
"""

import jax
import jax.numpy as jnp

from analogjax._pytree import pytree
from analogjax._typing import Array, Key, Scalar
from analogjax.physics.checks import check_number
from analogjax.physics.hardware_aware.modifier import WeightModifier
from analogjax.random import bernoulli


@pytree
class DropConnect:
    """Sets weights to 0 at random, after another modifier (aihwkit's `DROP_CONNECT`, and `pdrop` of any other).

    Raises:
        ConfigError: If the probability is not a number from 0 to 1.

    Example:
        >>> DropConnect(pdrop=0.1, modifier=AddNormal(std_dev=0.05)).modify(w, key)
    """

    pdrop: Scalar
    """Probability of each connection to be missing [1]."""
    modifier: WeightModifier | None = None
    """What disturbs the weights before; None: nothing."""

    def __post_init__(self) -> None:
        check_number(self, "pdrop", low=0, high=1)

    def modify(self, w: Array, key: Key) -> Array:
        """The weights `[O, I]` that are left. Consumes `key`."""
        k_modify, k_drop = jax.random.split(key)
        left = w if self.modifier is None else self.modifier.modify(w, k_modify)
        return jnp.where(bernoulli(k_drop, jnp.asarray(self.pdrop), w.shape), jnp.zeros_like(left), left)
