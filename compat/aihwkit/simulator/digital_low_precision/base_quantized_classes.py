"""Modules that round what goes through them."""

from typing import Any

from compat.aihwkit.simulator.digital_low_precision.config_utils import arguments_of
from compat.aihwkit.simulator.digital_low_precision.quantization_manager import QuantizationManager
from compat.aihwkit.simulator.digital_low_precision.quantizers import QMethods
from compat.torch_package import torch


class QuantizedActivation(torch.nn.Module):
    """Rounds a tensor according to an `ActivationQuantConfig`."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.activation_quantizer = QuantizationManager(
            QMethods.of(config.symmetric), config.range_estimator, {"n_bits": config.n_bits},
            arguments_of(config.range_estimator_params),
        )  # fmt: skip
        self._rounds = True

    @classmethod
    def of(cls, config: Any) -> "QuantizedActivation | None":
        """The module of a configuration; `None` where it asks for nothing."""
        return None if config is None or config.n_bits <= 0 else cls(config)

    def quantized_acts(self) -> None:
        """Round."""
        self._rounds = True

    def full_precision_acts(self) -> None:
        """Let everything through as it is."""
        self._rounds = False

    def estimate_ranges(self) -> None:
        """Take the range from every batch."""
        self.activation_quantizer.estimate_ranges()

    def estimate_ranges_train(self) -> None:
        """Take the range from batches in training mode."""
        self.activation_quantizer.estimate_ranges_train()

    def fix_ranges(self) -> None:
        """Keep the range, where there is one."""
        if self.activation_quantizer.quantizer.is_initialized:
            self.activation_quantizer.fix_ranges()

    def learn_ranges(self) -> None:
        """Leave the step to an optimizer, where there is one."""
        if self.activation_quantizer.quantizer.is_initialized:
            self.activation_quantizer.learn_ranges()

    def forward(self, x: Any) -> Any:
        """`x` rounded."""
        return self.activation_quantizer(x) if self._rounds else x
