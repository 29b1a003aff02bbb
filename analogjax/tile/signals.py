r"""Slots: how x and d reach the update through ordinary differentiation.

A pulsed update needs every x and d in order, not their product. `mvm(tile, x, slot, key)` takes a zero `Signal` of the
shapes of x and y; under `jax.grad` the cotangent of that slot *is* the pair (x, d). So one
`jax.grad(loss, argnums=(0, 1))(digital, slots)` gives the gradients of digital parameters and the signals of analog
tiles together, and XLA computes no weight gradient. One slot serves one call: JAX sums the cotangents of a slot that is
used twice without a word. There is no forward-mode derivative (`jax.jvp`), as for any `custom_vjp`.
"""

import jax
import jax.numpy as jnp

from analogjax._pytree import is_static
from analogjax._typing import Array, Key, Scalar
from analogjax.errors import ConfigError, ShapeError
from analogjax.tile.array import TileArray
from analogjax.tile.tile import Signal, Tile


def mvm(tile: Tile | TileArray, x: Array, slot: Signal | None = None, *, key: Key) -> Array:
    """Noisy product `[..., I] -> [..., O]`, differentiable in `x` and `slot`. Consumes `key`.

    The gradient with respect to x is the tile's own noisy backward product; the cotangent of `slot` is
    `Signal(x, d)`. The tile itself gets no gradient. Raises `ShapeError` where x or the slot do not fit.
    """
    _check(tile, x, slot)
    return _mvm(tile, x, slot, key)


@jax.custom_vjp
def _mvm(tile: Tile | TileArray, x: Array, slot: Signal | None, key: Key) -> Array:
    return _forward(tile, x, slot, key)[0]  # one path, so the noise is the same with and without a gradient


def _forward(tile: Tile | TileArray, x: Array, slot: Signal | None, key: Key) -> tuple:
    k_forward, k_backward = jax.random.split(key)
    y, passes = tile.forward(x.reshape(-1, x.shape[-1]), k_forward)
    wanted = None if slot is None else ()  # an empty pytree, not a bool: it must stay static under jit
    seen = None if slot is None else x
    return y.reshape(*x.shape[:-1], y.shape[-1]), (tile, seen, passes, wanted, k_backward)


def _backward(residual: tuple, d: Array) -> tuple:
    tile, x, passes, wanted, key = residual
    dx = tile.backward(d.reshape(-1, d.shape[-1]), passes, key)
    signal = None if wanted is None else Signal(x=x, d=d)
    return None, dx.reshape(*d.shape[:-1], dx.shape[-1]), signal, None


_mvm.defvjp(_forward, _backward)


def slot_for(tile: Tile | TileArray, x: Array) -> Signal:
    """The zero slot for one call of `mvm(tile, x, ...)`; under `jit` it costs no memory."""
    return Signal(x=jnp.zeros_like(x), d=jnp.zeros((*x.shape[:-1], tile.shape[0]), x.dtype))


def update(tile: Tile | TileArray, signal: Signal, learning_rate: Scalar, *, key: Key) -> Tile | TileArray:
    """The tile after the pulses of `signal` (`x` `[..., I]`, `d` `[..., O]`), in order. Consumes `key`."""
    if is_static(learning_rate) and not learning_rate >= 0:
        raise ConfigError(f"update(learning_rate={learning_rate!r}): needs a number, 0 or more; pulses go downhill.")
    x, d = (part.reshape(-1, part.shape[-1]) for part in signal)
    if x.shape[0] != d.shape[0] or (d.shape[1], x.shape[1]) != tile.shape:
        raise ShapeError(f"update: a signal of x {signal.x.shape} and d {signal.d.shape} for a tile of {tile.shape}.")
    return tile.update(x, d, learning_rate, key)


def _check(tile: Tile | TileArray, x: Array, slot: Signal | None) -> None:
    if x.ndim == 0 or x.shape[-1] != tile.shape[1]:
        raise ShapeError(
            f"mvm: x of shape {x.shape} for a tile of {tile.shape[1]} inputs and {tile.shape[0]} outputs; the last "
            f"axis of x must be {tile.shape[1]}."
        )
    if slot is not None and (slot.x.shape, slot.d.shape) != (x.shape, (*x.shape[:-1], tile.shape[0])):
        raise ShapeError(
            f"mvm: a slot of shapes {slot.x.shape} and {slot.d.shape} for x of shape {x.shape}; "
            f"make it with slot_for(tile, x)."
        )
