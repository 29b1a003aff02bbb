"""A model whose parts are rounded."""

from compat.aihwkit.simulator.digital_low_precision.base_quantized_classes import QuantizedModule, set_state
from compat.torch_package import torch


class QuantizedModel(torch.nn.Module):
    """A torch module with the states of all its quantizers; no model needs to be one."""

    def _each(self, name: str) -> None:
        for part in self.modules():
            if isinstance(part, QuantizedModule):
                getattr(part, name)()

    def _set(self, state: str, which: str) -> None:
        for part in self.modules():
            quantizer = getattr(part, which, None)
            if isinstance(part, QuantizedModule) and quantizer is not None:
                set_state(quantizer, state)

    def quantized_weights(self) -> None:
        """Round weights."""
        self._each("quantized_weights")

    def full_precision_weights(self) -> None:
        """Leave weights as they are."""
        self._each("full_precision_weights")

    def quantized_acts(self) -> None:
        """Round outputs."""
        self._each("quantized_acts")

    def full_precision_acts(self) -> None:
        """Leave outputs as they are."""
        self._each("full_precision_acts")

    def quantized(self) -> None:
        """Round weights and outputs."""
        self._each("quantized")

    def full_precision(self) -> None:
        """Round nothing."""
        self._each("full_precision")

    def learn_ranges(self) -> None:
        """Leave the steps to an optimizer, where there are ranges."""
        set_state(self, "learn_ranges")

    def fix_ranges(self) -> None:
        """Keep the ranges, where there are any."""
        set_state(self, "fix_ranges")

    def fix_act_ranges(self) -> None:
        """Keep the ranges of outputs."""
        self._set("fix_ranges", "activation_quantizer")

    def fix_weight_ranges(self) -> None:
        """Keep the ranges of weights."""
        self._set("fix_ranges", "weight_quantizer")

    def estimate_ranges(self) -> None:
        """Take the ranges from every batch."""
        set_state(self, "estimate_ranges")

    def estimate_act_ranges(self) -> None:
        """Take the ranges of outputs from every batch."""
        self._set("estimate_ranges", "activation_quantizer")

    def estimate_ranges_train(self) -> None:
        """Take the ranges from batches in training mode."""
        set_state(self, "estimate_ranges_train")

    def reset_act_ranges(self) -> None:
        """Forget the ranges of outputs."""
        for part in self.modules():
            if isinstance(part, QuantizedModule) and hasattr(part, "activation_quantizer"):
                part.activation_quantizer.reset_ranges()

    def set_quant_state(self, weight_quant: bool, act_quant: bool) -> None:
        """Whether weights and outputs are rounded."""
        self._each("quantized_acts" if act_quant else "full_precision_acts")
        self._each("quantized_weights" if weight_quant else "full_precision_weights")
