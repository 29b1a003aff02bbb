r"""Hardware-aware tiles: the weights are ordinary parameters, trained by gradients through the noise of a chip.

    y  = scale * mvm(forward, modify(W / scale, key), x)     what a chip with disturbed weights answers
    dx = W^T d,    dW = d^T x                                 the derivative of the exact product

This is the extended straight-through estimator: the forward pass has all of the chip's effects, and the backward pass
none; no derivative is taken through noise, converters or managements. After each optimiser step the weights may be
clipped, and the output scales chosen anew (`after_step`). Letters: `O` rows, `I` columns, `B` batch. Logical weights
`W`; inside a chip they are in units of the device, `W / scale`.

References: Joshi et al. 2020, doi:10.1038/s41467-020-16108-9 (noise in the forward pass only); Rasch et al. 2023,
doi:10.1038/s41467-023-40770-4 (hardware-aware training); Feng et al. 2025, arXiv:2508.11940 (the estimator's name).
"""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from analogjax._pytree import is_part, part_in_words, pytree
from analogjax._typing import Array, Key
from analogjax.errors import ShapeError
from analogjax.physics.checks import check
from analogjax.physics.crossbar import Frozen, product
from analogjax.physics.device import State
from analogjax.physics.devices import Ideal
from analogjax.physics.hardware_aware import InputRange, WeightClip, WeightModifier, WeightRemap
from analogjax.physics.periphery import Periphery
from analogjax.random import check_key
from analogjax.tile.array import TileArray, cut_matrix, cut_vectors, each_chip, filled_padding, join_matrix
from analogjax.tile.mapping import Mapping
from analogjax.tile.tile import Tile, TileConfig, beside

_LEAST = 1e-6  # of an input range [x]
_PERFECT = Periphery(is_perfect=True)


@pytree
class HardwareAware:
    """Configuration of a layer whose weights are trained by gradients, with the noise of a chip in the forward pass.

    Given to a layer in place of a `TileConfig`, it makes `weight` (and `input_range`) parameters for any optax
    optimiser.

    Raises:
        ConfigError: If a part is of the wrong kind.

    Example:
        >>> AnalogLinear(10, HardwareAware(modifier=AddNormal(std_dev=0.05), clip=GaussianClip(sigma=2.5)))
    """

    forward: Periphery = Periphery()
    """Periphery of the read."""
    modifier: WeightModifier | None = None
    """How the weights of each training step are disturbed; None: not at all."""
    clip: WeightClip | None = None
    """How weights are clipped after each optimiser step; None: not at all."""
    remap: WeightRemap | None = None
    """How output scales are chosen anew after each optimiser step; None: not at all."""
    input_range: InputRange | None = None
    """Range of the inputs, fixed or learned; None: inputs are not limited."""
    mapping: Mapping = Mapping()
    """How the logical weights are mapped to chips."""
    fresh_chips: int = 0
    """Chips drawn anew at each training step, each for its share of the batch (the last one gets less where they do not
    divide it); 0: the one chip of the layer. A fresh chip has modified weights and constants of its own."""
    noisy_backward: bool = False
    """Use the modified weights of the step for `dx` too, as aihwkit's inference tiles do."""
    modify_in_evaluation: bool = False
    """Disturb the weights in evaluation as well."""

    def __post_init__(self) -> None:
        kinds = (
            ("modifier", WeightModifier), ("clip", WeightClip), ("remap", WeightRemap), ("input_range", InputRange),
        )  # fmt: skip
        for name, kind in kinds:
            part = getattr(self, name)
            check(self, part is None or is_part(part, kind), name, f"needs {part_in_words(kind)}, or None.")
        for name in ("noisy_backward", "modify_in_evaluation"):
            check(self, isinstance(getattr(self, name), bool), name, "needs True or False.")
        pulsed = self.mapping.weight_scaling_lr_compensation if isinstance(self.mapping, Mapping) else False
        check(self, not pulsed, "mapping", "weight_scaling_lr_compensation changes the rate of pulses: give False.")
        check(self, isinstance(self.forward, Periphery), "forward", "needs a Periphery.")
        check(self, isinstance(self.mapping, Mapping), "mapping", "needs a Mapping.")
        number = self.fresh_chips
        whole = isinstance(number, int) and not isinstance(number, bool) and number >= 0
        check(self, whole, "fresh_chips", "needs a whole number, 0 or more.")
        check(
            self, not (self.noisy_backward and number > 1), "noisy_backward",
            "several fresh chips in a step have no common weights for the backward pass; set one of the two off.",
        )  # fmt: skip

    def reading(self) -> TileConfig:
        """Configuration of chips that hold the weights exactly, for reading."""
        return TileConfig(device=Ideal(), forward=self.forward, backward=_PERFECT, mapping=self.mapping)


