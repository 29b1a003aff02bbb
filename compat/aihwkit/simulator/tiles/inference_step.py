"""What hardware-aware training does to the weights of chips after a step: clip, remap, and draw a disturbed copy.

Each chip of a matrix is clipped, remapped and disturbed on its own.
"""

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp

from analogjax._typing import Array, Key, Scalar
from analogjax.physics import WeightClip, WeightModifier, WeightRemap
from analogjax.tile import Tile, TileArray
from analogjax.tile.array import each_chip
from compat import tile_weights
from compat import torch_bridge as bridge
from compat.kept_programs import kept


def with_scale_of_each_output(tile: Any) -> Any:
    """The tile with one scale for each output of each chip, as remapping needs them."""
    chip = tile_weights.chip_of(tile)
    stack = chip.state.w.shape[:-2]
    if chip.scale.ndim > len(stack):
        return tile
    scale = jnp.broadcast_to(chip.scale[..., None], (*stack, chip.state.w.shape[-2]))
    return tile_weights.with_chip(tile, scale=scale)


@dataclass(frozen=True, eq=False)
class Step:
    """Compiled for all tiles of one structure."""

    structure: Any
    clip: WeightClip | None
    remap: WeightRemap | None
    modifier: WeightModifier | None

    def __post_init__(self) -> None:
        for name in ("settle", "disturb"):
            object.__setattr__(self, name, jax.jit(getattr(self, "_" + name)))

    settle: Any = None
    disturb: Any = None

    def _settle(self, leaves: bridge.Leaves, root: Key, n: Scalar, learned: Array | None) -> bridge.Leaves:
        """The arrays of the tile, clipped and remapped; `learned` `[1]` or `[O]` goes into the scales."""
        tile = jax.tree.unflatten(self.structure, leaves)

        def act(chip: Tile, used: Array, learned: Array | None, key: Key) -> tuple[Tile]:
            w = chip.state.w if self.clip is None else self.clip.clip(chip.state.w, used)
            scale = chip.scale if learned is None else chip.scale * learned
            if self.remap is not None:
                w, scale = self.remap.remap(w, scale)
            return (replace(chip, state=replace(chip.state, w=w * used), scale=scale),)

        return jax.tree.leaves(each_chip(tile, act, _key(root, n), _of_chips(tile, learned))[0])

    def _disturb(self, leaves: bridge.Leaves, root: Key, n: Scalar) -> Array:
        """A disturbed copy `[O, I]` of the weights, in units of the device."""
        return disturbed(jax.tree.unflatten(self.structure, leaves), self.modifier, _key(root, n))


def disturbed(tile: Any, modifier: Any, key: Key) -> Array:
    """A disturbed copy `[O, I]` of the weights of each chip, in units of the device. Consumes `key`."""

    def act(chip: Tile, used: Array, key: Key) -> tuple[Tile]:
        w = modifier.modify(chip.state.w, key) * used
        return (replace(chip, state=replace(chip.state, w=w)),)

    return tile_weights.raw(each_chip(tile, act, key)[0])


@kept
def step(structure: Any, clip: Any, remap: Any, modifier: Any) -> Step:
    """The compiled functions of all tiles of one structure."""
    return Step(structure, clip, remap, modifier)


def _of_chips(tile: Any, learned: Array | None) -> Array | None:
    """A value of each output, `[1]` or `[O]`, as each chip needs it: `[]`, or `[..., o]` of stacked ones."""
    if learned is None:
        return None
    if not isinstance(tile, TileArray):
        return learned[0] if learned.shape == (1,) else learned
    return tile._along_rows(jnp.broadcast_to(learned, (tile.outputs,))[None])[:, :, 0]


def _key(root: Key, n: Scalar) -> Key:
    return jax.random.fold_in(root, n)
