"""NaN and infinity in metrics: JSON has no such numbers, so they travel as null, and are NaN again for Python."""

from __future__ import annotations

import math
from typing import Any


def without_nan(value: Any) -> Any:
    """The same plain values with `None` for numbers that are not finite."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {name: without_nan(item) for name, item in value.items()}
    return [without_nan(item) for item in value] if isinstance(value, (list, tuple)) else value


def with_nan(entry: dict[str, Any]) -> dict[str, Any]:
    """Metrics of an epoch with NaN for `None`."""
    return {name: math.nan if item is None else item for name, item in entry.items()}
