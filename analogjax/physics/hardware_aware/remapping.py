r"""Remapping: weights are rescaled to the whole range of the devices, and the digital output scales take the rest.

    w <- w / k,    s <- s k,    s w unchanged
    LayerwiseRemap     k = max|w| / remapped_wmax
    ColumnwiseRemap    k_i = max|w_i| / remapped_wmax for each output i (a column in aihwkit's words)

A matrix, or an output, of zeros has k = 1. With a limited range of scales (`max_scale_range`) a new scale is at most
`max_scale_range` times the smallest old one, which counts as `max_scale_ref` at least; the weights of that output then
exceed 1. Weights `[O, I]` in units of the device, [w]; scales `[]` or `[O]` [1/w].

Reference: Rasch et al. 2023, doi:10.1038/s41467-023-40770-4 (remapping in hardware-aware training).
"""

from typing import Any, Protocol, runtime_checkable

import jax.numpy as jnp

from analogjax._pytree import is_off, is_static, pytree
from analogjax._typing import Array, Scalar
from analogjax.physics.checks import check, check_number


@runtime_checkable
class WeightRemap(Protocol):
    """Protocol: how weights and output scales share their product after an update."""

    def remap(self, w: Array, scale: Array) -> tuple[Array, Array]:
        """Share the product anew.

        Args:
            w: Weights `[O, I]`, in units of the device [w].
            scale: Digital scale of the outputs, `[]` or `[O]` [1/w].

        Returns:
            Weights and scales whose product is unchanged.
        """
        ...


@pytree
class LayerwiseRemap:
    """One factor for all outputs (aihwkit's `LAYERWISE_SYMMETRIC`).

    Raises:
        ConfigError: If the largest weight is not a finite number above 0.

    Example:
        >>> LayerwiseRemap().remap(w, scale)
    """

    remapped_wmax: Scalar = 1.0
    """Magnitude that the largest weight gets [w]."""
    one_scale: bool = False
    """Merge the scales of the outputs into one, as aihwkit's torch tile does, instead of multiplying each by k."""

    def __post_init__(self) -> None:
        _check_wmax(self)

    def remap(self, w: Array, scale: Array) -> tuple[Array, Array]:
        """Weights `[O, I]` of the given range, and scales of the shape of `scale`."""
        if self.one_scale:
            w, scale = w * _of_rows(scale), jnp.ones_like(scale)
        peak = jnp.max(jnp.abs(w))
        k = _or_one(peak / self.remapped_wmax)
        return _filling(w, peak, k, self.remapped_wmax), scale * k


@pytree
class ColumnwiseRemap:
    """One factor for each output (aihwkit's `CHANNELWISE_SYMMETRIC`).

    Raises:
        ConfigError: If a value is not a finite number, or is out of its range.

    Example:
        >>> ColumnwiseRemap(max_scale_range=10.0).remap(w, scale)
    """

    remapped_wmax: Scalar = 1.0
    """Magnitude that the largest weight of each output gets [w]; 1 with a limited range of scales."""
    max_scale_range: Scalar = 0.0
    """Largest scale relative to the smallest one before [1]; 0: not limited."""
    max_scale_ref: Scalar = 0.0
    """What the smallest scale counts as at least [1/w]."""

    def __post_init__(self) -> None:
        _check_wmax(self)
        check_number(self, "max_scale_range", "max_scale_ref", low=0)
        free = is_off(self.max_scale_range) or not is_static(self.remapped_wmax) or bool(self.remapped_wmax == 1)
        check(self, free, "remapped_wmax", "must be 1 with a max_scale_range.")

    def remap(self, w: Array, scale: Array) -> tuple[Array, Array]:
        """Weights `[O, I]` of the given range, and scales `[O]`."""
        old = jnp.broadcast_to(scale, w.shape[:1])
        peak = jnp.max(jnp.abs(w), axis=1)
        k = _or_one(peak / self.remapped_wmax)
        if is_off(self.max_scale_range):
            return _filling(w, peak[:, None], k[:, None], self.remapped_wmax), old * k
        new = self._limited(old * k, old)
        return w * old[:, None] / new[:, None], new

    def _limited(self, new: Array, old: Array) -> Array:
        least = jnp.min(old)
        least = jnp.where(least > 0, jnp.maximum(least, self.max_scale_ref), 0.0)
        bounded = (least > 0) & (jnp.asarray(self.max_scale_range) > 0)
        return jnp.where(bounded, jnp.minimum(new, least * self.max_scale_range), new)


def _filling(w: Array, peak: Array, k: Array, wmax: Scalar) -> Array:
    """`w / k`, in which the largest weight is `wmax` exactly: a compiled division may miss it by a rounding error."""
    return jnp.where(jnp.abs(w) == peak, jnp.sign(w) * wmax, w / k)


def _of_rows(scale: Array) -> Array:
    return scale.reshape(*scale.shape, *(1,) * (2 - scale.ndim))


def _or_one(k: Array) -> Array:
    return jnp.where(k > 0, k, jnp.ones_like(k))


def _check_wmax(remap: Any) -> None:
    check_number(remap, "remapped_wmax")
    good = not is_static(remap.remapped_wmax) or bool(remap.remapped_wmax > 0)
    check(remap, good, "remapped_wmax", "needs a weight above 0.")
