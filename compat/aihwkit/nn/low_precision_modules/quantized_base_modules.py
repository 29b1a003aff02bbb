"""The layers of torch whose weights and outputs can be rounded."""

from typing import Any

from compat.aihwkit.simulator.digital_low_precision.base_quantized_classes import FP32Acts, QuantizedActivation
from compat.aihwkit.simulator.digital_low_precision.base_quantized_model import QuantizedModel
from compat.aihwkit.simulator.digital_low_precision.hijacker import QuantizationHijacker
from compat.torch_package import torch

_F: Any = torch.nn.functional


class QuantLinear(QuantizationHijacker, torch.nn.Linear):
    """`torch.nn.Linear` with rounded weights and outputs."""

    def run_forward(self, x: Any, weight: Any, bias: Any, offsets: Any = None) -> Any:
        """`[..., I] -> [..., O]`."""
        return _F.linear(x, weight, bias)


class QuantConv2d(QuantizationHijacker, torch.nn.Conv2d):
    """`torch.nn.Conv2d` with rounded weights and outputs."""

    def run_forward(self, x: Any, weight: Any, bias: Any, offsets: Any = None) -> Any:
        """`[B, C, H, W] -> [B, O, H', W']`."""
        return self._conv_forward(x, weight, bias)


class QuantLayerNorm(QuantizationHijacker, torch.nn.LayerNorm):
    """`torch.nn.LayerNorm` with rounded weights and outputs."""

    def run_forward(self, x: Any, weight: Any, bias: Any, offsets: Any = None) -> Any:
        """A tensor of the shape of `x`."""
        return _F.layer_norm(x, self.normalized_shape, weight, bias, self.eps)


class QuantEmbedding(QuantizationHijacker, torch.nn.Embedding):
    """`torch.nn.Embedding` with rounded weights, which are its outputs too."""

    activation_quantizer: Any

    def __init__(self, *args: Any, activation: Any = None, **kwargs: Any) -> None:
        super().__init__(*args, activation=activation, **kwargs)
        self.activation_quantizer = FP32Acts()

    def run_forward(self, x: Any, weight: Any, bias: Any, offsets: Any = None) -> Any:
        """`[...] -> [..., D]`, for whole numbers."""
        return _F.embedding(
            x, weight, self.padding_idx, self.max_norm, self.norm_type, self.scale_grad_by_freq, self.sparse
        )


class QuantBatchNorm2d(QuantizedModel):
    """A batch norm whose outputs are rounded."""

    def __init__(self, org_model: Any, **quant_params: Any) -> None:
        super().__init__()
        self.module, self.act_bn_quantizer = org_model, QuantizedActivation(**quant_params)

    def forward(self, x: Any) -> Any:
        """The rounded outputs of the batch norm."""
        return self.act_bn_quantizer(self.module(x))
