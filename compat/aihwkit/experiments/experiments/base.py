"""Experiments and the moments at which they call hooks."""

from collections.abc import Callable
from enum import Enum
from typing import Any


class Signals(Enum):
    """The moments of an experiment."""

    EXPERIMENT_START = 1
    EXPERIMENT_END = 2
    EPOCH_START = 10
    EPOCH_END = 11
    TRAIN_EPOCH_START = 20
    TRAIN_EPOCH_END = 21
    TRAIN_EPOCH_BATCH_START = 22
    TRAIN_EPOCH_BATCH_END = 23
    VALIDATION_EPOCH_START = 30
    VALIDATION_EPOCH_END = 31
    VALIDATION_EPOCH_BATCH_START = 32
    VALIDATION_EPOCH_BATCH_END = 33
    INFERENCE_START = 40
    INFERENCE_END = 41
    INFERENCE_REPEAT_START = 50
    INFERENCE_REPEAT_END = 51


class Experiment:
    """Something that runs and calls hooks while it does."""

    def __init__(self) -> None:
        self.hooks: dict[Signals, list[Callable]] = {signal: [] for signal in Signals}
        self.results: Any = None

    def add_hook(self, key: Signals, hook: Callable) -> None:
        """Have `hook` called at a moment."""
        self.hooks[key].append(hook)

    def clear_hooks(self) -> None:
        """Forget all hooks."""
        for hooks in self.hooks.values():
            hooks.clear()

    def _call_hook(self, key: Signals, *args: Any, **kwargs: Any) -> dict:
        """Call the hooks of a moment; the dicts that they return are merged."""
        merged: dict = {}
        for hook in self.hooks[key]:
            result = hook(*args, **kwargs)
            if isinstance(result, dict):
                merged |= result
        return merged
