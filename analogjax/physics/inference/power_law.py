r"""Common parts of materials: Gaussian programming noise, power-law drift and 1/f read noise of each conductance.

    write     g_p = max(g + s(g) xi, 0),   nu = |mu(g) + sigma(g) xi|          from the target `g`, once
    drift     g_d = g_p ((t + t_0) / t_0)^-nu
    read      g   = max(g_d + q(g_p, g_d) sqrt(ln((t + t_0 + t_read) / (2 t_read))) xi, 0)

Letters: `S` slices. Conductances `[S, O, I]` in [uS], times in [s], `xi` standard normal, drawn for each conductance.
References: Karpov et al. 2007, doi:10.1063/1.2825650 (power law); Nandakumar et al. 2019,
doi:10.1109/ICECS46596.2019.8964852 (programming, drift and 1/f noise of phase change memory).
"""

from typing import Any

import jax.numpy as jnp

from analogjax._pytree import is_static
from analogjax._typing import Array, Key, Scalar
from analogjax.physics.checks import check, check_number
from analogjax.random import normal


def written(g: Array, spread: Array, key: Key) -> Array:
    """Conductances `[S, O, I]` programmed with a standard deviation `spread` [uS], never below 0. Consumes `key`."""
    return jnp.maximum(g + spread * normal(key, g.shape, g.dtype), 0.0)


def draw_exponents(mean: Array, std: Array, key: Key) -> Array:
    """Drift exponents `|mean + std xi|`, of the shape of `mean`. Consumes `key`."""
    return jnp.abs(mean + std * normal(key, mean.shape, mean.dtype))


def drifted(g: Array, nu: Array, t: Scalar, t_0: Scalar) -> Array:
    """Conductances `[S, O, I]` after `t` seconds, for exponents `nu`."""
    return g * ((t + t_0) / t_0) ** -nu


def seen(g: Array, noise: Array, key: Key) -> Array:
    """Conductances `[S, O, I]` as one read with a standard deviation `noise` [uS] sees them. Consumes `key`."""
    return jnp.maximum(g + noise * normal(key, g.shape, g.dtype), 0.0)


def polynomial(coefficients: tuple[float, ...] | Array, x: Array) -> Array:
    """`c_0 + c_1 x + c_2 x^2 + ...`, each of the shape of `x`."""
    total = jnp.zeros_like(x)
    for k in range(len(coefficients) - 1, -1, -1):
        total = total * x + coefficients[k]
    return total


def flicker(t: Scalar, t_read: Scalar) -> Array:
    """Growth of 1/f noise over `t` seconds, in reads of `t_read` seconds: `sqrt(ln((t + t_read) / (2 t_read)))`."""
    return jnp.sqrt(jnp.maximum(jnp.log((t + t_read) / (2 * t_read)), 0.0))


def check_law(model: Any) -> None:
    """Check the common fields of the noise models. Raises `ConfigError`."""
    check_number(model, "prog_noise_scale", "read_noise_scale", "drift_scale", low=0)
    check_times(model, "t_read", "t_0")
    value = model.prog_coeff
    check(model, value is None or is_polynomial(value), "prog_coeff", COEFFICIENTS)


def check_times(model: Any, *names: str) -> None:
    """Check that durations are above 0. Raises `ConfigError`."""
    check_number(model, *names)
    for name in names:
        value = getattr(model, name)
        check(model, not is_static(value) or value > 0, name, "needs a time above 0, in seconds.")


def check_reference(model: Any, name: str) -> None:
    """Check that the conductance that coefficients refer to is above 0, if it is given. Raises `ConfigError`."""
    value = getattr(model, name)
    good = value is None or not is_static(value) or (isinstance(value, (int, float)) and value > 0)
    check(model, good, name, "needs a conductance above 0 [uS], or None.")


def is_polynomial(value: Any) -> bool:
    """Whether a value can be the coefficients of a polynomial: a tuple of numbers, or an array `[N]`."""
    numbers = isinstance(value, tuple) and bool(value) and all(isinstance(c, (int, float)) for c in value)
    return numbers or getattr(value, "ndim", 0) == 1


COEFFICIENTS = "needs a tuple of numbers (c_0, c_1, ...), ascending in g / g_max."
"""Remedy for coefficients that are none."""
