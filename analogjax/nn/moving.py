"""Trained weights on chips of another configuration."""

from typing import Any

import flax.linen as linen

from analogjax._typing import Array, Key
from analogjax.errors import ConfigError
from analogjax.nn.hardware_aware import WEIGHT, at, aware_paths, put, with_weights
from analogjax.nn.model import Variables, init
from analogjax.random import check_key


def moved(model: linen.Module, variables: Variables, x: Array, *, key: Key) -> Variables:
    """Put trained weights on new chips, of the configuration that the model has now.

    For hardware-aware layers whose noise, periphery or mapping has been changed after training.

    Args:
        model: The model with its new configuration.
        variables: Variables of the model with another one.
        x: Inputs like those of the model; only shape and dtype matter.
        key: Consumed. Random are the constants of the new chips.

    Returns:
        Variables of `model` with the trained parameters and batch statistics; output scales are chosen anew, and an
        input range that is new starts as configured.

    Raises:
        ConfigError: If the model has pulsed layers, or layers that the variables do not have.

    Example:
        >>> variables = nn.moved(model, results.variables, x, key=random.key(1))
    """
    check_key(key, "moved")
    fresh = init(model, x, key)
    if fresh.tiles or variables.tiles:
        raise ConfigError(
            "moved: pulsed layers (and programmed ones) hold their weights in devices, which are written: use "
            "tile.create_array(config, shape, key, weights=tile.read())."
        )
    params: Any = _trained(fresh.params, variables.params, "params")
    collections = {**fresh.collections, **{n: t for n, t in variables.collections.items() if n != "hardware"}}
    for path in aware_paths(collections):
        collections = with_weights(collections, path, at(params, path)[WEIGHT])
    return fresh.replace(params=params, collections=collections)


def _trained(fresh: Any, trained: Any, where: str) -> Any:
    """The tree of `fresh` with the leaves that `trained` has; what is only in `fresh` stays."""
    if not isinstance(fresh, dict):
        if fresh.shape != trained.shape:
            raise ConfigError(f"moved: {where} is {trained.shape}, and the model needs {fresh.shape}.")
        return trained
    lost = [name for name in trained if name not in fresh and name != "input_range"]
    if lost:
        raise ConfigError(f"moved: the model has no {where}/{lost[0]}; give the variables of the same layers.")
    made = fresh
    for name, value in fresh.items():
        if name in trained:
            made = put(made, (name,), _trained(value, trained[name], f"{where}/{name}"))
        elif name not in ("input_range", "out_scale"):
            raise ConfigError(f"moved: the variables have no {where}/{name}; give those of the same layers.")
    return made
