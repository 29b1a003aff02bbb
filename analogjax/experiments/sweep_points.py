"""The points of a sweep: all combinations of lists of values, and draws from distributions."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from analogjax._field_docs import document_fields
from analogjax.errors import ConfigError

_MOST = 100_000


@document_fields
@dataclass(frozen=True)
class Uniform:
    """Numbers drawn uniformly between two bounds.

    Raises:
        ConfigError: Unless `low < high`, both finite.

    Example:
        >>> sweep(experiment, {"learning_rate": Uniform(0.01, 0.2)}, samples=20)
    """

    low: float
    """Lower bound."""
    high: float
    """Upper bound."""
    traced: bool = False
    """Whether the runs share one program, as for an axis that is an array."""

    def __post_init__(self) -> None:
        _check_bounds(self, "low < high", lambda low, high: low < high)

    def draw(self, generator: np.random.Generator, count: int) -> list[float]:
        """Draw `count` numbers."""
        return generator.uniform(self.low, self.high, count).tolist()


@document_fields
@dataclass(frozen=True)
class LogUniform:
    """Numbers whose logarithm is drawn uniformly.

    Raises:
        ConfigError: Unless `0 < low < high`, both finite.

    Example:
        >>> sweep(experiment, {"learning_rate": LogUniform(1e-3, 1e-1)}, samples=20)
    """

    low: float
    """Lower bound, above 0."""
    high: float
    """Upper bound."""
    traced: bool = False
    """Whether the runs share one program, as for an axis that is an array."""

    def __post_init__(self) -> None:
        _check_bounds(self, "0 < low < high", lambda low, high: 0 < low < high)

    def draw(self, generator: np.random.Generator, count: int) -> list[float]:
        """Draw `count` numbers."""
        return np.exp(generator.uniform(math.log(self.low), math.log(self.high), count)).tolist()


Axis = Sequence[Any] | np.ndarray | jax.Array | Uniform | LogUniform
Axes = Mapping[str, Axis]


def points_of(axes: Axes, samples: int = 0, sample_seed: int = 0) -> list[dict[str, Any]]:
    """All points of a sweep.

    Args:
        axes: Values by name. Lists are combined with one another, the last name changing fastest; distributions are
            drawn together.
        samples: Draws from the distributions, each combined with all lists; 0 if there are no distributions.
        sample_seed: Seed of the draws. More samples leave the first ones unchanged.

    Returns:
        One dict of plain values per run, in the order of the names of `axes`.

    Raises:
        ConfigError: If an axis is empty or repeats a value, or `samples` does not fit the axes.
    """
    drawn = {name: axis for name, axis in axes.items() if isinstance(axis, (Uniform, LogUniform))}
    lists = {name: _values(name, axis) for name, axis in axes.items() if name not in drawn}
    _check_samples(samples, sample_seed, list(drawn))
    columns = {name: axis.draw(_generator(sample_seed, name), samples) for name, axis in drawn.items()}
    draws = [{name: column[n] for name, column in columns.items()} for n in range(samples or 1)]
    count = len(draws) * math.prod(len(values) for values in lists.values())
    if count > _MOST:
        raise ConfigError(f"the axes make {count} runs; {_MOST} are allowed in one sweep. Give fewer values.")
    combined = [dict(zip(lists, values, strict=True)) for values in itertools.product(*lists.values())]
    return [{name: (draw | values)[name] for name in axes} for draw in draws for values in combined]


def traced_axes(axes: Axes) -> tuple[str, ...]:
    """Names of the axes whose values a program is given as data: arrays of floats."""
    return tuple(name for name, axis in axes.items() if _is_traced(axis))


def _is_traced(axis: Axis) -> bool:
    if isinstance(axis, (Uniform, LogUniform)):
        return axis.traced
    return isinstance(axis, (np.ndarray, jax.Array)) and np.issubdtype(axis.dtype, np.floating)


def _values(name: str, axis: Any) -> list[Any]:
    if isinstance(axis, (str, bytes)) or not (isinstance(axis, (Sequence, np.ndarray, jax.Array))):
        raise ConfigError(f"axes[{name!r}] is {axis!r}; give a list of values, an array, Uniform or LogUniform.")
    if isinstance(axis, (np.ndarray, jax.Array)):
        if axis.ndim != 1:
            raise ConfigError(f"axes[{name!r}] is an array {list(axis.shape)}; give one number per run, [N].")
        axis = np.asarray(axis).tolist()
    values = list(axis)
    if not values:
        raise ConfigError(f"axes[{name!r}] is empty; give at least one value, or leave it out.")
    repeated = _first_repeated(values)
    if repeated is not None:
        raise ConfigError(
            f"axes[{name!r}] contains {repeated[0]!r} twice; its runs would be the same. Keep one of them."
        )
    return values


def _first_repeated(values: list[Any]) -> tuple[Any] | None:
    """The first value that was there before; 1 and True, or 1 and 1.0, are different values."""
    seen: set[Any] = set()
    for value in values:
        try:
            known = (type(value), value) in seen
        except TypeError:  # it can't be hashed: an object of its own
            continue
        if known:
            return (value,)
        seen.add((type(value), value))
    return None


def _generator(seed: int, name: str) -> np.random.Generator:
    """Of one axis: another axis more or less changes no draw of this one."""
    return np.random.default_rng([seed, *name.encode()])


def _check_samples(samples: int, sample_seed: int, drawn: list[str]) -> None:
    for what, value in (("samples", samples), ("sample_seed", sample_seed)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise ConfigError(f"{what}={value!r}: needs a whole number, 0 or more.")
    if drawn and not samples:
        raise ConfigError(f"axes[{drawn[0]!r}] is a distribution: give samples=N, how often to draw from it.")
    if samples and not drawn:
        raise ConfigError(f"samples={samples}: no axis is a distribution; leave it out, or give Uniform or LogUniform.")
    if samples > _MOST:
        raise ConfigError(f"samples={samples}: {_MOST} are allowed in one sweep.")


def _check_bounds(axis: Uniform | LogUniform, needs: str, fits: Callable[[float, float], bool]) -> None:
    numbers = all(isinstance(v, (int, float)) and math.isfinite(v) for v in (axis.low, axis.high))
    if not (numbers and fits(axis.low, axis.high)):
        raise ConfigError(f"{axis}: needs finite numbers, {needs}.")
