"""The entry of an epoch in the results of a run, from the sums that its compiled calls return."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from analogjax.errors import NonFiniteError


def epoch_entry(
    epoch: int, seconds: float, train_loss: float, sums: Mapping[str, float], items: int, classes: bool
) -> dict[str, Any]:
    """The results of an epoch.

    Args:
        epoch: Its number, from 0.
        seconds: What it took [s].
        train_loss: Mean loss of its training items.
        sums: Of the test items: `loss`, the metrics and, for classes, the right answers as `accuracy`.
        items: How many test items there were.
        classes: Whether each item has one class, so that the right answers are a whole number.

    Returns:
        The entry, with means in place of the sums.
    """
    entry: dict[str, Any] = {"epoch": epoch, "time_epoch": seconds}
    rest = {name: float(value) for name, value in sums.items()}
    if "accuracy" in rest:
        right = rest.pop("accuracy")
        entry["accuracy"] = (round(right) if classes else right) / items  # a whole number, not a float32 near it
    entry |= {"train_loss": train_loss, "valid_loss": rest.pop("loss") / items}
    return entry | {name: value / items for name, value in rest.items()}


def not_finite(losses: np.ndarray, epoch: int, first: int, learning_rate: Any) -> NonFiniteError | None:
    """The error for the first of the losses `[S]` that is NaN or infinite, of the steps from `first` on."""
    finite = np.isfinite(losses)
    if np.all(finite):
        return None
    n = int(np.argmin(finite))
    return NonFiniteError(
        f"the loss became {losses[n]} in epoch {epoch}, step {first + n}. Is the learning rate ({learning_rate}) too "
        "large, or are there NaNs in the data or the model?"
    )
