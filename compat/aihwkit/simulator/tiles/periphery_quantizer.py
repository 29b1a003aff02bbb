"""The rounding of digital scales and biases around a chip."""

from typing import Any

from compat.aihwkit.simulator.digital_low_precision.quantization_manager import QuantizationManager
from compat.aihwkit.simulator.digital_low_precision.quantizers import QMethods
from compat.aihwkit.simulator.digital_low_precision.range_estimators import RangeEstimators
from compat.torch_package import torch


class PeripheryQuantizer(QuantizationManager):
    """The rounding of scales, or of a bias, with the steps learned after some batches where that is asked for."""

    def __init__(self, config: Any) -> None:
        super().__init__(QMethods.of(config.symmetric), RangeEstimators.current_minmax, {"n_bits": config.n_bits})
        self.init_learning_after = config.init_learning_after

    @classmethod
    def of(cls, config: Any) -> "PeripheryQuantizer | None":
        """The quantizer of a `PeripheryQuantizationParameter`; `None` where it asks for nothing."""
        return None if config.n_bits <= 0 else cls(config)

    @staticmethod
    def counter(config: Any) -> Any:
        """A parameter that counts batches until learning starts; `None` where nothing is learned."""
        if config.n_bits <= 0 or not config.learn_quant_params:
            return None
        return torch.nn.Parameter(torch.zeros(1), requires_grad=False)

    def forward(self, x: Any, seen: Any = None) -> Any:
        """`x` rounded; `seen` is the counter of batches, if there is one."""
        if self.training:
            self._next_batch(seen)
        elif not self.quantizer.is_initialized:
            self.estimate_ranges()
            rounded = super().forward(x)
            self.fix_ranges()
            return rounded
        return super().forward(x)

    @torch.no_grad()
    def _next_batch(self, seen: Any) -> None:
        if self.is_learning():
            return
        if seen is not None:
            seen += 1
            if float(seen) > self.init_learning_after:
                self.learn_ranges()
                return
        self.estimate_ranges_train()
