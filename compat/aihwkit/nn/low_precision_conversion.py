"""From digital layers to those whose weights and outputs are rounded."""

import copy
import warnings
from typing import Any

from compat.aihwkit.nn.conversion import convert_to_digital
from compat.aihwkit.nn.low_precision_modules.conversion_utils import (
    DEFAULT_CONVERSIONS,
    LEAF_MODULES,
    get_module_args,
)
from compat.aihwkit.nn.low_precision_modules.quantization_states import enable_quant_states
from compat.aihwkit.nn.low_precision_modules.quantized_input_module import QuantizedInputModule
from compat.aihwkit.nn.modules.base import AnalogLayerBase
from compat.aihwkit.simulator.digital_low_precision.config_utils import convert_configs_to_kwargs_dict

__all__ = ["DEFAULT_CONVERSIONS", "LEAF_MODULES", "convert_to_quantized", "quantize_model"]


def convert_to_quantized(model: Any, quantization_map: Any) -> Any:
    """A copy of a model in which what a `QuantizationMap` names is rounded.

    A layer is known by its name (`instance_qconfig_map`) or else by its exact type (`module_qconfig_map`); an analog
    one that is named becomes digital. `input_activation_qconfig_map` rounds the input of the modules it names, and
    `excluded_modules` stay as they are, with all that is in them. Warns of a name that no module has.
    """
    _warn_of_names(model, quantization_map)
    model = quantize_model(copy.deepcopy(model), quantization_map)
    enable_quant_states(model)
    return model


def _warn_of_names(model: Any, quantization_map: Any) -> None:
    known = {name for name, _ in model.named_modules()}
    places = ("instance_qconfig_map", "input_activation_qconfig_map", "excluded_modules")
    for place in places:
        unknown = sorted(set(getattr(quantization_map, place)) - known)
        if unknown:
            warnings.warn(f"QuantizationMap.{place}: the model has no module {', '.join(unknown)}.", stacklevel=3)


def quantize_model(model: Any, quantization_map: Any, model_name: str = "") -> Any:
    """The model, changed in place where it is a container; `model_name` is its name in the whole."""
    if model_name in quantization_map.excluded_modules or isinstance(model, LEAF_MODULES):
        return model
    named = quantization_map.instance_qconfig_map.get(model_name) if model_name else None
    config = named or quantization_map.module_qconfig_map.get(type(model))
    if config is not None:
        return _rounded(model, config, quantization_map)
    if isinstance(model, AnalogLayerBase) and not model.IS_CONTAINER:
        return model
    for child_name, child in list(model._modules.items()):
        name = f"{model_name}.{child_name}" if model_name else child_name
        if child is None or name in quantization_map.excluded_modules:
            continue
        made = quantize_model(child, quantization_map, name)
        if name in quantization_map.input_activation_qconfig_map:
            made = QuantizedInputModule(made, quantization_map.input_activation_qconfig_map[name])
        model._modules[child_name] = made
    return model


def _rounded(module: Any, config: Any, quantization_map: Any) -> Any:
    """The rounded twin of a module; itself, where nothing of it is to be rounded."""
    how = config.module_qconfig
    for part in (how.activation_quant, how.weight_quant):
        part.check()
    if how.activation_quant.n_bits <= 0 and how.weight_quant.n_bits <= 0:
        return module
    given = convert_configs_to_kwargs_dict(how)
    if isinstance(module, AnalogLayerBase):
        module = convert_to_digital(module)
    if type(module) not in DEFAULT_CONVERSIONS:
        return config.quantized_module(module, quantization_map=quantization_map, **given)
    twin = config.quantized_module(**get_module_args(module), **given)
    for name, parameter in module._parameters.items():
        if parameter is not None:
            getattr(twin, name).data = parameter.data
            getattr(twin, name).requires_grad_(parameter.requires_grad)
    return twin.train(module.training)
