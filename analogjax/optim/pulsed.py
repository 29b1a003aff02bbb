r"""The optimiser of analog tiles: takes signals, returns new tiles.

`update` has the shape of an optax update, but it *replaces* the tiles: pulses respect bounds and add noise, so there is
no gradient step that could be added. The learning rate is an input of the physics, since it sets the number of pulses;
it may be an optax schedule. Digital parameters are trained by an ordinary optax optimiser next to this one.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.tree_util import keystr

from analogjax._field_docs import document_fields
from analogjax._typing import Array, Key, PyTree, Scalar
from analogjax.errors import ConfigError, ShapeError
from analogjax.tile import Signal, Tile, TileArray, rest, update
from analogjax.tile.signals import Chips


@document_fields
class PulsedState(NamedTuple):
    """State of the optimiser."""

    step: Array
    """Updates made so far `[]` int32: the argument of the schedule."""


@document_fields
@dataclass(frozen=True)
class PulsedSGD:
    """Pulsed stochastic gradient descent.

    Every tile moves along `-learning_rate d^T x`, as far as its devices can. After the pulses it rests for one
    mini-batch: its devices diffuse and decay, if they do so at all.

    Example:
        >>> pulsed = PulsedSGD(0.1)
        >>> state = pulsed.init(variables.tiles)
        >>> tiles, state = pulsed.update(signals, state, variables.tiles, key=key)

    References:
        Gokmen & Vlasov 2016, doi:10.3389/fnins.2016.00333.
    """

    learning_rate: Scalar | optax.Schedule
    """Learning rate of all tiles, or an optax schedule of the update step."""

    def init(self, tiles: PyTree) -> PulsedState:
        """Return the state before the first update.

        Args:
            tiles: Not used; accepted so that the signature is that of optax.

        Returns:
            The state, with a step count of 0.
        """
        return PulsedState(step=jnp.zeros((), jnp.int32))

    def update(self, signals: PyTree, state: PulsedState, tiles: PyTree, *, key: Key) -> tuple[PyTree, PulsedState]:
        """Pulse all tiles of a model once.

        Args:
            signals: Cotangents of the slots, one entry per tile: a `Signal`, or a tuple of the signals of all calls of
                that tile, in the order of the calls. An empty tuple: the tile is not pulsed, but rests like the others.
            state: State of the optimiser.
            tiles: Tiles of the model. Stacked chips are pulsed one by one.
            key: Consumed. Random are the pulse trains, the cycle-to-cycle variation and the diffusion. Tile number `n`,
                in sorted order of the paths, uses `fold_in(key, n)`.

        Returns:
            The new tiles and the new state.

        Raises:
            ConfigError: If signals and tiles do not belong to the same model.
        """
        rate = self.learning_rate(state.step) if callable(self.learning_rate) else self.learning_rate
        flat, treedef = jax.tree_util.tree_flatten_with_path(tiles, is_leaf=_is_tile)
        stray = [f"{keystr(path)} is of {type(node).__name__}" for path, node in flat if not _is_tile(node)]
        if stray:
            raise ConfigError(
                f"update: {stray[0]}, which has no pulsed devices. Give `Variables.tiles`; the weights of "
                "hardware-aware layers are parameters, for an optax optimiser."
            )
        given = _signals_of([path for path, _ in flat], signals)
        new = [
            _step(tile, own, rate, jax.random.fold_in(key, n), path)
            for n, ((path, tile), own) in enumerate(zip(flat, given, strict=True))
        ]
        return jax.tree.unflatten(treedef, new), PulsedState(step=state.step + 1)


def _is_tile(node: object) -> bool:
    return isinstance(node, (Tile, TileArray))


def _is_calls(node: object) -> bool:
    """One signal, or the signals of several calls."""
    return isinstance(node, Signal) or (isinstance(node, (tuple, list)) and all(isinstance(n, Signal) for n in node))


def _signals_of(paths: list[tuple], signals: PyTree) -> list[tuple[Signal, ...]]:
    """The signals of the tile at each path, after checking that both have the same paths."""
    flat, _ = jax.tree_util.tree_flatten_with_path(signals, is_leaf=_is_calls)
    stray = [keystr(path) for path, node in flat if not _is_calls(node)]
    if stray:
        raise ConfigError(
            f"update: {', '.join(stray[:3])} of the signals is no Signal; give the gradient with respect to the slots."
        )
    calls = {path: _calls(node) for path, node in flat}
    found = {"tiles without signals": set(paths) - set(calls), "signals without a tile": set(calls) - set(paths)}
    odd = [
        f"{what}: {', '.join(sorted(keystr(p) or 'the top' for p in which))}" for what, which in found.items() if which
    ]
    if odd:
        raise ConfigError(
            f"update: {len(calls)} signals for {len(paths)} tiles ({'; '.join(odd)}). Take the gradient with respect "
            "to the slots of these very tiles; under flax's transformations lift the collection 'signals' with them; "
            "give an empty tuple for a tile that should stay as it is."
        )
    return [calls[path] for path in paths]


def _step(tile: Chips, signals: tuple[Signal, ...], rate: Scalar, key: Key, path: tuple) -> Chips:
    k_pulse, k_rest = jax.random.split(key)
    try:
        return rest(update(tile, signals, rate, key=k_pulse), key=k_rest)
    except ShapeError as error:
        raise ShapeError(f"{keystr(path) or 'the tile'}: {error}") from None


def joined(*signals: PyTree) -> PyTree:
    """Concatenate the signals of several micro-batches, to be given to one `update`.

    Gradients of micro-batches are added. Signals must not be, because devices respond to every vector.

    Args:
        *signals: Cotangents of the slots of one model, one argument per micro-batch.

    Returns:
        Signals of the same structure, with the calls of all micro-batches in order.

    Raises:
        ConfigError: If they belong to different layers.
    """
    flat: list[tuple[list, Any]] = [jax.tree.flatten(tree, is_leaf=_is_calls) for tree in signals]
    if any(treedef != flat[0][1] for _, treedef in flat):
        raise ConfigError("joined: these are not the signals of one model; take them all with the same layers.")
    calls = [sum((_calls(node) for node in nodes), ()) for nodes in zip(*(nodes for nodes, _ in flat), strict=True)]
    return jax.tree.unflatten(flat[0][1], calls)


def _calls(node: Signal | tuple[Signal, ...]) -> tuple[Signal, ...]:
    return (node,) if isinstance(node, Signal) else tuple(node)


def _named(paths: set[tuple]) -> str:
    return ", ".join(sorted(keystr(path) or "the top" for path in paths))
