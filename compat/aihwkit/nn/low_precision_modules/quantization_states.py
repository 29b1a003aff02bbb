"""States of all quantizers of a model: what is rounded, and where its range comes from."""

from typing import Any

from compat.aihwkit.simulator.digital_low_precision.base_quantized_classes import QuantizedModule, set_state


def _each(model: Any, name: str) -> None:
    for part in model.modules():
        if isinstance(part, QuantizedModule):
            getattr(part, name)()


def _set(model: Any, state: str, which: str) -> None:
    for part in model.modules():
        quantizer = getattr(part, which, None)
        if isinstance(part, QuantizedModule) and quantizer is not None:
            set_state(quantizer, state)


def quantized_weights(model: Any) -> None:
    """Round the weights."""
    _each(model, "quantized_weights")


def full_precision_weights(model: Any) -> None:
    """Leave the weights as they are."""
    _each(model, "full_precision_weights")


def quantized_acts(model: Any) -> None:
    """Round the outputs."""
    _each(model, "quantized_acts")


def full_precision_acts(model: Any) -> None:
    """Leave the outputs as they are."""
    _each(model, "full_precision_acts")


def quantized(model: Any) -> None:
    """Round weights and outputs."""
    _each(model, "quantized")


def full_precision(model: Any) -> None:
    """Round nothing."""
    _each(model, "full_precision")


def learn_ranges(model: Any) -> None:
    """Leave the steps to an optimizer, where there are ranges."""
    set_state(model, "learn_ranges")


def fix_ranges(model: Any) -> None:
    """Keep the ranges, where there are any."""
    set_state(model, "fix_ranges")


def fix_act_ranges(model: Any) -> None:
    """Keep the ranges of outputs."""
    _set(model, "fix_ranges", "activation_quantizer")


def fix_weight_ranges(model: Any) -> None:
    """Keep the ranges of weights."""
    _set(model, "fix_ranges", "weight_quantizer")


def estimate_ranges(model: Any) -> None:
    """Take the ranges from every batch."""
    set_state(model, "estimate_ranges")


def estimate_act_ranges(model: Any) -> None:
    """Take the ranges of outputs from every batch."""
    _set(model, "estimate_ranges", "activation_quantizer")


def estimate_ranges_train(model: Any) -> None:
    """Take the ranges from batches in training mode."""
    set_state(model, "estimate_ranges_train")


def reset_act_ranges(model: Any) -> None:
    """Forget the ranges of outputs."""
    for part in model.modules():
        if isinstance(part, QuantizedModule) and hasattr(part, "activation_quantizer"):
            part.activation_quantizer.reset_ranges()


def set_quant_state(model: Any, weight_quant: bool, act_quant: bool) -> None:
    """Whether weights and outputs are rounded."""
    _each(model, "quantized_acts" if act_quant else "full_precision_acts")
    _each(model, "quantized_weights" if weight_quant else "full_precision_weights")


def enable_quant_states(model: Any) -> None:
    """Round what has bits, and nothing else."""
    for part in model.modules():
        if isinstance(part, QuantizedModule):
            (part.quantized_weights if part.n_bits > 0 else part.full_precision_weights)()
            (part.quantized_acts if part.n_bits_act > 0 else part.full_precision_acts)()
