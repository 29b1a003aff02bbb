"""Pooling of images, as a plain function."""

from functools import reduce

import jax.numpy as jnp
import numpy as np
from jax import lax

from analogjax._typing import Array
from analogjax.errors import ShapeError

Pair = tuple[int, int]

_SHIFTED = 16  # places of a window up to which whole images are compared: on a CPU its gradient is 7 times faster


def max_pool(
    x: Array,
    window: Pair,
    *,
    strides: Pair | None = None,
    padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
    ceil_mode: bool = False,
    channels_first: bool = False,
) -> Array:
    """Maximum of each window of an image.

    Among equal values the gradient goes to the first one in reading order, and NaN is larger than any number, both as
    in torch.

    Args:
        x: Images `[B, H, W, C]`, or `[B, C, H, W]` with `channels_first`.
        window: Size of the window along each axis.
        strides: Step of the window; by default its size.
        padding: Width of a margin of minus infinity on both sides of each axis.
        dilation: Distance between the elements of a window.
        ceil_mode: Keep a last window that starts inside the image (or the padding before it) but extends beyond it.
        channels_first: Channels are the second axis.

    Returns:
        The pooled images, in the same layout.

    Raises:
        ShapeError: If no window fits.
    """
    strides, axes = strides or window, (2, 3) if channels_first else (1, 2)
    pads = [(0, 0)] * 4
    for n, axis in enumerate(axes):
        pads[axis] = (padding[n], _after(x.shape[axis], window[n], strides[n], padding[n], dilation[n], ceil_mode))
    _check(x, axes, window, dilation, pads)
    # as a plain number: only so JAX knows that this is a maximum, and how to differentiate it
    lowest = -np.inf if jnp.issubdtype(x.dtype, jnp.floating) else np.iinfo(x.dtype).min
    if window[0] * window[1] > _SHIFTED and tuple(dilation) == (1, 1):
        return lax.reduce_window(x, lowest, lax.max, _along(axes, window), _along(axes, strides), pads)
    x = jnp.pad(x, pads, constant_values=lowest)

    def seen_from(place: Pair) -> Array:
        part = x
        for axis, begin, size, stride, apart in zip(axes, place, window, strides, dilation, strict=True):
            end = x.shape[axis] - apart * (size - 1 - begin)
            part = lax.slice_in_dim(part, apart * begin, end, stride, axis)
        return part

    return reduce(_larger, map(seen_from, np.ndindex(*window)))


def _check(x: Array, axes: Pair, window: Pair, dilation: Pair, pads: list[Pair]) -> None:
    sizes = [x.shape[axis] + sum(pads[axis]) for axis in axes]
    if any(size <= apart * (w - 1) for size, w, apart in zip(sizes, window, dilation, strict=True)):
        raise ShapeError(
            f"max_pool: a window of {tuple(window)} with dilation {tuple(dilation)} does not fit into images of "
            f"{sizes[0]}x{sizes[1]} (padding included): use larger images or a smaller window."
        )


def _larger(first: Array, second: Array) -> Array:
    # not a maximum, whose gradient equal values share
    return jnp.where((second > first) | (second != second), second, first)


def _along(axes: Pair, values: Pair) -> tuple[int, ...]:
    return tuple(values[axes.index(axis)] if axis in axes else 1 for axis in range(4))


def _after(size: int, window: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> int:
    """Padding at the end of the image, larger than at its start if the last window extends beyond it."""
    room = size + 2 * padding - dilation * (window - 1) - 1
    if not ceil_mode or room % stride == 0:
        return padding
    begins = (room // stride + 1) * stride  # of the window that reaches beyond
    return padding if begins >= size + padding else padding + stride - room % stride
