"""Validation of user input: plain Python values only; arrays and tracers pass unchecked."""

import dataclasses
import math
import sys
from typing import Any

from analogjax._pytree import is_static
from analogjax.errors import ConfigError

MOST = 2**31 - 1
"""The largest number that is counted."""


def check(owner: Any, condition: bool, name: str, remedy: str) -> None:
    """Raise a `ConfigError` naming the field, its value and the remedy unless `condition` holds."""
    if not condition:
        raise ConfigError(f"{type(owner).__name__}({name}={getattr(owner, name)!r}): {remedy}")


def check_number(owner: Any, *names: str, low: float = -math.inf, high: float = math.inf) -> None:
    """Check that each named field, if it is a plain value, is a finite number within `[low, high]`, and not a bool."""
    for name in names:
        value = getattr(owner, name)
        bounds = [f"at least {low:g}"] * math.isfinite(low) + [f"at most {high:g}"] * math.isfinite(high)
        remedy = f"needs a finite number{', ' * bool(bounds)}{' and '.join(bounds)}."
        check(owner, not is_static(value) or is_finite(value, low, high), name, remedy)


def check_numbers(owner: Any, name: str, low: float = -math.inf) -> None:
    """Convert a list to a tuple, and require each plain value in it to be a finite number of at least `low`.

    Raises `ConfigError`.
    """
    if isinstance(getattr(owner, name), list):  # a list would be traced item by item
        object.__setattr__(owner, name, tuple(getattr(owner, name)))
    values = getattr(owner, name)
    check(owner, isinstance(values, tuple), name, "needs a tuple of numbers.")
    good = all(not is_static(value) or is_finite(value, low) for value in values)
    check(owner, good, name, f"needs finite numbers{f' of {low:g} or more' * math.isfinite(low)}.")


def check_flags(owner: Any) -> None:
    """Raise `ConfigError` for a field that is neither True nor False where its default is; no flag can be swept."""
    for field in dataclasses.fields(owner):
        if isinstance(field.default, bool):
            check(owner, isinstance(getattr(owner, field.name), bool), field.name, "needs True or False.")


def check_kind(owner: Any, name: str, kind: type) -> None:
    """Raise `ConfigError` if a field is not an object of a class."""
    check(owner, isinstance(getattr(owner, name), kind), name, f"needs an object of class {kind.__name__}.")


def is_finite(value: Any, low: float = -math.inf, high: float = math.inf) -> bool:
    """Whether it is a finite number within `[low, high]`, and not a bool."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and low <= value <= high and abs(value) <= sys.float_info.max


def is_whole(value: Any, low: int, high: int = MOST) -> bool:
    """Whether it is a whole number within `[low, high]`, and not a bool."""
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


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
