r"""Ranges of inputs from the inputs that a layer sees, after training.

    MaxRange             max|x| of all inputs
    QuantileRange        a quantile of the (signed) inputs, of at most max_samples vectors, chosen at random
    MovingQuantileRange  the mean over batches of a quantile of the (signed) inputs; quantile 1: of max|x|
    MovingStdRange       the mean over batches of alpha std(x)

Vectors of zeros are padding, and left out; so are batches of a moving range whose value is not above 0. Quantiles are
linear between neighbours; `std` has n - 1 in its denominator. A range of nothing is 0. Letters: `N` vectors, `I`
inputs. Units: [x] input.

Reference: Nagel et al. 2021, arXiv:2106.08295 (calibration after training).
"""

import dataclasses
from dataclasses import replace
from typing import Any, Protocol, TypeVar, runtime_checkable

import jax.numpy as jnp
import numpy as np

from analogjax._pytree import is_static, pytree
from analogjax._typing import Array, Key, Scalar
from analogjax.physics.checks import check, check_number
from analogjax.random import uniform

_Estimator = TypeVar("_Estimator")


@runtime_checkable
class RangeEstimator(Protocol):
    """Protocol: what is known of the range of the inputs of a layer; a pytree, renewed batch by batch."""

    def observe(self: _Estimator, x: Array, key: Key) -> _Estimator:
        """Take a batch into account.

        Args:
            x: Inputs `[..., I]` [x].
            key: Consumed. Random is which vectors are kept, if not all are.

        Returns:
            The estimator after this batch.
        """
        ...

    def value(self) -> Array:
        """The range so far `[]` [x]."""
        ...


def _zero() -> Any:
    return np.zeros((), np.float32)  # not on a device: an estimator may be made before there is one


@pytree
class MaxRange:
    """The largest magnitude of all inputs.

    Example:
        >>> MaxRange().observe(x, key).value()
    """

    peak: Array = dataclasses.field(default_factory=_zero)
    """The largest magnitude so far `[]` [x]."""

    def observe(self, x: Array, key: Key) -> "MaxRange":
        """Take inputs `[..., I]` into account."""
        return replace(self, peak=jnp.maximum(self.peak, jnp.max(jnp.abs(x), initial=0.0)))

    def value(self) -> Array:
        """The largest magnitude so far `[]` [x]."""
        return self.peak


@pytree
class QuantileRange:
    """A quantile of all inputs, of which a random selection is kept.

    After each batch `max_samples` of the vectors of this batch and of those that were kept are kept, at random.

    Raises:
        ConfigError: If the quantile is not from 0 to 1, or no vector would be kept.

    Example:
        >>> QuantileRange(quantile=0.999, max_samples=1000).observe(x, key).value()
    """

    quantile: Scalar
    """The quantile [1]."""
    max_samples: int = 1000
    """Vectors that are kept."""
    rows: Array | None = None
    """Vectors that were kept `[max_samples, I]` [x]; those of zeros are places that are free."""

    def __post_init__(self) -> None:
        _check_quantile(self)
        good = isinstance(self.max_samples, int) and self.max_samples > 0
        check(self, good, "max_samples", "needs a whole number of vectors above 0.")

    def observe(self, x: Array, key: Key) -> "QuantileRange":
        """Take inputs `[..., I]` into account. Random is which vectors are kept; consumes `key`."""
        rows = x.reshape(-1, x.shape[-1])
        free = jnp.zeros((self.max_samples, rows.shape[1]), x.dtype) if self.rows is None else self.rows
        rows = jnp.concatenate([free, rows])
        rank = jnp.where(_told(rows), uniform(key, rows.shape[:1]), 2.0)  # free places come last
        return replace(self, rows=rows[jnp.argsort(rank)[: self.max_samples]])

    def value(self) -> Array:
        """The quantile of the elements of the vectors that were kept `[]` [x]."""
        return jnp.zeros(()) if self.rows is None else _quantile(self.rows, self.quantile)


