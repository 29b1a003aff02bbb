"""Programming and drift of whole models."""

from typing import Any

from compat.aihwkit.inference.noise.base import BaseNoiseModel
from compat.torch_package import torch


def program_analog_weights(model: Any, noise_model: BaseNoiseModel | None = None) -> None:
    """Program every tile of a model that is in evaluation mode; see `AnalogLayerBase.program_analog_weights`."""
    for layer in _layers(model):
        layer.program_analog_weights(noise_model)


def drift_analog_weights(model: Any, t_inference: float = 0.0) -> None:
    """Drift every tile of a model to `t_inference` seconds after programming."""
    for layer in _layers(model):
        layer.drift_analog_weights(t_inference)


def _layers(model: Any) -> list[Any]:
    # not above: layers need configurations, and these the noise models of this package
    from compat.aihwkit.nn.modules.base import AnalogLayerBase

    assert isinstance(model, torch.nn.Module)
    return [module for module in model.modules() if isinstance(module, AnalogLayerBase) and not module.IS_CONTAINER]
