"""Layers of flax's NNX whose matrices live on analog chips: the mathematics of `analogjax.nn`, in NNX's clothes.

The chips are a variable of a type of their own, `Chips`, so that no `nnx.Optimizer` and no `nnx.grad` (which take
`nnx.Param`) touches them; bias and output scale, where digital, are `nnx.Param`. Noise comes from the stream `analog`
of the layer's rngs.
"""

import math
from typing import Any, ClassVar

import jax.numpy as jnp
from flax import nnx

from analogjax._typing import Array, DType
from analogjax.errors import ConfigError, ShapeError
from analogjax.nn.conv import Sizes, check_items, check_window, patches
from analogjax.nnx.calls import product
from analogjax.tile import TileConfig, create_array
from analogjax.tile.tile import across


class Chips(nnx.Variable):
    """The chips of a layer, a `Tile` or a `TileArray`: pulses move them, no gradient does."""


class AnalogLinear(nnx.Module):
    """`[..., I] -> [..., O]` through one tile, or an array of tiles where the matrix is larger than a chip.

    Args:
        in_features: `I`.
        out_features: `O`.
        config: what the chips are made of.
        use_bias: add a bias: digital, or one more column of devices (`Mapping(digital_bias=False)`).
        dtype: of the outputs; default: that of x and the chips, promoted.
        param_dtype: of chips, bias and output scale.
        rngs: `params` makes the chips, `analog` (or the default stream) is the noise of every call.

    Raises `ConfigError` for sizes that are no whole numbers above 0, `ShapeError` where x has another size.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        config: TileConfig = TileConfig(),  # noqa: B008 - frozen
        use_bias: bool = True,
        dtype: DType | None = None,
        param_dtype: DType = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        for name, size in (("in_features", in_features), ("out_features", out_features)):
            if not isinstance(size, int) or size < 1:
                raise ConfigError(f"AnalogLinear({name}={size!r}): needs a whole number above 0.")
        self.in_features, self.out_features, self.dtype = in_features, out_features, dtype
        mapping = config.mapping
        self.analog_bias = use_bias and not mapping.digital_bias
        columns = in_features + self.analog_bias
        self.tile = Chips(create_array(config, (out_features, columns), rngs.params(), dtype=param_dtype))
        bound = 1 / in_features**0.5
        digital = use_bias and mapping.digital_bias
        bias = nnx.initializers.uniform(2 * bound)(rngs.params(), (out_features,), param_dtype) - bound
        self.bias = nnx.Param(bias) if digital else None
        shape = (out_features,) if mapping.out_scaling_columnwise else ()
        self.out_scale = nnx.Param(jnp.ones(shape, param_dtype)) if mapping.learn_out_scaling else None
        self.rngs = rngs.fork() if hasattr(rngs, "fork") else rngs

    def __call__(self, x: Array) -> Array:
        if x.ndim == 0 or x.shape[-1] != self.in_features:
            raise ShapeError(
                f"AnalogLinear({self.in_features} -> {self.out_features}): got x of shape {x.shape}; its last axis "
                f"must be {self.in_features}."
            )
        return self.dense(x)

    def dense(self, x: Array) -> Array:
        """The layer itself, for vectors `[..., I]`."""
        x = x if self.dtype is None else x.astype(self.dtype)
        if self.analog_bias:
            x = jnp.concatenate([x, jnp.ones((*x.shape[:-1], 1), x.dtype)], axis=-1)
        y = product(self, x, self.rngs.analog())
        if self.out_scale is not None:
            y = y * across(self.out_scale[...], y)
        if self.bias is not None:
            y = y + across(self.bias[...], y)
        return y if self.dtype is None else y.astype(self.dtype)


class AnalogConv(nnx.Module):
    """What the convolutions below share: each patch is one vector on the crossbar. Abstract; see `nn.AnalogConv2d`.

    Args:
        in_features: channels `C`.
        out_features: channels `O`.
        kernel_size, strides, padding, dilation: a number for each axis; padding is the number of zeros on each side.
        options: those of `AnalogLinear`, `rngs` among them.

    Raises `ConfigError` where a size has another number of axes, `ShapeError` where x is no batch of such items, or has
    other channels.
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
