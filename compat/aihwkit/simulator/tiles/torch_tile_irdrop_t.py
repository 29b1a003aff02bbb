"""What aihwkit's torch tile that is read in time can do."""

from typing import Any

from compat.aihwkit.simulator.parameters.enums import AnalogMVType
from compat.aihwkit.simulator.tiles.analog_mvm import AnalogMVM
from compat.aihwkit.simulator.tiles.analog_mvm_irdrop_t import AnalogMVMIRDropT
from compat.aihwkit.simulator.tiles.torch_tile import TorchSimulatorTile


class TorchSimulatorTileIRDropT(TorchSimulatorTile):
    """The kind of chip that `TorchInferenceRPUConfigIRDropT` names: its inputs are pulses, its wires lose voltage."""

    mv_types = (AnalogMVType.ONE_PASS, AnalogMVType.SPLIT_MODE, AnalogMVType.BIT_WISE)
    absent = tuple(name for name in TorchSimulatorTile.absent if name != "ir_drop")

    def __init__(self, x_size: int, d_size: int, rpu_config: Any, bias: bool = False) -> None:
        super().__init__(x_size, d_size, rpu_config, bias, AnalogMVMIRDropT)
        self._rows, self._g_converter = (
            max(rpu_config.mapping.max_input_size, 0) or x_size,
            rpu_config.noise_model.g_converter,
        )

    @classmethod
    def seen(cls, module: Any) -> Any:
        """The simulator tile of a compiled tile module."""
        tile = super().seen(module)
        config = module.rpu_config
        tile._rows, tile._g_converter = (
            max(config.mapping.max_input_size, 0) or tile.x_size,
            config.noise_model.g_converter,
        )
        return tile

    @classmethod
    def product(cls) -> type[AnalogMVM]:
        """The class of the product."""
        return AnalogMVMIRDropT

    def _circuit(self) -> dict[str, Any]:
        return super()._circuit() | {"phys_input_size": self._rows, "g_converter": self._g_converter}
