"""Hooks of a run: what a user may watch, and when."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from analogjax.nn import Variables


@dataclass(frozen=True)
class EpochEvent:
    """An epoch has ended."""

    epoch: int  # counted from 0
    metrics: dict[str, Any]  # the entry of the result list
    variables: Variables  # parameters and tiles after the epoch


@dataclass(frozen=True)
class BatchEvent:
    """A mini-batch has ended."""

    epoch: int
    step: int  # within the epoch, counted from 0
    loss: float  # mean over the batch
    variables: Variables


@dataclass(frozen=True)
class Hooks:
    """Functions called during a run. `on_batch` costs one call into the compiled loop per mini-batch."""

    on_epoch: Callable[[EpochEvent], None] | None = None
    on_batch: Callable[[BatchEvent], None] | None = None
