"""Measured pulse traces: the sign of each pulse, and the weight after it.

Letters: `T` pulses of a trace, `N` traces, `M` increments of all traces. Weights in units of the tile, [w].
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from analogjax._pytree import pytree
from analogjax._typing import Array, Scalar
from analogjax.errors import ConfigError, ShapeError


@pytree
class Trace:
    """Measurement of one device, pulsed and read after each pulse.

    Example:
        >>> Trace(signs=np.array([1, 1, -1]), weights=np.array([0.01, 0.02, 0.012]), start=0.0)
    """

    signs: Array
    """Pulses `[T]`: +1 up, -1 down, 0 a read without a pulse."""
    weights: Array
    """Weight after each pulse `[T]` [w]."""
    start: Scalar | None = None
    """Weight before the first pulse [w]; None: the first pulse only sets it."""


class Stacked(NamedTuple):
    """Traces stacked side by side, the shorter ones padded with pulses of sign 0 that do not count."""

    start: Array  # [N]
    signs: Array  # [T, N] int8
    weights: Array  # [T, N]
    valid: Array  # [T, N] whether the pulse was measured

    @property
    def before(self) -> Array:
        """The weight before each pulse `[T, N]`."""
        return jnp.concatenate([self.start[None], self.weights[:-1]])

    def split(self, values: Array) -> tuple[np.ndarray, ...]:
        """`values` `[T, N]` of the measured pulses, one array for each trace."""
        lengths = np.asarray(self.valid).sum(0)
        return tuple(np.asarray(values)[:length, n] for n, length in enumerate(lengths))


def stacked(given: Trace | Sequence[Trace]) -> Stacked:
    """Convert one or several traces to arrays.

    Raises `ConfigError` or `ShapeError` for anything that is not a trace, lengths that differ, signs other than -1, 0,
    1, weights that are not finite, or too few pulses.
    """
    traces = [given] if isinstance(given, Trace) else list(given)
    if not traces:
        raise ConfigError("no trace was given; give a Trace or several.")
    parts = [_checked(trace, n) for n, trace in enumerate(traces)]
    length = max(len(signs) for _, signs, _ in parts)
    signs, weights, valid = (np.zeros((length, len(parts)), dtype) for dtype in (np.int8, np.float64, bool))
    for n, (_, sign, weight) in enumerate(parts):
        signs[: len(sign), n], weights[: len(sign), n], weights[len(sign) :, n] = sign, weight, weight[-1]
        valid[: len(sign), n] = True
    start = jnp.asarray([first for first, _, _ in parts], float)
    return Stacked(start, jnp.asarray(signs), jnp.asarray(weights, start.dtype), jnp.asarray(valid))


def _checked(trace: Trace, n: int) -> tuple[float, np.ndarray, np.ndarray]:
    where = f"trace {n}"
    if not isinstance(trace, Trace):
        raise ConfigError(f"{where} is a {type(trace).__name__}; make it Trace(signs=..., weights=...).")
    signs, weights = np.asarray(trace.signs), np.asarray(trace.weights, np.float64)
    if signs.ndim != 1 or signs.shape != weights.shape:
        raise ShapeError(f"{where}: signs {signs.shape} and weights {weights.shape} need one same length [T].")
    if not np.isin(signs, (-1, 0, 1)).all():
        raise ConfigError(f"{where}: signs need to be +1 (UP), -1 (DOWN) or 0 (none); take np.sign of pulse heights.")
    start = None if trace.start is None else float(trace.start)
    if not np.isfinite(weights).all() or (start is not None and not np.isfinite(start)):
        raise ConfigError(f"{where}: weights are not all finite; leave out the pulses whose read failed.")
    if start is None and len(weights):
        start, signs, weights = float(weights[0]), signs[1:], weights[1:]
    if len(weights) < 2 or not signs.any():
        raise ConfigError(f"{where}: {len(weights)} increments are too few; give two pulses or more, beyond the start.")
    assert start is not None
    return start, signs, weights
