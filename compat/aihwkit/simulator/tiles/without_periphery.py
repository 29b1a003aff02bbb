"""A tile module of pulsed devices without any digital surroundings."""

from typing import Any

from compat.aihwkit.simulator.tiles.base import BaseTile
from compat.aihwkit.simulator.tiles.functions import AnalogFunction
from compat.aihwkit.simulator.tiles.rpucuda import RPUCudaSimulatorTileWrapper
from compat.aihwkit.simulator.tiles.tile_module import TileModule


class AnalogTileWithoutPeriphery(TileModule, RPUCudaSimulatorTileWrapper, BaseTile):
    """Inputs, outputs and weights are in units of the chip: there are no scales, no range, and no digital bias."""

    def __init__(
        self, out_size: int, in_size: int, rpu_config: Any, bias: bool = False, in_trans: bool = False,
        out_trans: bool = False,
    ) -> None:  # fmt: skip
        TileModule.__init__(self)
        RPUCudaSimulatorTileWrapper.__init__(self, out_size, in_size, rpu_config, bias, in_trans, out_trans)

    def _create_simulator_tile(self, x_size: int, d_size: int, rpu_config: Any) -> Any:
        data_type = rpu_config.runtime.data_type
        return rpu_config.as_bindings().create_array(x_size, d_size, rpu_config.device.as_bindings(data_type))

    def forward(self, x_input: Any) -> Any:
        """`[..., I] -> [..., O]`."""
        return AnalogFunction.apply(self.get_analog_ctx(), self, x_input, self.shared_weights, not self.training)

    def pre_forward(self, x_input: Any, dim: int, is_test: bool = False, ctx: Any = None) -> Any:
        """Inputs as they are."""
        return x_input

    def post_forward(self, x_output: Any, dim: int, is_test: bool = False, ctx: Any = None) -> Any:
        """Outputs as they are."""
        return x_output

    def pre_backward(self, d_input: Any, dim: int, ctx: Any = None) -> Any:
        """Errors as they are."""
        return d_input

    def post_backward(self, d_output: Any, dim: int, ctx: Any = None) -> Any:
        """Errors as they are."""
        return d_output

    def pre_update(self, x_input: Any, x_dim: int, d_input: Any, d_dim: int) -> tuple[Any, Any]:
        """Both as they are."""
        return x_input, d_input
