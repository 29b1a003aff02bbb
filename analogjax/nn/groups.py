"""Groups of a convolution: for each a matrix on chips of its own, stacked along one leading axis.

    y[g] = mvm(W[g], x[g]),   W `[G, O/G, I/G]`, x `[G, ..., I/G]`, y `[G, ..., O/G]`

A dense matrix would hold zeros between the groups, on devices that are pulsed all the same.
"""

from typing import Any

import jax
import jax.numpy as jnp

from analogjax._typing import Array, DType, Key
from analogjax.errors import ConfigError
from analogjax.tile import Signal, TileConfig, create_array, initial_weights, mvm
from analogjax.tile.signals import Chips


def chips_of(
    config: TileConfig, groups: int, shape: tuple[int, int], key: Key, dtype: DType, bound: float | None = None
) -> Chips:
    """The chips of a matrix of this shape; of several groups, a stack of such. Weights start in +-bound, by default
    1/sqrt(I). Consumes `key`.
    """

    def one(key: Key) -> Chips:
        if bound is None:
            return create_array(config, shape, key, dtype=dtype)
        key, k_weights = jax.random.split(key)
        return create_array(config, shape, key, initial_weights(shape, k_weights, dtype, bound), dtype)

    return one(key) if groups == 1 else jax.vmap(one)(jax.random.split(key, groups))


def product_of(tile: Chips, x: Array, slot: Signal | None, key: Key) -> Array:
    """`mvm`; of a stack of chips, each with its part of `x` `[G, ..., I]` and of the slot. Consumes `key`."""
    if not tile.stack:
        return mvm(tile, x, slot, key=key)
    keys = jax.random.split(key, tile.stack[0])
    return jax.vmap(lambda tile, x, slot, key: mvm(tile, x, slot, key=key))(tile, x, slot, keys)


def cut(x: Array, groups: int) -> Array:
    """`[..., I] -> [G, ..., I / G]`; one group stays as it is."""
    if groups == 1:
        return x
    return jnp.moveaxis(x.reshape(*x.shape[:-1], groups, x.shape[-1] // groups), -2, 0)


def joined(y: Array, groups: int) -> Array:
    """`[G, ..., O / G] -> [..., O]`: the reverse of `cut`."""
    return y if groups == 1 else jnp.moveaxis(y, 0, -2).reshape(*y.shape[1:-1], groups * y.shape[-1])


def check_groups(layer: str, groups: int, **sizes: int) -> None:
    """Raise `ConfigError` unless `groups` is a whole number above 0 that divides all sizes."""
    if not isinstance(groups, int) or isinstance(groups, bool) or groups < 1:
        raise ConfigError(f"{layer}(groups={groups!r}): needs a whole number above 0.")
    # what is no number at all is for others to say
    uneven = [f"{name}={size}" for name, size in sizes.items() if isinstance(size, int) and size % groups]
    if uneven:
        raise ConfigError(f"{layer}(groups={groups}): must divide {uneven[0]}.")


def check_initial_bound(layer: str, bound: Any) -> None:
    """Raise `ConfigError` unless `bound` is a finite number above 0, or `None`."""
    if bound is not None and not (isinstance(bound, (int, float)) and 0 < bound < float("inf")):
        raise ConfigError(f"{layer}(initial_bound={bound!r}): needs a finite number above 0, or None.")
