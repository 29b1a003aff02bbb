"""Tile modules of chips that are trained through their converters: the forward product itself is differentiated.

Rounding is straight-through and a clipped signal passes no gradient, as in aihwkit's torch tile. Where the wires lose
voltage, they do so in evaluation mode only.
"""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import jax

from analogjax._typing import Array, Key, Scalar
from analogjax.physics import TimedCrossbar
from analogjax.tile import Tile, TileArray
from compat import tile_weights
from compat import torch_bridge as bridge
from compat.aihwkit.exceptions import AnalogBiasConfigError
from compat.aihwkit.simulator.tiles.array import TileModuleArray
from compat.aihwkit.simulator.tiles.inference import Programmable
from compat.aihwkit.simulator.tiles.module import TileModule
from compat.torch_package import torch


@dataclass(frozen=True, eq=False)
class Product:
    """The product of all tiles of one structure and its derivatives, compiled; keys are those of `bridge.Program`."""

    structure: Any
    with_drop: bool  # whether wires lose voltage
    each: bool  # whether the answers of the chips are kept apart, [G_out, G_in, B, o]

    def __post_init__(self) -> None:
        for name in ("forward", "pull"):
            object.__setattr__(self, name, jax.jit(getattr(self, "_" + name)))

    forward: Any = None
    pull: Any = None

    def _tile(self, leaves: bridge.Leaves) -> Any:
        tile = jax.tree.unflatten(self.structure, leaves)
        return tile if self.with_drop else _without_drop(tile)

    def _forward(self, leaves: bridge.Leaves, root: Key, n: Scalar, x: Array) -> Array:
        return _answers(self._tile(leaves), x, _key(root, n), self.each)

    def _pull(self, leaves: bridge.Leaves, root: Key, n: Scalar, x: Array, d: Array) -> tuple[Array, Array]:
        """What a gradient `d` of the answers is for the inputs `[B, I]` and for the weights `[O, I]` of the devices."""
        tile = self._tile(leaves)

        def read(w: Array, x: Array) -> Array:
            return _answers(tile_weights.put_in(tile, w), x, _key(root, n), self.each)

        _, back = jax.vjp(read, tile_weights.raw(tile), x)
        dw, dx = back(d)
        # a step moves the logical weight, scale w, by the rate: as in aihwkit, its gradient is dw / scale
        return dx, dw / tile_weights.scales(tile) ** 2


@cache
def product(structure: Any, with_drop: bool, each: bool) -> Product:
    """The compiled functions of all tiles of one structure."""
    return Product(structure, with_drop, each)


def _key(root: Key, n: Scalar) -> Key:
    return jax.random.split(jax.random.fold_in(root, n))[0]


def _without_drop(tile: Any) -> Any:
    config, reading = tile.config, tile.config.forward
    if not isinstance(reading.crossbar, TimedCrossbar):
        return tile
    forward = replace(reading, crossbar=replace(reading.crossbar, ir_drop=0.0))
    return tile_weights.with_chip(tile, config=replace(config, forward=forward))


def _answers(tile: Any, x: Array, key: Key, each: bool) -> Array:
    if each and isinstance(tile, TileArray):
        return tile._each(Tile.forward, key, tile._along_columns(x))[0]
    return tile.forward(x, key)[0]


class StraightThrough(torch.autograd.Function):
    """The product of chips; going back, the weights get the gradient of the product itself."""

    @staticmethod
    def forward(ctx: Any, chips: Any, compiled: Product, x: Any, weight: Any) -> Any:
        n, leaves = chips.next_use(), chips.leaves
        y = compiled.forward(leaves, chips.root, n, bridge.to_jax(x))
        ctx.save_for_backward(x)
        # the weights may move before the gradient comes
        ctx.compiled, ctx.use = compiled, (leaves, chips.root, n)
        return bridge.to_torch(y)

    @staticmethod
    @bridge.once_differentiable
    def backward(ctx: Any, d: Any) -> Any:
        (x,) = ctx.saved_tensors
        dx, dw = ctx.compiled.pull(*ctx.use, bridge.to_jax(x), bridge.to_jax(d, "the gradient"))
        return (
            None, None, bridge.to_torch(dx) if ctx.needs_input_grad[2] else None,
            bridge.to_torch(dw) if ctx.needs_input_grad[3] else None,
        )  # fmt: skip


class Differentiated:
    """What is added to a tile module. Raises `AnalogBiasConfigError` where the bias would be on the chip."""

    reading: Any
    training: bool
    analog_bias: bool
    shared_weights: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.analog_bias:
            raise AnalogBiasConfigError(
                f"{type(self).__name__}: its chips hold no bias; set mapping.digital_bias=True, or use no bias."
            )

    def product(self, x: Any) -> Any:
        """`[B, I] -> [B, O]`: what the chips answer, added up, in logical units."""
        return self._answers(x, each=False)

    def _answers(self, x: Any, each: bool) -> Any:
        chips = self.reading
        compiled = product(chips.structure, not self.training, each)
        return StraightThrough.apply(chips, compiled, x, self.shared_weights)


class TorchInferenceTile(Differentiated, Programmable, TileModule):
    """Chips that are trained through their converters, then programmed: one chip."""


class TorchInferenceTileArray(Differentiated, Programmable, TileModuleArray):
    """Chips that are trained through their converters, then programmed: a matrix on several of them."""
