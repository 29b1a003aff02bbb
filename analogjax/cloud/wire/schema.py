"""The messages of the composer protocol, version 1, as classes of the `protobuf` package.

The service for aihwkit's `CloudRunner` sends and receives protobuf (proto2, packages `aihwx` and `aihwx.inferencing`,
which repeats the common messages). The tables below are the complete schema. The descriptors are built from them in a
separate pool, so that a real aihwkit in the same process does not conflict.

One line per message: `Name: tag label type name, …`; label `!` required, `*` repeated, `?` optional, `|` one of the
alternatives of the message (the oneof `item`, or `value` for a dimension).
"""

from __future__ import annotations

import re
from functools import cache
from types import SimpleNamespace
from typing import Any

from analogjax.errors import MissingPackage

_TENSORS = """
AttributeProto: 1 ? string name, 20 ? AttributeType type, 2 ? float f, 3 ? int64 i, 4 ? bytes s, 5 ? TensorProto t, 101 ? bool b, 7 * float floats, 8 * int64 ints, 9 * bytes strings, 10 * TensorProto tensors, 102 * bool bools
TensorProto: 1 * int64 dims, 2 ? int32 data_type, 4 * float float_data, 5 * int32 int32_data, 6 * bytes string_data, 7 * int64 int64_data
Dimension: 1 | int64 dim_value, 2 | string dim_param, 3 ? string denotation
TensorShapeProto: 1 * Dimension dim
"""  # noqa: E501
_COMMON = """
PrimitiveProto: 1 ! string id, 2 * AttributeProto arguments
TransformProto: 1 ! string id, 2 * AttributeProto arguments
ActivationFunctionProto: 1 ! string id, 2 * AttributeProto arguments
OptimizerProto: 1 ! string id, 2 * AttributeProto arguments
SchedulerProto: 1 ! string id, 2 * AttributeProto arguments
LossFunctionProto: 1 ! string id, 2 * AttributeProto arguments
LayerProto: 1 ! string id, 2 * AttributeProto arguments, 3 * AttributeProto state_dict
LayerOrActivationFunction: 1 | ActivationFunctionProto activation_function, 2 | LayerProto layer
Version: 1 ! int64 schema, 2 ! int64 opset
"""
_TRAINING = """
Network: 1 * LayerOrActivationFunction layers
Dataset: 1 ! string dataset_id, 2 * TransformProto transforms, 3 ? int32 batch_size
Training: 1 ! OptimizerProto optimizer, 2 ? SchedulerProto scheduler, 3 ? LossFunctionProto loss_function, 4 ? int32 epochs
TrainingInput: 1 ! Version version, 2 ! Dataset dataset, 3 ! Network network, 4 ! Training training
EpochInformation: 1 ! int32 epoch, 2 * AttributeProto metrics
TrainingOutput: 1 ! Version version, 2 ! Network network, 3 * EpochInformation epochs, 4 * AttributeProto metrics
"""  # noqa: E501
_NOISE = (
    "2 ! float programming_noise_scale, 3 ! float read_noise_scale, 4 ! float drift_scale, 5 ! bool drift_compensation,"
    " 6 ! float poly_first_order_coef, 7 ! float poly_second_order_coef, 8 ! float poly_constant_coef"
)
_INFERENCE = f"""
Network: 1 ! string weight_template_id, 2 * LayerOrActivationFunction layers
Dataset: 1 ! string dataset_id, 2 ? int64 batch_size
AnalogProto: 1 ! float output_noise_strength, 2 ? int64 adc, 3 ? int64 dac
PCMProto: 1 ! string=pcm device_id, {_NOISE}
GenericProto: 1 ! string=generic device_id, {_NOISE}, 9 ! float drift_mean, 10 ! float drift_std
NoiseModelProto: 1 | PCMProto pcm, 2 | GenericProto generic
Inferencing: 1 ! int64 inference_repeats, 2 ! int64 inference_time, 3 ! AnalogProto analog_info, 4 ! NoiseModelProto noise_model_info
InferenceInput: 1 ! Version version, 2 ! Dataset dataset, 3 ! Network network, 4 ! Inferencing inferencing
InferenceResultsProto: 1 ! float t_inference, 2 ! float avg_accuracy, 3 ! float std_accuracy, 4 ! float avg_error, 5 ! float avg_loss
InferenceRunsProto: 1 ! int64 inference_repeat, 2 ! bool is_partial, 3 ! float time_elapsed, 4 * InferenceResultsProto inference_results
InferencingOutput: 1 ! Version version, 2 ! InferenceRunsProto inference_runs
"""  # noqa: E501
_ENUMS = {
    "AttributeType": "UNDEFINED 0, FLOAT 1, INT 2, STRING 3, TENSOR 4, FLOATS 6, INTS 7, STRINGS 8, TENSORS 9, "
    "BOOL 101, BOOLS 102",
    "DataType": "UNDEFINED 0, FLOAT 1, UINT8 2, INT8 3, UINT16 4, INT16 5, INT32 6, INT64 7, STRING 8, BOOL 9",
}
_INSIDE = {"AttributeType": "AttributeProto", "DataType": "TensorProto"}  # enums live inside the messages that use them


@cache
def training() -> Any:
    """The messages of package `aihwx`, as attributes. Raises `MissingPackage` without protobuf."""
    return _classes("aihwx", _TENSORS + _COMMON + _TRAINING)


@cache
def inferencing() -> Any:
    """The messages of package `aihwx.inferencing`, as attributes. Raises `MissingPackage` without protobuf."""
    return _classes("aihwx.inferencing", _TENSORS + _COMMON + _INFERENCE)


def _classes(package: str, table: str) -> Any:
    try:
        from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    except ImportError as error:
        raise MissingPackage('The composer protocol needs protobuf: pip install "analogjax[cloud]".') from error
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto2")
    for line in filter(None, table.splitlines()):
        _add_message(file, package, line)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = {
        message.name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{message.name}"))
        for message in file.message_type
    }
    return SimpleNamespace(**found)


def _add_message(file: Any, package: str, line: str) -> None:
    name, _, fields = line.partition(": ")
    message = file.message_type.add(name=name)
    for text in fields.split(", "):
        _add_field(message, package, text)
    for enum in (enum for enum, owner in _INSIDE.items() if owner == name):
        added = message.enum_type.add(name=enum)
        for value in _ENUMS[enum].split(", "):
            word, number = value.split(" ")
            added.value.add(name=word, number=int(number))


def _add_field(message: Any, package: str, text: str) -> None:
    tag, label, kind, name = text.split(" ")
    kind, _, default = kind.partition("=")
    field = message.field.add(name=name, number=int(tag))
    field.label = {"!": field.LABEL_REQUIRED, "*": field.LABEL_REPEATED}.get(label, field.LABEL_OPTIONAL)
    if label == "|":
        if not message.oneof_decl:
            message.oneof_decl.add(name="value" if message.name == "Dimension" else "item")
        field.oneof_index = 0
    if kind in _ENUMS:
        field.type, field.type_name = field.TYPE_ENUM, f".{package}.{_INSIDE[kind]}.{kind}"
    elif re.fullmatch("[A-Z].*", kind):
        field.type, field.type_name = field.TYPE_MESSAGE, f".{package}.{kind}"
    else:
        field.type = getattr(field, f"TYPE_{kind.upper()}")
    if default:
        field.default_value = default
    if message.name == "TensorProto" and name in ("float_data", "int32_data"):
        field.options.packed = True  # a trained network is large; both forms are read by every parser
