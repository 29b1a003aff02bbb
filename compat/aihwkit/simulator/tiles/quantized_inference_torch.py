r"""Chips of an inference tile whose digital surroundings compute with a few bits.

    y = Q_out( Q_scale(s a) (W x) + Q_bias(b) )       s: scale of the mapping and the input range, a: learned scale

A matrix on several chips (`array.QuantizedTileModuleArray`): each has its own `Q_scale` and `Q_out`; their rounded
outputs are added up, then comes the bias, and the sum is rounded once more. A `Q` with 0 bits does nothing. The ranges
of scales and bias are those of their present values while training; in evaluation mode they are what training left, or
of the first values that come.
"""

from functools import partial
from typing import Any

from compat.aihwkit.simulator.digital_low_precision.base_quantized_classes import QuantizedActivation
from compat.aihwkit.simulator.tiles.array import (
    QuantizedTileModuleArray as QuantizedTileModuleArray,  # its place in configurations that compat 0.1.0 saved
)
from compat.aihwkit.simulator.tiles.inference_torch import TorchInferenceTile
from compat.aihwkit.simulator.tiles.periphery_quantizer import PeripheryQuantizer


def with_scale(y: Any, s: Any, a: Any, quantizer: Any) -> Any:
    """Outputs `[B, O]` that have the scale `s` in them, with the rounded `s a` instead; `None`: there is no scale."""
    if quantizer is None or (s is None and a is None):
        return y if a is None else y * a
    if s is None:
        return y * quantizer(a)
    return y * (quantizer(s if a is None else s * a) / s)


class QuantizedTorchInferenceTile(TorchInferenceTile):
    """Scales, bias and output are rounded."""

    bias_quantizer: Any
    scale_quantizer: Any
    out_quantizer: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        periphery = self.rpu_config.pre_post.periph_quant
        self.bias_quantizer = None if self.bias is None else PeripheryQuantizer.of(periphery)
        self.scale_quantizer = PeripheryQuantizer.of(periphery)
        self.register_parameter("scale_quant_update_idx", PeripheryQuantizer.counter(periphery))
        counted = None if self.bias is None else PeripheryQuantizer.counter(periphery)
        self.register_parameter("bias_quant_update_idx", counted)
        self.out_quantizer = QuantizedActivation.of(self.rpu_config.act_quant_config)

    def scaled(self, y: Any) -> Any:
        """`[B, O]` with the rounded scales."""
        s = self.mapping_scales
        if self.input_range is not None:
            s = self.input_range if s is None else s * self.input_range
        rounds = self.scale_quantizer and partial(self.scale_quantizer, seen=self.scale_quant_update_idx)
        return with_scale(y, s, self.out_scaling_alpha, rounds)

    def biased(self, y: Any) -> Any:
        """`[B, O]` with the rounded bias."""
        if self.bias_quantizer is None:
            return super().biased(y)
        return y + self.bias_quantizer(self.bias, self.bias_quant_update_idx)

    def forward(self, x_input: Any, tensor_view: Any = None) -> Any:
        """`[..., I] -> [..., O]`."""
        y = super().forward(x_input, tensor_view)
        return y if self.out_quantizer is None else self.out_quantizer(y)
