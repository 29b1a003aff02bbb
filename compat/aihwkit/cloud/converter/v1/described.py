"""Trainings as `analogjax serve` takes them in JSON: with any configuration of tiles, not only with presets by name."""

from typing import Any

from analogjax.cloud.configuration import config_to_json
from analogjax.cloud.description import FORMAT, Description
from analogjax.cloud.errors import DescriptionError
from compat.aihwkit.cloud.converter.exceptions import ConversionError
from compat.aihwkit.experiments.convert import LOSSES, Layer, Obstacle, layers_of
from compat.aihwkit.experiments.experiments.training import catalogued
from compat.aihwkit.nn.table import ROWS, arguments_of
from compat.torch_package import torch


def described(experiment: Any, seed: int) -> dict[str, Any]:
    """The description of a `BasicTraining`; as in the protocol, its model is made anew on the other side.

    Raises `ConversionError` for what has no words there either.
    """
    loss = experiment.loss_function
    if loss not in LOSSES:
        names = ", ".join(kind.__name__ for kind in LOSSES)
        raise ConversionError(f"Unsupported loss function: {getattr(loss, '__name__', loss)!r}; known are {names}.")
    try:
        layers = [_layer(layer) for layer in layers_of(experiment.model)]
        return Description.from_json({
            "format": FORMAT, "dataset": catalogued(experiment.dataset), "channels_first": True, "layers": layers,
            "batch_size": experiment.batch_size, "epochs": experiment.epochs, "loss_function": loss.__name__,
            "learning_rate": experiment.learning_rate, "seed": seed,
        }).to_json()  # fmt: skip
    except (Obstacle, DescriptionError) as error:
        raise ConversionError(f"The experiment can't be sent: {error}") from None


def _layer(layer: Layer) -> dict[str, Any]:
    if isinstance(layer.module, torch.nn.Dropout):  # of probability 0, or it would be an obstacle
        return {"type": "Identity"}
    row = ROWS[type(layer.module)]
    arguments = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in arguments_of(row, layer.module).items()
    }
    config = {} if layer.config is None else {"config": config_to_json(layer.config)}
    return {"type": row.name} | arguments | config
