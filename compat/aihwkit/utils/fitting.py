"""Fits of devices to measured pulse responses, with lmfit's minimisers; the model is one compiled function.

Letters: `T` pulses, `N` devices, `R` traces of each. Weights in units of the device. `analogjax.fit` does the same by
gradient descent, with standard errors, and fits the noise of pulses too.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import fields, replace
from functools import partial
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from analogjax._typing import Array, Key
from analogjax.errors import MissingPackage
from analogjax.tile import Signal, TileConfig, create_array
from analogjax.tile import update as tile_update
from compat import tile_weights
from compat import torch_bridge as bridge
from compat.aihwkit.exceptions import ArgumentError, ConfigError
from compat.aihwkit.simulator.configs.configs import SingleRPUConfig
from compat.aihwkit.simulator.configs.devices import PulsedDevice

RPUConfigGeneric = TypeVar("RPUConfigGeneric")


def fit_measurements(
    parameters: Any, pulse_data: Any, response_data: Any, device_config: Any, suppress_device_noise: bool = True,
    max_pulses: int | None = 1, n_traces: int = 1, fit_weights: Any = None, method: str = "powell",
    verbose: bool = False, **fit_kwargs: Any,
) -> tuple[Any, Any, Any]:  # fmt: skip
    """Find the parameters of a device with which pulses make of it what was measured, by least squares.

    Args:
        parameters: By name, `(start, lowest, highest)`, or a number that is set and not varied; or `lmfit.Parameters`.
        pulse_data: Pulses `[T]`, or `[T, N]` for several devices: how many, up (positive) or down. A tuple of such for
            several measurements.
        response_data: Weights `[T]` or `[T, N]`: the first before any pulse, the others after all pulses but the last.
        device_config: The device, or a configuration that has it. It is copied.
        suppress_device_noise: Set all spreads and noises (`..._dtod`, `..._std`) of the device to 0.
        max_pulses: The longest train of pulses, for a device that comes without a configuration; `None`: as usual.
        n_traces: Devices to simulate, whose mean is compared.
        fit_weights: Weight of the residuals of each device, for each measurement; for one measurement, its own.
        method: A minimiser of `lmfit.minimize`. The model is in single precision: derivatives need larger steps than
            those of double precision, so take a method without them.
        verbose: Print the spread of the residuals as it goes, and a report.
        **fit_kwargs: Of `lmfit.minimize`.

    Returns:
        The `lmfit.MinimizerResult`, the device (or configuration) with what was found, and its response.

    Raises:
        ArgumentError: If only one of pulses and responses is a tuple, or parameters are of another kind.
        ConfigError: If the device has no such parameter.
        MissingPackage: If lmfit is not installed.
    """
    if isinstance(pulse_data, tuple) != isinstance(response_data, tuple):
        raise ArgumentError("pulse_data and response_data: give a tuple of measurements for both, or for none of them.")
    lmfit = _lmfit()
    found = deepcopy(device_config)
    config = _configuration(found, max_pulses)
    if suppress_device_noise:
        for field in fields(config.device):
            if field.name.endswith(("dtod", "std")):
                setattr(config.device, field.name, 0.0)
    given = (pulse_data, response_data, config, n_traces, fit_weights, verbose)
    result = lmfit.minimize(model_response, _parameters(lmfit, parameters), args=given, method=method, **fit_kwargs)
    if verbose:
        lmfit.report_fit(result)
    response = model_response(result.params, *given, only_response=True)
    _set(found, result.params.valuesdict())
    return result, found, response


def model_response(
    params: Any, pulse_data: Any, response_data: Any, rpu_config: Any, n_traces: int = 1, fit_weights: Any = None,
    verbose: bool = True, only_response: bool = False,
) -> Any:  # fmt: skip
    """What a device does under pulses, less what was measured.

    Args:
        params: `lmfit.Parameters` of the device; set in `rpu_config`.
        pulse_data: See `fit_measurements`.
        response_data: See `fit_measurements`.
        rpu_config: The configuration.
        n_traces: See `fit_measurements`.
        fit_weights: See `fit_measurements`.
        verbose: Print the spread of the residuals.
        only_response: Give the responses, instead of the residuals.

    Returns:
        Residuals of all measurements in a row; the response `[T, N]`, or a list of them where a tuple was given.
    """
    several = isinstance(pulse_data, tuple)
    pulses, responses = ([*given] if several else [given] for given in (pulse_data, response_data))
    weights = [None] * len(pulses) if fit_weights is None else [*fit_weights] if several else [fit_weights]
    _set(rpu_config, params.valuesdict())
    pulses, responses = ([_columns(one) for one in each] for each in (pulses, responses))
    found = _responses(_traced(rpu_config, params, pulses[0].shape[1]), pulses, responses, n_traces)
    if only_response:
        return found if several else found[0]
    residuals = [
        (model - measured) * (1.0 if weight is None else np.atleast_1d(weight)[: measured.shape[1]])
        for model, measured, weight in zip(found, responses, weights, strict=True)
    ]
    deviation = np.concatenate([one.ravel() for one in residuals])
    if verbose:
        print(deviation.std())
    return deviation


def _lmfit() -> Any:
    try:
        import lmfit
    except ImportError as error:
        raise MissingPackage(f'fit_measurements needs lmfit ({error}): pip install "analogjax[fit]"') from error
    return lmfit


def _configuration(given: Any, max_pulses: int | None) -> Any:
    """The configuration in which a device is simulated."""
    if not isinstance(given, PulsedDevice):
        return given
    config = SingleRPUConfig(device=given)
    if max_pulses is not None:
        config.update.desired_bl = max_pulses
        config.update.update_bl_management = config.update.update_management = False
    return config


def _parameters(lmfit: Any, given: Any) -> Any:
    if isinstance(given, lmfit.Parameters):
        return given
    if not isinstance(given, dict):
        raise ArgumentError(f"parameters={given!r}: give a dictionary, such as {{'dw_min': (0.01, 0.001, 0.1)}}.")
    parameters = lmfit.Parameters()
    for name, value in given.items():
        if isinstance(value, tuple):
            start, low, high = value
            parameters.add(name, value=start, min=low, max=high)
        else:
            parameters.add(name, value=value, vary=False)
    return parameters


def _set(config: Any, values: dict[str, float]) -> None:
    """Set parameters of a device, or of that of a configuration."""
    device = config if isinstance(config, PulsedDevice) else config.device
    for name, value in values.items():
        if not hasattr(device, name):
            raise ConfigError(f"{type(device).__name__} has no parameter {name!r} to fit.")
        setattr(device, name, value)


def _traced(rpu_config: Any, params: Any, inputs: int) -> TileConfig:
    """The native configuration, in which numbers that vary are arrays: other values are not compiled anew."""
    config = rpu_config.to_native(inputs)
    varied = {name: getattr(config.device, name, None) for name in params.valuesdict() if params[name].vary}
    arrays = {name: jnp.asarray(value, jnp.float32) for name, value in varied.items() if isinstance(value, float)}
    return replace(config, device=replace(config.device, **arrays))


def _columns(given: Any) -> np.ndarray:
    """`[T, N]`."""
    found = np.asarray(given, float)
    return found[:, None] if found.ndim == 1 else found


def _responses(
    config: TileConfig, pulses: Sequence[np.ndarray], responses: Sequence[np.ndarray], n_traces: int
) -> list[np.ndarray]:
    """Mean weights `[T, N]` before the first pulse and after all but the last, of each measurement."""
    pairs = zip(pulses, responses, strict=True)
    given = [(jnp.asarray(sent[:-1], jnp.float32), jnp.asarray(seen[0], jnp.float32)) for sent, seen in pairs]
    traces = _trace(bridge.beside_torch(config), bridge.beside_torch(given), bridge.draw_key(), n_traces)
    return [np.asarray(trace, float)[: len(measured)] for trace, measured in zip(traces, responses, strict=True)]


@partial(jax.jit, static_argnames="n_traces")
def _trace(config: TileConfig, given: list[tuple[Array, Array]], key: Key, n_traces: int) -> list[Array]:
    k_make, *keys = jax.random.split(key, 1 + len(given))
    tile = create_array(config, (n_traces, given[0][0].shape[1]), k_make)
    traces = []
    for (pulses, start), own in zip(given, keys, strict=True):
        k_write, k_pulses = jax.random.split(own)
        first = jnp.broadcast_to(start, (n_traces, start.size))

        def pulse(tile: Any, now: tuple[Array, Key]) -> tuple[Any, Array]:
            x, key = now
            tile = tile_update(tile, Signal(x=x[None], d=-jnp.ones((1, n_traces))), 1.0, key=key)
            return tile, tile_weights.raw(tile).mean(0)

        tile, means = lax.scan(pulse, tile.write(first, k_write), (pulses, jax.random.split(k_pulses, len(pulses))))
        traces.append(jnp.concatenate([start[None], means]))
    return traces
