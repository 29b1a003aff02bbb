"""The analog linear layer."""

from typing import Any

from compat.aihwkit.nn.modules.base import AnalogLayerBase
from compat.aihwkit.nn.modules.chips import move_to_chips
from compat.torch_package import torch

__all__ = ["AnalogLinear"]


class AnalogLinear(AnalogLayerBase, torch.nn.Linear):  # type: ignore[misc]
    """A linear layer whose matrix lives on analog chips, in `analog_module`.

    Weights start as torch's own layer would start with the same `torch.manual_seed`, as far as the devices can hold
    them. `weight` and `bias` are no tensors here: use `get_weights()` and `set_weights()`.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        rpu_config: Any = None,
        tile_module_class: type | None = None,
    ) -> None:
        torch.nn.Linear.__init__(self, in_features, out_features, bias=bias)
        move_to_chips(self, out_features, in_features, bias, rpu_config, tile_module_class)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weights and bias as torch does, and write them."""
        if not hasattr(self, "analog_module"):
            return  # called by torch's constructor: there is no tile to write to yet
        drawn = torch.nn.Linear.__new__(torch.nn.Linear)
        torch.nn.Linear.__init__(drawn, self.in_features, self.out_features, bias=bool(self.bias))
        self.set_weights(drawn.weight, drawn.bias)

    def forward(self, x_input: Any) -> Any:
        """`[..., I] -> [..., O]`."""
        return self.analog_module(x_input)

    def extra_repr(self) -> str:
        """Sizes, whether there is a bias, and the kind of configuration."""
        kind = type(next(self.analog_tiles()).rpu_config).__name__
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={bool(self.bias)}, {kind}"

    @classmethod
    def from_digital(cls, module: Any, rpu_config: Any, tile_module_class: type | None = None) -> "AnalogLinear":
        """An analog layer with the weights of a torch one."""
        has_bias = module.bias is not None
        layer = cls(module.in_features, module.out_features, has_bias, rpu_config, tile_module_class)
        layer.set_weights(module.weight, module.bias)
        return layer

    @classmethod
    def to_digital(cls, module: "AnalogLinear", realistic: bool = False) -> Any:
        """A torch layer with the weights of an analog one."""
        weight, bias = module.get_weights(realistic=realistic)
        layer = torch.nn.Linear(module.in_features, module.out_features, bias is not None)
        layer.weight.data = weight
        if bias is not None:
            layer.bias.data = bias
        return layer
