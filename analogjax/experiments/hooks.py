"""Hooks of a run: functions that observe it, and the events they receive."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from analogjax._field_docs import document_fields
from analogjax.nn import Variables


@document_fields
@dataclass(frozen=True)
class EpochEvent:
    """Sent when an epoch has ended."""

    epoch: int
    """Number of the epoch, counted from 0."""
    metrics: dict[str, Any]
    """Entry of this epoch in the results."""
    variables: Variables
    """Parameters and tiles after the epoch."""


@document_fields
@dataclass(frozen=True)
class BatchEvent:
    """Sent when a mini-batch has ended."""

    epoch: int
    """Number of the epoch, counted from 0."""
    step: int
    """Number of the mini-batch within the epoch, counted from 0."""
    loss: float
    """Mean loss over the mini-batch."""
    variables: Variables
    """Parameters and tiles after the mini-batch."""


@document_fields
@dataclass(frozen=True)
class Hooks:
    """Functions called during a run. One that raises `StopTraining` ends it.

    Example:
        >>> Hooks(on_epoch=lambda event: print(event.metrics["accuracy"]))
    """

    on_epoch: Callable[[EpochEvent], None] | None = None
    """Called after each epoch."""
    on_batch: Callable[[BatchEvent], None] | None = None
    """Called after each mini-batch; costs one call into the compiled loop each time."""
