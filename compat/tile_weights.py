"""The weights that the devices of a tile, or of an array of tiles, hold: read, put in, and their scales.

Such a matrix is `[O, I]` in units of the device, each chip's part in its place; the scales times it are the logical
weights.
"""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from analogjax._typing import Array
from analogjax.physics import Periphery
from analogjax.tile import Tile, TileArray


def chip_of(tile: Tile | TileArray) -> Tile:
    """The chip; of an array all of them, stacked."""
    return tile.tiles if isinstance(tile, TileArray) else tile


def with_chip(tile: Any, **parts: Any) -> Any:
    """The tile, or array of tiles, with some parts of its chips replaced."""
    chip = replace(chip_of(tile), **parts)
    return replace(tile, tiles=chip) if isinstance(tile, TileArray) else chip


def holding(tile: Any, w: Array) -> Any:
    """The tile whose devices hold `w`, of the shape of its own state (stacked and padded, for an array)."""
    return with_chip(tile, state=replace(chip_of(tile).state, w=w))


def read_by(tile: Any, p: Periphery) -> Any:
    """The tile, read by another periphery."""
    return with_chip(tile, config=replace(tile.config, forward=p))


def raw(tile: Any) -> Array:
    """What the devices hold, `[O, I]`."""
    return with_chip(tile, scale=jnp.ones_like(chip_of(tile).scale)).read()


def put_in(tile: Any, w: Array) -> Any:
    """The tile whose devices hold `w` `[O, I]`: the reverse of `raw`. Padding holds 0."""
    # `raw` only moves numbers about, so its transpose puts them back
    (own,) = jax.linear_transpose(lambda held: raw(holding(tile, held)), chip_of(tile).state.w)(w)
    return holding(tile, own)


def rate_scales(tile: Any) -> Array | float:
    """The factor of the learning rate of each weight, `[O, I]`, by which a mapping makes up for its scales."""
    chip = chip_of(tile)
    if not tile.config.mapping.weight_scaling_lr_compensation:
        return 1.0
    stack = chip.state.w.ndim - 2
    return scales(with_chip(tile, scale=1 / jnp.mean(chip.scale, axis=tuple(range(stack, chip.scale.ndim)))))


def scales(tile: Any) -> Array:
    """The logical weight per weight of the device, `[O, I]`."""
    return holding(tile, jnp.ones_like(chip_of(tile).state.w)).read()
