"""Vector updates with something that happens after every so many of them, and lines of a crossbar one at a time.

A compound with a schedule acts between two vectors of a batch, so what its devices see depends on the order. `walk`
keeps that order exactly and still pulses all vectors between two acts together.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax import lax

from analogjax._typing import Array, Key
from analogjax.physics.device import Cells, State
from analogjax.physics.pulses import Trains

S = TypeVar("S")

Pulse = Callable[[S, Trains, Key, Key], S]  # (state, trains, k_draw, k_noise) -> state
Act = Callable[[S, Array, Key], S]  # (state, vectors seen so far, key) -> state


def walk(state: S, t: Trains, period: int, clock: Array, pulse: Pulse, act: Act, keys: tuple[Key, Key]) -> S:
    """Pulse with each vector in order, and `act` after every vector whose number is a multiple of `period`.

    `clock` `[]` is the number of vectors before this batch (vectors count from 1; what is not above 0 is no multiple);
    `period` 0 is never. Consumes both keys.
    """
    batch = t.length.shape[0]
    if period == 0:
        return pulse(state, t, *keys)
    size = min(period, batch)
    number = -(-batch // size)
    chunks = _chunks(t, number, size)
    starts, each = jnp.arange(number) * size, (jax.random.split(keys[0], number), jax.random.split(keys[1], number))

    def one(state: S, given: tuple[Trains, Array, tuple[Key, Key]]) -> tuple[S, None]:
        chunk, start, own = given
        return _chunk(state, chunk, period, clock + start, batch - start, pulse, act, own), None

    if number == 1:
        return one(state, jax.tree.map(lambda leaf: leaf[0], (chunks, starts, each)))[0]
    return lax.scan(one, state, (chunks, starts, each))[0]


def _chunks(t: Trains, number: int, size: int) -> Trains:
    """`[number, size, ...]`, the last one filled up with vectors that are silent."""

    def cut(leaf: Array) -> Array:
        missing = number * size - leaf.shape[0]
        return jnp.pad(leaf, ((0, missing), *((0, 0),) * (leaf.ndim - 1))).reshape(number, size, *leaf.shape[1:])

    return jax.tree.map(cut, t)


def _chunk(
    state: S, t: Trains, period: int, clock: Array, left: Array, pulse: Pulse, act: Act, keys: tuple[Key, Key]
) -> S:
    """Vectors among which there is at most one after which to act."""
    size = t.length.shape[0]
    k_draw, k_noise = keys
    k_before, k_act, k_after = jax.random.split(k_noise, 3)
    cut = jnp.mod(-clock - 1, period)  # place of that vector in the chunk
    seen = clock + cut + 1
    due = (cut < jnp.minimum(size, left)) & (seen > 0)
    before = (jnp.arange(size) <= cut) | ~due
    state = pulse(state, t.only(before), k_draw, k_before)
    state = lax.cond(due, lambda s: act(s, seen, k_act), lambda s: s, state)
    if size == 1:
        return state
    rest = t.only(~before)
    return lax.cond(jnp.any(rest.length > 0), lambda s: pulse(s, rest, k_draw, k_after), lambda s: s, state)


def take(tree: Any, line: Array, axis: int) -> Any:
    """Line number `line` of every array of a tree that has rows and columns: axis -1 a column, -2 a row."""
    return jax.tree.map(lambda leaf: lax.dynamic_slice_in_dim(leaf, line, 1, axis) if leaf.ndim > 1 else leaf, tree)


def put(tree: Any, piece: Any, line: Array, axis: int) -> Any:
    """The tree with `piece` in the place that `take` took it from; what has no lines is that of the piece."""
    return jax.tree.map(
        lambda leaf, new: lax.dynamic_update_slice_in_dim(leaf, new, line, axis) if leaf.ndim > 1 else new, tree, piece
    )


def each_line(visit: Callable[..., State], cells: Cells, state: State, values: Array, axis: int, key: Key) -> State:
    """`visit(cells, state, value, key) -> state` for every row (`axis` 0) or column (1) at once: they share no device.

    What has no rows and columns is the same for all. Consumes `key`.
    """
    leaves, structure = jax.tree.flatten(state)
    axes = [axis if leaf.ndim > 1 else None for leaf in leaves]

    def one(cells: Cells, leaves: list[Array], value: Array, key: Key) -> list[Array]:
        own = {name: jnp.expand_dims(cell, axis) for name, cell in cells.items()}
        whole = [leaf if at is None else jnp.expand_dims(leaf, axis) for leaf, at in zip(leaves, axes, strict=True)]
        new = jax.tree.leaves(visit(own, jax.tree.unflatten(structure, whole), value, key))
        return [leaf if at is None else jnp.squeeze(leaf, axis) for leaf, at in zip(new, axes, strict=True)]

    keys = jax.random.split(key, values.shape[axis])
    done = jax.vmap(one, in_axes=(axis, axes, axis, 0), out_axes=axes)(cells, leaves, values, keys)
    return jax.tree.unflatten(structure, done)
