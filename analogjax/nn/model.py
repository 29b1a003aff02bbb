"""Whole models: put layers in a row, make their chips, find their slots, run them.

These few functions wrap flax's own `init` and `apply`, and nothing more: a model is an ordinary flax module, with its
chips in the collection `tiles`, its slots in `signals`, its digital parameters in `params`, and the rng `analog`.
"""

from collections.abc import Callable, Iterator
from dataclasses import field, replace
from typing import Any

import flax.linen as linen
import jax

from analogjax._pytree import pytree
from analogjax._remembered import remembered
from analogjax._typing import Array, Key, PyTree
from analogjax.errors import ConfigError
from analogjax.nn.linear import NOISE, SIGNALS, TILES, AnalogLinear


@pytree(kw_only=False)
class Variables:
    """What a model holds: `params, tiles = variables` takes out the two kinds that are trained."""

    params: PyTree  # digital: trained by an optax optimiser
    tiles: PyTree  # analog: trained by pulses
    collections: PyTree = field(default_factory=dict)  # flax's others by name, such as `batch_stats`: not trained

    def __iter__(self) -> Iterator[PyTree]:
        return iter((self.params, self.tiles))

    def replace(self, **changes: PyTree) -> "Variables":
        """The same variables with some of them changed."""
        return replace(self, **changes)


def Sequential(*layers: Callable[[Array], Array]) -> linen.Module:
    """A flax module of layers in a row: modules, or plain functions such as `jax.nn.sigmoid`."""
    for layer in layers:
        if not callable(layer):
            raise ConfigError(f"Sequential: {layer!r} is neither a module nor a function of the activations.")
    return linen.Sequential(layers)


def flatten(x: Array) -> Array:
    """`[B, ...] -> [B, N]`."""
    return x.reshape(x.shape[0], -1)


@remembered
def _maker(model: linen.Module) -> Callable[[tuple[Key, Key], Array], dict[str, Any]]:
    def make(keys: tuple[Key, Key], x: Array) -> dict[str, Any]:
        # the pass also records slots; dropping them here lets XLA drop the pass itself
        made = model.init({"params": keys[0], NOISE: keys[1]}, x)
        return {name: value for name, value in made.items() if name != SIGNALS}

    return jax.jit(make)


def init(model: linen.Module, x: Array, key: Key) -> Variables:
    """Make the chips and digital parameters of `model` for inputs like `x` `[B, ...]`. Consumes `key`."""
    k_init, k_noise = jax.random.split(key)
    made = _maker(model)((k_init, k_noise), x)
    others = set(made) - {"params", TILES}
    if others:
        raise ConfigError(
            f"the model keeps state in the flax collections {sorted(others)}, which this training loop does not carry. "
            "Use layers without running statistics (LayerNorm, GroupNorm), or run it in a loop of your own."
        )
    return Variables(params=made.get("params", {}), tiles=made.get(TILES, {}))


def slots(model: linen.Module, variables: Variables, x: Array) -> PyTree:
    """One zero slot for each analog layer, for inputs like `x` `[B, ...]`: only shapes are computed."""

    def record(variables: Variables, x: Array, key: Key) -> PyTree:
        given = {"params": variables.params, TILES: variables.tiles}
        return model.apply(given, x, rngs={NOISE: key}, mutable=[SIGNALS])[1].get(SIGNALS, {})

    with linen.intercept_methods(_shapes_only):
        shapes = jax.eval_shape(record, variables, x, jax.random.key(0))
    return jax.tree.map(lambda leaf: jax.numpy.zeros(leaf.shape, leaf.dtype), shapes)


def _shapes_only(call: Callable, args: tuple, kwargs: dict[str, Any], context: Any) -> Any:
    """Steps in for the product on the chips: to trace all of its physics costs more than the rest of the model."""
    if isinstance(context.module, AnalogLinear) and context.method_name == "read_chips":
        _, x, _ = args
        return jax.numpy.zeros((*x.shape[:-1], context.module.features), x.dtype)
    return call(*args, **kwargs)


def apply(model: linen.Module, variables: Variables, x: Array, *, key: Key, slots: PyTree | None = None) -> Any:
    """Run the model on `x` `[B, ...]`; with `slots`, their cotangents are the signals. Consumes `key`."""
    given = {"params": variables.params, TILES: variables.tiles}
    if slots is not None:
        given[SIGNALS] = slots
    return model.apply(given, x, rngs={NOISE: key})
