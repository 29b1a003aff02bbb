r"""Transposed convolutions on analog chips: convolutions over items with zeros between their values.

    y[b, place, :] = mvm(W, patch(spread(x), b, place)) + bias,   W `[O, C k_1 ... k_n]`

`spread` puts `stride - 1` zeros between the values and `dilation (k - 1) - padding` around them (`output_padding` more
at the end), so that an item of `n` values gives `(n - 1) stride - 2 padding + dilation (k - 1) + output_padding + 1`.
The kernel of torch's layer runs backwards here: its weight `w[c, o, u]` is at column `(c, k - 1 - u)` of row `o`.
"""

from typing import ClassVar

import flax.linen as linen

from analogjax._typing import Array
from analogjax.errors import ConfigError
from analogjax.nn.conv import AnalogConv, check_window
from analogjax.nn.linear import document_layer
from analogjax.nn.padding import Sides, Sizes, spread


class AnalogConvTranspose(AnalogConv):
    """Common part of the transposed convolutions below. Abstract: they differ only in the number of axes."""

    output_padding: Sizes = ()
    """Places added at the end of each axis of the outputs."""

    @linen.compact
    def __call__(self, x: Array) -> Array:
        name, ones = type(self).__name__, (1,) * self.axes
        window = (self.kernel_size, self.strides, self.padding, self.dilation, self.output_padding)
        sides = transposed_sides(name, self.axes, *window, self.padding_mode)
        return self.over_places(
            x, lambda items: spread(name, items, self.strides, sides), (self.kernel_size, ones, self.dilation)
        )


def transposed_sides(
    layer: str, axes: int, kernel_size: Sizes, strides: Sizes, padding: Sizes | str, dilation: Sizes,
    output_padding: Sizes, padding_mode: str = "zeros",
) -> Sides:  # fmt: skip
    """The zeros before and after each axis of spread items (negative: values left out). Raises `ConfigError`."""
    if isinstance(padding, str) or padding_mode != "zeros":
        raise ConfigError(
            f"{layer}(padding={padding!r}, padding_mode={padding_mode!r}): the padding of a transposed convolution is "
            "a number of places that are left out, and only zeros are around what is left."
        )
    check_window(
        layer, axes, kernel_size=kernel_size, strides=strides, padding=padding, dilation=dilation,
        output_padding=output_padding,
    )  # fmt: skip
    for more, step, apart in zip(output_padding, strides, dilation, strict=True):
        if not 0 <= more < max(step, apart):
            raise ConfigError(
                f"{layer}(output_padding={output_padding}): must be smaller than the strides {strides} or the dilation "
                f"{dilation}."
            )
    reach = [apart * (size - 1) - pad for size, apart, pad in zip(kernel_size, dilation, padding, strict=True)]
    return tuple((low, low + more) for low, more in zip(reach, output_padding, strict=True))


@document_layer
class AnalogConvTranspose1d(AnalogConvTranspose):
    """Transposed convolution over sequences: `[B, L, C] -> [B, L', O]`, or channels second with `channels_first`.

    Raises:
        ShapeError: If x is not a batch of sequences, or has another number of channels than `in_channels`.
        ConfigError: If a size is not a tuple of one number.
    """

    axes: ClassVar[int] = 1
    kernel_size: Sizes = (3,)
    strides: Sizes = (1,)
    padding: Sizes | str = (0,)
    dilation: Sizes = (1,)
    output_padding: Sizes = (0,)


@document_layer
class AnalogConvTranspose2d(AnalogConvTranspose):
    """Transposed convolution over images: `[B, H, W, C] -> [B, H', W', O]`, or channels second with `channels_first`.

    Raises:
        ShapeError: If x is not a batch of images, or has another number of channels than `in_channels`.
        ConfigError: If a size is not a pair.

    Example:
        >>> layer = AnalogConvTranspose2d(8, kernel_size=(4, 4), strides=(2, 2), padding=(1, 1))
    """

    axes: ClassVar[int] = 2
    kernel_size: Sizes = (3, 3)
    strides: Sizes = (1, 1)
    padding: Sizes | str = (0, 0)
    dilation: Sizes = (1, 1)
    output_padding: Sizes = (0, 0)


@document_layer
class AnalogConvTranspose3d(AnalogConvTranspose):
    """Transposed convolution over volumes: `[B, D, H, W, C] -> [B, D', H', W', O]`, or channels second.

    Raises:
        ShapeError: If x is not a batch of volumes, or has another number of channels than `in_channels`.
        ConfigError: If a size is not a triple.
    """

    axes: ClassVar[int] = 3
    kernel_size: Sizes = (3, 3, 3)
    strides: Sizes = (1, 1, 1)
    padding: Sizes | str = (0, 0, 0)
    dilation: Sizes = (1, 1, 1)
    output_padding: Sizes = (0, 0, 0)
