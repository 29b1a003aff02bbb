r"""Bound management: a vector whose output was clipped by the ADC is read again with a smaller input.

    y = rho alpha V(x / (rho alpha)),    rho = 1, 2, 4, ...

until the output fits, `rho` exceeds `max_factor`, or the steps of the DAC become too coarse. All noise is drawn again
for each read. Letters: `B` batch, `O` outputs.

A loop of unknown length has no reverse-mode derivative, so products with bound management cannot be differentiated.

Reference: Gokmen, Onen & Haensch 2017, doi:10.3389/fnins.2017.00538 (bound management).
"""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jax import lax

from analogjax._pytree import pytree
from analogjax._typing import Array, Key, Scalar
from analogjax._varying import varying_like
from analogjax.physics.checks import check_flags, check_number


@pytree(data_only=True)
class Product:
    """A matrix-vector product that can be read repeatedly."""

    once: Callable[[Array, Key], tuple[Array, Array]]
    """One read: (input scale `[B, 1]`, key) -> (output `[B, O]`, whether it stayed within the range `[B, 1]`)."""
    scale: Array
    """Input scale chosen by noise management `[B, 1]`; a vector with a scale of 0 or less gives 0."""
    worst_case: Callable[[], Array | None]
    """Function of no argument giving the input scale `[B, 1]` at which nothing clips; None: `scale` is that already."""
    reduction: Array
    """Factor by which the signal may be reduced before it is too small for the DAC `[]`."""
    is_quiet: Array
    """Whether the DAC adds no noise `[]`."""
    start: Array
    """Zeros of the shape of the output `[B, O]`."""

    @property
    def audible(self) -> Array:
        """The scale by which each vector is divided `[B, 1]`: 1 for a silent vector."""
        return jnp.where(self.scale > 0, self.scale, 1.0)

    def silenced(self, y: Array) -> Array:
        """`y` `[B, O]`, and exactly 0 for silent vectors without noise."""
        return jnp.where((self.scale <= 0) & self.is_quiet, 0.0, y)

    def read_once(self, key: Key) -> Array:
        """The output `[B, O]` without bound management. Consumes `key`."""
        return self.silenced(self.once(self.audible, key)[0])


@runtime_checkable
class ReadPolicy(Protocol):
    """Protocol: decides which reads make up a product; a pytree of its own parameters."""

    def read(self, product: Product, key: Key) -> Array:
        """Return the output `[B, O]`. Consumes `key`."""


@pytree
class BoundManagement:
    """Repeats the read of a vector, with a smaller input, until its output is within the range of the ADC.

    Raises:
        ConfigError: If a factor is not a finite number, 0 or more.
    """

    max_factor: Scalar = 1000
    """Largest input reduction; a factor above it is the last that is tried [1]."""
    worst_case: bool = False
    """After the first read, start anew from the input scale at which nothing can clip."""

    def __post_init__(self) -> None:
        check_flags(self)
        check_number(self, "max_factor", low=0)

    def read(self, product: Product, key: Key) -> Array:
        """The output `[B, O]`; read number `n` folds `n` into a child of `key`, which is consumed."""
        # the reads fold their key: JAX can detect that a split key is used again
        key = jax.random.split(key, 1)[0]
        limit, fallback = product.reduction, product.worst_case() if self.worst_case else None

        def again(carry: tuple) -> Array:
            return ~jnp.all(carry[1])

        def read(carry: tuple) -> tuple:
            y, done, rho, base, trial = carry
            new, fits = product.once(base * rho, jax.random.fold_in(key, trial))
            y = jnp.where(done, y, new)
            done = done | fits | (jnp.floor(rho) > self.max_factor) | (rho > limit)
            if fallback is None:
                return y, done, 2 * rho, base, trial + 1
            restart = trial == 0
            return y, done, jnp.where(restart, 1.0, 2 * rho), jnp.where(restart, fallback, base), trial + 1

        base = product.audible
        done, rho = jnp.zeros(base.shape, bool), jnp.ones_like(base)
        start = varying_like((product.start, done, rho, base), (self, product, key))
        return product.silenced(lax.while_loop(again, read, (*start, jnp.int32(0)))[0])
