"""The same weights on another chip: constants of the converters and wires are drawn anew."""

from dataclasses import replace

import jax

from analogjax._typing import Key, PyTree
from analogjax.tile.array import TileArray
from analogjax.tile.stack import over_model, over_stack
from analogjax.tile.tile import Tile


def renewed(tile: Tile | TileArray, *, key: Key) -> Tile | TileArray:
    """Move the state of a tile to a chip with a periphery of its own.

    Args:
        tile: A tile, array of tiles, or stack of them.
        key: Consumed. Random are the constants of the periphery, such as offsets and saturation of each output.

    Returns:
        The tile, with the same devices and weights.
    """
    return over_stack(_renewed, tile.stack, (tile,), key)


def all_renewed(tiles: PyTree, key: Key) -> PyTree:
    """`renewed` for each tile of a model. Consumes `key`."""
    return over_model(lambda tile, key: renewed(tile, key=key), tiles, (Tile, TileArray), key)


def _renewed(tile: Tile | TileArray, key: Key) -> Tile | TileArray:
    if isinstance(tile, TileArray):
        return replace(tile, tiles=tile._each(_one, key))
    return _one(tile, key)


def _one(tile: Tile, key: Key) -> Tile:
    k_forward, k_backward = jax.random.split(key)
    outputs, inputs = tile.shape
    return replace(
        tile,
        frozen_forward=tile.config.forward.fabricate(outputs, tile.dtype, k_forward, inputs=inputs),
        frozen_backward=tile.config.backward.fabricate(inputs, tile.dtype, k_backward, inputs=outputs),
    )
