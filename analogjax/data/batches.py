"""Batches by index: a batch is a function of the key, the epoch and the step, so there is no iterator with state.

One call gives the indices of an epoch, `[steps, B]`, and a weight for each: 1 for an item, 0 for the padding that fills
the last batch with the first items of the same order (dropout and batch statistics see items, never one item many
times). All shapes are static, so that an epoch can be one `jax.lax.scan`. The key
of an epoch is `jax.random.fold_in(key, epoch)`.

Letters: `n` items, `B` batch size.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from analogjax.errors import ConfigError


def steps_per_epoch(n: int, batch_size: int) -> int:
    """The number of batches that cover `n` items; a last, partial batch counts.

    Raises:
        ConfigError: `n` is negative or `batch_size` is not positive.
    """
    if n < 0:
        raise ConfigError(f"there cannot be n={n} items; pass 0 or more")
    if batch_size < 1:
        raise ConfigError(f"batch_size={batch_size} holds no items; pass 1 or more")
    return -(-n // batch_size)


def shuffled_indices(key: jax.Array, n: int, batch_size: int) -> tuple[jax.Array, jax.Array]:
    """Indices int32 `[steps, B]` of all `n` items in an order drawn from `key`, and their weights float32 `[steps, B]`.

    Raises:
        ConfigError: as `steps_per_epoch`.
    """
    steps = steps_per_epoch(n, batch_size)
    return _batched(jax.random.permutation(key, n), steps, batch_size)


def sequential_indices(n: int, batch_size: int) -> tuple[jax.Array, jax.Array]:
    """Indices int32 `[steps, B]` of all `n` items in their own order, and their weights float32 `[steps, B]`.

    Raises:
        ConfigError: as `steps_per_epoch`.
    """
    steps = steps_per_epoch(n, batch_size)
    return _batched(jnp.arange(n), steps, batch_size)


def _batched(order: jax.Array, steps: int, batch_size: int) -> tuple[jax.Array, jax.Array]:
    """`order` cut in `steps` rows, padded with its beginning, and the weights that mark the padding."""
    padding = steps * batch_size - len(order)
    indices = jnp.pad(order.astype(jnp.int32), (0, padding), mode="wrap") if padding else order.astype(jnp.int32)
    weights = jnp.pad(jnp.ones(len(order), jnp.float32), (0, padding))
    return indices.reshape(steps, batch_size), weights.reshape(steps, batch_size)
