r"""Convolutions whose kernels are stored on analog chips: each patch of the input is one vector on the crossbar.

    y[b, place, :] = mvm(W, patch(x, b, place)) + bias,   W `[O, C k_1 ... k_n]` for a kernel of `n` axes

The columns of `W` are in the order of torch's flattened weights: channel slowest, then the axes of the kernel, the last
one fastest. Each item gives one vector per place, which reach the devices in row-major order, item by item.
"""

import math
from collections.abc import Callable
from typing import ClassVar

import flax.linen as linen
import jax.numpy as jnp
import numpy as np
from jax import lax

from analogjax._typing import Array
from analogjax.errors import ConfigError, ShapeError
from analogjax.nn.groups import check_groups, cut
from analogjax.nn.linear import AnalogLinear, document_layer
from analogjax.nn.padding import Sizes, padded, sides_of

# number of axes -> what such items are called, their axes, and what a kernel's sizes are called
_CALLED = {
    1: ("sequences", "L", "tuples of one number, such as (3,)"),
    2: ("images", "H, W", "pairs of numbers"),
    3: ("volumes", "D, H, W", "triples of numbers"),
}


class AnalogConv(AnalogLinear):
    """Common part of the convolutions below. Abstract: they differ only in the number of axes of the kernel."""

    axes: ClassVar[int]
    kernel_size: Sizes = ()
    """Size of the kernel along each axis."""
    strides: Sizes = ()
    """Step of the kernel along each axis."""
    padding: Sizes | str = ()
    """Values added on both sides of each axis; 'same': as many as keep the size, 'valid': none."""
    dilation: Sizes = ()
    """Distance between the elements of the kernel along each axis."""
    padding_mode: str = "zeros"
    """What is added: 'zeros', 'reflect' or 'replicate' (the edge), or 'circular'."""
    groups: int = 1
    """Groups of channels that do not mix: each has a matrix `[O / groups, C k_1 ... / groups]` on chips of its own."""
    in_channels: int | None = None
    """Expected number of input channels; None: whatever x has."""
    channels_first: bool = False
    """Channels are the second axis of x, as in torch, instead of the last."""

    @linen.compact
    def __call__(self, x: Array) -> Array:
        name, window = type(self).__name__, (self.kernel_size, self.strides, self.dilation)
        given = {} if isinstance(self.padding, str) else {"padding": self.padding}
        check_window(
            name, self.axes, kernel_size=self.kernel_size, strides=self.strides, dilation=self.dilation, **given
        )
        sides = sides_of(name, self.padding, *window)
        return self.over_places(x, lambda items: padded(name, items, sides, self.padding_mode), window)

    def over_places(self, x: Array, around: Callable[[Array], Array], window: tuple[Sizes, Sizes, Sizes]) -> Array:
        """Apply the matrix to each patch of the items `around(x)`; the window is kernel size, strides and dilation."""
        if x.ndim == self.axes + 1 and self.in_channels in (None, 1):  # a batch without the axis of channels
            x = x[:, None] if self.channels_first else x[..., None]
        self._check_items(x)
        items = jnp.moveaxis(x, 1, -1) if self.channels_first else x
        check_groups(type(self).__name__, self.groups, channels=items.shape[-1], features=self.features)
        kernel_size, strides, dilation = window
        found = patches(around(items), kernel_size, strides, (0,) * self.axes, dilation)
        y = self.dense(cut(found, self.groups), self.groups)
        return jnp.moveaxis(y, -1, 1) if self.channels_first else y

    def _check_items(self, x: Array) -> None:
        where = f"{type(self).__name__} at {'/'.join(self.path) or 'the top'}"
        called, axes, _ = _CALLED[self.axes]
        first, last = f"[B, C, {axes}]", f"[B, {axes}, C]"
        if x.ndim != self.axes + 2:
            form = first if self.channels_first else last
            raise ShapeError(f"{where}: got x of shape {x.shape}; give a batch of {called} {form}.")
        channels = x.shape[1 if self.channels_first else -1]
        if self.in_channels not in (None, channels):
            form = first if self.channels_first else last
            other = "" if self.channels_first else f", or channels_first=True for {first}"
            raise ShapeError(
                f"{where}: got x of shape {x.shape} with {channels} channels; in_channels is {self.in_channels}. Give "
                f"{called} {form} with C={self.in_channels}{other}."
            )


@document_layer
class AnalogConv1d(AnalogConv):
    """Convolution over sequences: `[B, L, C] -> [B, L', O]`, or `[B, C, L] -> [B, O, L']` with `channels_first`.

    Sequences of one channel may omit the channel axis. Weights, bias, tiles and slots are those of an `AnalogLinear`
    from `C k` inputs to `O` outputs.

    Raises:
        ShapeError: If x is not a batch of sequences, or has another number of channels than `in_channels`.
        ConfigError: If a size is not a tuple of one number.
    """

    axes: ClassVar[int] = 1
    kernel_size: Sizes = (3,)
    strides: Sizes = (1,)
    padding: Sizes | str = (0,)
    dilation: Sizes = (1,)


