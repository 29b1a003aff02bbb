r"""A convolution whose kernels live on analog chips: each patch of the image is one vector on the crossbar.

    y[b, i, j, :] = mvm(W, patch(x, b, i, j)) + bias,   W `[O, C kh kw]`

The columns of `W` are in the order of torch's `unfold`: channel slowest, then kernel row, then kernel column. One image
gives `H' W'` vectors, which reach the devices in row-major order, image by image.
"""

import flax.linen as linen
import jax.numpy as jnp
from jax import lax

from analogjax._typing import Array
from analogjax.errors import ShapeError
from analogjax.nn.linear import AnalogLinear
from analogjax.nn.pool import Pair


class AnalogConv2d(AnalogLinear):
    """`[B, H, W, C] -> [B, H', W', O]`, or `[B, C, H, W] -> [B, O, H', W']` with `channels_first`.

    Gray images may lack the axis of channels. `features` is `O`; `padding` is the number of zeros on each side.
    Weights, bias, chips and slots are those of an `AnalogLinear` from `C kh kw` to `O`. Raises `ShapeError` where x is
    no batch of images, or has other channels than `in_channels`.
    """

    kernel_size: tuple[int, int] = (3, 3)
    strides: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    in_channels: int | None = None  # checked against x where given
    channels_first: bool = False

    @linen.compact
    def __call__(self, x: Array) -> Array:
        if x.ndim == 3 and self.in_channels in (None, 1):  # a batch of gray images
            x = x[:, None] if self.channels_first else x[..., None]
        self._check_image(x)
        image = jnp.moveaxis(x, 1, -1) if self.channels_first else x
        y = self.dense(patches(image, self.kernel_size, self.strides, self.padding, self.dilation))
        return jnp.moveaxis(y, -1, 1) if self.channels_first else y

    def _check_image(self, x: Array) -> None:
        where = "/".join(self.path) or "the top"
        if x.ndim != 4:
            form = "[B, C, H, W]" if self.channels_first else "[B, H, W, C]"
            raise ShapeError(f"AnalogConv2d at {where}: got x of shape {x.shape}; give a batch of images {form}.")
        channels = x.shape[1 if self.channels_first else 3]
        if self.in_channels not in (None, channels):
            raise ShapeError(
                f"AnalogConv2d at {where}: got x of shape {x.shape} with {channels} channels; in_channels is "
                f"{self.in_channels}. Give channels_first=True for [B, C, H, W], or mend the sizes."
            )


def patches(
    x: Array, kernel_size: Pair, strides: Pair = (1, 1), padding: Pair = (0, 0), dilation: Pair = (1, 1)
) -> Array:
    """What a kernel sees at each place of `x` `[B, H, W, C]`: `[B, H', W', C kh kw]`.

    Copies of shifted images, rows first and then columns: exact on every platform, and their gradient is a sum of
    shifted images, where that of a convolution that picks patches is one of `(C kh kw)^2` products at each place.
    """
    x = jnp.pad(x, ((0, 0), *((n, n) for n in padding), (0, 0)))
    height, width = x.shape[1:3]
    for axis, (size, step, apart) in enumerate(zip(kernel_size, strides, dilation, strict=True), start=1):
        room = x.shape[axis] - (size - 1) * apart - 1
        if room < 0:
            raise ShapeError(
                f"A kernel of {kernel_size} with dilation {dilation} does not fit into an image of "
                f"{height}x{width} (padding included): use larger images or padding."
            )
        last = room // step * step + 1
        x = jnp.stack([lax.slice_in_dim(x, n * apart, n * apart + last, step, axis) for n in range(size)], -1)
    return x.reshape(*x.shape[:3], -1)
