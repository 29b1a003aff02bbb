"""Keras models whose chips are programmed once, and drift.

programmed = compat.keras.program(model, PCMLike(), GlobalCompensation(), key=random.key(1))
after_a_day = programmed.drift(86400.0, key=random.key(2))
after_a_day.evaluate(x, y)
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import keras

from analogjax._field_docs import document_fields
from analogjax._typing import Key, PyTree, Scalar
from analogjax.errors import ConfigError
from analogjax.physics.inference import Compensation, NoiseModel
from analogjax.random import check_key
from analogjax.tile import drift_all, program_all
from analogjax.tile.inference import check_material
from analogjax.tile.renewal import all_renewed
from compat.keras.layer import AnalogLayer


@document_fields
@dataclass(frozen=True)
class ProgrammedModel:
    """A Keras model right after its chips were programmed."""

    model: Any
    """The trained model; it is not changed."""
    chips: PyTree
    """Programmed chips by layer and matrix."""

    def drift(self, t: Scalar, *, key: Key) -> Any:
        """Return a copy of the model with the chips as they are after `t` seconds.

        Args:
            t: Time since programming [s].
            key: Consumed. Random are the read noise, drawn once, and the readout of the compensation.

        Returns:
            A Keras model, compiled with the loss and the metrics of the trained one, if that was compiled. It can be
            read, but not trained or saved.

        Raises:
            ConfigError: If the time is negative.
        """
        check_key(key, "drift")
        found = drift_all(self.chips, t, key)
        copy = _copied(self.model)
        for name, layer in _analog_layers(copy):
            layer.programmed = found[name]
        return copy


def program(
    model: Any,
    noise_model: NoiseModel,
    compensation: Compensation | None = None,
    *,
    fresh: bool = False,
    key: Key,
) -> ProgrammedModel:
    """Program the chips of a trained Keras model.

    Args:
        model: A sequential or functional model with analog layers, of either kind.
        noise_model: Material, with its programming noise and drift exponents.
        compensation: Drift compensation; None: the outputs fade with time.
        fresh: Program other chips than those of the model, with converters and wires of their own.
        key: Consumed. Random are the programming noise, the drift exponents, the baseline of the compensation, and the
            constants of fresh chips.

    Returns:
        The programmed model; `drift` gives a model to read.

    Raises:
        ConfigError: If the model has no analog layer, is a subclassed one, or was programmed before.
    """
    check_key(key, "program")
    check_material("program", noise_model, compensation)
    exact: dict[str, Any] = {}
    for name, layer in _analog_layers(model):
        if layer.programmed is not None:
            raise ConfigError(f"program: {name} is programmed already; program the trained model.")
        # Keras may reuse the memory of variables, so these chips have their own
        exact[name] = jax.tree.map(jnp.copy, tuple(matrix.exact_chips() for matrix in layer.matrices))
    if not exact:
        raise ConfigError("program: this model has no analog layer, so there is nothing to program.")
    if fresh:
        k_chips, key = jax.random.split(key)
        exact = all_renewed(exact, k_chips)
    _copied(model)  # what can't be copied is refused before anything is computed
    return ProgrammedModel(model, program_all(exact, noise_model, compensation, key))


def _analog_layers(model: Any) -> Iterator[tuple[str, AnalogLayer]]:
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, AnalogLayer)]
    for number, layer in enumerate(layers):
        yield f"{number:04d}_{layer.name}", layer


def _copied(model: Any) -> Any:
    """A model of the same layers and weights, compiled for evaluation like it."""
    try:
        copy = keras.models.clone_model(model)
        copy.set_weights(model.get_weights())
    except (ValueError, TypeError, NotImplementedError, RuntimeError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(
            f"program: {type(model).__name__} can't be copied, as sequential and functional models can: "
            f"{str(error).splitlines()[0]}"
        ) from error
    if model.compiled:
        settings = model.get_compile_config() or {}
        copy.compile_from_config({**settings, "optimizer": "sgd"})
    return copy
