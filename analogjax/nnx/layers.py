"""Layers of flax's NNX whose matrices live on analog chips: the mathematics of `analogjax.nn`, in NNX's clothes.

The chips are a variable of a type of their own, `Chips`, so that no `nnx.Optimizer` and no `nnx.grad` (which take
`nnx.Param`) touches them; bias and output scale, where digital, are `nnx.Param`. Noise comes from the stream `analog`
of the layer's rngs.
"""

from typing import Any

import jax.numpy as jnp
from flax import nnx

from analogjax._typing import Array, DType
from analogjax.errors import ConfigError, ShapeError
from analogjax.nn.conv import patches
from analogjax.nnx.calls import product
from analogjax.tile import TileConfig, create_array
from analogjax.tile.tile import across

Pair = tuple[int, int]


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


class AnalogConv2d(nnx.Module):
    """`[B, H, W, C] -> [B, H', W', O]`: each patch of the image is one vector on the crossbar; see `nn.AnalogConv2d`.

    Args:
        in_features: channels `C`.
        out_features: channels `O`.
        kernel_size, strides, padding, dilation: `(rows, columns)`; padding is the number of zeros on each side.
        options: those of `AnalogLinear`, `rngs` among them.

    Raises `ShapeError` where x is no batch of images, or has other channels.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        kernel_size: Pair = (3, 3),
        *,
        strides: Pair = (1, 1),
        padding: Pair = (0, 0),
        dilation: Pair = (1, 1),
        **options: Any,
    ) -> None:
        window = (kernel_size, strides, padding, dilation)
        if not all(isinstance(pair, tuple) and len(pair) == 2 for pair in window):
            raise ConfigError(
                f"AnalogConv2d(kernel_size, strides, padding, dilation = {window}): needs pairs of numbers."
            )
        self.window, self.in_features = window, in_features
        self.linear = AnalogLinear(in_features * kernel_size[0] * kernel_size[1], out_features, **options)

    def __call__(self, x: Array) -> Array:
        if x.ndim != 4 or x.shape[-1] != self.in_features:
            raise ShapeError(f"AnalogConv2d: got x of shape {x.shape}; give images [B, H, W, {self.in_features}].")
        return self.linear(patches(x, *self.window))
