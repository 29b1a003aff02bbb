"""Input ranges of hardware-aware layers from data, after training."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp

from analogjax._typing import Array, Key, PyTree
from analogjax.errors import ConfigError, NonFiniteError
from analogjax.nn.hardware_aware import HARDWARE, INPUTS, NOISE, RANGE, TILE, WEIGHT, at, aware_paths, put
from analogjax.nn.mode import mode
from analogjax.nn.model import Variables
from analogjax.physics import Periphery
from analogjax.physics.hardware_aware import MaxRange, RangeEstimator
from analogjax.random import check_key
from analogjax.tile import AwareTile

_LEAST = 1e-6  # of a range [x]


def calibrate_input_ranges(
    model: linen.Module,
    variables: Variables,
    batches: Iterable[Array],
    estimator: RangeEstimator = MaxRange(),  # noqa: B008 - frozen
    *,
    exact: bool = True,
    key: Key,
) -> Variables:
    """Set the input ranges of all hardware-aware layers that have one to what is found in the data.

    Args:
        model: A flax module.
        variables: Its trained variables.
        batches: Inputs `[B, ...]`, one batch after the other.
        estimator: What a range is: `MaxRange`, `QuantileRange`, `MovingQuantileRange`, `MovingStdRange`, or your own.
        exact: Read the layers without noise and converters meanwhile, and without the ranges that they have.
        key: Consumed. Random are the noise of the reads (unless exact) and the estimators.

    Returns:
        The variables with the new ranges, which no longer follow the data.

    Raises:
        ConfigError: If no layer has an input range, a layer is a stack of layers, or there are no batches.
        NonFiniteError: If an input of a layer is no finite number.

    Example:
        >>> variables = nn.calibrate_input_ranges(model, variables, [x], QuantileRange(quantile=0.999), key=key)
    """
    check_key(key, "calibrate_input_ranges")
    paths = [path for path in aware_paths(variables.collections) if _config(variables, path).input_range is not None]
    if not paths:
        raise ConfigError("calibrate_input_ranges: no layer has an input range; give HardwareAware(input_range=...).")
    for path in paths:
        tile = at(variables.collections[HARDWARE], path)[TILE]
        if tile.range_seen is not None and tile.range_seen.ndim:
            raise ConfigError(
                f"calibrate_input_ranges: {'/'.join(path)} is a stack of layers (linen.scan or vmap), whose "
                "inputs can't be told apart; calibrate them as layers of their own."
            )
        if WEIGHT not in at(variables.params, path):
            raise ConfigError("calibrate_input_ranges: the model is programmed; give the trained variables.")
    reading, found = _exact(variables) if exact else variables, dict.fromkeys(paths, estimator)
    for number, x in enumerate(batches):
        if not hasattr(x, "shape"):
            raise ConfigError(
                f"calibrate_input_ranges: batch {number} is of {type(x).__name__}; give inputs alone, arrays [B, ...]."
            )
        k_read, k_observe = jax.random.split(jax.random.fold_in(key, number))
        seen = _inputs(model, reading, x, k_read)
        for n, path in enumerate(paths):
            for vectors in _finite(at(seen, path)[TILE], path, number):
                found[path] = found[path].observe(vectors, jax.random.fold_in(k_observe, n))
    if all(found[path] is estimator for path in paths):
        raise ConfigError("calibrate_input_ranges: there were no batches; give at least one.")
    for path in paths:
        variables = _with_range(variables, path, found[path].value())
    return variables


def _finite(inputs: tuple[Array, ...], path: tuple[str, ...], number: int) -> tuple[Array, ...]:
    if not all(bool(jnp.all(jnp.isfinite(x))) for x in inputs):
        raise NonFiniteError(
            f"calibrate_input_ranges: inputs of {'/'.join(path)} in batch {number} are not finite numbers; are there "
            "NaNs in the data?"
        )
    return inputs


def _config(variables: Variables, path: tuple[str, ...]) -> Any:
    return at(variables.collections[HARDWARE], path)[TILE].config


def _exact(variables: Variables) -> Variables:
    """The variables with layers that compute the exact product, whatever their inputs."""

    def bare(node: Any) -> Any:
        if not isinstance(node, AwareTile):
            return node
        forward = Periphery(is_perfect=True)
        return replace(node, config=replace(node.config, forward=forward, input_range=None), frozen={})

    new = jax.tree.map(bare, variables.collections[HARDWARE], is_leaf=lambda node: isinstance(node, AwareTile))
    return variables.replace(collections={**variables.collections, HARDWARE: new})


def _inputs(model: linen.Module, variables: Variables, x: Array, key: Key) -> PyTree:
    """The inputs of each hardware-aware layer, one entry per call, by its path. Consumes `key`."""
    given = {"params": variables.params, "tiles": variables.tiles, **variables.collections}
    k_noise, k_others = jax.random.split(key)
    rngs = {NOISE: k_noise, "params": k_others}
    return model.apply(given, x, rngs=rngs, mutable=[INPUTS], **mode(model, False))[1].get(INPUTS, {})


def _with_range(variables: Variables, path: tuple[str, ...], value: Array) -> Variables:
    tile = at(variables.collections[HARDWARE], path)[TILE]
    assert tile.range_seen is not None
    assert tile.range_estimate is not None
    r = jnp.maximum(value, _LEAST).astype(tile.range_estimate.dtype)
    over = jnp.full_like(tile.range_seen, tile.config.input_range.init_from_data + 1)
    tile = replace(tile, range_estimate=r, range_seen=over)
    collections = {**variables.collections, HARDWARE: put(variables.collections[HARDWARE], (*path, TILE), tile)}
    own = at(variables.params, path) if tile.config.input_range.learn else {}
    params = put(variables.params, path, {**own, RANGE: r}) if RANGE in own else variables.params
    return variables.replace(params=params, collections=collections)
