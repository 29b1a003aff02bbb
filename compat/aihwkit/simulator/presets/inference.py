"""Presets of chips that are programmed once."""

import dataclasses

from compat.aihwkit.simulator.configs.inference import InferenceRPUConfig
from compat.aihwkit.simulator.configs.inference_torch import TorchInferenceRPUConfig
from compat.aihwkit.simulator.parameters.enums import (
    BoundManagementType,
    NoiseManagementType,
    WeightClipType,
    WeightNoiseType,
    WeightRemapType,
)
from compat.aihwkit.simulator.parameters.inference import WeightClipParameter, WeightRemapParameter
from compat.aihwkit.simulator.parameters.io import IOParameters
from compat.aihwkit.simulator.parameters.mapping import MappingParameter
from compat.aihwkit.simulator.parameters.pre_post import InputRangeParameter, PrePostProcessingParameter
from compat.aihwkit.simulator.presets.utils import PresetIOParameters
from compat.parameters import parameters


@parameters()
class FloatingPointPreset(TorchInferenceRPUConfig):
    """Perfect chips of any size."""

    mapping: MappingParameter = dataclasses.field(
        default_factory=lambda: MappingParameter(max_input_size=0, max_output_size=0)
    )
    forward: IOParameters = dataclasses.field(default_factory=lambda: IOParameters(is_perfect=True))


def _mapping() -> MappingParameter:
    return MappingParameter(
        weight_scaling_omega=1.0, weight_scaling_columnwise=True, max_output_size=0, learn_out_scaling=True,
        out_scaling_columnwise=True,
    )  # fmt: skip


def _forward() -> IOParameters:
    return PresetIOParameters(
        inp_res=254.0, out_res=254.0, out_bound=10.0, out_noise=0.04, ir_drop=1.0, w_noise=0.0175,
        w_noise_type=WeightNoiseType.PCM_READ, noise_management=NoiseManagementType.CONSTANT, nm_thres=1.0,
        bound_management=BoundManagementType.NONE,
    )  # fmt: skip


def _input_range() -> PrePostProcessingParameter:
    return PrePostProcessingParameter(input_range=InputRangeParameter(enable=True))


@parameters()
class StandardHWATrainingPreset(InferenceRPUConfig):
    """What networks are compared with; its input range is not simulated by this version, so no layer has it.

    Reference: Rasch et al. 2023, doi:10.1038/s41467-023-40770-4.
    """

    mapping: MappingParameter = dataclasses.field(default_factory=_mapping)
    forward: IOParameters = dataclasses.field(default_factory=_forward)
    remap: WeightRemapParameter = dataclasses.field(
        default_factory=lambda: WeightRemapParameter(type=WeightRemapType.CHANNELWISE_SYMMETRIC)
    )
    pre_post: PrePostProcessingParameter = dataclasses.field(default_factory=_input_range)
    clip: WeightClipParameter = dataclasses.field(
        default_factory=lambda: WeightClipParameter(type=WeightClipType.FIXED_VALUE, fixed_value=1.0)
    )
