"""Hardware-aware NNX models: what follows an optimiser step, and programming."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
from flax import nnx

from analogjax._field_docs import document_fields
from analogjax._typing import Key, PyTree, Scalar
from analogjax.errors import ConfigError
from analogjax.nnx.calls import analog_layers, tiles
from analogjax.nnx.layers import Chips
from analogjax.physics.inference import Compensation, NoiseModel
from analogjax.random import check_key
from analogjax.tile import drift_all, program_all
from analogjax.tile.hardware_aware import range_after_step
from analogjax.tile.inference import check_material
from analogjax.tile.renewal import all_renewed


def after_step(model: nnx.Module) -> None:
    """Clip and remap the weights of hardware-aware layers in place, after an optimiser step.

    Args:
        model: The model that `nnx.Optimizer.update` has just changed.

    Example:
        >>> optimizer.update(model, gradients)
        >>> analogjax.nnx.after_step(model)
    """
    for name, layer in _aware_layers(model):
        if layer.weight is None:
            raise ConfigError(f"after_step: {name} is programmed, and can't be trained.")
        w, tile = layer.hardware.get_value().after_step(layer.weight[...])
        layer.weight.set_value(w)
        layer.hardware.set_value(tile)
        if layer.input_range is not None:
            layer.input_range.set_value(range_after_step(tile, layer.input_range[...]))


@document_fields
@dataclass(frozen=True)
class ProgrammedModel:
    """An NNX model right after its chips were programmed."""

    model: nnx.Module
    """The trained model; it is not changed."""
    chips: PyTree
    """Programmed chips by layer."""

    def drift(self, t: Scalar, *, key: Key) -> nnx.Module:
        """Return a copy of the model, in evaluation mode, with the chips as they are after `t` seconds.

        Args:
            t: Time since programming [s].
            key: Consumed. Random are the read noise, drawn once, and the readout of the compensation.

        Returns:
            The copy. It can be read, not trained.

        Raises:
            ConfigError: If the time is negative.
        """
        check_key(key, "drift")
        copy = nnx.clone(self.model)
        copy.eval()
        found = drift_all(self.chips, t, key)
        for name, layer in [*_aware_layers(copy), *analog_layers(copy)]:
            if hasattr(layer, "hardware"):
                layer.programmed, layer.weight = Chips(found[name]), None
            else:
                layer.tile.set_value(found[name])
        return copy


def program(
    model: nnx.Module,
    noise_model: NoiseModel,
    compensation: Compensation | None = None,
    *,
    fresh: bool = False,
    key: Key,
) -> ProgrammedModel:
    """Program the chips of a trained model.

    Args:
        model: A model with pulsed layers, hardware-aware layers, or both.
        noise_model: Material, with its programming noise and drift exponents.
        compensation: Drift compensation; None: the outputs fade with time.
        fresh: Program other chips than those of the model, with converters and wires of their own.
        key: Consumed. Random are the programming noise, the drift exponents, the baseline of the compensation, and the
            constants of fresh chips.

    Returns:
        The programmed model; `drift` gives a model to read.

    Raises:
        ConfigError: If the model has no analog layer, or was programmed before.
    """
    check_key(key, "program")
    check_material("program", noise_model, compensation)
    exact: dict[str, Any] = tiles(model)
    for name, layer in _aware_layers(model):
        if layer.weight is None:
            raise ConfigError(f"program: {name} is programmed already; program the trained model.")
        exact[name] = layer.hardware.get_value().chips(layer.weight[...])
    if not jax.tree.leaves(exact):
        raise ConfigError("program: this model has no analog layer, so there is nothing to program.")
    if fresh:
        k_chips, key = jax.random.split(key)
        exact = all_renewed(exact, k_chips)
    return ProgrammedModel(model, program_all(exact, noise_model, compensation, key))


def _aware_layers(model: nnx.Module) -> Iterator[tuple[str, Any]]:
    return analog_layers(model, "hardware")
