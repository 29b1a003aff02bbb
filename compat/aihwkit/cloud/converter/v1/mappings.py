"""What a training may be made of in version 1 of the format, and what it is called there."""

import importlib
from typing import Any

from analogjax.cloud.wire.training import DATASETS
from analogjax.nn.table import LAYERS, Layer, Message
from compat.aihwkit.cloud.converter.v1.functions import TYPES as TYPES
from compat.aihwkit.cloud.converter.v1.functions import TYPES_LISTS as TYPES_LISTS
from compat.aihwkit.cloud.converter.v1.functions import Function as Function
from compat.aihwkit.cloud.converter.v1.functions import LayerFunction as LayerFunction
from compat.aihwkit.cloud.converter.v1.functions import Type as Type
from compat.aihwkit.cloud.converter.v1.functions import build_inverse_mapping as build_inverse_mapping
from compat.aihwkit.nn.table import CLASSES
from compat.aihwkit.optim import AnalogSGD
from compat.aihwkit.simulator import presets as known
from compat.torch_package import torch

_DEVICES = ("ReRamES", "ReRamSB", "Capacitor", "EcRam", "Idealized")
_NAMES = (
    *(f"{device}Preset" for device in (*_DEVICES, "PCM")),
    *(f"MixedPrecision{device}Preset" for device in (*_DEVICES, "PCM")),
    *(f"TikiTaka{device}Preset" for device in _DEVICES),
)
_PRESETS: dict[type, str] = {getattr(known, name): name for name in _NAMES}
_OMEGA = {"weight_scaling_omega": float}


def arguments_of(row: Layer) -> dict[str, Any]:
    """The types of a row's arguments as they travel."""
    told = {name: argument.wire for name, argument in row.arguments.items() if argument.wire is not None}
    return told | ({"rpu_config": str} if row.analog else {})


def vision() -> Any:
    """torchvision's datasets: the real ones where they work, else ours."""
    try:
        return importlib.import_module("torchvision.datasets")
    except Exception:  # a broken binary extension may raise anything
        return importlib.import_module("compat.torchvision.datasets")


class Mappings:
    """From Python's entities to ids; the datasets are torchvision's, by class."""

    datasets: dict[type, str] = {getattr(vision(), name): id_ for id_, name in DATASETS.items()}  # noqa: RUF012
    presets: dict[type, str] = _PRESETS
    layers: dict[type, Function] = {  # noqa: RUF012
        CLASSES[row.name]: LayerFunction(row.name, arguments_of(row) | (_OMEGA if row.analog else {}), _PRESETS)
        for row in LAYERS
        if row.message is Message.LAYER
    }
    activation_functions: dict[type, Function] = {  # noqa: RUF012
        CLASSES[row.name]: Function(row.name, arguments_of(row)) for row in LAYERS if row.message is Message.ACTIVATION
    }
    loss_functions: dict[type, Function] = {  # noqa: RUF012
        getattr(torch.nn, name): Function(name, {}) for name in ("BCELoss", "CrossEntropyLoss", "MSELoss", "NLLLoss")
    }
    optimizers: dict[type, Function] = {AnalogSGD: Function("AnalogSGD", {"lr": float})}  # noqa: RUF012


class InverseMappings:
    """From ids to Python's entities."""

    datasets = build_inverse_mapping(Mappings.datasets)
    presets = build_inverse_mapping(Mappings.presets)
    layers = build_inverse_mapping(Mappings.layers)
    activation_functions = build_inverse_mapping(Mappings.activation_functions)
    loss_functions = build_inverse_mapping(Mappings.loss_functions)
    optimizers = build_inverse_mapping(Mappings.optimizers)
