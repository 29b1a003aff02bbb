"""Parameters of tiles."""

from compat.aihwkit.simulator.parameters.enums import AnalogContextDataViewMode as AnalogContextDataViewMode
from compat.aihwkit.simulator.parameters.enums import AnalogMVType as AnalogMVType
from compat.aihwkit.simulator.parameters.enums import BoundManagementType as BoundManagementType
from compat.aihwkit.simulator.parameters.enums import CountLRFeedbackPolicy as CountLRFeedbackPolicy
from compat.aihwkit.simulator.parameters.enums import NoiseManagementType as NoiseManagementType
from compat.aihwkit.simulator.parameters.enums import PulseType as PulseType
from compat.aihwkit.simulator.parameters.enums import RPUDataType as RPUDataType
from compat.aihwkit.simulator.parameters.enums import VectorUnitCellUpdatePolicy as VectorUnitCellUpdatePolicy
from compat.aihwkit.simulator.parameters.enums import WeightClipType as WeightClipType
from compat.aihwkit.simulator.parameters.enums import WeightModifierType as WeightModifierType
from compat.aihwkit.simulator.parameters.enums import WeightNoiseType as WeightNoiseType
from compat.aihwkit.simulator.parameters.enums import WeightRemapType as WeightRemapType
from compat.aihwkit.simulator.parameters.inference import DriftParameter as DriftParameter
from compat.aihwkit.simulator.parameters.inference import SimpleDriftParameter as SimpleDriftParameter
from compat.aihwkit.simulator.parameters.inference import WeightClipParameter as WeightClipParameter
from compat.aihwkit.simulator.parameters.inference import WeightModifierParameter as WeightModifierParameter
from compat.aihwkit.simulator.parameters.inference import WeightRemapParameter as WeightRemapParameter
from compat.aihwkit.simulator.parameters.io import IOParameters as IOParameters
from compat.aihwkit.simulator.parameters.io import IOParametersIRDropT as IOParametersIRDropT
from compat.aihwkit.simulator.parameters.mapping import MappingParameter as MappingParameter
from compat.aihwkit.simulator.parameters.pre_post import InputRangeParameter as InputRangeParameter
from compat.aihwkit.simulator.parameters.pre_post import PrePostProcessingParameter as PrePostProcessingParameter
from compat.aihwkit.simulator.parameters.pre_post import (
    PrePostProcessingParameterQuant as PrePostProcessingParameterQuant,
)
from compat.aihwkit.simulator.parameters.runtime import RuntimeParameter as RuntimeParameter
from compat.aihwkit.simulator.parameters.training import UpdateParameters as UpdateParameters
