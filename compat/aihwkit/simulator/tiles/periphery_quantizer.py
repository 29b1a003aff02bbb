"""The rounding of digital scales and biases around a chip."""

from typing import Any

from compat.aihwkit.simulator.digital_low_precision.quantization_manager import QuantizationManager
from compat.aihwkit.simulator.digital_low_precision.quantizers import QMethods
from compat.aihwkit.simulator.digital_low_precision.range_estimators import RangeEstimators
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
