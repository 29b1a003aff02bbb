"""Messages of inference."""

from analogjax.cloud.wire import schema

_messages = schema.inferencing()
InferenceResultsProto = _messages.InferenceResultsProto
InferenceRunsProto = _messages.InferenceRunsProto
InferencingOutput = _messages.InferencingOutput
