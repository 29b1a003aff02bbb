"""Tile configurations."""

# those for inference bring the layers along, which need the others under this name: first come the others
from compat.aihwkit.simulator.configs.basic import DigitalRankUpdateRPUConfig as DigitalRankUpdateRPUConfig
from compat.aihwkit.simulator.configs.basic import FloatingPointRPUConfig as FloatingPointRPUConfig
from compat.aihwkit.simulator.configs.basic import IOManagedRPUConfig as IOManagedRPUConfig
from compat.aihwkit.simulator.configs.basic import SingleRPUConfig as SingleRPUConfig
from compat.aihwkit.simulator.configs.basic import UnitCellRPUConfig as UnitCellRPUConfig
from compat.aihwkit.simulator.configs.inference import InferenceRPUConfig as InferenceRPUConfig
from compat.aihwkit.simulator.configs.inference_torch import (
    QuantizedTorchInferenceRPUConfig as QuantizedTorchInferenceRPUConfig,
)
from compat.aihwkit.simulator.configs.inference_torch import TorchInferenceRPUConfig as TorchInferenceRPUConfig
from compat.aihwkit.simulator.configs.inference_torch import (
    TorchInferenceRPUConfigIRDropT as TorchInferenceRPUConfigIRDropT,
)
