"""Loss functions of an experiment: `(outputs [B, C], labels [B]) -> losses [B]`, one number per item."""

import jax
import jax.numpy as jnp

from analogjax._typing import Array
from analogjax.errors import ConfigError, ShapeError


def nll_loss(log_probabilities: Array, labels: Array) -> Array:
    """Negative log-likelihood `-log p(label)`, for models that end with `log_softmax`.

    Args:
        log_probabilities: Outputs of the model `[B, C]`.
        labels: Classes `[B]`, whole numbers from 0.

    Returns:
        One loss per item `[B]`.

    Raises:
        ConfigError: If the labels are not whole numbers.
        ShapeError: If there is not one label per item.
    """
    _check_classes("nll_loss", log_probabilities, labels)
    return -jnp.take_along_axis(log_probabilities, labels[:, None], axis=-1)[:, 0]


def cross_entropy_loss(logits: Array, labels: Array) -> Array:
    """Cross entropy of unnormalised outputs.

    Args:
        logits: Outputs of the model `[B, C]`.
        labels: Classes `[B]`, whole numbers from 0.

    Returns:
        One loss per item `[B]`.

    Raises:
        ConfigError: If the labels are not whole numbers.
        ShapeError: If there is not one label per item.
    """
    _check_classes("cross_entropy_loss", logits, labels)
    return nll_loss(jax.nn.log_softmax(logits), labels)


def mse_loss(outputs: Array, labels: Array) -> Array:
    """Mean squared error between outputs and one-hot labels, or between outputs and targets.

    Args:
        outputs: Outputs of the model `[B, C]`.
        labels: Classes `[B]` (whole numbers), or targets of the shape of the outputs, without a last axis of 1 if need
            be.

    Returns:
        One loss per item `[B]`.

    Raises:
        ShapeError: If outputs and targets do not fit together.
    """
    if jnp.issubdtype(labels.dtype, jnp.integer):
        _check_classes("mse_loss", outputs, labels)
        targets = jax.nn.one_hot(labels, outputs.shape[-1])
    else:
        targets = labels[..., None] if labels.shape == outputs.shape[:-1] and outputs.shape[-1] == 1 else labels
        if targets.shape != outputs.shape:
            raise ShapeError(f"mse_loss: outputs {list(outputs.shape)} and targets {list(labels.shape)} do not fit.")
    errors = (outputs - targets) ** 2
    return jnp.mean(errors.reshape(errors.shape[0], -1), axis=-1)


def _check_classes(name: str, outputs: Array, labels: Array) -> None:
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        raise ConfigError(
            f"{name}: labels of {labels.dtype}; it needs classes, whole numbers from 0. Other targets need mse_loss "
            "or a custom loss."
        )
    if outputs.ndim != 2 or labels.shape != outputs.shape[:1]:
        raise ShapeError(
            f"{name}: outputs {list(outputs.shape)} and labels {list(labels.shape)}; it needs outputs [B, C] and one "
            "label for each item, [B]."
        )


def per_item(values: Array, weights: Array, name: str) -> Array:
    """`values` as float32 `[B]`. Raises `ShapeError` unless there is one per item."""
    values = jnp.asarray(values)
    if values.shape != weights.shape:
        raise ShapeError(
            f"{name} returned shape {list(values.shape)} for a batch of {weights.shape[0]} items; it needs one value "
            "per item, [B], not their mean (the last batch of an epoch is padded with items that do not count)."
        )
    return values.astype(jnp.float32)
