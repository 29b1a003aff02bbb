r"""A linear layer whose matrix is stored on analog chips: `y = out_scale * mvm(W, x) + bias`.

The tiles are in the collection `tiles`, and a tuple of slots in `signals`, both under the name `tile`; the n-th slot
belongs to the n-th call of the layer in one pass. Digital bias and output scale are ordinary `params`. Noise comes from
the rng `analog`.

Flax's transformations lift these collections like any other: `linen.vmap` and `linen.scan` over layers stack tiles and
slots along the first axis (`variable_axes={"params": 0, "tiles": 0, "signals": 0}`); a scan over time shares the tiles
and stacks the slots (`linen.RNN(cell, variable_broadcast=("params", "tiles"), variable_axes={"signals": 0},
split_rngs={"params": False, "analog": True})`).
"""

from collections.abc import Callable
from functools import partial

import flax.linen as linen
import jax
import jax.numpy as jnp
from jax.extend.core import get_opaque_trace_state

from analogjax._field_docs import document_fields
from analogjax._typing import Array, DType, Key, Shape
from analogjax.errors import ConfigError, ShapeError, SlotError
from analogjax.nn.groups import check_initial_bound, chips_of, joined, product_of
from analogjax.nn.hardware_aware import NOISE, TILE, TILES, aware_product
from analogjax.tile import HardwareAware, Signal, Tile, TileArray, TileConfig, slot_for
from analogjax.tile.tile import across

SIGNALS = "signals"
SLOTS, CALLS = "tile", "calls"  # in `signals`: what a pass is given, and what a pass for shapes notes

document_layer = partial(document_fields, hidden=("parent", "name"))  # which flax adds to every module


