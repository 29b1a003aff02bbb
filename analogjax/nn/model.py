"""Whole models: find their slots, run them.

These few functions wrap flax's own `init` and `apply`, and nothing more: a model is an ordinary flax module, with its
chips in the collection `tiles`, its slots in `signals`, its digital parameters in `params`, whatever else it keeps
(`batch_stats`) in collections of its own, and the rng `analog`. Any other rng (`dropout`) is derived from the same key.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import field, replace
from typing import Any

import flax.linen as linen
import jax

from analogjax._pytree import pytree
from analogjax._remembered import remembered
from analogjax._typing import Array, Key, PyTree, Shape
from analogjax._varying import varying_like
from analogjax.errors import ConfigError, ShapeError, SlotError
from analogjax.nn.linear import CALLS, NOISE, SIGNALS, SLOTS, TILES
from analogjax.nn.mode import mode
from analogjax.tile import Signal


@pytree(kw_only=False, data_only=True)
class Variables:
    """What a model holds: `params, tiles = variables` takes out the two kinds that are trained."""

    params: PyTree
    """Digital parameters, trained by an optax optimiser."""
    tiles: PyTree
    """Analog tiles, trained by pulses."""
    collections: PyTree = field(default_factory=dict)
    """Other flax collections by name, such as `batch_stats`; not trained."""

    def __iter__(self) -> Iterator[PyTree]:
        return iter((self.params, self.tiles))

    def replace(self, **changes: PyTree) -> "Variables":
        """The same variables with some of them changed."""
        return replace(self, **changes)


def flatten(x: Array) -> Array:
    """`[B, ...] -> [B, N]`."""
    return x.reshape(x.shape[0], -1)


def unflatten(x: Array, sizes: Shape, *, channels_first: bool = False) -> Array:
    """`[B, N] -> [B, n_1, ..., n_k, C]`, or `[B, C, n_1, ..., n_k]` with `channels_first`; `sizes` are `(C, n_1, ...)`.

    Makes flat items the sequences, images or volumes that a convolution takes. Raises `ShapeError` where the sizes do
    not multiply to `N`.
    """
    if x.ndim != 2 or x.shape[1] != math.prod(sizes):
        raise ShapeError(
            f"unflatten: got x of shape {x.shape}; items of sizes {tuple(sizes)} need [B, {math.prod(sizes)}]."
        )
    return x.reshape(x.shape[0], *(sizes if channels_first else (*sizes[1:], sizes[0])))


@remembered
def _maker(model: linen.Module) -> Callable[[tuple[Key, Key], Array], dict[str, Any]]:
    def make(keys: tuple[Key, Key], x: Array) -> dict[str, Any]:
        return dict(model.init({"params": keys[0], NOISE: keys[1]}, x, **mode(model, False)))

    return jax.jit(make)


def init(model: linen.Module, x: Array, key: Key) -> Variables:
    """Make the chips, digital parameters and other collections of `model` for inputs like `x` `[B, ...]`.

    Consumes `key`.
    """
    k_init, k_noise = jax.random.split(key)
    made = _maker(model)((k_init, k_noise), x)
    others = {name: made[name] for name in sorted(set(made) - {"params", TILES})}
    return Variables(made.get("params", {}), made.get(TILES, {}), others)


def slots(model: linen.Module, variables: Variables, x: Array) -> PyTree:
    """The zero slots of each analog layer, one for each of its calls, for inputs like `x` `[B, ...]`.

    Only shapes are computed. They are those of a pass in training.
    """

    shapes = _shapes(model, variables, x, True)[1].get(SIGNALS, {})
    zeros = jax.tree.map(lambda leaf: jax.numpy.zeros(leaf.shape, leaf.dtype), _as_slots(shapes))
    return varying_like(zeros, (variables, x))


def outputs_like(model: linen.Module, variables: Variables, x: Array) -> Any:
    """Shapes and dtypes of the outputs for inputs like `x` `[B, ...]`; the chips are not read, not even in shapes."""

    return _shapes(model, variables, x, False)[0]


def _shapes(model: linen.Module, variables: Variables, x: Array, training: bool) -> tuple[Any, PyTree]:
    """Shapes of the outputs, and of what a pass that notes the calls of analog layers leaves in the collections."""
    mutable = [SIGNALS, *(variables.collections if training else ())]

    def note(variables: Variables, x: Array, key: Key) -> tuple[Any, PyTree]:
        return model.apply(_given(variables), x, rngs=_rngs(key), mutable=mutable, **mode(model, training))

    return jax.eval_shape(note, variables, x, jax.random.key(0))


def apply(
    model: linen.Module,
    variables: Variables,
    x: Array,
    *,
    key: Key,
    slots: PyTree | None = None,
    training: bool | None = None,
) -> Any:
    """Run the model on `x` `[B, ...]`; with `slots`, their cotangents are the signals. Consumes `key`.

    `training` (default: where slots are given) is what dropout and batch normalisation are told. Raises `ConfigError`
    where training would change collections such as `batch_stats`: `apply_training` returns them.
    """
    training = slots is not None if training is None else training
    y, collections = _run(model, variables, x, key, slots, training)
    if training and collections:
        raise ConfigError(
            f"apply: in training this model changes its collections {sorted(collections)}, which would be lost. Use "
            "apply_training, which returns outputs and collections, or give training=False."
        )
    return y


def apply_training(
    model: linen.Module, variables: Variables, x: Array, *, key: Key, slots: PyTree | None = None
) -> tuple[Any, PyTree]:
    """Run the model on `x` `[B, ...]` as in training: its outputs, and the new `Variables.collections`.

    Consumes `key`.
    """
    return _run(model, variables, x, key, slots, True)


def _run(
    model: linen.Module, variables: Variables, x: Array, key: Key, slots: PyTree | None, training: bool
) -> tuple[Any, PyTree]:
    given = _given(variables) | ({} if slots is None else {SIGNALS: slots})
    mutable = [*([] if slots is None else [SIGNALS]), *(variables.collections if training else ())]
    y, changed = model.apply(given, x, rngs=_rngs(key), mutable=mutable, **mode(model, training))
    changed = dict(changed)
    _check_used(changed.pop(SIGNALS, {}))
    return y, variables.collections | changed if training else {}


def _given(variables: Variables) -> dict[str, PyTree]:
    return {"params": variables.params, TILES: variables.tiles, **variables.collections}


def _rngs(key: Key) -> dict[str, Key]:
    # flax falls back to "params" for every rng that it is not given by name
    k_noise, k_others = jax.random.split(key)
    return {NOISE: k_noise, "params": k_others}


def _as_slots(recorded: PyTree) -> PyTree:
    """What a pass recorded, under the name under which the next one looks for it."""
    if not isinstance(recorded, dict):
        return recorded
    return {
        SLOTS if name == CALLS else name: tuple(signal for signal, _ in node) if name == CALLS else _as_slots(node)
        for name, node in recorded.items()
    }


def _check_used(left: PyTree) -> None:
    flat = jax.tree_util.tree_leaves_with_path(left, is_leaf=lambda node: isinstance(node, Signal))
    if flat:
        where = sorted({"/".join(str(key.key) for key in path[:-2]) or "the top" for path, _ in flat})
        raise SlotError(
            f"slots of {', '.join(where)} were not used: they are of a pass with other calls. Make them with nn.slots "
            "for this model and this x."
        )
