"""Whole models: make their variables and slots, and run them.

These few functions are thin wrappers of flax's own `init` and `apply`. A model is an ordinary flax module with its
tiles in the collection `tiles`, its slots in `signals`, its digital parameters in `params`, everything else it keeps
(such as `batch_stats`) in its own collections, and the rng `analog`. Any other rng (`dropout`) is derived from the same
key.
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
    """The variables of a model; `params, tiles = variables` unpacks the two kinds that are trained."""

    params: PyTree
    """Digital parameters, trained by an optax optimiser."""
    tiles: PyTree
    """Analog tiles, trained by pulses."""
    collections: PyTree = field(default_factory=dict)
    """Other flax collections by name, such as `batch_stats`; not trained."""

    def __iter__(self) -> Iterator[PyTree]:
        return iter((self.params, self.tiles))

    def replace(self, **changes: PyTree) -> "Variables":
        """Return the same variables with some of them changed."""
        return replace(self, **changes)


def flatten(x: Array) -> Array:
    """Flatten each item: `[B, ...] -> [B, N]`."""
    return x.reshape(x.shape[0], -1)


def unflatten(x: Array, sizes: Shape, *, channels_first: bool = False) -> Array:
    """Reshape flat items to the sequences, images or volumes that a convolution takes.

    Args:
        x: Flat items `[B, N]`.
        sizes: Channels and size of each axis, `(C, n_1, ...)`.
        channels_first: Put the channels second, as in torch, instead of last.

    Returns:
        `[B, n_1, ..., n_k, C]`, or `[B, C, n_1, ..., n_k]` with `channels_first`.

    Raises:
        ShapeError: If the product of the sizes is not `N`.
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
    """Make the tiles, digital parameters and other collections of a model.

    Args:
        model: A flax module.
        x: Inputs like those of the model `[B, ...]`; only their shape and dtype matter.
        key: Consumed. Random are the device-to-device variation and all initial values.

    Returns:
        The variables of the model.
    """
    k_init, k_noise = jax.random.split(key)
    made = _maker(model)((k_init, k_noise), x)
    others = {name: made[name] for name in sorted(set(made) - {"params", TILES})}
    return Variables(made.get("params", {}), made.get(TILES, {}), others)


def slots(model: linen.Module, variables: Variables, x: Array) -> PyTree:
    """Make the zero slots of each analog layer, one for each of its calls.

    Only shapes are computed, those of a pass in training mode.

    Args:
        model: A flax module.
        variables: Its variables.
        x: Inputs like those of the pass `[B, ...]`.

    Returns:
        Slots to differentiate with respect to; the result is the signals of the tiles.
    """

    shapes = _shapes(model, variables, x, True)[1].get(SIGNALS, {})
    zeros = jax.tree.map(lambda leaf: jax.numpy.zeros(leaf.shape, leaf.dtype), _as_slots(shapes))
    return varying_like(zeros, (variables, x))


def outputs_like(model: linen.Module, variables: Variables, x: Array) -> Any:
    """Return shapes and dtypes of the outputs for inputs like `x` `[B, ...]`, without reading the tiles."""

    return _shapes(model, variables, x, False)[0]


def _shapes(model: linen.Module, variables: Variables, x: Array, training: bool) -> tuple[Any, PyTree]:
    """Shapes of the outputs, and the collections as a pass that records the calls of analog layers leaves them."""
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
    """Run a model.

    Args:
        model: A flax module.
        variables: Its variables.
        x: Inputs `[B, ...]`.
        key: Consumed. Random are the noise of the reads, and dropout in training mode.
        slots: Slots whose cotangents are the signals; None: no signals are wanted.
        training: Mode of dropout and batch normalisation; by default training if slots are given.

    Returns:
        Outputs of the model.

    Raises:
        ConfigError: If training would change collections such as `batch_stats`; `apply_training` returns them.
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
    """Run a model in training mode.

    Args:
        model: A flax module.
        variables: Its variables.
        x: Inputs `[B, ...]`.
        key: Consumed. Random are the noise of the reads and dropout.
        slots: Slots whose cotangents are the signals; None: no signals are wanted.

    Returns:
        Outputs of the model, and the new `Variables.collections`, such as batch statistics.
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
    """The record of a pass, renamed to what the next pass looks for."""
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
