"""The weights that the devices of a tile hold: read, put in, and their scales.

Such a matrix is `[O, I]` in units of the device; the scales times it are the logical weights.
"""

from dataclasses import replace

import jax.numpy as jnp

from analogjax._typing import Array
from analogjax.physics import Periphery
from analogjax.tile import Tile


def holding(tile: Tile, w: Array) -> Tile:
    """The tile whose devices hold `w`, which is not copied."""
    return replace(tile, state=replace(tile.state, w=w))


def read_by(tile: Tile, p: Periphery) -> Tile:
    """The tile, read by another periphery."""
    return replace(tile, config=replace(tile.config, forward=p))


def raw(tile: Tile) -> Array:
    """What the devices hold, `[O, I]`."""
    return replace(tile, scale=jnp.ones_like(tile.scale)).read()


def put_in(tile: Tile, w: Array) -> Tile:
    """The tile whose devices hold `w`, a copy also where this is compiled."""
    # what goes through a compiled function as it is comes out on the same memory
    return holding(tile, w * jnp.ones_like(tile.state.w))


def rate_scales(tile: Tile) -> Array | float:
    """The factor of the learning rate by which a mapping makes up for its scales."""
    return tile.config.mapping.rate_scale(tile.scale)


def scales(tile: Tile) -> Array:
    """The logical weight per weight of the device, `[O, I]`."""
    return holding(tile, jnp.ones_like(tile.state.w)).read()
