r"""Slots: how x and d reach the update through ordinary differentiation.

A pulsed update needs every x and d in order, not their product. `mvm(tile, x, slot, key)` takes a zero `Signal` of the
shapes of x and y; under `jax.grad` the cotangent of that slot *is* the pair (x, d). So one
`jax.grad(loss, argnums=(0, 1))(digital, slots)` returns the gradients of the digital parameters together with the
signals of the analog tiles, and XLA computes no weight gradient. Each slot serves one call, because JAX would add the
cotangents of a slot that is used twice. There is no forward-mode derivative (`jax.jvp`), as for any `custom_vjp`.

The weights of a tile have no gradient: pulses move them. Asking for one raises `GradientError`.
"""

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any
from weakref import WeakValueDictionary

import jax
import jax.numpy as jnp

from analogjax._pytree import is_static
from analogjax._typing import Array, DType, Key, Scalar
from analogjax._varying import varies_like, varying_like, varying_together
from analogjax.errors import ConfigError, GradientError, ShapeError, SlotError
from analogjax.random import check_key
from analogjax.tile.array import TileArray
from analogjax.tile.stack import over_stack
from analogjax.tile.tile import Signal, Tile

Chips = Tile | TileArray


def mvm(tile: Chips, x: Array, slot: Signal | None = None, *, key: Key) -> Array:
    """Noisy matrix-vector product of a tile, differentiable in `x` and `slot`.

    The result has the dtype of `x` promoted with that of the tile (integers and bools count as the tile's); the
    arithmetic is at least in float32. The gradient with respect to `x` is the noisy backward product of the tile.

    Args:
        tile: A tile or array of tiles.
        x: Inputs `[..., I]`.
        slot: Zeros from `slot_for`; its cotangent is `Signal(x, d)`. None: no signal is wanted.
        key: Consumed. Random is the noise of the forward and of the backward read.

    Returns:
        Outputs `[..., O]`.

    Raises:
        ShapeError: If x or the slot do not fit the tile, or if the tile is a stack of chips.
        SlotError: If one slot serves two calls.
        GradientError: If the gradient of the tile itself is requested.

    Example:
        >>> y = mvm(tile, x, key=key)
        >>> signal = jax.grad(lambda slot: mvm(tile, x, slot, key=key).sum())(slot_for(tile, x))
    """
    x = jnp.asarray(x)
    check_key(key, "mvm")
    _check(tile, x, slot)
    _claim(slot)
    tile, x, key = varying_together(tile, x.astype(_dtype_of(tile, x)), key)
    return _mvm(tile, x, slot, key)


@jax.custom_vjp
def _mvm(tile: Chips, x: Array, slot: Signal | None, key: Key) -> Array:
    return _product(tile, x, jax.random.split(key)[0])[0]


def _product(tile: Chips, x: Array, key: Key) -> tuple[Array, Array | None]:
    y, passes = tile.forward(x.reshape(-1, x.shape[-1]), key)
    return y.reshape(*x.shape[:-1], y.shape[-1]), passes


def _forward(*primals: Any) -> tuple:
    tile, x, slot, key = jax.tree.map(lambda primal: primal.value, primals, is_leaf=_is_primal)
    _refuse_gradient_of(primals[0], tile.shape)
    k_forward, k_backward = jax.random.split(key)  # as `_mvm`: the noise is the same with and without a gradient
    y, passes = _product(tile, x, k_forward)
    # the types of the cotangents, in arrays of nothing; whether there was a slot must stay static under jit
    types = jax.tree.map(lambda leaf: jnp.zeros((0,), leaf.dtype), (x, slot))
    return y, (tile, None if slot is None else x, passes, types, _held(k_backward))


def _backward(residual: tuple, d: Any) -> tuple:
    tile, seen, passes, (like, slot), held = residual
    if isinstance(d, jax.custom_derivatives.SymbolicZero):
        d = jnp.zeros(d.shape, d.dtype)
    dx = tile.backward(d.reshape(-1, d.shape[-1]), passes, held())
    signal = None if slot is None else Signal(x=seen.astype(slot.x.dtype), d=d.astype(slot.d.dtype))
    return None, dx.reshape(*d.shape[:-1], dx.shape[-1]).astype(like.dtype), signal, None


