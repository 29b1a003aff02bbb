"""Options of a run as small objects: when checkpoints are saved, and when it stops early."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analogjax._field_docs import document_fields
from analogjax.errors import ConfigError


class StopTraining(Exception):
    """Raise it in a hook to end a training; the results of the completed epochs are returned."""


@document_fields
@dataclass(frozen=True)
class CheckpointOptions:
    """How often a run with a `checkpoint_dir` is saved, and which checkpoints are kept.

    Raises:
        ConfigError: If a value is not a whole number, 0 or more.

    Example:
        >>> LocalRunner().run(experiment, checkpoint_dir="runs/a", checkpoints=CheckpointOptions(keep_best=3))
    """

    every: int = 1
    """Epochs between checkpoints; 0: only one at the end. They are saved in the background."""
    every_steps: int = 0
    """Steps between checkpoints within an epoch, for epochs that take hours; 0: none."""
    keep_last: int = 2
    """Newest checkpoints to keep; 0: all."""
    keep_best: int = 1
    """Best checkpoints to keep in addition: those with the highest accuracy, or the lowest validation loss."""

    def __post_init__(self) -> None:
        for name in ("every", "every_steps", "keep_last", "keep_best"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                raise ConfigError(f"CheckpointOptions({name}={value!r}): needs a whole number, 0 or more.")


@document_fields
@dataclass(frozen=True)
class EarlyStop:
    """Ends a training when a metric has stopped improving; the results so far are returned.

    Raises:
        ConfigError: If a value is invalid.

    Example:
        >>> LocalRunner().run(experiment, early_stop=EarlyStop("accuracy", patience=5))
    """

    metric: str = "valid_loss"
    """An entry of the results of an epoch."""
    patience: int = 3
    """Epochs without improvement after which the training ends."""
    min_delta: float = 0.0
    """Smallest change that counts as an improvement."""
    mode: str = ""
    """`min` if smaller is better, else `max`; by default `max` for `accuracy` and `min` for everything else."""

    def __post_init__(self) -> None:
        if not self.mode:
            object.__setattr__(self, "mode", "max" if self.metric == "accuracy" else "min")
        if self.mode not in ("min", "max"):
            raise ConfigError(f"EarlyStop(mode={self.mode!r}): give 'min' or 'max'.")
        if not isinstance(self.patience, int) or isinstance(self.patience, bool) or self.patience < 1:
            raise ConfigError(f"EarlyStop(patience={self.patience!r}): needs a whole number of epochs, 1 or more.")
        if not self.min_delta >= 0:
            raise ConfigError(f"EarlyStop(min_delta={self.min_delta!r}): needs a number, 0 or more.")

    def due(self, epochs: Sequence[Mapping[str, Any]]) -> bool:
        """Whether a training with these results should end. Raises `ConfigError` for an unknown metric."""
        if epochs and self.metric not in epochs[-1]:
            known = ", ".join(name for name in epochs[-1] if name not in ("epoch", "time_epoch"))
            raise ConfigError(f"EarlyStop(metric={self.metric!r}): unknown; the results have {known}.")
        sign = 1.0 if self.mode == "min" else -1.0
        best, at = float("inf"), -1
        for n, entry in enumerate(epochs):
            if sign * entry[self.metric] < best - self.min_delta:
                best, at = sign * entry[self.metric], n
        return len(epochs) - 1 - at >= self.patience
