"""A module whose input is rounded."""

from typing import Any

from compat.aihwkit.simulator.digital_low_precision.base_quantized_classes import QuantizedActivation
from compat.aihwkit.simulator.digital_low_precision.config_utils import convert_act_config_to_kwargs_dict
from compat.torch_package import torch


class QuantizedInputModule(torch.nn.Module):
    """Any module, with its first input rounded as an `ActivationQuantConfig` says."""

    def __init__(self, module: Any, act_quant_config: Any) -> None:
        super().__init__()
        act_quant_config.check()
        self.module = module
        self.input_quantizer = QuantizedActivation(**convert_act_config_to_kwargs_dict(act_quant_config))

    def forward(self, inp: Any, *args: Any, **kwargs: Any) -> Any:
        """What the module makes of the rounded input."""
        return self.module(self.input_quantizer(inp), *args, **kwargs)
