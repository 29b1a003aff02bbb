"""Validation of user input: plain Python values only; arrays and tracers pass unchecked."""

import math
from typing import Any

from analogjax._pytree import is_static
from analogjax.errors import ConfigError


def check(owner: Any, condition: bool, name: str, remedy: str) -> None:
    """Raise a `ConfigError` naming the field, its value and the remedy unless `condition` holds."""
    if not condition:
        raise ConfigError(f"{type(owner).__name__}({name}={getattr(owner, name)!r}): {remedy}")


def check_number(owner: Any, *names: str, low: float = -math.inf, high: float = math.inf) -> None:
    """Check that each named field, if it is a plain value, is a finite number within `[low, high]`."""
    for name in names:
        value = getattr(owner, name)
        if not is_static(value):
            continue
        good = isinstance(value, (int, float)) and math.isfinite(value) and low <= value <= high
        bounds = [f"at least {low:g}"] * math.isfinite(low) + [f"at most {high:g}"] * math.isfinite(high)
        check(owner, good, name, f"needs a finite number{', ' * bool(bounds)}{' and '.join(bounds)}.")


def check_numbers(owner: Any, name: str, low: float = -math.inf) -> None:
    """Require each plain value in a tuple to be a finite number of at least `low`. Raises `ConfigError`."""
    plain = [value for value in getattr(owner, name) if is_static(value)]
    good = all(isinstance(value, (int, float)) and low <= value and math.isfinite(value) for value in plain)
    check(owner, good, name, f"needs finite numbers{f' of {low:g} or more' * math.isfinite(low)}.")


def as_choice(owner: Any, name: str, choices: Any) -> None:
    """Convert a field given as text to its enum member; unknown text raises an error listing the known values."""
    value = getattr(owner, name)
    if isinstance(value, choices):
        return
    try:
        object.__setattr__(owner, name, choices(value))
    except ValueError:
        known = ", ".join(repr(choice.value) for choice in choices)
        raise ConfigError(f"{type(owner).__name__}({name}={value!r}): unknown; choose one of {known}.") from None
