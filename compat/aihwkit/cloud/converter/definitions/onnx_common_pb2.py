"""Messages of trainings."""

from analogjax.cloud.wire import schema

_messages = schema.training()
AttributeProto = _messages.AttributeProto
TensorProto = _messages.TensorProto
TensorShapeProto = _messages.TensorShapeProto
