"""Vector updates with an action after every `period` of them.

A compound with a schedule acts between two vectors of a batch, so the result depends on their order. `walk` keeps that
order exactly, and still pulses all vectors between two actions together.
"""

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
from jax import lax

from analogjax._typing import Array, Key
from analogjax.physics.trains import Trains

S = TypeVar("S")

Pulse = Callable[[S, Trains, Key, Key], S]  # (state, trains, k_draw, k_noise) -> state
Act = Callable[[S, Array, Key], S]  # (state, vectors seen so far, key) -> state


def walk(state: S, t: Trains, period: int, clock: Array, pulse: Pulse, act: Act, keys: tuple[Key, Key]) -> S:
    """Pulse with each vector in order, and `act` after every vector whose number is a multiple of `period`.

    `clock` `[]` is the number of vectors before this batch (vectors are counted from 1; numbers of 0 or less are no
    multiples). A `period` of 0 means never. Consumes both keys.
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
    """`[number, size, ...]`, the last one padded with silent vectors."""

    def cut(leaf: Array) -> Array:
        missing = number * size - leaf.shape[0]
        return jnp.pad(leaf, ((0, missing), *((0, 0),) * (leaf.ndim - 1))).reshape(number, size, *leaf.shape[1:])

    return jax.tree.map(cut, t)


def _chunk(
    state: S, t: Trains, period: int, clock: Array, left: Array, pulse: Pulse, act: Act, keys: tuple[Key, Key]
) -> S:
    """The number of vectors that contain at most one action."""
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
