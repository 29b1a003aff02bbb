"""Loss functions of an experiment: `(outputs [B, C], labels [B]) -> losses [B]`, one number for each item."""

import jax
import jax.numpy as jnp

from analogjax._typing import Array


def nll_loss(log_probabilities: Array, labels: Array) -> Array:
    """Negative log-likelihood `-log p(label)` `[B]` of `log_probabilities` `[B, C]` (put `log_softmax` last)."""
    return -jnp.take_along_axis(log_probabilities, labels[:, None], axis=-1)[:, 0]


def cross_entropy_loss(logits: Array, labels: Array) -> Array:
    """Cross entropy `[B]` of unnormalised `logits` `[B, C]`."""
    return nll_loss(jax.nn.log_softmax(logits), labels)


def mse_loss(outputs: Array, labels: Array) -> Array:
    """Mean squared error `[B]` between `outputs` `[B, C]` and the one-hot labels."""
    return jnp.mean((outputs - jax.nn.one_hot(labels, outputs.shape[-1])) ** 2, axis=-1)
