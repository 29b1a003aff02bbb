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
from analogjax.nn.conv import Sizes, check_items, check_window, patches
from analogjax.nnx.calls import product
from analogjax.tile import (
    HardwareAware,
    TileConfig,
    aware_mvm,
    create_array,
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
        rngs: `params` makes the tiles; `analog` (or the default stream) is the noise of every call.

    Raises:
        ConfigError: If a size is not a whole number above 0.
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
        rngs: nnx.Rngs,
    ) -> None:
        for name, size in (("in_features", in_features), ("out_features", out_features)):
            if not isinstance(size, int) or size < 1:
                raise ConfigError(f"AnalogLinear({name}={size!r}): needs a whole number above 0.")
        self.in_features, self.out_features, self.dtype = in_features, out_features, dtype
        mapping = config.mapping
        self.analog_bias = use_bias and not mapping.digital_bias
        columns = in_features + self.analog_bias
        self.deterministic = False  # what `eval()` sets
        shape = (out_features, columns)
        own_start = isinstance(config, HardwareAware) or initial_bound is not None
        w = initial_weights(shape, rngs.params(), param_dtype, initial_bound) if own_start else None
        if isinstance(config, HardwareAware):
            self._make_aware(config, w, rngs, param_dtype)
        else:
            self.tile = Chips(create_array(config, shape, rngs.params(), w, param_dtype))
        bound = 1 / in_features**0.5 if initial_bound is None else initial_bound
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
        x = x if self.dtype is None else x.astype(self.dtype)
        if self.analog_bias:
            x = jnp.concatenate([x, jnp.ones((*x.shape[:-1], 1), x.dtype)], axis=-1)
        y = self._aware_product(x) if hasattr(self, "hardware") else product(self, x, self.rngs.analog())
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
        padding: Zeros added on both sides of each axis.
        dilation: Distance between the elements of the kernel along each axis.
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
        **options: Any,
    ) -> None:
        given = ((kernel_size, 3), (strides, 1), (padding, 0), (dilation, 1))
        window = tuple((default,) * self.axes if sizes is None else sizes for sizes, default in given)
        check_window(type(self).__name__, self.axes, window)
        self.window, self.in_features = window, in_features
        self.linear = AnalogLinear(in_features * math.prod(window[0]), out_features, **options)

    def __call__(self, x: Array) -> Array:
        check_items(type(self).__name__, self.axes, self.in_features, x)
        return self.linear(patches(x, *self.window))


class AnalogConv1d(AnalogConv):
    """`[B, L, C] -> [B, L', O]`; arguments and errors are those of `AnalogConv`. A kernel has 3 places by default."""

    axes: ClassVar[int] = 1


class AnalogConv2d(AnalogConv):
    """`[B, H, W, C] -> [B, H', W', O]`; arguments and errors are those of `AnalogConv`. A kernel is 3x3 by default."""

    axes: ClassVar[int] = 2


class AnalogConv3d(AnalogConv):
    """`[B, D, H, W, C] -> [B, D', H', W', O]`; arguments and errors are those of `AnalogConv`; 3x3x3 by default."""

    axes: ClassVar[int] = 3
