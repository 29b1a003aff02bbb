r"""Fits the law of a device to pulse traces, by the gradient through it.

The fitted device is the nominal one: no device-to-device variation, no noise, `w' = f(w, sign)`, clipped to its bounds.
The mean of `r^2` is minimised, with the residuals

    match="trajectory":   r_t = w_t - f(f(... f(w_start, s_1) ...), s_t)      the whole trace from its start
    match="increments":   r_t = w_t - f(w_{t-1}, s_t)                         each pulse from the weight measured before

Trajectories are right if the reads are noisy, or if the trace is a mean of many. Increments are right if the pulses are
noisy (cycle-to-cycle variation): their errors are independent, so they have standard errors,

    C = (J^T J)^-1 J^T diag(r^2 / (1 - h)^2) J (J^T J)^-1,     J = dr/d(parameters),     h = diag(J (J^T J)^-1 J^T)

which hold for cycle-to-cycle variation of any size, but not for noise of the reads. The fit of a trajectory starts from
the fit of its increments. Everything is deterministic.

Standard errors assume a linearised law, which is too simple for parameters inside an exponential with little effect on
the traces. Reference: MacKinnon & White 1985, doi:10.1016/0304-4076(85)90158-7 (standard errors).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree

from analogjax import random
from analogjax._field_docs import document_fields
from analogjax._typing import Array
from analogjax.errors import ConfigError
from analogjax.fit.descent import minimised
from analogjax.fit.parameters import Bounds, Parameter, Values, parameters, plain, with_values
from analogjax.fit.trace import Stacked, Trace, stacked
from analogjax.physics.device import Cells, PulsedDevice, State

_NAMES = ("dw_min", "up_down", "w_max", "w_min")
_FAR = 2.0  # times the range of the device: no weight is there
_QUIET = {
    **dict.fromkeys(("dw_min_std", "write_noise_std", "reference_std", "corrupt_devices_prob"), 0.0),
    **{"perfect_bias": False, "drift": None},
}


@document_fields
@dataclass(frozen=True)
class Fit:
    """Result of `fit_device`."""

    device: Any
    """The device with its fitted parameters; all others are unchanged."""
    values: dict[str, Any]
    """Fitted parameters by name."""
    standard_errors: dict[str, Any] | None
    """Of each parameter, for increments; inf: the traces do not determine it; None: for trajectories."""
    history: np.ndarray
    """Mean square of the residuals before the first step and after each one `[1 + steps]` [w^2]."""
    residuals: tuple[np.ndarray, ...]
    """Measured minus modelled weight of each trace `[T]` [w]."""

    @property
    def rms(self) -> float:
        """Root mean square of all residuals [w]."""
        return float(np.sqrt(np.mean(np.concatenate(self.residuals) ** 2)))


def fit_device(
    device: Any, traces: Trace | Sequence[Trace], *, names: tuple[str, ...] = _NAMES, match: str = "trajectory",
    bounds: Mapping[str, Bounds] | None = None, steps: int = 200,
) -> Fit:  # fmt: skip
    """Fit parameters of a pulsed device to measured traces. Nothing is random.

    Args:
        device: The device to fit. Starting values of `dw_min`, `up_down`, `w_max` and `w_min` come from the traces, all
            others from here.
        traces: One or several measured traces, fitted together.
        names: Parameters to fit.
        match: "trajectory" compares whole traces from their start, "increments" each pulse with the weight before it.
        bounds: `{name: (low, high)}`, None for no bound. By default steps and exponents stay positive, imbalances
            between -1 and 1, and the bounds of the weight on their side of 0.
        steps: Largest number of L-BFGS steps.

    Returns:
        The fitted device, with standard errors where `match` allows them.

    Raises:
        ConfigError: If the device is not pulsed, or a name or `match` is unknown.
        ConfigError, ShapeError: If the traces are invalid; see `fit.trace.stacked`.
        ConfigError: If a weight is more than twice as large as the range of the device, and as 1: it is no weight.

    Example:
        >>> fit = fit_device(SoftBounds(), trace, match="increments")
        >>> fit.values["dw_min"], fit.standard_errors["dw_min"]
    """
    if not isinstance(device, PulsedDevice):
        raise ConfigError(f"{type(device).__name__}: has no single pulses to fit; fit the device inside it.")
    if match not in ("trajectory", "increments"):
        raise ConfigError(f"match={match!r}: unknown; choose 'trajectory' or 'increments'.")
    if not isinstance(steps, int) or steps < 1:
        raise ConfigError(f"steps={steps!r}: needs a whole number of 1 or more.")
    chosen, data = parameters(device, names, bounds), stacked(traces)
    _check_units(nominal(device), data)
    first = _begun(nominal(device), chosen, data)
    values, history = _fitted(nominal(device), chosen, data, first, "increments", steps)
    if match == "trajectory":
        values, history = _fitted(nominal(device), chosen, data, values, match, steps)
    errors = _standard_errors(nominal(device), values, data) if match == "increments" else None
    found = {parameter.name: parameter.plain(values[parameter.name]) for parameter in chosen}
    residual = _residuals(with_values(nominal(device), values), data, match)
    return Fit(with_values(device, found), found, errors, history, data.split(residual))


def _check_units(device: Any, data: Stacked) -> None:
    """Refuse weights far outside the range, such as raw microsiemens, to which any law is fitted somehow."""
    cells = nominal_cells(device, 1)
    ends = [float(jnp.max(jnp.abs(cells[name]))) for name in ("min_bound", "max_bound") if name in cells]
    size, largest = max(1.0, *ends), float(max(jnp.max(jnp.abs(data.weights)), jnp.max(jnp.abs(data.start))))
    if largest > _FAR * size:
        raise ConfigError(
            f"a trace reaches {largest:.6g}, far outside the range of {type(device).__name__}, {size:.6g}: are these "
            "raw conductances? Convert them to weights, and start too: w = (g - middle) / half, the middle of the "
            "conductances and half their span. If they are weights, give a device with that range (w_max and w_min)."
        )


def nominal(device: Any) -> Any:
    """The device without device-to-device variation and noise."""
    own = {field.name for field in fields(device)}
    spreads = {name: 0.0 for name in own if name.endswith("_dtod") and getattr(device, name) is not None}
    return replace(device, **spreads, **{name: value for name, value in _QUIET.items() if name in own})


def nominal_cells(device: Any, n: int) -> Cells:
    """The constants of `n` equal nominal devices, `[1, n]` each."""
    cells = device.fabricate((1, 1), jnp.asarray(0.0).dtype, random.key(0))  # nothing of it is random
    return {name: jnp.broadcast_to(cell, (1, n)) for name, cell in cells.items()}


def after_pulse(device: Any, cells: Cells, w: Array, signs: Array) -> Array:
    """The weight `[n]` after a noise-free pulse of each sign at `w`."""
    return device.pulse(cells, State(w=w[None]), signs[None], random.key(0)).w[0]


def _residuals(device: Any, data: Stacked, match: str) -> Array:
    """Measured minus law, `[T, N]`; 0 where nothing was measured."""
    if match == "increments":
        signs = data.signs.ravel()
        expected = after_pulse(device, nominal_cells(device, signs.size), data.before.ravel(), signs)
        return jnp.where(data.valid, data.weights - expected.reshape(data.weights.shape), 0.0)
    cells = nominal_cells(device, data.start.size)

    def pulse(w: Array, signs: Array) -> tuple[Array, Array]:
        w = after_pulse(device, cells, w, signs)
        return w, w

    return jnp.where(data.valid, data.weights - lax.scan(pulse, data.start, data.signs)[1], 0.0)


def _fitted(
    device: Any, chosen: tuple[Parameter, ...], data: Stacked, start: Values, match: str, steps: int
) -> tuple[Values, np.ndarray]:
    moves = jnp.where(data.valid, data.weights - data.before, 0.0)
    unit = jnp.sqrt(jnp.sum(moves**2))  # residuals become of order one, whatever the unit
    begin, unravel = ravel_pytree({one.name: one.free(start[one.name]) for one in chosen})

    def values(free: Array) -> Values:
        each = unravel(free)
        return {one.name: one.value(each[one.name]) for one in chosen}

    def residuals(free: Array) -> Array:
        return _residuals(with_values(device, values(free)), data, match).ravel() / unit

    # in coordinates in which the parabola around the start is round, descent is nearly a Gauss-Newton step
    axes = _round(jax.jit(jax.jacfwd(residuals))(begin))
    best, history = minimised(lambda u: jnp.sum(residuals(begin + axes @ u) ** 2), jnp.zeros_like(begin), steps)
    return values(begin + axes @ best), history * float(unit**2 / jnp.sum(data.valid))


def _round(slopes: Array) -> Array:
    """The matrix `A` `[P, P]` that makes `A^T J^T J A` the identity, except along directions with almost no effect."""
    inner, axes = np.linalg.eigh(np.asarray(slopes.T @ slopes, np.float64))
    return jnp.asarray(axes / np.sqrt(np.maximum(inner, 1e-3)), slopes.dtype)


def _begun(device: Any, chosen: tuple[Parameter, ...], data: Stacked) -> Values:
    """Starting values: the range of the data, and the mean steps of both directions."""
    names = {one.name for one in chosen}
    begun = {one.name: jnp.asarray(getattr(device, one.name), float) for one in chosen}
    levels = jnp.append(data.weights.ravel(), data.start)
    if "w_max" in names:
        begun["w_max"] = jnp.max(levels)
    if "w_min" in names:
        begun["w_min"] = jnp.min(levels)
    inside = {one.name: one.value(one.free(begun[one.name])) for one in chosen}
    if "dw_min" not in names:
        return inside
    if "up_down" in names:
        inside["up_down"] = jnp.asarray(0.0)
    up, down = (_step_ratio(with_values(device, inside), data, sign) for sign in (1, -1))
    ratios = [ratio for ratio in (up, down) if np.isfinite(ratio) and ratio > 0] or [1.0]
    inside["dw_min"] = inside["dw_min"] * (max(ratios) if "up_down" in names else sum(ratios) / len(ratios))
    if "up_down" in names and len(ratios) == 2:  # a positive one lowers the down step
        inside["up_down"] = jnp.asarray(1 - down / up if up > down else up / down - 1)
    return inside


def _step_ratio(device: Any, data: Stacked, sign: int) -> float:
    """Mean measured increment of that sign, divided by that of the device."""
    chosen = data.valid & (data.signs == sign)
    measured = jnp.sum(jnp.where(chosen, data.weights - data.before, 0.0))
    missing = jnp.sum(jnp.where(chosen, _residuals(device, data, "increments"), 0.0))
    expected = measured - missing
    return float(measured / expected) if expected != 0 else float("nan")


def _standard_errors(device: Any, values: Values, data: Stacked) -> dict[str, Any]:
    def residuals(values: Values) -> Array:
        return _residuals(with_values(device, values), data, "increments").ravel()

    slopes = jax.jit(jax.jacfwd(residuals))(values)
    columns = [np.asarray(slopes[name], np.float64).reshape(data.signs.size, -1) for name in values]
    r = np.asarray(residuals(values), np.float64)
    variances = iter(_covariance_diagonal(np.concatenate(columns, 1), r))
    return {
        name: plain(np.sqrt([next(variances) for _ in range(np.size(value))]).reshape(np.shape(value)))
        for name, value in values.items()
    }


def _covariance_diagonal(j: np.ndarray, r: np.ndarray) -> np.ndarray:
    """Variances of the parameters; inf for those along a direction that does not affect the residuals."""
    size = np.sqrt(np.sum(j**2, 0))
    scaled = j / np.where(size > 0, size, 1.0)
    inner, axes = np.linalg.eigh(scaled.T @ scaled)
    felt = inner > 1e-6 * inner[-1]  # the precision of float32 slopes
    pseudo = (axes[:, felt] / inner[felt]) @ axes[:, felt].T
    leverage = np.sum((scaled @ pseudo) * scaled, 1)  # a pulse that decides alone has no residual to speak of
    spread = scaled * (r / np.maximum(1 - leverage, 0.1))[:, None]
    variances = np.diag(pseudo @ (spread.T @ spread) @ pseudo) / np.where(size > 0, size, 1.0) ** 2
    lost = np.any(np.abs(axes[:, ~felt]) > 1e-3, 1) | (size == 0)
    return np.where(lost, np.inf, variances)