_mvm.defvjp(_forward, _backward, symbolic_zeros=True)


def _held(key: Key) -> jax.tree_util.Partial:
    """A key for the backward pass, as its bits: JAX can't differentiate a `cond` that keeps a typed key."""
    if not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        return jax.tree_util.Partial(_itself, key)
    return jax.tree_util.Partial(_wrapping(jax.random.key_impl(key)), jax.random.key_data(key))


def _itself(key: Key) -> Key:
    return key


@cache
def _wrapping(impl: Any) -> Callable[[Array], Key]:
    return partial(jax.random.wrap_key_data, impl=impl)


def _is_primal(node: Any) -> bool:
    return hasattr(node, "perturbed")


def _refuse_gradient_of(tile: Any, shape: tuple[int, int]) -> None:
    leaves = jax.tree_util.tree_leaves_with_path(tile, is_leaf=_is_primal)
    asked = [jax.tree_util.keystr(path) for path, leaf in leaves if leaf.perturbed]
    if asked:
        raise GradientError(
            f"mvm: the gradient of a pulsed tile of shape {shape} was requested ({', '.join(asked[:3])}"
            f"{', ...' if len(asked) > 3 else ''}). Pulses move its devices; it has no gradient, and a digital "
            "optimiser would change the constants of its devices. Differentiate with respect to the "
            "digital parameters and the slots, jax.grad(loss, argnums=(0, 1))(params, slots), and give the signals to "
            "optim.PulsedSGD and the gradients, of params alone, to optax."
        )


def slot_for(tile: Chips, x: Array) -> Signal:
    """Return the zero slot for one call of `mvm(tile, x, ...)`; under `jit` it costs no memory."""
    x = jnp.asarray(x)
    dtype = _dtype_of(tile, x)
    zero = Signal(x=jnp.zeros(x.shape, dtype), d=jnp.zeros((*x.shape[:-1], tile.shape[0]), dtype))
    return varying_like(zero, (tile, x))


def _dtype_of(tile: Chips, x: Array) -> DType:
    """The dtype of the outputs of a tile for inputs like `x`."""
    if jnp.issubdtype(x.dtype, jnp.complexfloating):
        raise ShapeError(f"mvm: x of dtype {x.dtype}; a crossbar reads real numbers, so give real and imaginary parts.")
    return jnp.promote_types(x.dtype, tile.dtype) if jnp.issubdtype(x.dtype, jnp.floating) else tile.dtype


_claimed: WeakValueDictionary[int, Any] = WeakValueDictionary()


def _claim(slot: Signal | None) -> None:
    """Register the slots of the derivative being taken: a slot that is used again would get the sum of two signals."""
    if slot is None or not isinstance(slot.x, jax.core.Tracer):
        return
    if _claimed.get(id(slot.x)) is slot.x:
        raise SlotError(
            f"mvm: the slot for x of shape {slot.x.shape} is used a second time. One slot carries the signals of one "
            "call, and JAX would silently add up two: make one with slot_for for each call, and one for each branch of "
            "a jax.lax.cond."
        )
    _claimed[id(slot.x)] = slot.x


