"""What training and programming do to the hardware-aware layers of a whole model.

A layer with a `HardwareAware` configuration keeps its weights as the parameter `weight` (and `input_range`), and
everything else of its chips in the collection `hardware`, which is mutable in training only: so a layer knows the mode.
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp

from analogjax._typing import Array, PyTree
from analogjax.errors import ConfigError
from analogjax.tile import AwareTile, aware_mvm, create_aware, initial_weights, mvm, observed
from analogjax.tile.hardware_aware import input_range, limit_inputs, range_after_step

TILES, NOISE, HARDWARE = "tiles", "analog", "hardware"
INPUTS = "inputs"  # a collection that keeps the inputs of each layer, where it is mutable
WEIGHT, RANGE, TILE = "weight", "input_range", "tile"


def aware_product(layer: Any, x: Array) -> Array:
    """The product `[..., I] -> [..., O]` of a layer with a `HardwareAware` configuration, inside of its `__call__`.

    On a programmed model (`nn.program`) it is that of the programmed chips.
    """
    config, shape = layer.config, (layer.features, x.shape[-1])
    if layer.has_variable(TILES, TILE):
        return _programmed_product(layer, x)
    w = layer.param(WEIGHT, lambda key: initial_weights(shape, key, layer.param_dtype, layer.initial_bound))
    tile = layer.variable(HARDWARE, TILE, lambda: create_aware(config, w, layer.make_rng("params")))
    r = _learned_range(layer)
    if layer.is_initializing():
        return jnp.zeros((*x.shape[:-1], layer.features), jnp.promote_types(x.dtype, w.dtype))
    if layer.is_mutable_collection(INPUTS):
        kept = layer.variable(INPUTS, TILE, tuple)
        kept.value = (*kept.value, x)
        return aware_mvm(tile.value, w, x, r, key=layer.make_rng(NOISE), training=False)
    _check_config(layer, tile.value)
    training = layer.is_mutable_collection(HARDWARE)
    if training:
        tile.value = observed(tile.value, x)
    return aware_mvm(tile.value, w, x, r, key=layer.make_rng(NOISE), training=training)


def _programmed_product(layer: Any, x: Array) -> Array:
    if layer.is_mutable_collection(HARDWARE):
        raise ConfigError(
            f"{'/'.join(layer.path) or type(layer).__name__}: its chips are programmed, and can't be trained. Train "
            "the variables that were given to nn.program, and program them again."
        )
    chips, tile = layer.get_variable(TILES, TILE), layer.get_variable(HARDWARE, TILE)
    _check_config(layer, tile)
    x, unit = limit_inputs(x, input_range(tile, _learned_range(layer)))
    return mvm(chips, x / unit, key=layer.make_rng(NOISE)) * unit


def _check_config(layer: Any, tile: AwareTile) -> None:
    """Raise `ConfigError` if the variables were made for another configuration, which would be used in silence."""
    own: Any = jax.tree.structure(layer.config)
    stored: Any = jax.tree.structure(tile.config)
    if not own == stored:
        raise ConfigError(
            f"{'/'.join(layer.path) or type(layer).__name__}: its variables are of another configuration,\n  "
            f"{tile.config}\nand not\n  {layer.config}\nUse nn.moved(model, variables, x, key=key), which puts the "
            "trained weights on chips of the model's configuration."
        )


def _learned_range(layer: Any) -> Array | None:
    given = layer.config.input_range
    if given is None or not given.learn:
        return None
    return layer.param(RANGE, linen.initializers.constant(given.init_value), (), layer.param_dtype)


def after_step(params: PyTree, collections: PyTree) -> tuple[PyTree, PyTree]:
    """Clip and remap the weights of hardware-aware layers after an optimiser step, as their configurations say.

    Args:
        params: Digital parameters as the optimiser left them.
        collections: Other flax collections of the model, as `nn.apply_training` returned them.

    Returns:
        The new parameters and collections. Without hardware-aware layers they are the given ones.

    Example:
        >>> params = optax.apply_updates(variables.params, updates)
        >>> params, collections = nn.after_step(params, collections)
    """
    for name, tree in (("params", params), ("collections", collections)):
        if not isinstance(tree, Mapping):
            raise ConfigError(f"after_step: {name} is of {type(tree).__name__}; give those of the model, as dicts.")
    for path in aware_paths(collections):
        tile, own = at(collections[HARDWARE], path)[TILE], at(params, path)
        if WEIGHT not in own:
            raise ConfigError(f"after_step: {'/'.join(path) or 'the layer'} has no {WEIGHT!r}: it is programmed.")
        w, tile = tile.after_step(own[WEIGHT])
        own = {**own, WEIGHT: w} | ({RANGE: range_after_step(tile, own[RANGE])} if RANGE in own else {})
        params = put(params, path, own)
        collections = {**collections, HARDWARE: put(collections[HARDWARE], (*path, TILE), tile)}
    return params, collections


def mixes_items(collections: PyTree) -> bool:
    """Whether collections take the items of a batch together, so that items of no weight would not be without effect.

    Batch statistics do, and hardware-aware layers whose input range or input scale follows the data.
    """
    tiles = [at(collections[HARDWARE], path)[TILE] for path in aware_paths(collections)]
    follow = any(tile.range_estimate is not None or tile.average is not None for tile in tiles)
    return follow or any(name != HARDWARE for name in collections)


def with_weights(collections: PyTree, path: tuple[str, ...], w: Array) -> PyTree:
    """Choose the output scales of a hardware-aware layer for new weights.

    Args:
        collections: `Variables.collections` of the model.
        path: Path of the layer, such as `("layers_1",)`.
        w: New logical weights `[O, I]`, which the caller puts into the parameters.

    Returns:
        The new collections.
    """
    tile = at(collections[HARDWARE], path)[TILE]
    return {**collections, HARDWARE: put(collections[HARDWARE], (*path, TILE), tile.scaled_for(w))}


def aware_paths(collections: PyTree) -> list[tuple[str, ...]]:
    """Paths of the hardware-aware layers of a model, sorted."""
    flat, _ = jax.tree_util.tree_flatten_with_path(
        collections.get(HARDWARE, {}), is_leaf=lambda node: isinstance(node, AwareTile)
    )
    return sorted(tuple(str(key.key) for key in path[:-1]) for path, node in flat if isinstance(node, AwareTile))


def at(tree: Any, path: tuple[str, ...]) -> Any:
    """The branch of a tree of dicts at a path. Raises `ConfigError` if there is none."""
    for name in path:
        if name not in tree:
            raise ConfigError(
                f"the parameters of the hardware-aware layer {'/'.join(path)} are missing; give parameters and "
                "collections of one model."
            )
        tree = tree[name]
    return tree


def put(tree: Any, path: tuple[str, ...], value: Any) -> Any:
    """A copy of a tree of dicts with `value` at a path, made where it does not exist."""
    if not path:
        return value
    return {**tree, path[0]: put(tree.get(path[0], {}), path[1:], value)}
