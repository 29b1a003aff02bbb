r"""Bound management: a vector whose output was clipped by the ADC is read again from a smaller input.

    y = rho alpha V(x / (rho alpha)),    rho = 1, 2, 4, ...

until the output fits, `rho` exceeds `max_factor`, or the steps of the DAC become too coarse. All noise is drawn afresh
for each read. Letters: `B` batch, `O` outputs.

Such a loop of unknown length has no reverse mode: products with bound management cannot be differentiated.

Reference: Gokmen, Onen & Haensch 2017, doi:10.3389/fnins.2017.00538 (bound management).
"""

from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jax import lax

from analogjax._pytree import pytree
from analogjax._typing import Array, Key, Scalar
from analogjax._varying import varying_like
from analogjax.physics.checks import check_number


class Readable(Protocol):
    """A product that can be read as often as it takes: a pytree."""

    @property
    def scale(self) -> Array:
        """The input scale of noise management `[B, 1]`; a vector whose scale is 0 or less is silent."""

    @property
    def is_quiet(self) -> Array:
        """Whether the DAC has no noise: then silence comes out as 0."""

    @property
    def reduction(self) -> Array:
        """By how much the signal may be reduced until it is too small for the DAC [1]."""

    @property
    def start(self) -> Array:
        """Zeros like the output, `[B, O]`."""

    def read(self, scale: Array, key: Key) -> tuple[Array, Array]:
        """The output `[B, O]` for the input over `scale` `[B, 1]`, which fits `[B, 1]` or not. Consumes `key`."""

    def worst_case(self) -> Array | None:
        """The input scale `[B, 1]` that clips nothing; None where it is the one of noise management."""


@runtime_checkable
class ReadPolicy(Protocol):
    """Which reads make up a product: a pytree of its own parameters."""

    def read(self, product: Readable, key: Key) -> Array:
        """The output `[B, O]`. Consumes `key`."""


def audible(scale: Array) -> Array:
    """The scale by which a vector is divided: 1 where it is silent."""
    return jnp.where(scale > 0, scale, 1.0)


def silenced(product: Readable, y: Array) -> Array:
    """`y`, and exactly 0 for silent vectors without noise."""
    return jnp.where((product.scale <= 0) & product.is_quiet, 0.0, y)


def read_once(product: Readable, key: Key) -> Array:
    """The output `[B, O]` of one read, without bound management. Consumes `key`."""
    return silenced(product, product.read(audible(product.scale), key)[0])


@pytree
class BoundManagement:
    """Each vector is read until its output fits.

    Args:
        max_factor: Largest input reduction; a factor above it is the last that is tried [1].
        worst_case: After the first read, start anew from the input scale at which nothing can clip.

    Raises:
        ConfigError: For a factor that is no finite number of 0 or more.
    """

    max_factor: Scalar = 1000
    worst_case: bool = False

    def __post_init__(self) -> None:
        check_number(self, "max_factor", low=0)

    def read(self, product: Readable, key: Key) -> Array:
        """The output `[B, O]`; read number `n` folds `n` into a child of `key`, which is consumed."""
        # the reads fold what they are given: of a split key, JAX can tell that it is used again
        key = jax.random.split(key, 1)[0]
        limit, fallback = product.reduction, product.worst_case() if self.worst_case else None

        def again(carry: tuple) -> Array:
            return ~jnp.all(carry[1])

        def read(carry: tuple) -> tuple:
            y, done, rho, base, trial = carry
            new, fits = product.read(base * rho, jax.random.fold_in(key, trial))
            y = jnp.where(done, y, new)
            done = done | fits | (jnp.floor(rho) > self.max_factor) | (rho > limit)
            if fallback is None:
                return y, done, 2 * rho, base, trial + 1
            restart = trial == 0
            return y, done, jnp.where(restart, 1.0, 2 * rho), jnp.where(restart, fallback, base), trial + 1

        base = audible(product.scale)
        done, rho = jnp.zeros(base.shape, bool), jnp.ones_like(base)
        start = varying_like((product.start, done, rho, base), (self, product, key))
        return silenced(product, lax.while_loop(again, read, (*start, jnp.int32(0)))[0])
