"""Messages of inference."""

from analogjax.cloud.wire import schema

_messages = schema.inferencing()
AttributeProto = _messages.AttributeProto
TensorProto = _messages.TensorProto
TensorShapeProto = _messages.TensorShapeProto
