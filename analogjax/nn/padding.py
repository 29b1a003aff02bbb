"""What is put around the items of a convolution, and where: the words of torch.

'valid': nothing        'same': as much as the kernel takes away, on both sides; the odd one at the end
'zeros': 0      'reflect': c b | a b c | b a      'replicate': a a | a b c | c c      'circular': b c | a b c | a b
"""

import jax.numpy as jnp
from jax import lax

from analogjax._typing import Array
from analogjax.errors import ConfigError, ShapeError

Sizes = tuple[int, ...]  # one number for each axis of the kernel
Sides = tuple[tuple[int, int], ...]  # before and after, for each axis
_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}  # in numpy's words


def sides_of(layer: str, padding: Sizes | str, kernel_size: Sizes, strides: Sizes, dilation: Sizes) -> Sides:
    """How much is put before and after each axis. Raises `ConfigError` for a word that is not known or not possible."""
    if not isinstance(padding, str):
        return tuple((size, size) for size in padding)
    if padding == "valid":
        return ((0, 0),) * len(kernel_size)
    if padding != "same":
        raise ConfigError(f"{layer}(padding={padding!r}): give numbers, 'same' or 'valid'.")
    if any(step != 1 for step in strides):
        raise ConfigError(f"{layer}(padding='same', strides={strides}): a step other than 1 changes the size.")
    room = [apart * (size - 1) for size, apart in zip(kernel_size, dilation, strict=True)]
    return tuple((both // 2, both - both // 2) for both in room)


def padded(layer: str, x: Array, sides: Sides, mode: str) -> Array:
    """Items `[B, n_1, ..., n_k, C]` with something around them.

    Raises `ConfigError` for an unknown mode, `ShapeError` where an item is too small to be reflected or repeated.
    """
    if mode not in _MODES:
        raise ConfigError(f"{layer}(padding_mode={mode!r}): known are {', '.join(_MODES)}.")
    for size, both in zip(x.shape[1:-1], sides, strict=True):
        most = {"reflect": size - 1, "circular": size}.get(mode, max(both))
        if max(both) > most:
            raise ShapeError(
                f"{layer}(padding_mode={mode!r}): padding by {max(both)} needs more than the {size} values of x along "
                f"that axis, which allow {most}."
            )
    return jnp.pad(x, ((0, 0), *sides, (0, 0)), mode=_MODES[mode])


def spread(layer: str, x: Array, strides: Sizes, sides: Sides) -> Array:
    """Items `[B, n_1, ..., n_k, C]` with `stride - 1` zeros between their values, and zeros around (fewer, if < 0).

    Raises `ShapeError` where nothing would be left of an item.
    """
    for size, step, both in zip(x.shape[1:-1], strides, sides, strict=True):
        if (size - 1) * step + 1 + sum(both) < 1:
            raise ShapeError(
                f"{layer}: its padding leaves nothing of items of {'x'.join(map(str, x.shape[1:-1]))}: use larger "
                "ones, or less padding."
            )
    between = [(low, high, step - 1) for (low, high), step in zip(sides, strides, strict=True)]
    return lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *between, (0, 0, 0)])