@pytree
class AwareTile:
    """Everything of a hardware-aware layer that no optimiser trains: configuration, scales and constants of its chips.

    Arrays of a matrix on several chips have the grid `[G_out, G_in]` as leading axes.
    """

    config: HardwareAware
    """What the layer is made of."""
    scale: Array
    """Logical weight per device weight, `[]` or `[O]` of each chip."""
    frozen: Frozen
    """Constants of the periphery of each output, `[O]`."""
    average: Array | None
    """Running input scale of AVERAGE_ABS_MAX, `[]`; None under other noise managements."""
    range_estimate: Array | None
    """Input range as the first batches suggest it `[]`; None without an input range."""
    range_seen: Array | None
    """Batches that it comes from `[]`; more than `init_from_data` once it is no longer used."""
    outputs: int
    """Rows of the whole matrix."""
    inputs: int
    """Columns of the whole matrix."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the logical matrix."""
        return self.outputs, self.inputs

    @property
    def grid(self) -> tuple[int, int]:
        """Chips along rows and columns."""
        return self.config.mapping.grid(*self.shape)

    def chips(self, w: Array) -> Tile | TileArray:
        """The chips, with devices that hold the logical weights `w` `[*stack, O, I]` exactly."""
        return _over_stack(AwareTile._chips, self, w)

    def _chips(self, w: Array) -> Tile | TileArray:
        parts = self._parts(w)
        made = Tile(
            config=self.config.reading(), cells={}, state=State(w=parts / beside(self.scale, parts), drift=None),
            scale=self.scale, frozen_forward=self.frozen, frozen_backward={}, average=self.average,
        )  # fmt: skip
        return made if self.grid == (1, 1) else TileArray(tiles=made, outputs=self.outputs, inputs=self.inputs)

    def after_step(self, w: Array) -> tuple[Array, "AwareTile"]:
        """Clip and remap after an optimiser step: the new logical weights `[*stack, O, I]`, and the tile."""
        return _over_stack(AwareTile._after_step, self, w)

    def _after_step(self, w: Array) -> tuple[Array, "AwareTile"]:
        clip, remap = self.config.clip, self.config.remap
        if clip is None and remap is None:
            return w, self
        parts = self._parts(w)
        held, scale = self._on_chips(_limited, parts, self._parts(jnp.ones_like(w)), self.scale)
        held = held * beside(scale, held)
        new = held if self.grid == (1, 1) else join_matrix(held, *self.shape)
        return new.astype(w.dtype), replace(self, scale=scale)

    def scaled_for(self, w: Array) -> "AwareTile":
        """The tile with the output scales that its mapping chooses for logical weights `w` `[*stack, O, I]`."""
        return _over_stack(AwareTile._scaled_for, self, w)

    def _scaled_for(self, w: Array) -> "AwareTile":
        return replace(self, scale=self._on_chips(_scale_for, self._parts(w)))

    def _on_chips(self, act: Any, *data: Array) -> Any:
        """`act(config, *data)` for each chip."""
        each = lambda *data: act(self.config, *data)  # noqa: E731 - vmapped below
        for _ in range(0 if self.grid == (1, 1) else 2):
            each = jax.vmap(each)
        return each(*data)

    def _parts(self, w: Array) -> Array:
        return w if self.grid == (1, 1) else cut_matrix(w, self.grid)


def _over_stack(act: Any, tile: AwareTile, w: Array) -> Any:
    """`act(tile, w)` for each layer of a stack (made under `vmap`), whose axes are in front of all arrays."""
    for _ in range(w.ndim - 2):
        act = jax.vmap(act)
    return act(tile, w)


def _scale_for(config: HardwareAware, w: Array) -> Array:
    """The output scale of one chip, in the form that remapping gives it."""
    scale = config.mapping.scale_for(w)
    if config.remap is None:
        return scale
    form = jax.eval_shape(config.remap.remap, w, scale)[1].shape
    return jnp.broadcast_to(scale, form)


def _limited(config: HardwareAware, w: Array, used: Array, scale: Array) -> tuple[Array, Array]:
    """Device weights `[O, I]` and output scale of one chip after clipping and remapping."""
    w = w / beside(scale, w)
    if config.clip is not None:
        w = config.clip.clip(w, used)
    return (w, scale) if config.remap is None else config.remap.remap(w, scale)


