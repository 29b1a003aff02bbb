"""Rounding added to a layer of torch."""

import copy
from typing import Any

from compat.aihwkit.exceptions import ConfigError
from compat.aihwkit.simulator.digital_low_precision.base_quantized_classes import QuantizedModule
from compat.aihwkit.simulator.digital_low_precision.quantization_manager import QuantizationManager
from compat.aihwkit.simulator.digital_low_precision.range_estimators import RangeEstimators
from compat.torch_package import torch

activations_list = [
    torch.nn.ReLU, torch.nn.ReLU6, torch.nn.Hardtanh, torch.nn.Sigmoid, torch.nn.Tanh, torch.nn.PReLU, torch.nn.GELU,
]  # fmt: skip


class QuantizationHijacker(QuantizedModule):
    """Put before a layer of torch: its weights and outputs are rounded, its bias is not.

    A subclass says in `run_forward` how the layer computes with given weights. An `activation` comes before the outputs
    are rounded.
    """

    weight: Any
    bias: Any
    activation_function: Any

    def __init__(self, *args: Any, activation: Any = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if activation is not None and not isinstance(activation, tuple(activations_list)):
            known = ", ".join(kind.__name__ for kind in activations_list)
            raise ConfigError(f"activation={activation!r} is none of those that can be part of a layer: {known}.")
        self.activation_function = copy.deepcopy(activation)
        self.activation_quantizer = QuantizationManager(
            self.act_method, self.act_range_method, {"n_bits": self.n_bits_act}, self.act_range_options,
            self.per_channel_acts,
        )  # fmt: skip
        current = self.weight_range_method is RangeEstimators.current_minmax
        self.weight_quantizer = QuantizationManager(
            self.method, self.weight_range_method, {"n_bits": self.n_bits},
            {"percentile": self.percentile} if current else self.weight_range_options, self.per_channel_weights,
        )  # fmt: skip

    def forward(self, x: Any, offsets: Any = None) -> Any:
        """The outputs of the layer, rounded where they are to be."""
        weight, bias = self.get_params()
        return self.quantize_activations(self.run_forward(x, weight, bias, offsets=offsets))

    def get_params(self) -> tuple[Any, Any]:
        """Weights, rounded where they are to be, and bias."""
        if not self.training and self.cached_params is not None:
            return self.cached_params
        weight, bias = self.get_weight_bias()
        if self._quant_w:
            weight = self.weight_quantizer(weight)
        if self._caching and not self.training:
            self.cached_params = weight.detach(), None if bias is None else bias.detach()
        return weight, bias

    def get_weight_bias(self) -> tuple[Any, Any]:
        """Weights and bias as they are trained."""
        return self.weight, getattr(self, "bias", None)

    def run_forward(self, x: Any, weight: Any, bias: Any, offsets: Any = None) -> Any:
        """The outputs of the layer for given weights."""
        raise NotImplementedError(f"{type(self).__name__} must define run_forward().")

    def quantize_activations(self, activations: Any) -> Any:
        """The outputs, after the activation, rounded where they are to be."""
        if self.activation_function is not None:
            activations = self.activation_function(activations)
        return self.activation_quantizer(activations) if self._quant_a else activations
