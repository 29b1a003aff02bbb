"""The analog linear layer on an array of chips, which may be one: its bias is always digital."""

from typing import Any

from compat.aihwkit.nn.modules.linear import AnalogLinear
from compat.aihwkit.simulator.tiles.array import TileModuleArray

__all__ = ["AnalogLinearMapped"]


class AnalogLinearMapped(AnalogLinear):
    """`AnalogLinear` on as many chips as the limits in its mapping ask for; the bias is digital.

    `analog_module` is a `TileModuleArray`, with chips of the class of the configuration.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        rpu_config: Any = None,
        tile_module_class: type | None = TileModuleArray,
    ) -> None:
        super().__init__(in_features, out_features, bias, rpu_config, tile_module_class or TileModuleArray)
