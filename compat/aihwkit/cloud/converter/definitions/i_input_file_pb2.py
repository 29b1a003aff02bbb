"""Messages of inference."""

from analogjax.cloud.wire import schema

_messages = schema.inferencing()
AnalogProto = _messages.AnalogProto
Dataset = _messages.Dataset
GenericProto = _messages.GenericProto
InferenceInput = _messages.InferenceInput
Inferencing = _messages.Inferencing
NoiseModelProto = _messages.NoiseModelProto
PCMProto = _messages.PCMProto