@document_layer
class AnalogLinear(linen.Module):
    """Linear layer `[..., I] -> [..., O]` on one tile, or on an array of tiles if the matrix is larger than a chip.

    Weights and bias are initialised uniformly in +-1/sqrt(I), as far as the devices can hold them. With
    `config.mapping.digital_bias=False` the bias is one more column of devices, fed with 1. A layer may be called
    several times in one pass: each call reads the same tile and has its own slot.

    Raises:
        ShapeError: If `in_features` is given and x has another size.
        ConfigError: If `features` is not a whole number above 0.
        SlotError: If slots belong to another pass.

    Example:
        >>> layer = AnalogLinear(10, TileConfig(device=SoftBounds()))
        >>> variables = nn.init(layer, x, random.key(0))
        >>> y = nn.apply(layer, variables, x, key=random.key(1))
    """

    features: int
    """Number of outputs `O`."""
    config: TileConfig | HardwareAware = TileConfig()
    """Configuration of the tiles. With a `TileConfig` they are trained by pulses, with a `HardwareAware` the weights
    are parameters of an optax optimiser."""
    use_bias: bool = True
    """Add a bias."""
    in_features: int | None = None
    """Expected number of inputs; None: whatever x has."""
    dtype: DType | None = None
    """Dtype of the outputs; None: that of x and the tiles, promoted."""
    param_dtype: DType = jnp.float32
    """Dtype of tiles, bias and output scale."""
    initial_bound: float | None = None
    """Weights and bias are initialised uniformly in +- this; None: 1/sqrt(I)."""

    @linen.compact
    def __call__(self, x: Array) -> Array:
        self._check(x)
        return self.dense(x)

    def dense(self, x: Array, groups: int = 1) -> Array:
        """Apply the layer to vectors `[..., I]`; with groups `[G, ..., I / G]`, each of which has chips of its own."""
        self._check_fields(groups)
        mapping, inputs = self.config.mapping, x.shape[-1]
        x = x if self.dtype is None else x.astype(self.dtype)
        if self.use_bias and not mapping.digital_bias:
            x = jnp.concatenate([x, jnp.ones((*x.shape[:-1], 1), x.dtype)], axis=-1)
        aware = isinstance(self.config, HardwareAware)
        y = joined(aware_product(self, x) if aware else self._pulsed_product(x, groups), groups)
        if mapping.learn_out_scaling:
            shape = (self.features,) if mapping.out_scaling_columnwise else ()
            y = y * across(self.param("out_scale", linen.initializers.ones, shape, self.param_dtype), y)
        if self.use_bias and mapping.digital_bias:
            y = y + across(self.param("bias", _uniform(self._bound(inputs)), (self.features,), self.param_dtype), y)
        return y if self.dtype is None else y.astype(self.dtype)

    def _pulsed_product(self, x: Array, groups: int) -> Array:
        tile = self.variable(TILES, TILE, self._chips, (self.features // groups, x.shape[-1]), groups).value
        if self.is_initializing():
            # only shapes matter while chips are made; reading them would be compiled for nothing
            return slot_for(tile, x).d
        if self.is_mutable_collection(SIGNALS) and not self.has_variable(SIGNALS, SLOTS):
            return self._recorded(tile, x)
        return product_of(tile, x, self._slot(), self.make_rng(NOISE))

    def _chips(self, shape: tuple[int, int], groups: int) -> Tile | TileArray:
        assert isinstance(self.config, TileConfig)
        return chips_of(self.config, groups, shape, self.make_rng("params"), self.param_dtype, self.initial_bound)

    def _bound(self, inputs: int) -> float:
        return 1 / inputs**0.5 if self.initial_bound is None else self.initial_bound

    def _recorded(self, tile: Tile | TileArray, x: Array) -> Array:
        """Record the shapes of this call, in a pass that computes shapes only: tracing the physics would cost more than
        the rest.

        The record depends on x, so that flax refuses to keep one slot for all steps of a loop.
        """
        self._check_trace()
        like = slot_for(tile, x)
        y = jnp.broadcast_to(x[..., :1].astype(like.d.dtype), like.d.shape)
        calls = self.variable(SIGNALS, CALLS, tuple)
        # a scalar next to each signal can be stacked along the first axis only, like the tiles
        calls.value = (*calls.value, (Signal(x=x.astype(like.x.dtype), d=y), jnp.sum(y)))
        return y

    def _check_trace(self) -> None:
        """A plain JAX loop or `vmap` around this call would share one slot among many calls; only flax's versions lift
        slots.
        """
        assert self.scope is not None  # inside `init` or `apply`
        if self.scope.trace_level != get_opaque_trace_state(convention="flax"):
            raise SlotError(
                f"{'/'.join(self.path) or type(self).__name__}: is called inside a transformation of plain JAX (scan, "
                "vmap, fori_loop, jit, checkpoint) within the model, where calls can't be distinguished. Use flax's: "
                "linen.scan, linen.vmap, linen.jit or linen.remat, with variable_axes={'signals': 0} where it stacks."
            )

    def _slot(self) -> Signal | None:
        """The slot of this call, the first that no earlier call has taken; None if no signals are wanted."""
        if not self.has_variable(SIGNALS, SLOTS):
            return None
        where = "/".join(self.path) or "AnalogLinear"
        if not self.is_mutable_collection(SIGNALS):
            raise SlotError(
                f"{where}: slots were given, but the collection {SIGNALS!r} can't be changed, so calls can't be "
                f"distinguished. Use nn.apply, or model.apply(..., mutable=[{SIGNALS!r}])."
            )
        self._check_trace()
        slots = self.variable(SIGNALS, SLOTS, tuple)
        place = next((n for n, slot in enumerate(slots.value) if slot is not None), None)
        if place is None:
            raise SlotError(
                f"{where}: called {len(slots.value) + 1} times in one pass, with slots for {len(slots.value)}. One "
                "slot carries the signals of one call; make slots with nn.slots for this model and this x."
            )
        slot = slots.value[place]
        slots.value = (*slots.value[:place], None, *slots.value[place + 1 :])
        return slot

    def _check_fields(self, groups: int) -> None:
        if not isinstance(self.features, int) or self.features < 1:
            raise ConfigError(f"{type(self).__name__}(features={self.features!r}): needs a whole number above 0.")
        if not isinstance(self.config, (TileConfig, HardwareAware)):
            raise ConfigError(
                f"{type(self).__name__}({self.features}, {self.config!r}): the second argument is the configuration of "
                "the chips, a TileConfig or a HardwareAware; give everything else by name, such as kernel_size=(3, 3)."
            )
        check_initial_bound(type(self).__name__, self.initial_bound)
        if groups > 1 and isinstance(self.config, HardwareAware):
            raise ConfigError(
                f"{type(self).__name__}(groups={groups}): a hardware-aware layer has one group; use a layer for each, "
                "or a TileConfig."
            )

    def _check(self, x: Array) -> None:
        if self.in_features is not None and x.shape[-1] != self.in_features:
            raise ShapeError(
                f"AnalogLinear({self.in_features} -> {self.features}) at {'/'.join(self.path) or 'the top'}: got x of "
                f"shape {x.shape}; its last axis must be {self.in_features}. Flatten images first, or fix the sizes."
            )


def _uniform(bound: float) -> Callable[[Key, Shape, DType], Array]:
    def init(key: Key, shape: Shape, dtype: DType) -> Array:
        return jax.random.uniform(key, shape, dtype, minval=-bound, maxval=bound)

    return init