def update(tile: Chips, signal: Signal | Sequence[Signal], learning_rate: Scalar, *, key: Key) -> Chips:
    """Pulse the devices of a tile by one or more signals, in order.

    Args:
        tile: A tile, array of tiles, or stack of them.
        signal: Inputs `x` `[..., I]` and errors `d` `[..., O]`; or a sequence of signals, one per call of the tile, in
            the order of the calls. For a stack of chips, with the axes of the stack in front, `[*stack, ..., I]`: each
            chip is pulsed by its own part.
        learning_rate: Learning rate, 0 or more.
        key: Consumed. Random are the pulse trains and the cycle-to-cycle variation.

    Returns:
        The tile after the pulses. Without any vector it is unchanged.

    Raises:
        ConfigError: If the learning rate is negative.
        ShapeError: If tile and signal do not fit together.
    """
    if not isinstance(tile, (Tile, TileArray)):
        raise ConfigError(
            f"update: got {type(tile).__name__}, which has no pulsed devices. Only tiles are pulsed; the "
            "weights of a hardware-aware layer are parameters, for an optax optimiser."
        )
    if is_static(learning_rate) and not learning_rate >= 0:
        raise ConfigError(f"update(learning_rate={learning_rate!r}): needs a number, 0 or more.")
    check_key(key, "update")
    signals = [signal] if isinstance(signal, Signal) else list(signal)
    parts = [_vectors(tile, one) for one in signals]
    x, d = (_joined([part[n] for part in parts], len(tile.stack)) for n in (0, 1)) if parts else (None, None)
    if x is None or d is None or x.shape[-2] == 0:
        return tile
    tile, x, d, key = varying_together(tile, x, d, key)
    return over_stack(lambda tile, x, d, key: tile.update(x, d, learning_rate, key), tile.stack, (tile, x, d), key)


def rest(tile: Chips, *, key: Key) -> Chips:
    """Let the devices of a tile, or of a stack of chips, diffuse and decay for one mini-batch. Consumes `key`."""
    if not tile.config.device.needs_rest:
        return tile
    return over_stack(lambda tile, key: tile.rest(key), tile.stack, (tile,), key)


def _vectors(tile: Chips, signal: Signal) -> tuple[Array, Array]:
    """`x` `[*stack, B, I]` and `d` `[*stack, B, O]` of a signal of any number of axes."""
    x, d = (jnp.asarray(part) for part in signal)
    outputs, inputs = tile.shape
    depth = len(tile.stack)
    fits = x.shape[:-1] == d.shape[:-1] and x.ndim > depth and (d.shape[-1], x.shape[-1]) == (outputs, inputs)
    if not fits or x.shape[:depth] != tile.stack:
        stacked = f" in a stack of {tile.stack}" if tile.stack else ""
        raise ShapeError(
            f"update: a signal of x {x.shape} and d {d.shape} for a tile of {tile.shape}{stacked}; it needs "
            f"x {_form(tile.stack, inputs)} and d {_form(tile.stack, outputs)}."
        )
    _check_stack(tile)
    return x.reshape(*tile.stack, -1, inputs), d.reshape(*tile.stack, -1, outputs)


def _form(stack: tuple[int, ...], size: int) -> str:
    return "[" + "".join(f"{n}, " for n in stack) + f"..., {size}]"


def _check_stack(tile: Chips) -> None:
    """Check that all arrays have the axes of the stack in front; chips stacked along another axis do not."""
    depth = len(tile.stack)
    for path, leaf in jax.tree_util.tree_leaves_with_path(tile):
        if leaf.shape[:depth] != tile.stack:
            raise ShapeError(
                f"update: chips of shape {tile.shape} in a stack of {tile.stack}, but {jax.tree_util.keystr(path)} is "
                f"{leaf.shape}. Stack chips along their first axis: variable_axes={{'tiles': 0, 'signals': 0}}."
            )


def _joined(parts: list[Array], axis: int) -> Array:
    return parts[0] if len(parts) == 1 else jnp.concatenate(parts, axis)


def _check(tile: Chips, x: Array, slot: Signal | None) -> None:
    if tile.stack:
        raise ShapeError(
            f"mvm: a stack {tile.stack} of chips of shape {tile.shape} was given; read each of them under jax.vmap."
        )
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
    if slot is not None and not varies_like(slot, (tile, x)):
        raise SlotError(
            "mvm: under jax.shard_map the slot must vary over the axes over which x or the tile vary, or JAX would add "
            "up the signals of all devices; make it inside, with slot_for(tile, x) or nn.slots."
        )
