"""Configurations, devices and parameters."""

from compat.aihwkit.simulator.configs.compounds import BufferedTransferCompound as BufferedTransferCompound
from compat.aihwkit.simulator.configs.compounds import ChoppedTransferCompound as ChoppedTransferCompound
from compat.aihwkit.simulator.configs.compounds import DifferenceUnitCell as DifferenceUnitCell
from compat.aihwkit.simulator.configs.compounds import DynamicTransferCompound as DynamicTransferCompound
from compat.aihwkit.simulator.configs.compounds import MixedPrecisionCompound as MixedPrecisionCompound
from compat.aihwkit.simulator.configs.compounds import OneSidedUnitCell as OneSidedUnitCell
from compat.aihwkit.simulator.configs.compounds import ReferenceUnitCell as ReferenceUnitCell
from compat.aihwkit.simulator.configs.compounds import TransferCompound as TransferCompound
from compat.aihwkit.simulator.configs.compounds import UnitCell as UnitCell
from compat.aihwkit.simulator.configs.compounds import VectorUnitCell as VectorUnitCell
from compat.aihwkit.simulator.configs.configs import DigitalRankUpdateRPUConfig as DigitalRankUpdateRPUConfig
from compat.aihwkit.simulator.configs.configs import FloatingPointRPUConfig as FloatingPointRPUConfig
from compat.aihwkit.simulator.configs.configs import SingleRPUConfig as SingleRPUConfig
from compat.aihwkit.simulator.configs.configs import UnitCellRPUConfig as UnitCellRPUConfig
from compat.aihwkit.simulator.configs.devices import ConstantStepDevice as ConstantStepDevice
from compat.aihwkit.simulator.configs.devices import ExpStepDevice as ExpStepDevice
from compat.aihwkit.simulator.configs.devices import FloatingPointDevice as FloatingPointDevice
from compat.aihwkit.simulator.configs.devices import IdealDevice as IdealDevice
from compat.aihwkit.simulator.configs.devices import LinearStepDevice as LinearStepDevice
from compat.aihwkit.simulator.configs.devices import PiecewiseStepDevice as PiecewiseStepDevice
from compat.aihwkit.simulator.configs.devices import PowStepDevice as PowStepDevice
from compat.aihwkit.simulator.configs.devices import PowStepReferenceDevice as PowStepReferenceDevice
from compat.aihwkit.simulator.configs.devices import PulsedDevice as PulsedDevice
from compat.aihwkit.simulator.configs.devices import SoftBoundsDevice as SoftBoundsDevice
from compat.aihwkit.simulator.configs.devices import SoftBoundsPmaxDevice as SoftBoundsPmaxDevice
from compat.aihwkit.simulator.configs.devices import SoftBoundsReferenceDevice as SoftBoundsReferenceDevice
from compat.aihwkit.simulator.configs.helpers import build_config as build_config
from compat.aihwkit.simulator.configs.inference import InferenceRPUConfig as InferenceRPUConfig
from compat.aihwkit.simulator.configs.inference_torch import (
    QuantizedTorchInferenceRPUConfig as QuantizedTorchInferenceRPUConfig,
)
from compat.aihwkit.simulator.configs.inference_torch import TorchInferenceRPUConfig as TorchInferenceRPUConfig
from compat.aihwkit.simulator.configs.inference_torch import (
    TorchInferenceRPUConfigIRDropT as TorchInferenceRPUConfigIRDropT,
)
from compat.aihwkit.simulator.parameters import AnalogMVType as AnalogMVType
from compat.aihwkit.simulator.parameters import BoundManagementType as BoundManagementType
from compat.aihwkit.simulator.parameters import CountLRFeedbackPolicy as CountLRFeedbackPolicy
from compat.aihwkit.simulator.parameters import DriftParameter as DriftParameter
from compat.aihwkit.simulator.parameters import InputRangeParameter as InputRangeParameter
from compat.aihwkit.simulator.parameters import IOParameters as IOParameters
from compat.aihwkit.simulator.parameters import IOParametersIRDropT as IOParametersIRDropT
from compat.aihwkit.simulator.parameters import MappingParameter as MappingParameter
from compat.aihwkit.simulator.parameters import NoiseManagementType as NoiseManagementType
from compat.aihwkit.simulator.parameters import PrePostProcessingParameter as PrePostProcessingParameter
from compat.aihwkit.simulator.parameters import PulseType as PulseType
from compat.aihwkit.simulator.parameters import RPUDataType as RPUDataType
from compat.aihwkit.simulator.parameters import SimpleDriftParameter as SimpleDriftParameter
from compat.aihwkit.simulator.parameters import UpdateParameters as UpdateParameters
from compat.aihwkit.simulator.parameters import VectorUnitCellUpdatePolicy as VectorUnitCellUpdatePolicy
from compat.aihwkit.simulator.parameters import WeightClipParameter as WeightClipParameter
from compat.aihwkit.simulator.parameters import WeightClipType as WeightClipType
from compat.aihwkit.simulator.parameters import WeightModifierParameter as WeightModifierParameter
from compat.aihwkit.simulator.parameters import WeightModifierType as WeightModifierType
from compat.aihwkit.simulator.parameters import WeightNoiseType as WeightNoiseType
from compat.aihwkit.simulator.parameters import WeightRemapParameter as WeightRemapParameter
from compat.aihwkit.simulator.parameters import WeightRemapType as WeightRemapType
