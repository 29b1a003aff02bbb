r"""Common parts of the noise models: programming noise, power-law drift and 1/f read noise of each conductance.

    program   g_p = max(g + s(g) xi, 0),   nu = |mu(g) + sigma(g) xi|          from the target `g`, once
    drift     g_d = g_p ((t + t_0) / t_0)^-nu
    read      g   = max(g_d + q(g_p, g_d) sqrt(ln((t + t_0 + t_read) / (2 t_read))) xi, 0)

Weights are converted to conductances again at each drift, scaled by the largest weight that was *programmed*. The
common part of the two conductances of a pair is lost in this conversion (a convention of aihwkit). Letters: `S` slices.
Conductances `[S, O, I]` in [uS], times in [s], `xi` standard normal, drawn for each conductance. References: Karpov et
al. 2007, doi:10.1063/1.2825650 (power law); Nandakumar et al. 2019, doi:10.1109/ICECS46596.2019.8964852 (programming,
drift and 1/f noise of phase change memory).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from analogjax._pytree import is_static
from analogjax._typing import Array, Key, Scalar
from analogjax.physics.checks import check, check_number
from analogjax.physics.inference.conductance import Converter
from analogjax.physics.inference.noise_model import Programmed
from analogjax.random import normal


def program(
    converter: Converter,
    w: Array,
    spread: Callable[[Array], Array],
    exponents: Callable[[Array], tuple[Array, Array]],
    key: Key,
) -> Programmed:
    """Program `w` `[O, I]`. `spread(g)` is the std of the programming noise [uS], `exponents(g)` mean and std of nu.

    Both are functions of the target conductances `[S, O, I]`. Consumes `key`.
    """
    k_write, k_nu = jax.random.split(key)
    g, ratio = converter.conductances(w)
    mean, std = exponents(g)
    nu = jnp.abs(mean + std * normal(k_nu, g.shape, g.dtype))
    written = jnp.maximum(g + spread(g) * normal(k_write, g.shape, g.dtype), 0.0)
    return Programmed(w=converter.weights(written, ratio), nu=nu)


def drift(
    converter: Converter,
    programmed: Programmed,
    t: Scalar,
    t_0: Scalar,
    read_noise: Callable[[Array, Array], Array],
    key: Key,
) -> Array:
    """Read the weights `[O, I]` at `t`. `read_noise(g_p, g_d)` is the std of one read [uS]. Consumes `key`."""
    g, ratio = converter.conductances(programmed.w)
    drifted = g * ((t + t_0) / t_0) ** -programmed.nu
    seen = drifted + read_noise(g, drifted) * normal(key, g.shape, g.dtype)
    return converter.weights(jnp.maximum(seen, 0.0), ratio)


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
    check_number(model, "t_read", "t_0")
    for name in ("t_read", "t_0"):
        value = getattr(model, name)
        check(model, not is_static(value) or value > 0, name, "needs a time above 0, in seconds.")
    value = model.prog_coeff
    numbers = isinstance(value, tuple) and bool(value) and all(isinstance(c, (int, float)) for c in value)
    good = value is None or numbers or getattr(value, "ndim", 0) == 1
    check(model, good, "prog_coeff", "needs a tuple of numbers (c_0, c_1, ...), ascending in g / g_max.")
