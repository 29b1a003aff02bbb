"""Configurations of the web composer."""

import dataclasses

from compat.aihwkit.simulator.configs.inference import InferenceRPUConfig
from compat.aihwkit.simulator.parameters.enums import (
    BoundManagementType,
    NoiseManagementType,
    WeightClipType,
    WeightModifierType,
    WeightNoiseType,
)
from compat.aihwkit.simulator.parameters.inference import WeightClipParameter, WeightModifierParameter
from compat.aihwkit.simulator.parameters.io import IOParameters
from compat.aihwkit.simulator.parameters.mapping import MappingParameter
from compat.parameters import parameters


@parameters(native=IOParameters._native)
class WebComposerIOParameters(IOParameters):
    """Seven bits in, nine bits out."""

    bound_management: BoundManagementType = BoundManagementType.ITERATIVE
    noise_management: NoiseManagementType = NoiseManagementType.ABS_MAX
    inp_res: float = 1.0 / (2**7 - 2)
    inp_sto_round: bool = False
    out_bound: float = 20.0
    out_noise: float = 0.1
    out_res: float = 1.0 / (2**9 - 2)
    w_noise: float = 0.0
    w_noise_type: WeightNoiseType = WeightNoiseType.NONE


@parameters()
class WebComposerWeightModifierParameter(WeightModifierParameter):
    """Normal noise."""

    type: WeightModifierType = WeightModifierType.ADD_NORMAL
    std_dev: float = 0.1


@parameters()
class WebComposerWeightClipParameter(WeightClipParameter):
    """Clipped at 1."""

    fixed_value: float = 1.0
    type: WeightClipType = WeightClipType.FIXED_VALUE


@parameters(native=MappingParameter._native)
class WebComposerMappingParameter(MappingParameter):
    """Digital bias, one scale for each output."""

    digital_bias: bool = True
    weight_scaling_omega: float = 1.0
    weight_scaling_columnwise: bool = True
    learn_out_scaling: bool = True
    out_scaling_columnwise: bool = False
    max_input_size: int = 512
    max_output_size: int = 512


@parameters()
class WebComposerInferenceRPUConfig(InferenceRPUConfig):
    """What the composer makes."""

    forward: IOParameters = dataclasses.field(default_factory=WebComposerIOParameters)
    clip: WeightClipParameter = dataclasses.field(default_factory=WebComposerWeightClipParameter)
    modifier: WeightModifierParameter = dataclasses.field(default_factory=WebComposerWeightModifierParameter)
    mapping: MappingParameter = dataclasses.field(default_factory=WebComposerMappingParameter)


@parameters(native=MappingParameter._native)
class OldWebComposerMappingParameter(WebComposerMappingParameter):
    """The bias on the chip, which has any size."""

    digital_bias: bool = False
    learn_out_scaling: bool = False
    max_input_size: int = 0
    max_output_size: int = 0


@parameters()
class OldWebComposerInferenceRPUConfig(WebComposerInferenceRPUConfig):
    """What the composer made before."""

    mapping: MappingParameter = dataclasses.field(default_factory=OldWebComposerMappingParameter)
