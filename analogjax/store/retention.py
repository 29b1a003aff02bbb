"""Which checkpoints of a run are kept. The decision depends only on the contents of the store, so a restart changes
nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from analogjax._field_docs import document_fields
from analogjax.errors import ConfigError


@document_fields
@dataclass(frozen=True)
class Retention:
    """Keeps the newest `last` checkpoints (0: all), the `best` by `metric`, and every step divisible by `every`.

    A NaN never counts as best, and neither does a checkpoint without the metric.

    Raises:
        ConfigError: If a value is invalid.
    """

    last: int = 2
    """Newest checkpoints kept; 0: all."""
    best: int = 0
    """Best checkpoints kept in addition."""
    every: int = 0
    """Keep every step divisible by this number as well; 0: none."""
    metric: str = "accuracy"
    """Metric that decides which are best."""
    mode: Literal["max", "min"] = "max"
    """"max" if larger is better, else "min"."""

    def __post_init__(self) -> None:
        for name in ("last", "best", "every"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise ConfigError(f"Retention({name}={value!r}): needs a whole number, 0 or more.")
        if self.mode not in ("max", "min"):
            raise ConfigError(f"Retention(mode={self.mode!r}): needs 'max' or 'min'.")

    def ranked(self, metrics: Mapping[int, float | None]) -> list[int]:
        """The steps that have the metric, best first; of equal ones the newer first."""
        sign = 1.0 if self.mode == "max" else -1.0
        known = {step: value for step, value in metrics.items() if value is not None and not math.isnan(value)}
        return sorted(known, key=lambda step: (sign * known[step], step), reverse=True)

    def superseded(self, metrics: Mapping[int, float | None]) -> list[int]:
        """Of these steps, given with their metric (or None), those that need not be kept."""
        if self.last == 0:
            return []
        steps = sorted(metrics)
        kept = set(steps[-self.last :]) | set(self.ranked(metrics)[: self.best])
        return [step for step in steps if step not in kept and not (self.every and step % self.every == 0)]
