"""Layers for flax NNX whose matrices are stored on analog chips: the mathematics of `analogjax.nn` as NNX modules.

The tiles are variables of a type of their own, `Chips`, so that neither `nnx.Optimizer` nor `nnx.grad` (which take
`nnx.Param`) touches them. Digital bias and output scale are `nnx.Param`, and so are the weights and the input range of
layers with a `HardwareAware` configuration, whose other state is of type `Hardware`. Noise comes from the stream
`analog` of the layer's rngs.
"""

import math
from typing import Any, ClassVar

import jax.numpy as jnp
from flax import nnx

from analogjax._typing import Array, DType
from analogjax.errors import ConfigError, ShapeError
from analogjax.nn.conv import check_items, check_window, patches
from analogjax.nn.conv_transpose import transposed_sides
from analogjax.nn.groups import check_groups, check_initial_bound, chips_of, cut, joined
from analogjax.nn.padding import Sizes, padded, sides_of, spread
from analogjax.nnx.calls import product
from analogjax.tile import (
    HardwareAware,
    TileConfig,
    aware_mvm,
    create_aware,
    initial_weights,
    mvm,
    observed,
)
from analogjax.tile.hardware_aware import input_range, limit_inputs
from analogjax.tile.tile import across


class Chips(nnx.Variable):
    """The tiles of a layer, a `Tile` or a `TileArray`: pulses move them, gradients do not."""


class Hardware(nnx.Variable):
    """An `AwareTile`: scales and constants of the chips of a hardware-aware layer."""


