r"""Fits the noise of single pulses by maximum likelihood of the measured increments.

With the step `f(p)` of the nominal device and the spread `c g(p)` of its noise (`c = dw_min_std`; `g` is given by the
device, e.g. `f` itself for multiplicative noise):

    p_t = clip(p_{t-1} + s_t (f(p_{t-1}) + c g(p_{t-1}) xi_t)),     w_t = p_t + omega xi'_t

and `omega = write_noise_std dw_min`.

Without write noise `w = p`, and the increments are independent: each contributes its normal density or, if it ended at
a bound, the probability of everything beyond it. With write noise, increments overlap, since each `xi'` is part of two;
they contribute the density of `w_t` given all earlier ones, computed by an extended Kalman filter (`f` linear and `g`
constant over the uncertainty of `p`). If, by the starting values and earlier measurements, `p` may be within three
standard deviations of a bound after the pulse, the pulse corrects `p` but does not count, because clipping is not
normal.

Standard errors are those of the curvature of the log-likelihood `l(log c, log omega)` at its maximum.

Reference: Kalman 1960, doi:10.1115/1.3662552; Tobin 1958, doi:10.2307/1907382 (clipped observations).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.stats import norm

from analogjax._field_docs import document_fields
from analogjax._typing import Array
from analogjax.errors import ConfigError
from analogjax.fit.descent import minimised
from analogjax.fit.law import nominal, nominal_cells
from analogjax.fit.trace import Stacked, Trace, stacked
from analogjax.physics.device import Cells
from analogjax.physics.devices import ConstantStep
from analogjax.physics.devices.nonlinear import Nonlinear

Law = Callable[[Array, Array], tuple[Array, Array]]  # w [N], signs [N] -> mean change and spread for c = 1, [N] each
_FLOOR = 1e-6  # of the range: a weight so near its bound is at it, and no spread counts as smaller


@document_fields
@dataclass(frozen=True)
class NoiseFit:
    """Result of `fit_noise`."""

    device: Any
    """The device with its fitted noise; all other parameters are unchanged."""
    values: dict[str, float]
    """`dw_min_std` [1], and `write_noise_std` [1] if it was fitted."""
    standard_errors: dict[str, float]
    """From the curvature of the likelihood."""
    log_likelihood: float
    """At the maximum; densities in units of the root-mean-square increment."""
    history: np.ndarray
    """Negative mean log-likelihood per pulse, before the first step and after each one `[1 + steps]`."""


def fit_noise(
    device: Any, traces: Trace | Sequence[Trace], *, write_noise: bool | None = None, steps: int = 60
) -> NoiseFit:
    """Fit the noise of a device, whose law has been fitted before, to measured traces. Nothing is random.

    The traces are taken as those of nominal devices, so device-to-device variation counts as noise. If that matters,
    fit the law of each device separately.

    Args:
        device: The device with its fitted law.
        traces: One or several measured traces.
        write_noise: Fit `write_noise_std` in addition to `dw_min_std`; by default if the device has any.
        steps: Largest number of L-BFGS steps.

    Returns:
        The fitted device, with standard errors.

    Raises:
        ConfigError: If the noise of the device is not known, it has no write noise to fit, or the pulses have no
            effect. ConfigError, ShapeError: If the traces are invalid; see `fit.trace.stacked`.

    Example:
        >>> noise = fit_noise(fit.device, trace)
        >>> noise.device.dw_min_std
    """
    _check_known(device)
    fitted, data = _fitted_names(device, write_noise), stacked(traces)
    quiet, n = nominal(device), data.start.size
    cells = nominal_cells(quiet, n)
    law = _law(quiet, cells)
    counted = data.valid & (data.signs != 0)
    moves = jnp.where(counted, data.weights - data.before, 0.0)
    unit = jnp.sqrt(jnp.sum(moves**2) / jnp.sum(counted))
    if not unit > 0:
        raise ConfigError("the pulses of the traces move nothing; give traces with steps to measure the noise of.")
    start = _begun(law, data, counted, moves, quiet.dw_min)[: len(fitted)]

    def each(logs: Array) -> tuple[Array, Array]:
        if logs.size == 1:
            return _direct(law, cells, data, jnp.exp(logs[0]), unit)
        return _filtered(law, cells, data, jnp.exp(logs[0]), jnp.exp(logs[1]) * quiet.dw_min, unit)

    counted = counted & each(start)[1]  # decided once: likelihoods of different pulses can't be compared
    if not jnp.any(counted):
        raise ConfigError("every pulse of the traces may end at a bound; give traces from the middle of the range.")

    def loss(logs: Array) -> Array:
        return -jnp.sum(jnp.where(counted, each(logs)[0], 0.0)) / jnp.sum(counted)

    best, history = minimised(loss, start, steps)
    errors = _errors(loss, best, int(jnp.sum(counted)))
    values = dict(zip(fitted, np.exp(np.asarray(best, np.float64)).tolist(), strict=True))
    spread = {name: float(values[name] * error) for name, error in zip(fitted, errors, strict=True)}
    total = -float(history[-1]) * int(jnp.sum(counted))
    return NoiseFit(replace(device, **values), values, spread, total, history)


def _fitted_names(device: Any, write_noise: bool | None) -> tuple[str, ...]:
    has = hasattr(device, "write_noise_std")
    if write_noise and not has:
        raise ConfigError(f"{type(device).__name__} has no write noise; leave write_noise out.")
    wanted = has and device.write_noise_std != 0 if write_noise is None else write_noise
    return ("dw_min_std", "write_noise_std") if wanted else ("dw_min_std",)


def _law(device: Any, cells: Cells) -> Law:
    """Mean and spread of a pulse, without the bounds: of `Nonlinear` devices, linear and soft-bounds ones, constant."""
    unit, reference = replace(device, dw_min_std=1.0), cells.get("reference", jnp.zeros((1, 1)))[0]

    def law(w: Array, signs: Array) -> tuple[Array, Array]:
        up, v = signs > 0, w + reference
        s = jnp.where(up, cells["dwmin_up"][0], cells["dwmin_down"][0])
        if isinstance(device, Nonlinear):
            mean = device.step(cells, v[None], up[None])[0]
            return signs * mean, unit.spread(v[None], mean[None])[0]
        if isinstance(device, ConstantStep):
            return signs * s, s
        affine = unit._law(cells)
        mean = s + jnp.where(up, affine.k_up[0], affine.k_down[0]) * v
        return signs * mean, jnp.abs(mean if affine.multiplicative else s)

    return law


def _check_known(device: Any) -> None:
    if not (isinstance(device, (Nonlinear, ConstantStep)) or hasattr(device, "_law")):
        raise ConfigError(f"{type(device).__name__}: how its noise depends on the weight is not known; derive it from "
                          "analogjax.physics.devices.nonlinear.Nonlinear, which has a `spread`.")  # fmt: skip


def _bounds(cells: Cells) -> tuple[Array, Array]:
    """Largest and smallest weight `[N]`."""
    reference = cells.get("reference", jnp.zeros((1, 1)))
    return (cells["max_bound"] - reference)[0], (cells["min_bound"] - reference)[0]


def _direct(law: Law, cells: Cells, data: Stacked, c: Array, unit: Array) -> tuple[Array, Array]:
    """Log-likelihood of each increment `[T, N]`, without write noise, and that all count."""
    high, low = _bounds(cells)
    move, spread = jax.vmap(law)(data.before, data.signs.astype(data.weights.dtype))
    sigma = jnp.maximum(c * spread, _FLOOR * (high - low))
    z = (data.weights - data.before - move) / sigma
    near = _FLOOR * (high - low)
    free = norm.logpdf(z) - jnp.log(sigma / unit)
    beyond = jnp.where(data.weights >= high - near, norm.logsf(z), norm.logcdf(z))
    clipped = (data.weights >= high - near) | (data.weights <= low + near)
    return jnp.where(clipped, beyond, free), jnp.ones_like(data.valid)


def _filtered(law: Law, cells: Cells, data: Stacked, c: Array, omega: Array, unit: Array) -> tuple[Array, Array]:
    """Log-likelihood of each weight `[T, N]` given earlier ones, and whether it counts; `omega` is the write noise."""
    high, low = _bounds(cells)

    def pulse(
        belief: tuple[Array, Array], seen: tuple[Array, Array]
    ) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        (p, variance), (w, signs) = belief, seen
        (move, spread), (slope, _) = jax.jvp(lambda p: law(p, signs), (p,), (jnp.ones_like(p),))
        ahead = jnp.clip(p + move, low, high)
        grown = (1 + slope) ** 2 * variance + (c * spread) ** 2
        total = jnp.maximum(grown + omega**2, (_FLOOR * (high - low)) ** 2)
        reach = 3 * jnp.sqrt(grown)
        inside = (p + move + reach < high) & (p + move - reach > low)
        density = norm.logpdf((w - ahead) / jnp.sqrt(total)) - jnp.log(jnp.sqrt(total) / unit)
        gain = grown / total
        corrected = jnp.clip(ahead + gain * (w - ahead), low, high)
        pulsed = signs != 0  # write noise is redrawn where a pulse was, so a read without a pulse adds no information
        belief = jnp.where(pulsed, corrected, p), jnp.where(pulsed, (1 - gain) * grown, variance)
        return belief, (density, inside)

    start = jnp.clip(data.start, low, high), omega**2 * jnp.ones_like(data.start)
    return lax.scan(pulse, start, (data.weights, data.signs.astype(data.weights.dtype)))[1]


def _begun(law: Law, data: Stacked, counted: Array, moves: Array, dw_min: Any) -> Array:
    """Starting values: half of the variance of the increments around their means for each kind of noise."""
    move, spread = jax.vmap(law)(data.before, data.signs.astype(data.weights.dtype))
    n = jnp.sum(counted)
    variance = jnp.sum(jnp.where(counted, (moves - move) ** 2, 0.0)) / n
    size = jnp.sum(jnp.where(counted, spread**2, 0.0)) / n
    c, omega = jnp.sqrt(variance / 2 / jnp.maximum(size, 1e-30)), jnp.sqrt(variance / 4) / dw_min
    return jnp.log(jnp.maximum(jnp.stack([c, omega]), 1e-6))


def _errors(loss: Callable[[Array], Array], best: Array, n: int) -> np.ndarray:
    """Standard errors of the logarithms; inf where the likelihood has no maximum."""
    curvature = n * np.asarray(jax.jit(jax.hessian(loss))(best), np.float64)
    if not np.all(np.linalg.eigvalsh(curvature) > 1e-6 * n):
        return np.full(len(best), np.inf)
    return np.sqrt(np.diag(np.linalg.inv(curvature)))
