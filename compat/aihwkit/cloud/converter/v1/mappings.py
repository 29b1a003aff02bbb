"""What a training may be made of in version 1 of the format, and what it is called there."""

import importlib
from typing import Any

from compat.aihwkit.cloud.converter.v1.functions import TYPES as TYPES
from compat.aihwkit.cloud.converter.v1.functions import TYPES_LISTS as TYPES_LISTS
from compat.aihwkit.cloud.converter.v1.functions import Function as Function
from compat.aihwkit.cloud.converter.v1.functions import LayerFunction as LayerFunction
from compat.aihwkit.cloud.converter.v1.functions import Type as Type
from compat.aihwkit.cloud.converter.v1.functions import build_inverse_mapping as build_inverse_mapping
from compat.aihwkit.nn.modules.conv import AnalogConv2d
from compat.aihwkit.nn.modules.linear import AnalogLinear
from compat.aihwkit.optim import AnalogSGD
from compat.aihwkit.simulator import presets as known
from compat.torch_package import torch

_DEVICES = ("ReRamES", "ReRamSB", "Capacitor", "EcRam", "Idealized")
_NAMES = (
    *(f"{device}Preset" for device in (*_DEVICES, "PCM")),
    *(f"MixedPrecision{device}Preset" for device in (*_DEVICES, "PCM")),
    *(f"TikiTaka{device}Preset" for device in _DEVICES),
)
DENSE = {"in_features": int, "out_features": int, "bias": bool}
CONV = {
    "in_channels": int, "out_channels": int, "kernel_size": [int], "stride": [int], "padding": [int],
    "dilation": [int], "bias": bool,
}  # fmt: skip
POOL = {"kernel_size": int, "stride": int, "padding": int, "dilation": int, "ceil_mode": bool}
_CONFIG = {"rpu_config": str, "weight_scaling_omega": float}


def vision() -> Any:
    """torchvision's datasets: the real ones where they work, else ours."""
    try:
        return importlib.import_module("torchvision.datasets")
    except Exception:  # a broken binary extension may raise anything
        return importlib.import_module("compat.torchvision.datasets")


class Mappings:
    """From Python's entities to ids; the datasets are torchvision's, by class."""

    datasets: dict[type, str] = {vision().FashionMNIST: "fashion_mnist", vision().SVHN: "svhn"}  # noqa: RUF012
    presets: dict[type, str] = {getattr(known, name): name for name in _NAMES}  # noqa: RUF012
    layers: dict[type, Function] = {  # noqa: RUF012
        AnalogConv2d: LayerFunction("AnalogConv2d", CONV | _CONFIG, presets),
        AnalogLinear: LayerFunction("AnalogLinear", DENSE | _CONFIG, presets),
        torch.nn.BatchNorm2d: LayerFunction("BatchNorm2d", {"num_features": int}),
        torch.nn.Conv2d: LayerFunction("Conv2d", CONV),
        torch.nn.ConvTranspose2d: LayerFunction("ConvTranspose2d", CONV | {"output_padding": [int]}),
        torch.nn.Flatten: LayerFunction("Flatten", {}),
        torch.nn.Linear: LayerFunction("Linear", DENSE),
        torch.nn.MaxPool2d: LayerFunction("MaxPool2d", POOL),
    }
    activation_functions: dict[type, Function] = {  # noqa: RUF012
        torch.nn.LeakyReLU: Function("LeakyReLU", {"negative_slope": float}),
        torch.nn.LogSigmoid: Function("LogSigmoid", {}),
        torch.nn.LogSoftmax: Function("LogSoftmax", {"dim": int}),
        torch.nn.ReLU: Function("ReLU", {}),
        torch.nn.Sigmoid: Function("Sigmoid", {}),
        torch.nn.Softmax: Function("Softmax", {"dim": int}),
        torch.nn.Tanh: Function("Tanh", {}),
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