def create_aware(config: HardwareAware, w: Array, key: Key) -> AwareTile:
    """Make what belongs to the logical weights of a hardware-aware layer.

    Args:
        config: What the layer is made of.
        w: Its initial logical weights `[O, I]`, which decide the output scales.
        key: Consumed. Random are the constants of the periphery.

    Returns:
        The tile. The weights stay a parameter of the layer.

    Raises:
        ShapeError: If the weights are not a matrix.
    """
    check_key(key, "create_aware")
    if w.ndim != 2:
        raise ShapeError(f"create_aware: weights of shape {w.shape}; they must be a matrix [O, I].")
    outputs, inputs = w.shape
    seen = None if config.input_range is None else jnp.asarray(_before_data(config.input_range), jnp.int32)
    tile = AwareTile(
        config=config, scale=jnp.ones((), w.dtype), frozen={},
        average=jnp.zeros((), w.dtype) if config.forward.averages_inputs else None,
        range_estimate=None if config.input_range is None else jnp.asarray(config.input_range.init_value, w.dtype),
        range_seen=seen, outputs=outputs, inputs=inputs,
    )  # fmt: skip
    if tile.average is not None:
        tile = replace(tile, average=jnp.broadcast_to(tile.average, _grid_axes(tile)))
    return replace(tile, frozen=_constants(tile, key, w.dtype)).scaled_for(w)


def _before_data(given: InputRange) -> int:
    return 0 if given.init_from_data else 1


