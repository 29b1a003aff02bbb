r"""Clipping of weights after an update, so that outliers do not use up the range of the devices.

    w <- clip(w, -b, b)
    FixedClip        b = fixed_value
    GaussianClip     b = sigma std(w)                          at most fixed_value, if given
    ChannelMaxClip   b = mean over outputs of their max|w|     at most fixed_value, if given

`std` has n - 1 in its denominator; a bound of 0 clips nothing. Weights `[O, I]` in units of the device, [w].

Reference: Rasch et al. 2023, doi:10.1038/s41467-023-40770-4 (clipping in hardware-aware training).
"""

from typing import Any, Protocol, runtime_checkable

import jax.numpy as jnp

from analogjax._pytree import is_static, pytree
from analogjax._typing import Array, Scalar
from analogjax.physics.checks import check, check_number


@runtime_checkable
class WeightClip(Protocol):
    """Protocol: how weights are clipped after an update."""

    def clip(self, w: Array, used: Array | None = None) -> Array:
        """Clip weights.

        Args:
            w: Weights `[O, I]` [w].
            used: 0 where a matrix is padded `[O, I]`, which must not count; None: all are used.

        Returns:
            The clipped weights `[O, I]` [w].
        """
        ...


@pytree
class FixedClip:
    """Clips to a fixed range (aihwkit's `FIXED_VALUE`).

    Raises:
        ConfigError: If the range is not a finite number above 0.

    Example:
        >>> FixedClip(fixed_value=1.0).clip(w)
    """

    fixed_value: Scalar
    """The range [w]."""

    def __post_init__(self) -> None:
        _check_range(self)

    def clip(self, w: Array, used: Array | None = None) -> Array:
        """The weights `[O, I]` within the range."""
        return jnp.clip(w, -self.fixed_value, self.fixed_value)


@pytree
class GaussianClip:
    """Clips to a multiple of the standard deviation of all weights (aihwkit's `LAYER_GAUSSIAN`).

    Raises:
        ConfigError: If the range is not a finite number above 0, or `sigma` is negative.

    Example:
        >>> GaussianClip(sigma=2.5).clip(w)
    """

    sigma: Scalar
    """The range in standard deviations [1]."""
    fixed_value: Scalar | None = None
    """Its limit [w]; None: none."""

    def __post_init__(self) -> None:
        check_number(self, "sigma", low=0)
        _check_range(self)

    def clip(self, w: Array, used: Array | None = None) -> Array:
        """The weights `[O, I]` within the range."""
        used = _used(w, used)
        n = jnp.sum(used)
        mean = jnp.sum(w * used) / n
        variance = jnp.sum(((w - mean) * used) ** 2) / jnp.maximum(n - 1, 1)
        return _within(w, self.sigma * jnp.sqrt(variance), self.fixed_value)


@pytree
class ChannelMaxClip:
    """Clips to the mean of the largest weights of the outputs (aihwkit's `AVERAGE_CHANNEL_MAX`).

    Raises:
        ConfigError: If the range is not a finite number above 0.

    Example:
        >>> ChannelMaxClip().clip(w)
    """

    fixed_value: Scalar | None = None
    """Limit of the range [w]; None: none."""

    def __post_init__(self) -> None:
        _check_range(self)

    def clip(self, w: Array, used: Array | None = None) -> Array:
        """The weights `[O, I]` within the range."""
        used = _used(w, used)
        rows = jnp.any(used > 0, axis=1)
        peaks = jnp.max(jnp.abs(w) * used, axis=1)
        return _within(w, jnp.sum(peaks) / jnp.sum(rows), self.fixed_value)


def _used(w: Array, used: Array | None) -> Array:
    return jnp.ones_like(w) if used is None else used.astype(w.dtype)


def _within(w: Array, bound: Array, limit: Scalar | None) -> Array:
    bound = bound if limit is None else jnp.minimum(bound, limit)
    return jnp.where(bound > 0, jnp.clip(w, -bound, bound), w)


def _check_range(clip: Any) -> None:
    value = clip.fixed_value
    if value is not None:
        check_number(clip, "fixed_value")
        check(clip, not is_static(value) or value > 0, "fixed_value", "needs a range above 0.")
