r"""Chips of an inference tile whose digital surroundings compute with a few bits.

    y = Q_out( Q_scale(s a) (W x) + Q_bias(b) )       s: scale of the mapping and the input range, a: learned scale

A matrix on several chips: each has its own `Q_scale` and `Q_out`; their rounded outputs are added up, then comes the
bias, and the sum is rounded once more. A `Q` with 0 bits does nothing. The ranges of scales and bias are those of their
present values while training; in evaluation mode they are what training left, or of the first values that come.
"""

from typing import Any

from compat.aihwkit.simulator.digital_low_precision.base_quantized_classes import QuantizedActivation
from compat.aihwkit.simulator.digital_low_precision.quantization_manager import QuantizationManager
from compat.aihwkit.simulator.digital_low_precision.quantizers import QMethods
from compat.aihwkit.simulator.digital_low_precision.range_estimators import RangeEstimators
from compat.aihwkit.simulator.tiles.inference_torch import TorchInferenceTile, TorchInferenceTileArray
from compat.aihwkit.simulator.tiles.protocol import is_asked
from compat.torch_package import torch


class PeripheryQuantizer(QuantizationManager):
    """`Q_scale` or `Q_bias`, with the steps learned after some batches where that is asked for."""

    batches: Any

    def __init__(self, config: Any) -> None:
        super().__init__(QMethods.of(config.symmetric), RangeEstimators.current_minmax, {"n_bits": config.n_bits})
        self.init_learning_after = config.init_learning_after if config.learn_quant_params else None
        self.register_buffer("batches", torch.zeros(1) if config.learn_quant_params else None)

    @classmethod
    def of(cls, config: Any) -> "PeripheryQuantizer | None":
        """The quantizer of a `PeripheryQuantizationParameter`; `None` where it asks for nothing."""
        return None if config.n_bits <= 0 else cls(config)

    def forward(self, x: Any) -> Any:
        """`x` rounded."""
        if self.training:
            self._next_batch()
        elif not self.quantizer.is_initialized:
            self.estimate_ranges()
            rounded = super().forward(x)
            self.fix_ranges()
            return rounded
        return super().forward(x)

    def _next_batch(self) -> None:
        if self.is_learning():
            return
        if self.init_learning_after is not None:
            self.batches += 1
            if float(self.batches) > self.init_learning_after:
                self.learn_ranges()
                return
        self.estimate_ranges_train()


class ChipPeriphery(torch.nn.Module):
    """`Q_scale` and `Q_out` of one chip of several."""

    def __init__(self, rpu_config: Any) -> None:
        super().__init__()
        self.scale_quantizer = PeripheryQuantizer.of(rpu_config.pre_post.periph_quant)
        self.out_quantizer = QuantizedActivation.of(rpu_config.act_quant_config)

    def forward(self, y: Any, s: Any, a: Any) -> Any:
        """Outputs `[B, O]` of the chip, which have the scale `s` in them, with rounded scales and rounded."""
        y = with_scale(y, s, a, self.scale_quantizer)
        return y if self.out_quantizer is None else self.out_quantizer(y)


def with_scale(y: Any, s: Any, a: Any, quantizer: Any) -> Any:
    """Outputs `[B, O]` that have the scale `s` in them, with the rounded `s a` instead; `None`: there is no scale."""
    if quantizer is None or (s is None and a is None):
        return y if a is None else y * a
    if s is None:
        return y * quantizer(a)
    return y * (quantizer(s if a is None else s * a) / s)


class Rounded:
    """What is added to a tile module: `Q_bias`."""

    rpu_config: Any
    input_range: Any
    bias: Any
    bias_quantizer: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.bias_quantizer = None if self.bias is None else PeripheryQuantizer.of(self._periphery)

    @property
    def _periphery(self) -> Any:
        return self.rpu_config.pre_post.periph_quant

    def _scale(self, mapped: Any) -> Any:
        """The scale of the outputs that is not learned, for that of the mapping."""
        if self.input_range is None:
            return mapped
        return self.input_range if mapped is None else mapped * self.input_range

    def biased(self, y: Any) -> Any:
        """`[B, O]` with the rounded bias."""
        if self.bias_quantizer is None:
            return super().biased(y)  # type: ignore[misc]
        return y + self.bias_quantizer(self.bias)


class QuantizedTorchInferenceTile(Rounded, TorchInferenceTile):  # type: ignore[misc]
    """One chip."""

    @classmethod
    def is_stacked(cls, rpu_config: Any) -> bool:
        """As any torch tile, but always where its array rounds what the chips give together."""
        return not is_asked(rpu_config.simulator_tile_class)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.scale_quantizer = PeripheryQuantizer.of(self._periphery)
        self.out_quantizer = QuantizedActivation.of(self.rpu_config.act_quant_config)

    def scaled(self, y: Any) -> Any:
        """`[B, O]` with the rounded scales."""
        s = self._scale(self.mapping_scales)
        return with_scale(y, s, self.out_scaling_alpha, self.scale_quantizer)

    def forward(self, x_input: Any, tensor_view: Any = None) -> Any:
        """`[..., I] -> [..., O]`."""
        y = super().forward(x_input, tensor_view)
        return y if self.out_quantizer is None else self.out_quantizer(y)


class QuantizedTileModuleArray(Rounded, TorchInferenceTileArray):  # type: ignore[misc]
    """A matrix on several chips."""

    array: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.module_out_quantizer = QuantizedActivation.of(self.rpu_config.act_quant_config)
        rows, columns = self.chips.tile.grid
        chips = [[ChipPeriphery(self.rpu_config) for _ in range(rows)] for _ in range(columns)]
        self.array = torch.nn.ModuleList(torch.nn.ModuleList(column) for column in chips)

    def product(self, x: Any) -> Any:
        """`[B, I] -> [B, O]`: the rounded answers of the chips, with the rounded scales, added up."""
        answers, s = self._answers(x, each=True), self.mapping_scales
        rows, columns = self.chips.tile.grid
        alpha = self.out_scaling_alpha
        edges = [len(part) for part in torch.arange(self.out_size).tensor_split(rows)]  # larger ones first, as the tile
        total: Any = 0
        for n in range(columns):
            parts = []
            for k, size in enumerate(edges):
                own = self._scale(None if s is None else s[k, n].reshape(-1)[:size])
                learned = alpha if alpha is None or len(alpha) == 1 else alpha.split(edges)[k]
                parts.append(self.array[n][k](answers[k, n, :, :size], own, learned))
            total = total + torch.cat(parts, 1)
        return total

    def scaled(self, y: Any) -> Any:
        """`y`, which has all scales in it."""
        return y

    def forward(self, x_input: Any, tensor_view: Any = None) -> Any:
        """`[..., I] -> [..., O]`."""
        y = super().forward(x_input, tensor_view)
        return y if self.module_out_quantizer is None else self.module_out_quantizer(y)