def observed(tile: AwareTile, x: Array) -> AwareTile:
    """The tile after a training batch `x` `[..., I]`: input range and running input scale take it into account."""
    given, management = tile.config.input_range, tile.config.forward.noise_management
    x = lax.stop_gradient(x).reshape(-1, x.shape[-1])
    if given is not None and tile.range_estimate is not None and tile.range_seen is not None:
        estimate, seen = given.from_data(x, tile.range_estimate, tile.range_seen)
        over = tile.range_seen >= given.init_from_data
        seen = jnp.where(over, given.init_from_data + 1, seen).astype(tile.range_seen.dtype)
        tile = replace(tile, range_estimate=estimate.astype(tile.range_estimate.dtype), range_seen=seen)
    if tile.average is None or management is None:
        return tile
    parts = jnp.broadcast_to(
        cut_vectors(x, tile.grid[1])[None], (*tile.grid, x.shape[0], -(-tile.inputs // tile.grid[1]))
    )
    average = tile._on_chips(
        lambda config, x, mean: management.average(x, mean)[-1], parts if _grid_axes(tile) else x, tile.average
    )
    return replace(tile, average=average.astype(tile.average.dtype))


def _grid_axes(tile: AwareTile) -> tuple[int, ...]:
    return () if tile.grid == (1, 1) else tile.grid


def _constants(tile: AwareTile, key: Key, dtype: Any) -> Frozen:
    """Constants of the periphery of each chip. Consumes `key`."""
    axes = _grid_axes(tile)
    rows, columns = (-(-size // parts) for size, parts in zip(tile.shape, tile.grid, strict=True))

    def draw(key: Key) -> Frozen:
        return tile.config.forward.fabricate(rows, dtype, key, inputs=columns)

    keys = jax.random.split(key, axes) if axes else key
    for _ in axes:
        draw = jax.vmap(draw)
    return draw(keys)


def aware_mvm(tile: AwareTile, w: Array, x: Array, r: Array | None = None, *, key: Key, training: bool) -> Array:
    """Product of a hardware-aware layer, differentiable in `w` and `x` by the extended straight-through estimator.

    Args:
        tile: What belongs to the weights.
        w: Logical weights `[O, I]`.
        x: Inputs `[..., I]`.
        r: The learned input range `[]`; None: that of the tile, if it has one.
        key: Consumed. Random are the modifier, the noise of the read, and the fresh chips.
        training: Whether weights are disturbed and chips are drawn anew.

    Returns:
        Outputs `[..., O]`.

    Raises:
        ShapeError: If x or w do not fit the tile.
    """
    check_key(key, "aware_mvm")
    if x.ndim == 0 or x.shape[-1] != tile.inputs or w.shape != tile.shape:
        raise ShapeError(
            f"aware_mvm: x of shape {x.shape} and w of shape {w.shape} for a tile of {tile.inputs} inputs and "
            f"{tile.outputs} outputs."
        )
    dtype = jnp.promote_types(x.dtype, w.dtype) if jnp.issubdtype(x.dtype, jnp.floating) else w.dtype
    given, r = tile.config.input_range, input_range(tile, r)
    limited, unit = limit_inputs(x.astype(dtype), r)
    flat = limited.reshape(-1, x.shape[-1])
    y, seen, passes = _noisy(tile, *lax.stop_gradient((w, flat if r is None else flat / unit)), key, training)
    y = (y * unit).reshape(*x.shape[:-1], y.shape[-1]).astype(dtype)
    seen = seen if tile.config.noisy_backward else lax.stop_gradient(w)
    unclipped = None if passes is None else jnp.mean(passes.astype(dtype))
    return _straight_through(y, w, seen, x.astype(dtype), (given, r, unclipped))


def input_range(tile: AwareTile, learned: Array | None) -> Array | None:
    """The range of the inputs of a layer `[]`: that of the data at first, then the learned one; None: there is none."""
    given = tile.config.input_range
    if given is None or tile.range_estimate is None or tile.range_seen is None:
        return None
    r = tile.range_estimate
    if learned is not None:
        r = jnp.where(tile.range_seen <= given.init_from_data, r, learned)
    return jnp.maximum(r, _LEAST)  # an optimiser may have gone too far


def range_after_step(tile: AwareTile, r: Array) -> Array:
    """The learned range after an optimiser step: that of the data while batches are collected, then what it became."""
    given = tile.config.input_range
    if given is None or tile.range_estimate is None or tile.range_seen is None:
        return r
    return jnp.where(tile.range_seen <= given.init_from_data, tile.range_estimate, r).astype(r.dtype)


def limit_inputs(x: Array, r: Array | None) -> tuple[Array, Array | float]:
    """Inputs within a range, without a derivative; and what the crossbar takes for 1."""
    if r is None:
        return x, 1.0
    held = lax.stop_gradient(r).astype(x.dtype)
    return jnp.clip(x, -held, held), held


def _noisy(tile: AwareTile, w: Array, x: Array, key: Key, training: bool) -> tuple[Array, Array, Array | None]:
    """What chips answer to `x` `[B, I]`, the logical weights that they have, and the gradient mask. Consumes `key`."""
    number = tile.config.fresh_chips if training else 0
    disturbs = tile.config.modifier is not None and (training or tile.config.modify_in_evaluation)
    if number == 0:
        k_modify, k_read = jax.random.split(key)
        chips = _modified(tile, tile.chips(w), k_modify) if disturbs else tile.chips(w)
        y, passes = chips.forward(x, k_read)
        return y, chips.read() if tile.config.noisy_backward else w, passes

    def fresh(x: Array, key: Key) -> tuple[Array, Array, Array | None]:
        k_make, k_modify, k_read = jax.random.split(key, 3)
        chips = replace(tile, frozen=_constants(tile, k_make, w.dtype)).chips(w)
        chips = _modified(tile, chips, k_modify) if disturbs else chips
        y, passes = chips.forward(x, k_read)
        return y, chips.read() if tile.config.noisy_backward else w, passes

    if number == 1:
        return fresh(x, key)
    shares = jnp.pad(x, ((0, -len(x) % number), (0, 0))).reshape(number, -1, x.shape[1])
    y, passes = jax.vmap(lambda x, key: fresh(x, key)[::2])(shares, jax.random.split(key, number))
    return y.reshape(-1, y.shape[-1])[: len(x)], w, passes


def _modified(tile: AwareTile, chips: Tile | TileArray, key: Key) -> Tile | TileArray:
    """Chips with disturbed weights; padding stays empty. Consumes `key`."""
    modifier = tile.config.modifier
    assert modifier is not None

    def act(chip: Tile, used: Array, key: Key) -> tuple[Tile]:
        used = used.astype(chip.state.w.dtype)
        w = modifier.modify(filled_padding(chip.state.w, used), key)
        if w.shape != used.shape:
            raise ShapeError(f"{modifier!r} made weights of shape {w.shape} of those of shape {used.shape}.")
        w = w * used
        return (replace(chip, state=replace(chip.state, w=w.astype(chip.state.w.dtype))),)

    return each_chip(chips, act, key)[0]


_Ranged = tuple[InputRange | None, Array | None, Array | None]  # how it is learned, the range, unclipped outputs


@jax.custom_vjp
def _straight_through(y: Array, w: Array, seen: Array, x: Array, ranged: _Ranged) -> Array:
    """`y` `[..., O]`, with the derivatives of the product of `w` `[O, I]` (for `x`: of `seen`) and `x` `[..., I]`."""
    return y


def _straight_forward(y: Array, w: Array, seen: Array, x: Array, ranged: _Ranged) -> tuple[Array, tuple]:
    return y, (seen, limit_inputs(x, ranged[1])[0], jnp.zeros((0,), w.dtype), ranged)


def _straight_backward(residual: tuple, d: Array) -> tuple:
    seen, x, like, (given, r, unclipped) = residual
    flat_d, flat_x = d.reshape(-1, d.shape[-1]), x.reshape(-1, x.shape[-1])
    dw = product(flat_x.T, flat_d.T)  # [O, I]
    dx = product(seen.T, flat_d).reshape(x.shape)
    dr = None if given is None or r is None else given.gradient(x, dx, r, unclipped)
    none = jax.tree.map(jnp.zeros_like, (given, unclipped))
    return jnp.zeros_like(d), dw.astype(like.dtype), jnp.zeros_like(seen), dx.astype(x.dtype), (none[0], dr, none[1])


_straight_through.defvjp(_straight_forward, _straight_backward)
