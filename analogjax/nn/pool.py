"""Pooling of images, as a plain function."""

import jax.numpy as jnp
import numpy as np
from jax import lax

from analogjax._typing import Array

Pair = tuple[int, int]


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
    """The largest value of each window of `x` `[B, H, W, C]`, or `[B, C, H, W]` with `channels_first`.

    `strides` default to the window. Padding is with minus infinity. With `ceil_mode` a last window that begins inside
    the image (or the padding before it) counts although it reaches beyond its end, as in torch. With a dilation other
    than 1 it can't be differentiated: JAX has no such rule.
    """
    strides = strides or window
    first = 2 if channels_first else 1
    ends = [
        _after(x.shape[first + axis], window[axis], strides[axis], padding[axis], dilation[axis], ceil_mode)
        for axis in (0, 1)
    ]

    def along(values: Pair, other: int = 1) -> tuple[int, ...]:
        return (other, other, *values) if channels_first else (other, *values, other)

    pads = [(0, 0)] * 4
    for axis in (0, 1):
        pads[first + axis] = (padding[axis], ends[axis])
    # as a plain number: only so JAX knows that this is a maximum, and how to differentiate it
    lowest = -np.inf if jnp.issubdtype(x.dtype, jnp.floating) else np.iinfo(x.dtype).min
    return lax.reduce_window(x, lowest, lax.max, along(window), along(strides), pads, window_dilation=along(dilation))


def _after(size: int, window: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> int:
    """Padding behind the image, more than before it where the last window reaches beyond."""
    room = size + 2 * padding - dilation * (window - 1) - 1
    if not ceil_mode or room % stride == 0:
        return padding
    begins = (room // stride + 1) * stride  # of the window that reaches beyond
    return padding if begins >= size + padding else padding + stride - room % stride
