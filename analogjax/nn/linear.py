r"""A linear layer whose matrix lives on analog chips: `y = out_scale * mvm(W, x) + bias`.

The chips are in the collection `tiles`, one slot for each call in `signals` (both under the name `tile`); bias and
output scale, if digital, are ordinary `params`. Noise comes from the rng `analog`.
"""

from collections.abc import Callable

import flax.linen as linen
import jax
import jax.numpy as jnp

from analogjax._typing import Array, Key, Shape
from analogjax.errors import ShapeError, SlotError
from analogjax.tile import Signal, Tile, TileArray, TileConfig, create_array, mvm, slot_for

TILES, SIGNALS, NOISE = "tiles", "signals", "analog"


class AnalogLinear(linen.Module):
    """`[..., I] -> [..., O]` through one tile, or an array of tiles where the matrix is larger than a chip.

    Weights start uniform in +-1/sqrt(I), as far as the devices can hold them; so does the bias. With
    `config.mapping.digital_bias=False` the bias is one more column of devices, fed with 1.
    Raises `ShapeError` where `in_features` is given and x has another size, `SlotError` where one layer is called twice
    in a pass that records signals (give each call a layer of its own).
    """

    features: int
    config: TileConfig = TileConfig()
    use_bias: bool = True
    in_features: int | None = None  # checked against x where given

    @linen.compact
    def __call__(self, x: Array) -> Array:
        self._check(x)
        return self.dense(x)

    def dense(self, x: Array) -> Array:
        """The layer itself, for vectors `[..., I]`."""
        mapping, inputs = self.config.mapping, x.shape[-1]
        if self.use_bias and not mapping.digital_bias:
            x = jnp.concatenate([x, jnp.ones((*x.shape[:-1], 1), x.dtype)], axis=-1)
        tile = self.variable(TILES, "tile", self._chips, (self.features, x.shape[-1])).value
        y = self._product(tile, x)
        if mapping.learn_out_scaling:
            shape = (self.features,) if mapping.out_scaling_columnwise else ()
            y = y * self.param("out_scale", linen.initializers.ones, shape)
        if self.use_bias and mapping.digital_bias:
            y = y + self.param("bias", _uniform(inputs), (self.features,))
        return y

    def _product(self, tile: Tile | TileArray, x: Array) -> Array:
        slot = self._slot(tile, x)
        if self.is_initializing():
            # only shapes matter while chips are made; reading them would be compiled for nothing
            return jnp.zeros((*x.shape[:-1], self.features), x.dtype)
        return self.read_chips(tile, x, slot)

    def read_chips(self, tile: Tile | TileArray, x: Array, slot: Signal | None) -> Array:
        """The noisy product alone: a method, so that a pass for shapes only can step in (see `nn.slots`)."""
        return mvm(tile, x, slot, key=self.make_rng(NOISE))

    def _chips(self, shape: tuple[int, int]) -> Tile | TileArray:
        return create_array(self.config, shape, self.make_rng("params"))

    def _slot(self, tile: Tile | TileArray, x: Array) -> Signal | None:
        """The slot given by the caller; a fresh one while slots are being recorded; none otherwise."""
        recording = self.is_mutable_collection(SIGNALS)
        if not recording and not self.has_variable(SIGNALS, "tile"):
            return None
        if self.path in (taken := self._slots_taken()):
            raise SlotError(
                f"{'/'.join(self.path) or 'AnalogLinear'}: called twice in one pass. One slot carries the signals of "
                "one call, and JAX would silently add up two. Give each call a layer of its own."
            )
        taken.add(self.path)
        return self.variable(SIGNALS, "tile", slot_for, tile, x).value

    def _slots_taken(self) -> set[tuple[str, ...]]:
        """Paths of the layers that used their slot in this pass, kept on flax's root scope, which lives as long."""
        assert self.scope is not None  # inside `init` or `apply`
        taken: set[tuple[str, ...]] = vars(self.scope.root).setdefault("_analogjax_slots_taken", set())
        return taken

    def _check(self, x: Array) -> None:
        if self.in_features is not None and x.shape[-1] != self.in_features:
            raise ShapeError(
                f"AnalogLinear({self.in_features} -> {self.features}) at {'/'.join(self.path) or 'the top'}: got x of "
                f"shape {x.shape}; its last axis must be {self.in_features}. Flatten images first, or mend the sizes."
            )


def _uniform(inputs: int) -> Callable[[Key, Shape], Array]:
    bound = 1 / inputs**0.5

    def init(key: Key, shape: Shape) -> Array:
        return jax.random.uniform(key, shape, minval=-bound, maxval=bound)

    return init
