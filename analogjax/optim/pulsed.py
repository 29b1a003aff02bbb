r"""The optimiser of analog tiles: signals in, new tiles out.

`update` has optax's shape with a verb of its own, because the update *replaces* tiles: pulses respect bounds and noise,
so there is no gradient to add. The learning rate goes in (it sets the number of pulses); a schedule from optax may
stand in its place. Digital parameters use plain optax beside it.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from analogjax._typing import Array, Key, PyTree, Scalar
from analogjax.errors import ConfigError
from analogjax.tile import Signal, Tile, TileArray, update


class PulsedState(NamedTuple):
    """What the optimiser remembers."""

    step: Array  # [] int32, updates made: the argument of the schedule


@dataclass(frozen=True)
class PulsedSGD:
    """Pulsed stochastic gradient descent: every tile moves along `-learning_rate d^T x` as far as its devices can.

    After the pulses, each tile rests for one mini-batch (diffusion and decay, where its devices have them).
    """

    learning_rate: Scalar | optax.Schedule

    def init(self, tiles: PyTree) -> PulsedState:
        """The state before the first update."""
        return PulsedState(step=jnp.zeros((), jnp.int32))

    def update(self, signals: PyTree, state: PulsedState, tiles: PyTree, *, key: Key) -> tuple[PyTree, PulsedState]:
        """New tiles and state. `signals` are the cotangents of the slots. Consumes `key`.

        Tile number `n`, in sorted order of the path, uses `fold_in(key, n)`.
        """
        rate = self.learning_rate(state.step) if callable(self.learning_rate) else self.learning_rate
        flat, treedef = jax.tree.flatten(tiles, is_leaf=_is_tile)
        given, names = jax.tree.flatten(signals, is_leaf=lambda node: isinstance(node, Signal))
        if names != treedef:  # type: ignore[operator]
            raise ConfigError(
                f"update: {len(given)} signals for {len(flat)} tiles, or of other layers: {names} for {treedef}; take "
                "the gradient with respect to the slots of these very tiles."
            )
        new = [
            _step(tile, s, rate, jax.random.fold_in(key, n))
            for n, (tile, s) in enumerate(zip(flat, given, strict=True))
        ]
        return jax.tree.unflatten(treedef, new), PulsedState(step=state.step + 1)


def _is_tile(node: object) -> bool:
    return isinstance(node, (Tile, TileArray))


def _step(tile: Tile | TileArray, signal: Signal, rate: Scalar, key: Key) -> Tile | TileArray:
    k_pulse, k_rest = jax.random.split(key)
    tile = update(tile, signal, rate, key=k_pulse)
    return tile.rest(k_rest) if tile.config.device.needs_rest else tile
