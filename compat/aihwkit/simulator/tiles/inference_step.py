"""What hardware-aware training does to the weights of a chip after a step: clip, remap, and draw a disturbed copy."""

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp

from analogjax._typing import Array, Key, Scalar
from analogjax.physics import WeightClip, WeightModifier, WeightRemap
from analogjax.tile import Tile
from compat import torch_bridge as bridge
from compat.kept_programs import kept


def with_scale_of_each_output(tile: Tile) -> Tile:
    """The tile with one scale for each output, as remapping needs them."""
    return replace(tile, scale=jnp.broadcast_to(tile.scale, (tile.shape[0],)))


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

    def _settle(self, leaves: bridge.Leaves, learned: Array | None) -> bridge.Leaves:
        """The arrays of the tile, clipped and remapped; `learned` `[1]` or `[O]` goes into the scales."""
        tile: Tile = jax.tree.unflatten(self.structure, leaves)
        w, scale = tile.state.w, tile.scale
        if self.clip is not None:
            w = self.clip.clip(w, jnp.ones_like(w))
        if learned is not None:
            scale = scale * (learned[0] if learned.shape == (1,) else learned)
        if self.remap is not None:
            w, scale = self.remap.remap(w, scale)
        return jax.tree.leaves(replace(tile, state=replace(tile.state, w=w), scale=scale))

    def _disturb(self, leaves: bridge.Leaves, root: Key, n: Scalar) -> Array:
        """A disturbed copy `[O, I]` of the weights, in units of the device."""
        assert self.modifier is not None
        tile: Tile = jax.tree.unflatten(self.structure, leaves)
        return self.modifier.modify(tile.state.w, jax.random.fold_in(root, n))


@kept
def step(structure: Any, clip: Any, remap: Any, modifier: Any) -> Step:
    """The compiled functions of all tiles of one structure."""
    return Step(structure, clip, remap, modifier)
