"""Which parameters of a device are fitted, within which bounds, and how each is represented by a free number.

bounded below: low + e^t     above: high - e^t     both: low + (high - low) / (1 + e^-t)     neither: scale t
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from analogjax._typing import Array
from analogjax.errors import ConfigError

Bounds = tuple[float | None, float | None]
Values = dict[str, Array]

_BOUNDS: dict[str, Bounds] = {
    **dict.fromkeys(("dw_min", "w_max", "pow_gamma", "piecewise_up", "piecewise_down"), (0.0, None)),
    **dict.fromkeys(("p_max", "alpha", "range_max", "dw_min_std", "write_noise_std"), (0.0, None)),
    **dict.fromkeys(("w_min", "range_min"), (None, 0.0)),
    **dict.fromkeys(("up_down", "pow_up_down"), (-1.0, 1.0)),
}
_NUDGE = 0.1  # a start on its bound is moved inside by this share of its size


@dataclass(frozen=True)
class Parameter:
    """One fitted parameter of a device, a number or a table."""

    name: str
    low: float | None
    high: float | None
    scale: float  # the size of an unbounded one

    def free(self, value: Any) -> Array:
        """The free number that represents `value`."""
        value = jnp.asarray(value, float)
        if self.low is not None and self.high is not None:
            share = jnp.clip((value - self.low) / (self.high - self.low), 1e-3, 1 - 1e-3)
            return jnp.log(share) - jnp.log1p(-share)
        if self.low is not None:
            return jnp.log(self._inside(value - self.low))
        return value / self.scale if self.high is None else jnp.log(self._inside(self.high - value))

    def value(self, free: Array) -> Array:
        """The value represented by a free number."""
        if self.low is not None and self.high is not None:
            return self.low + (self.high - self.low) * jax.nn.sigmoid(free)
        if self.low is not None:
            return self.low + jnp.exp(free)
        return self.scale * free if self.high is None else self.high - jnp.exp(free)

    def plain(self, value: Any) -> Any:
        """A fitted value as configuration; single precision may have rounded it beyond its bound."""
        return plain(np.clip(np.asarray(value, np.float64), self.low, self.high))

    def _inside(self, distance: Array) -> Array:
        return jnp.where(distance > 0, distance, _NUDGE * self.scale)


def parameters(device: Any, names: tuple[str, ...], bounds: Mapping[str, Bounds] | None) -> tuple[Parameter, ...]:
    """The named parameters of `device`. Raises `ConfigError` for a name that is not one of its numbers."""
    if isinstance(names, str):
        raise ConfigError(f"names={names!r}: needs a tuple; write names=({names!r},).")
    numbers = _numbers(device)
    unknown = sorted({*names, *(bounds or ())} - set(numbers))
    if unknown or not names:
        what = f"{unknown[0]!r} is not one of its numbers" if unknown else "no name was given"
        raise ConfigError(f"{type(device).__name__}: {what}; it has {', '.join(numbers)}.")
    return tuple(_parameter(name, numbers[name], (bounds or {}).get(name)) for name in names)


def _parameter(name: str, value: Any, given: Bounds | None) -> Parameter:
    low, high = given if given is not None else _BOUNDS.get(name, (None, None))
    if low is not None and high is not None and not low < high:
        raise ConfigError(f"bounds of {name}: ({low}, {high}) leave no room; give (low, high) with low < high.")
    return Parameter(name, low, high, max(float(np.max(np.abs(value))), 0.1))


def _numbers(device: Any) -> dict[str, Any]:
    """The numbers and tables of numbers of a device."""
    if not is_dataclass(device):
        raise ConfigError(f"{type(device).__name__}: needs the fields of a device of analogjax.physics.")
    found = {field.name: getattr(device, field.name) for field in fields(device)}
    return {name: value for name, value in found.items() if _is_number(value)}


def _is_number(value: Any) -> bool:
    if isinstance(value, tuple):
        return len(value) > 0 and all(_is_number(item) for item in value)
    return not isinstance(value, bool) and (isinstance(value, (int, float)) or hasattr(value, "dtype"))


def with_values(device: Any, values: Mapping[str, Any]) -> Any:
    """The device with other parameter values, arrays or plain."""
    return replace(device, **values)


def plain(value: Any) -> Any:
    """A value as configuration: a Python number, or a tuple of them."""
    found = np.asarray(value, np.float64)
    return float(found) if found.ndim == 0 else tuple(float(item) for item in found)