@pytree
class MovingQuantileRange:
    """The mean over batches of a quantile of their inputs; it takes no memory.

    Raises:
        ConfigError: If the quantile is not from 0 to 1.

    Example:
        >>> MovingQuantileRange(quantile=0.999).observe(x, key).value()
    """

    quantile: Scalar
    """The quantile [1]; 1 (a plain number): the largest magnitude."""
    mean: Array = dataclasses.field(default_factory=_zero)
    """The mean so far `[]` [x]."""
    count: Array = dataclasses.field(default_factory=_zero)
    """Batches in it `[]`."""

    def __post_init__(self) -> None:
        _check_quantile(self)

    def observe(self, x: Array, key: Key) -> "MovingQuantileRange":
        """Take inputs `[..., I]` into account."""
        rows = x.reshape(-1, x.shape[-1])
        largest = is_static(self.quantile) and self.quantile == 1
        value = jnp.max(jnp.abs(rows), initial=0.0) if largest else _quantile(rows, self.quantile)
        return replace(self, **_moved(self, value))

    def value(self) -> Array:
        """The mean so far `[]` [x]."""
        return self.mean


@pytree
class MovingStdRange:
    """The mean over batches of a multiple of the standard deviation of their inputs.

    Raises:
        ConfigError: If the multiple is not a finite number, 0 or more.

    Example:
        >>> MovingStdRange(alpha=3.0).observe(x, key).value()
    """

    alpha: Scalar = 3.0
    """The range in standard deviations [1]."""
    mean: Array = dataclasses.field(default_factory=_zero)
    """The mean so far `[]` [x]."""
    count: Array = dataclasses.field(default_factory=_zero)
    """Batches in it `[]`."""

    def __post_init__(self) -> None:
        check_number(self, "alpha", low=0)

    def observe(self, x: Array, key: Key) -> "MovingStdRange":
        """Take inputs `[..., I]` into account."""
        rows = x.reshape(-1, x.shape[-1])
        told = _told(rows)[:, None].astype(rows.dtype)
        n = jnp.sum(told) * rows.shape[1]
        mean = jnp.sum(rows) / jnp.maximum(n, 1)
        variance = jnp.sum(told * (rows - mean) ** 2) / jnp.maximum(n - 1, 1)
        return replace(self, **_moved(self, self.alpha * jnp.sqrt(variance)))

    def value(self) -> Array:
        """The mean so far `[]` [x]."""
        return self.mean


def _told(rows: Array) -> Array:
    """Which vectors are not of zeros `[N]`."""
    return jnp.any(rows != 0, axis=1)


def _quantile(rows: Array, q: Scalar) -> Array:
    """The quantile of the elements of the vectors `[N, I]` that are not of zeros; 0 where all are."""
    told = jnp.broadcast_to(_told(rows)[:, None], rows.shape).ravel()
    ordered, n = jnp.sort(jnp.where(told, rows.ravel(), jnp.inf)), jnp.sum(told)
    place = jnp.asarray(q, jnp.float32) * jnp.maximum(n - 1, 0)
    low = jnp.floor(place).astype(jnp.int32)
    high = jnp.minimum(low + 1, jnp.maximum(n - 1, 0))
    value = ordered[low] + (place - low) * (ordered[high] - ordered[low])
    return jnp.where(n > 0, value, 0.0)


def _moved(estimator: Any, value: Array) -> dict[str, Array]:
    """Mean and count with one more value."""
    told = value > 0
    mean = (estimator.mean * estimator.count + value) / (estimator.count + 1)
    return {
        "mean": jnp.where(told, mean, estimator.mean),
        "count": jnp.where(told, estimator.count + 1, estimator.count),
    }


def _check_quantile(estimator: Any) -> None:
    check_number(estimator, "quantile", low=0, high=1)
