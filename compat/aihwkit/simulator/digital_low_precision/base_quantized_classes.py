"""Modules that round what goes through them."""

from collections.abc import Callable
from typing import Any

from compat.aihwkit.exceptions import ConfigError
from compat.aihwkit.simulator.digital_low_precision.config_utils import convert_act_config_to_kwargs_dict
from compat.aihwkit.simulator.digital_low_precision.quantization_manager import QuantizationManager
from compat.aihwkit.simulator.digital_low_precision.quantizers import QMethods
from compat.aihwkit.simulator.digital_low_precision.range_estimators import RangeEstimators
from compat.torch_package import torch


def set_state(module: Any, state: str) -> None:
    """Bring all quantizers of a module to a state, by the name of their method; those without a range keep theirs
    where the state needs one.
    """
    for part in module.modules():
        if isinstance(part, QuantizationManager):
            if state in ("fix_ranges", "learn_ranges") and not part.quantizer.is_initialized:
                continue
            getattr(part, state)()


class QuantizedModule(torch.nn.Module):
    """Added to a torch module: whether weights and outputs are rounded (neither, at first), and how."""

    activation_quantizer: Any
    weight_quantizer: Any

    def __init__(
        self, *args: Any, method: QMethods = QMethods.asymmetric_uniform, act_method: QMethods | None = None,
        n_bits: int = 8, n_bits_act: int | None = None, per_channel_weights: bool = False,
        per_channel_acts: bool = False, percentile: float | None = None,
        weight_range_method: RangeEstimators = RangeEstimators.current_minmax,
        weight_range_options: dict[str, Any] | None = None,
        act_range_method: RangeEstimators = RangeEstimators.running_minmax,
        act_range_options: dict[str, Any] | None = None, scale_domain: str = "linear", quantization_map: Any = None,
        **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(*args, **kwargs)
        if scale_domain != "linear":
            raise ConfigError(f"scale_domain={scale_domain!r} is not supported by this version of analogjax.")
        self.method, self.act_method = method, act_method or method
        self.n_bits, self.n_bits_act = n_bits, n_bits if n_bits_act is None else n_bits_act
        self.per_channel_weights, self.per_channel_acts = per_channel_weights, per_channel_acts
        self.percentile, self.weight_range_method = percentile, weight_range_method
        self.weight_range_options = dict(weight_range_options or {})
        self.act_range_method, self.act_range_options = act_range_method, dict(act_range_options or {})
        self.cached_params: Any = None  # rounded weights, in evaluation mode
        self._caching, self._quant_w, self._quant_a = True, False, False

    @property
    def caching(self) -> bool:
        """Whether rounded weights are kept in evaluation mode."""
        return self._caching

    @caching.setter
    def caching(self, value: bool) -> None:
        self._caching, self.cached_params = value, None

    def quantized_weights(self) -> None:
        """Round the weights."""
        self.cached_params, self._quant_w = None, True

    def full_precision_weights(self) -> None:
        """Leave the weights as they are."""
        self.cached_params, self._quant_w = None, False

    def quantized_acts(self) -> None:
        """Round the outputs."""
        self._quant_a = True

    def full_precision_acts(self) -> None:
        """Leave the outputs as they are."""
        self._quant_a = False

    def quantized(self) -> None:
        """Round weights and outputs."""
        self.quantized_weights()
        self.quantized_acts()

    def full_precision(self) -> None:
        """Round nothing."""
        self.full_precision_weights()
        self.full_precision_acts()

    def learn_ranges(self) -> None:
        """Leave the steps to an optimizer, where there are ranges."""
        set_state(self, "learn_ranges")

    def fix_ranges(self) -> None:
        """Keep the ranges, where there are any."""
        set_state(self, "fix_ranges")

    def estimate_ranges(self) -> None:
        """Take the ranges from every batch."""
        set_state(self, "estimate_ranges")

    def estimate_ranges_train(self) -> None:
        """Take the ranges from batches in training mode."""
        set_state(self, "estimate_ranges_train")

    def train(self, mode: bool = True) -> Any:
        """To training mode, which forgets rounded weights, or to evaluation mode."""
        self.cached_params = None
        return super().train(mode)

    def _apply(self, fn: Callable, *args: Any, **kwargs: Any) -> Any:
        self.cached_params = None
        return super()._apply(fn, *args, **kwargs)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self.cached_params = None
        super()._load_from_state_dict(*args, **kwargs)

    def extra_repr(self) -> str:
        """What torch shows, and what is rounded."""
        own, shown = f"weight_quant={self._quant_w}, act_quant={self._quant_a}", super().extra_repr()
        return f"{shown}, {own}" if shown else own


class QuantizedActivation(QuantizedModule):
    """Rounds a tensor, once `quantized_acts()` was called."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.activation_quantizer = QuantizationManager(
            self.act_method, self.act_range_method, {"n_bits": self.n_bits_act}, self.act_range_options
        )

    @classmethod
    def of(cls, config: Any) -> "QuantizedActivation | None":
        """The module of an `ActivationQuantConfig`, which rounds; `None` where it asks for nothing."""
        if config is None or config.n_bits <= 0:
            return None
        made = cls(**convert_act_config_to_kwargs_dict(config))
        made.quantized_acts()
        return made

    def quantize_activations(self, x: Any) -> Any:
        """`x` rounded, or as it is."""
        return self.activation_quantizer(x) if self._quant_a else x

    def forward(self, x: Any) -> Any:
        """`x` rounded, or as it is."""
        return self.quantize_activations(x)


class FP32Acts(torch.nn.Module):
    """Lets everything through as it is."""

    def forward(self, x: Any) -> Any:
        """`x`."""
        return x

    def reset_ranges(self) -> None:
        """There are none."""
