"""Parameters by the path at which older programs import them."""

from compat.aihwkit.simulator.parameters import AnalogMVType as AnalogMVType
from compat.aihwkit.simulator.parameters import BoundManagementType as BoundManagementType
from compat.aihwkit.simulator.parameters import DriftParameter as DriftParameter
from compat.aihwkit.simulator.parameters import InputRangeParameter as InputRangeParameter
from compat.aihwkit.simulator.parameters import IOParameters as IOParameters
from compat.aihwkit.simulator.parameters import MappingParameter as MappingParameter
from compat.aihwkit.simulator.parameters import NoiseManagementType as NoiseManagementType
from compat.aihwkit.simulator.parameters import PrePostProcessingParameter as PrePostProcessingParameter
from compat.aihwkit.simulator.parameters import PulseType as PulseType
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
