"""A matrix of a Keras layer whose weights are trained by gradients, through the noise of a chip."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import keras

from analogjax._typing import Array, Key
from analogjax.tile import AwareTile, HardwareAware, Tile, TileArray, create_aware
from analogjax.tile.hardware_aware import input_range, limit_inputs
from compat.keras.stored import Path, Stored


class AwareMatrix:
    """A matrix `[O, I]` whose weights are ordinary variables of a layer, with all else of its chips as variables too.

    Clipping and remapping follow each step of whatever optimiser, as a constraint on the first of the weights.

    Args:
        layer: The layer that gets the variables.
        name: How their names start.
        config: What the chips are made of.
        weights: The variables that hold the weights.
        joined: Makes the matrix `[O, I]` of the values of these variables.
        parted: Makes the values of these variables of the matrix.
        w: The matrix at first.
        key: Consumed. Random are the constants of the periphery.
    """

    def __init__(
        self,
        layer: Any,
        name: str,
        config: HardwareAware,
        weights: list[Any],
        joined: Callable[[list[Array]], Array],
        parted: Callable[[Array], list[Array]],
        w: Array,
        key: Key,
    ) -> None:
        tile = create_aware(config, w, key)
        self._config, self._shape = config, w.shape
        self._weights, self._joined, self._parted = weights, joined, parted
        limits = config.clip is not None or config.remap is not None
        held = {"trainable": True, "overwrite_with_gradient": True, "regularizer": _held}
        self.stored = Stored(layer, name, tile, lambda path: held if limits and _is_scale(path) else {})
        scales = [n for n, path in enumerate(self.stored.paths) if _is_scale(path)]
        self._scale = self.stored.variables[scales[0]]
        if limits:
            weights[0].constraint = self._after_step
        given = config.input_range
        self._learned = layer.add_weight(
            shape=(), initializer="zeros", dtype="float32", autocast=False, name=f"{name}_input_range"
        ) if given is not None and given.learn else None  # fmt: skip

    def tile(self) -> AwareTile:
        """What belongs to the weights, as the variables hold it; nothing of it has a gradient."""
        return jax.lax.stop_gradient(self.stored.tree())

    def weights(self) -> Array:
        """The logical weights `[O, I]`."""
        return self._joined([variable.value for variable in self._weights])

    def exact_chips(self) -> Tile | TileArray:
        """Chips that hold the weights exactly, to be programmed."""
        return self.tile().chips(self.weights())

    def limited(self, x: Array) -> tuple[Array, Array | float]:
        """Inputs as programmed chips get them, within their range, and the unit of these."""
        tile = self.tile()
        x, unit = limit_inputs(x, input_range(tile, self.learned_range(tile)))
        return x / unit, unit

    def learned_range(self, tile: AwareTile) -> Array | None:
        """The learned range of the inputs `[]`; the variable holds how far it is from the one that data suggested."""
        if self._learned is None or tile.range_estimate is None:
            return None
        return tile.range_estimate + self._learned.value

    def store(self, tile: AwareTile) -> None:
        """Keep what a training batch has changed: the input range that data suggest, and running input scales."""
        for path, variable, value in zip(
            self.stored.paths, self.stored.variables, self.stored.values_of(tile), strict=True
        ):
            if getattr(path[0], "name", None) in ("average", "range_estimate", "range_seen"):
                variable.assign(value)

    def _after_step(self, variable: Any) -> Array:
        """The new value of the first of the weights, after scales and other weights were set to theirs.

        Keras lets an optimiser change trainable variables only, and the scale is one for that reason.
        """
        tile = AwareTile(
            config=self._config, scale=self._scale.value, frozen={}, average=None, range_estimate=None,
            range_seen=None, outputs=self._shape[0], inputs=self._shape[1],
        )  # fmt: skip
        w, tile = tile.after_step(self.weights())
        first, *others = self._parted(w)
        for other, value in zip(self._weights[1:], others, strict=True):
            other.assign(value)
        self._scale.assign(tile.scale)
        return first


def _held(variable: Any) -> Array:
    """A regulariser that adds nothing to the loss, and whose gradient is the value of the variable itself.

    So a variable that Keras overwrites with its gradient stays as it is, whatever optimiser and weight decay there are.
    """
    return _nothing(keras.ops.convert_to_tensor(variable))


@jax.custom_vjp
def _nothing(value: Array) -> Array:
    return jnp.zeros((), jnp.float32)


_nothing.defvjp(lambda value: (_nothing(value), value), lambda value, d: (value,))


def _is_scale(path: Path) -> bool:
    return getattr(path[0], "name", None) == "scale"