@document_layer
class AnalogConv2d(AnalogConv):
    """Convolution over images: `[B, H, W, C] -> [B, H', W', O]`, or `[B, C, H, W] -> [B, O, H', W']` with
    `channels_first`.

    Gray images may omit the channel axis. Weights, bias, tiles and slots are those of an `AnalogLinear` from `C kh kw`
    inputs to `O` outputs.

    Raises:
        ShapeError: If x is not a batch of images, or has another number of channels than `in_channels`.
        ConfigError: If a size is not a pair.

    Example:
        >>> layer = AnalogConv2d(16, kernel_size=(5, 5), padding=(2, 2))
    """

    axes: ClassVar[int] = 2
    kernel_size: Sizes = (3, 3)
    strides: Sizes = (1, 1)
    padding: Sizes | str = (0, 0)
    dilation: Sizes = (1, 1)


@document_layer
class AnalogConv3d(AnalogConv):
    """Convolution over volumes: `[B, D, H, W, C] -> [B, D', H', W', O]`, or channels second with `channels_first`.

    Volumes of one channel may omit the channel axis. Weights, bias, tiles and slots are those of an `AnalogLinear` from
    `C kd kh kw` inputs to `O` outputs.

    Raises:
        ShapeError: If x is not a batch of volumes, or has another number of channels than `in_channels`.
        ConfigError: If a size is not a triple.
    """

    axes: ClassVar[int] = 3
    kernel_size: Sizes = (3, 3, 3)
    strides: Sizes = (1, 1, 1)
    padding: Sizes | str = (0, 0, 0)
    dilation: Sizes = (1, 1, 1)


def check_window(layer: str, axes: int, **window: Sizes) -> None:
    """Raise `ConfigError` unless kernel size, strides, dilation and the like have a number for each axis; paddings may
    be 0, everything else is 1 or more.
    """
    if any(not isinstance(sizes, tuple) or len(sizes) != axes for sizes in window.values()):
        given = ", ".join(f"{name}={sizes!r}" for name, sizes in window.items())
        raise ConfigError(f"{layer}({given}): needs {_CALLED[axes][2]}.")
    for name, sizes in window.items():
        least = int("padding" not in name)
        if any(not isinstance(n, (int, np.integer)) or isinstance(n, bool) or n < least for n in sizes):
            raise ConfigError(f"{layer}({name}={sizes!r}): needs whole numbers of {least} or more.")


def check_items(layer: str, axes: int, channels: int, x: Array) -> None:
    """Raise `ShapeError` unless `x` is a batch of items of `axes` axes and then `channels` channels."""
    called, names, _ = _CALLED[axes]
    if x.ndim != axes + 2 or x.shape[-1] != channels:
        raise ShapeError(f"{layer}: got x of shape {x.shape}; give {called} [B, {names}, {channels}].")


def patches(x: Array, kernel_size: Sizes, strides: Sizes, padding: Sizes, dilation: Sizes) -> Array:
    """Extract the patches that a kernel is applied to.

    They are copies of shifted items: exact on every platform, and with a gradient that is a sum of shifted items. The
    gradient of a convolution that extracts patches takes `(C k_1 ... k_n)^2` products at each place instead.

    Args:
        x: Items `[B, n_1, ..., n_k, C]`.
        kernel_size: Size of the kernel along each axis.
        strides: Step along each axis.
        padding: Zeros on both sides of each axis.
        dilation: Distance between the elements of the kernel along each axis.

    Returns:
        Patches `[B, n_1', ..., n_k', C k_1 ... k_n]`.

    Raises:
        ShapeError: If the kernel does not fit.
    """
    x = jnp.pad(x, ((0, 0), *((n, n) for n in padding), (0, 0)))
    sizes = x.shape[1:-1]
    for axis, (size, step, apart) in enumerate(zip(kernel_size, strides, dilation, strict=True), start=1):
        room = x.shape[axis] - (size - 1) * apart - 1
        if room < 0:
            raise ShapeError(
                f"A kernel of {kernel_size} with dilation {dilation} does not fit into items of "
                f"{'x'.join(map(str, sizes))} (padding included): use larger ones, or padding."
            )
        last = room // step * step + 1
        x = jnp.stack([lax.slice_in_dim(x, n * apart, n * apart + last, step, axis) for n in range(size)], -1)
    # no -1: a batch may be empty
    return x.reshape(*x.shape[: len(kernel_size) + 1], x.shape[len(kernel_size) + 1] * math.prod(kernel_size))
