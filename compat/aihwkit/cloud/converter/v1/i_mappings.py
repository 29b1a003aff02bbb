"""What an inference may be made of in version 1 of the format, and what it is called there."""

from compat.aihwkit.cloud.converter.v1 import mappings as training
from compat.aihwkit.cloud.converter.v1.functions import Function as Function
from compat.aihwkit.cloud.converter.v1.functions import LayerFunction as LayerFunction
from compat.aihwkit.cloud.converter.v1.functions import build_inverse_mapping as build_inverse_mapping
from compat.aihwkit.nn import AnalogConv2d, AnalogConv2dMapped, AnalogLinear, AnalogLinearMapped
from compat.aihwkit.simulator.configs import InferenceRPUConfig
from compat.aihwkit.simulator.presets.web import OldWebComposerInferenceRPUConfig, WebComposerInferenceRPUConfig

_CONFIG = {"rpu_config": str}


class Mappings(training.Mappings):
    """As for trainings, with the configurations of inference."""

    presets: dict[type, str] = {  # noqa: RUF012
        kind: kind.__name__
        for kind in (InferenceRPUConfig, OldWebComposerInferenceRPUConfig, WebComposerInferenceRPUConfig)
    }
    layers: dict[type, Function] = training.Mappings.layers | {
        AnalogConv2d: LayerFunction("AnalogConv2d", training.CONV | _CONFIG, presets),
        AnalogConv2dMapped: LayerFunction("AnalogConv2dMapped", training.CONV | _CONFIG, presets),
        AnalogLinear: LayerFunction("AnalogLinear", training.DENSE | _CONFIG, presets),
        AnalogLinearMapped: LayerFunction("AnalogLinearMapped", training.DENSE | _CONFIG, presets),
    }


class InverseMappings(training.InverseMappings):
    """From ids to Python's entities."""

    presets = build_inverse_mapping(Mappings.presets)
    layers = build_inverse_mapping(Mappings.layers)
