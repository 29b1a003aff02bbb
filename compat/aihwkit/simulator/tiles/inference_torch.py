"""Tile modules of chips that are trained through their converters: the forward product itself is differentiated.

Rounding is straight-through and a clipped signal passes no gradient, as in aihwkit's torch tile. Where the wires lose
voltage, they do so in evaluation mode only.
"""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import jax

from analogjax._typing import Array, Key, Scalar
from analogjax.physics import PeripheryIRDropT
from analogjax.tile import Tile, TileArray
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
        """What a gradient `d` of the answers is for the inputs `[B, I]` and for the logical weights `[O, I]`."""
        tile = self._tile(leaves)

        def read(w: Array, x: Array) -> Array:
            return _answers(_holding(tile, w), x, _key(root, n), self.each)

        w, scale = _chip(tile).state.w, _chip(tile).scale
        _, back = jax.vjp(read, w, x)
        dw, dx = back(d)
        # the logical weight is scale w, so its gradient is dw / scale: what chips of that scale would be read as
        return dx, _with_chip(_holding(tile, dw), scale=1 / scale).read()


@cache
def product(structure: Any, with_drop: bool, each: bool) -> Product:
    """The compiled functions of all tiles of one structure."""
    return Product(structure, with_drop, each)


def _key(root: Key, n: Scalar) -> Key:
    return jax.random.split(jax.random.fold_in(root, n))[0]


def _chip(tile: Tile | TileArray) -> Tile:
    return tile.tiles if isinstance(tile, TileArray) else tile


def _with_chip(tile: Any, **parts: Any) -> Any:
    chip = replace(_chip(tile), **parts)
    return replace(tile, tiles=chip) if isinstance(tile, TileArray) else chip


def _holding(tile: Any, w: Array) -> Any:
    return _with_chip(tile, state=replace(_chip(tile).state, w=w))


def _without_drop(tile: Any) -> Any:
    config = tile.config
    if not isinstance(config.forward, PeripheryIRDropT):
        return tile
    return _with_chip(tile, config=replace(config, forward=replace(config.forward, ir_drop=0.0)))


def _answers(tile: Any, x: Array, key: Key, each: bool) -> Array:
    if each and isinstance(tile, TileArray):
        return tile._each(Tile.forward, key, tile._along_columns(x))[0]
    return tile.forward(x, key)[0]


class StraightThrough(torch.autograd.Function):
    """The product of chips; going back, it leaves the gradient of their weights with the tile's context."""

    @staticmethod
    def forward(ctx: Any, context: Any, chips: Any, compiled: Product, x: Any) -> Any:
        n = chips.next_use()
        y = compiled.forward(chips.leaves, chips.root, n, bridge.to_jax(x))
        ctx.save_for_backward(x)
        # the weights may move before the gradient comes
        ctx.context, ctx.compiled, ctx.use = context, compiled, (chips.leaves, chips.root, n)
        return bridge.to_torch(y)

    @staticmethod
    @bridge.once_differentiable
    def backward(ctx: Any, d: Any) -> Any:
        (x,) = ctx.saved_tensors
        dx, dw = ctx.compiled.pull(*ctx.use, bridge.to_jax(x), bridge.to_jax(d, "the gradient"))
        if ctx.needs_input_grad[0]:
            gradient = bridge.to_torch(dw)
            # an exact update by any gradient: unit vectors as inputs, its columns as errors
            ctx.context.record(torch.eye(gradient.shape[1]), gradient.T)
        return None, None, None, bridge.to_torch(dx) if ctx.needs_input_grad[3] else None


class Differentiated:
    """What is added to a tile module. Raises `AnalogBiasConfigError` where the bias would be on the chip."""

    reading: Any
    training: bool
    analog_ctx: Any
    analog_bias: bool

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
        return StraightThrough.apply(self.analog_ctx, chips, compiled, x)


class TorchInferenceTile(Differentiated, Programmable, TileModule):
    """Chips that are trained through their converters, then programmed: one chip."""


class TorchInferenceTileArray(Differentiated, Programmable, TileModuleArray):
    """Chips that are trained through their converters, then programmed: a matrix on several of them."""
