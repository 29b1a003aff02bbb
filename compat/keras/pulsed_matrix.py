"""A matrix of a Keras layer on pulsed devices."""

import weakref
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from analogjax._typing import Array, Key, PyTree
from analogjax.errors import ConfigError, GradientError, SlotError
from analogjax.tile import Tile, TileArray, TileConfig, create_array
from compat.keras.stored import Path, Stored

Chips = Tile | TileArray
_MOVING = ("state", "average")  # the fields of a tile that an update changes


class ByPulses:
    """What Keras calls on a variable that its own optimiser has just changed, and must not have.

    `AnalogOptimizer` knows pulsed variables by this constraint, and does not call it.
    """

    def __init__(self, layer: str) -> None:
        self.layer = layer
        self.rate: Any = None
        self.has_optimizer = False

    def __call__(self, variable: Any) -> Any:
        raise ConfigError(
            f"{self.layer}: its devices are moved by pulses, and an ordinary Keras optimiser does not know how. "
            "Compile the model with compat.keras.AnalogOptimizer(optimizer, learning_rate), or give the layer a "
            "HardwareAware configuration."
        )


class PulsedMatrix:
    """A matrix `[O, I]` on pulsed devices, with its state and its constants as variables of a layer.

    Args:
        layer: The layer that gets the variables.
        name: How their names start.
        config: What the chips are made of.
        w: The weights at first `[O, I]`, as far as the devices can hold them.
        key: Consumed. Random are the devices of the chips.
    """

    def __init__(self, layer: Any, name: str, config: TileConfig, w: Array, key: Key) -> None:
        tile = create_array(config, (w.shape[0], w.shape[1]), key, w, w.dtype)
        guard = ByPulses(layer.name)
        self.stored = Stored(
            layer, name, tile, lambda path: {"trainable": True, "constraint": guard} if _is_moving(path) else {}
        )
        self.rate = layer.add_weight(
            shape=(), initializer="zeros", dtype="float32", autocast=False, constraint=guard, name=f"{name}_rate"
        )
        guard.rate = self.rate
        self._guard, self._layer = guard, layer.name
        self._last: Any = lambda: None

    def chips(self, values: list[Array] | None = None) -> Chips:
        """The chips, by default as the variables hold them."""
        return self.stored.tree(values)

    def exact_chips(self) -> Chips:
        """The chips whose weights are to be programmed."""
        return self.chips()

    def limited(self, x: Array) -> tuple[Array, Array | float]:
        """Inputs as programmed chips get them, and the unit of these: as they are."""
        return x, 1.0

    def moved_to(self, chips: Chips) -> list[Array | None]:
        """The values of the variables for chips; None for what no update changes."""
        values = zip(self.stored.paths, self.stored.values_of(chips), strict=True)
        return [value if _is_moving(path) else None for path, value in values]

    def beginning(self, inputs: PyTree) -> Callable[[], None]:
        """What to call where a derivative of the matrix begins: it refuses what could not be trained rightly."""
        tracer = self.rate.value
        # what is computed of both inside of a loop or vmap is traced by that, and the rate by the derivative around it
        mixed = sum((jnp.sum(leaf) for leaf in jax.tree.leaves(inputs)), tracer)
        is_inside = type(mixed) is not type(tracer)

        def begin() -> None:
            if not self.rate.trainable:
                return
            if not self._guard.has_optimizer:
                raise GradientError(
                    f"{self._layer}: its devices are moved by pulses, and no optimiser of the model makes any. Compile "
                    "the model with compat.keras.AnalogOptimizer(optimizer, learning_rate)."
                )
            if is_inside:
                raise SlotError(
                    f"{self._layer}: is called inside of a transformation (vectorized_map, RNN with a cell of one's "
                    "own, a rematerialised layer, scan), where JAX would add up what its calls do to the "
                    "devices. Call it outside: AnalogDense takes [..., I], and AnalogLSTM has a loop of its own."
                )
            if isinstance(tracer, jax.core.Tracer):
                if self._last() is tracer:
                    raise SlotError(
                        f"{self._layer}: is called twice in one training step. Each call would pulse the devices from "
                        "the same state, and one would be lost: use a layer for each call."
                    )
                self._last = weakref.ref(tracer)

        return begin


def _is_moving(path: Path) -> bool:
    names = [getattr(part, "name", None) for part in path]
    return (names[1] if names[0] == "tiles" else names[0]) in _MOVING
