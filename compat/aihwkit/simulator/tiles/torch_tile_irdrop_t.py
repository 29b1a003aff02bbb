"""What aihwkit's torch tile that is read in time can do."""

from compat.aihwkit.simulator.parameters.enums import AnalogMVType
from compat.aihwkit.simulator.tiles.torch_tile import TorchSimulatorTile


class TorchSimulatorTileIRDropT(TorchSimulatorTile):
    """The kind of chip that `TorchInferenceRPUConfigIRDropT` names: its inputs are pulses, its wires lose voltage."""

    mv_types = (AnalogMVType.ONE_PASS, AnalogMVType.SPLIT_MODE, AnalogMVType.BIT_WISE)
    absent = tuple(name for name in TorchSimulatorTile.absent if name != "ir_drop")