class AnalogLinear(nnx.Module):
    """Linear layer `[..., I] -> [..., O]` on one tile, or on an array of tiles if the matrix is larger than a chip.

    Args:
        in_features: Number of inputs `I`.
        out_features: Number of outputs `O`.
        config: Configuration of the tiles. With a `HardwareAware` the weights are parameters, disturbed until
            `model.eval()` is called; call `after_step(model)` after the optimiser.
        use_bias: Add a bias: digital, or one more column of devices (`Mapping(digital_bias=False)`).
        dtype: Dtype of the outputs; by default that of x and the tiles, promoted.
        param_dtype: Dtype of tiles, bias and output scale.
        initial_bound: Weights and bias are initialised uniformly in +- this; by default 1/sqrt(I).
        groups: Groups of inputs and outputs that do not mix, each on chips of its own.
        rngs: `params` makes the tiles; `analog` (or the default stream) is the noise of every call.

    Raises:
        ConfigError: If a size is not a whole number above 0, `initial_bound` no finite number above 0, or a
            hardware-aware layer has several groups.
        ShapeError: If x has another size.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        config: TileConfig | HardwareAware = TileConfig(),  # noqa: B008 - frozen
        use_bias: bool = True,
        dtype: DType | None = None,
        param_dtype: DType = jnp.float32,
        initial_bound: float | None = None,
        groups: int = 1,
        rngs: nnx.Rngs,
    ) -> None:
        for name, size in (("in_features", in_features), ("out_features", out_features)):
            if not isinstance(size, int) or size < 1:
                raise ConfigError(f"AnalogLinear({name}={size!r}): needs a whole number above 0.")
        check_initial_bound("AnalogLinear", initial_bound)
        self.in_features, self.out_features, self.dtype = in_features, out_features, dtype
        mapping = config.mapping
        self.analog_bias = use_bias and not mapping.digital_bias
        check_groups("AnalogLinear", groups, in_features=in_features, out_features=out_features)
        self.groups, columns = groups, in_features // groups + self.analog_bias
        self.deterministic = False  # what `eval()` sets
        if not isinstance(config, HardwareAware):
            matrix = (out_features // groups, columns)
            self.tile = Chips(chips_of(config, groups, matrix, rngs.params(), param_dtype, initial_bound))
        elif groups == 1:
            w = initial_weights((out_features, columns), rngs.params(), param_dtype, initial_bound)
            self._make_aware(config, w, rngs, param_dtype)
        else:
            raise ConfigError(f"AnalogLinear(groups={groups}): a hardware-aware layer has one group.")
        bound = 1 / (in_features // groups) ** 0.5 if initial_bound is None else initial_bound
        digital = use_bias and mapping.digital_bias
        bias = nnx.initializers.uniform(2 * bound)(rngs.params(), (out_features,), param_dtype) - bound
        self.bias = nnx.Param(bias) if digital else None
        scales = (out_features,) if mapping.out_scaling_columnwise else ()
        self.out_scale = nnx.Param(jnp.ones(scales, param_dtype)) if mapping.learn_out_scaling else None
        self.rngs = rngs.fork() if hasattr(rngs, "fork") else rngs

    def __call__(self, x: Array) -> Array:
        if x.ndim == 0 or x.shape[-1] != self.in_features:
            raise ShapeError(
                f"AnalogLinear({self.in_features} -> {self.out_features}): got x of shape {x.shape}; its last axis "
                f"must be {self.in_features}."
            )
        return self.dense(x)

    def dense(self, x: Array) -> Array:
        """Apply the layer to vectors `[..., I]`."""
        x = cut(x if self.dtype is None else x.astype(self.dtype), self.groups)
        if self.analog_bias:
            x = jnp.concatenate([x, jnp.ones((*x.shape[:-1], 1), x.dtype)], axis=-1)
        y = self._aware_product(x) if hasattr(self, "hardware") else product(self, x, self.rngs.analog())
        y = joined(y, self.groups)
        if self.out_scale is not None:
            y = y * across(self.out_scale[...], y)
        if self.bias is not None:
            y = y + across(self.bias[...], y)
        return y if self.dtype is None else y.astype(self.dtype)

    def _make_aware(self, config: HardwareAware, w: Any, rngs: nnx.Rngs, dtype: DType) -> None:
        self.weight: nnx.Param | None = nnx.Param(w)
        self.hardware = Hardware(create_aware(config, w, rngs.params()))
        given = config.input_range
        learned = given is not None and given.learn
        self.input_range = nnx.Param(jnp.asarray(given.init_value, dtype)) if given and learned else None
        self.programmed: Chips | None = nnx.data(None)  # chips come into it later

    def _aware_product(self, x: Array) -> Array:
        tile, r = self.hardware.get_value(), None if self.input_range is None else self.input_range[...]
        if self.programmed is not None:
            if not self.deterministic:
                raise ConfigError("AnalogLinear: its chips are programmed, and can't be trained; call model.eval().")
            x, unit = limit_inputs(x, input_range(tile, r))
            return mvm(self.programmed.get_value(), x / unit, key=self.rngs.analog()) * unit
        if not self.deterministic:
            tile = observed(tile, x)
            self.hardware.set_value(tile)
        assert self.weight is not None
        return aware_mvm(tile, self.weight[...], x, r, key=self.rngs.analog(), training=not self.deterministic)


class AnalogConv(nnx.Module):
    """Common part of the convolutions: each patch is one vector on the crossbar. Abstract; see `nn.AnalogConv2d`.

    Args:
        in_features: Input channels `C`.
        out_features: Output channels `O`.
        kernel_size: Size of the kernel along each axis.
        strides: Step of the kernel along each axis.
        padding: Values added on both sides of each axis; 'same': as many as keep the size, 'valid': none.
        dilation: Distance between the elements of the kernel along each axis.
        padding_mode: What is added: 'zeros', 'reflect', 'replicate' or 'circular'.
        options: Those of `AnalogLinear`, including `rngs`.

    Raises:
        ConfigError: If a size has another number of axes.
        ShapeError: If x is not a batch of such items, or has another number of channels.
    """

    axes: ClassVar[int]

    def __init__(
        self,
        in_features: int,
        out_features: int,
        kernel_size: Sizes | None = None,
        *,
        strides: Sizes | None = None,
        padding: Sizes | str | None = None,
        dilation: Sizes | None = None,
        padding_mode: str = "zeros",
        **options: Any,
    ) -> None:
        name = type(self).__name__
        self.kernel_size, self.strides, self.dilation = (
            (default,) * self.axes if sizes is None else sizes
            for sizes, default in ((kernel_size, 3), (strides, 1), (dilation, 1))
        )
        around = (0,) * self.axes if padding is None else padding
        window = (self.kernel_size, self.strides, self.dilation)
        given = {} if isinstance(around, str) else {"padding": around}
        check_window(
            name, self.axes, kernel_size=self.kernel_size, strides=self.strides, dilation=self.dilation, **given
        )
        self.sides, self.padding_mode = sides_of(name, around, *window), padding_mode
        self.in_features = in_features
        self.linear = AnalogLinear(in_features * math.prod(self.kernel_size), out_features, **options)

    def __call__(self, x: Array) -> Array:
        check_items(type(self).__name__, self.axes, self.in_features, x)
        items = padded(type(self).__name__, x, self.sides, self.padding_mode)
        return self.linear(patches(items, self.kernel_size, self.strides, (0,) * self.axes, self.dilation))


class AnalogConv1d(AnalogConv):
    """`[B, L, C] -> [B, L', O]`; arguments and errors are those of `AnalogConv`. A kernel has 3 places by default."""

    axes: ClassVar[int] = 1


class AnalogConv2d(AnalogConv):
    """`[B, H, W, C] -> [B, H', W', O]`; arguments and errors are those of `AnalogConv`. A kernel is 3x3 by default."""

    axes: ClassVar[int] = 2


class AnalogConv3d(AnalogConv):
    """`[B, D, H, W, C] -> [B, D', H', W', O]`; arguments and errors are those of `AnalogConv`; 3x3x3 by default."""

    axes: ClassVar[int] = 3


class AnalogConvTranspose(nnx.Module):
    """Common part of the transposed convolutions. Abstract; see `nn.AnalogConvTranspose2d`.

    Args:
        in_features: Input channels `C`.
        out_features: Output channels `O`.
        kernel_size: Size of the kernel along each axis.
        strides: Places between the values of x along each axis.
        padding: Places left out on both sides of each axis of the outputs.
        dilation: Distance between the elements of the kernel along each axis.
        output_padding: Places added at the end of each axis of the outputs.
        options: Those of `AnalogLinear`, including `rngs`.

    Raises:
        ConfigError: If a size has another number of axes.
        ShapeError: If x is not a batch of such items, or has another number of channels.
    """

    axes: ClassVar[int]

    def __init__(
        self,
        in_features: int,
        out_features: int,
        kernel_size: Sizes | None = None,
        *,
        strides: Sizes | None = None,
        padding: Sizes | None = None,
        dilation: Sizes | None = None,
        output_padding: Sizes | None = None,
        **options: Any,
    ) -> None:
        self.kernel_size, self.strides, left_out, self.dilation, more = (
            (default,) * self.axes if sizes is None else sizes
            for sizes, default in ((kernel_size, 3), (strides, 1), (padding, 0), (dilation, 1), (output_padding, 0))
        )
        self.sides = transposed_sides(
            type(self).__name__, self.axes, self.kernel_size, self.strides, left_out, self.dilation, more
        )
        self.in_features = in_features
        self.linear = AnalogLinear(in_features * math.prod(self.kernel_size), out_features, **options)

    def __call__(self, x: Array) -> Array:
        check_items(type(self).__name__, self.axes, self.in_features, x)
        zero, one = (0,) * self.axes, (1,) * self.axes
        items = spread(type(self).__name__, x, self.strides, self.sides)
        return self.linear(patches(items, self.kernel_size, one, zero, self.dilation))


class AnalogConvTranspose1d(AnalogConvTranspose):
    """`[B, L, C] -> [B, L', O]`; arguments and errors are those of `AnalogConvTranspose`."""

    axes: ClassVar[int] = 1


class AnalogConvTranspose2d(AnalogConvTranspose):
    """`[B, H, W, C] -> [B, H', W', O]`; arguments and errors are those of `AnalogConvTranspose`."""

    axes: ClassVar[int] = 2


class AnalogConvTranspose3d(AnalogConvTranspose):
    """`[B, D, H, W, C] -> [B, D', H', W', O]`; arguments and errors are those of `AnalogConvTranspose`."""

    axes: ClassVar[int] = 3
