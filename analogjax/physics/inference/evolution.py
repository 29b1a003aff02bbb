r"""Differential evolution (best/1/bin) in a hypercube, all points of a generation at once.

    mutant = clip(best + F (x_a - x_b), 0, 1),   F ~ U(0.5, 1) for each generation, a and b two other points
    tried  = mutant in 70 % of its coordinates, at least one, else x;      x = tried where its loss is not larger

Reference: Storn and Price 1997, doi:10.1023/A:1008202821328. Letters: `P` points, `D` coordinates.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from analogjax._typing import Array, Key

_DITHER = (0.5, 1.0)  # of the differences that a mutant adds
_CROSSOVER = 0.7  # share of a mutant's coordinates that are tried


class _Population(NamedTuple):
    x: Array  # [P, size]
    losses: Array  # [P]


def evolved(losses: Callable[[Array], Array], first: Array, generations: int, key: Key) -> tuple[Array, Array]:
    """Return the best point `[D]` after some generations, and the smallest loss after each `[generations]`.

    `losses` takes points `[P, D]` to losses `[P]`; what is not finite counts as the worst. `first` `[P, D]` are the
    points to start from, three or more. Consumes `key`.
    """

    def valued(x: Array) -> Array:
        found = losses(x)
        return jnp.where(jnp.isfinite(found), found, jnp.inf)

    def generation(old: _Population, key: Key) -> tuple[_Population, Array]:
        tried = _tried(old, key)
        new = valued(tried)
        better = new <= old.losses
        both = _Population(jnp.where(better[:, None], tried, old.x), jnp.where(better, new, old.losses))
        return both, jnp.min(both.losses)

    @jax.jit
    def run(first: Array, key: Key) -> tuple[Array, Array]:
        last, history = lax.scan(generation, _Population(first, valued(first)), jax.random.split(key, generations))
        return last.x[jnp.argmin(last.losses)], history

    return run(first, key)


def spread(count: int, size: int, key: Key) -> Array:
    """A Latin hypercube `[count, size]`: each coordinate has one point in each of `count` parts. Consumes `key`."""
    k_order, k_place = jax.random.split(key)
    order = jax.vmap(lambda key: jax.random.permutation(key, count), out_axes=1)(jax.random.split(k_order, size))
    return (order + jax.random.uniform(k_place, (count, size))) / count


def _tried(old: _Population, key: Key) -> Array:
    """A mutant of the best for each strategy `[P, size]`, crossed with it. Consumes `key`."""
    count, size = old.x.shape
    k_one, k_other, k_dither, k_cross, k_sure = jax.random.split(key, 5)
    # three different strategies: the own number, and two others by how far they are from it
    one = jax.random.randint(k_one, (count,), 1, count)
    other = (one - 1 + jax.random.randint(k_other, (count,), 1, count - 1)) % (count - 1) + 1
    own = jnp.arange(count)
    difference = old.x[(own + one) % count] - old.x[(own + other) % count]
    dither = jax.random.uniform(k_dither, (), minval=_DITHER[0], maxval=_DITHER[1])
    mutant = old.x[jnp.argmin(old.losses)] + dither * difference
    mutant = jnp.clip(mutant, 0.0, 1.0)  # the best points are often at the edge: devices that hold g_min
    sure = jax.random.randint(k_sure, (count, 1), 0, size) == jnp.arange(size)
    return jnp.where((jax.random.uniform(k_cross, mutant.shape) < _CROSSOVER) | sure, mutant, old.x)
