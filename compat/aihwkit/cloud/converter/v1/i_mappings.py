"""What an inference may be made of in version 1 of the format, and what it is called there."""

from analogjax.nn.table import LAYERS, Message
from compat.aihwkit.cloud.converter.v1 import mappings as training
from compat.aihwkit.cloud.converter.v1.functions import TYPES as TYPES
from compat.aihwkit.cloud.converter.v1.functions import TYPES_LISTS as TYPES_LISTS
from compat.aihwkit.cloud.converter.v1.functions import Function as Function
from compat.aihwkit.cloud.converter.v1.functions import LayerFunction as LayerFunction
from compat.aihwkit.cloud.converter.v1.functions import Type as Type
from compat.aihwkit.cloud.converter.v1.functions import build_inverse_mapping as build_inverse_mapping
from compat.aihwkit.nn.table import CLASSES
from compat.aihwkit.simulator.configs import InferenceRPUConfig
from compat.aihwkit.simulator.presets.web import OldWebComposerInferenceRPUConfig, WebComposerInferenceRPUConfig

_PRESETS: dict[type, str] = {
    kind: kind.__name__
    for kind in (InferenceRPUConfig, OldWebComposerInferenceRPUConfig, WebComposerInferenceRPUConfig)
}


class Mappings(training.Mappings):
    """As for trainings, with the configurations of inference."""

    presets: dict[type, str] = _PRESETS
    layers: dict[type, Function] = training.Mappings.layers | {
        CLASSES[name]: LayerFunction(name, training.arguments_of(row), _PRESETS)
        for row in LAYERS
        if row.message is Message.LAYER and row.analog
        for name in (row.name, f"{row.name}Mapped")
    }


class InverseMappings(training.InverseMappings):
    """From ids to Python's entities."""

    presets = build_inverse_mapping(Mappings.presets)
    layers = build_inverse_mapping(Mappings.layers)
