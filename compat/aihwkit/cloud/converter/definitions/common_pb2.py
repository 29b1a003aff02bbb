"""Messages of trainings."""

from analogjax.cloud.wire import schema

_messages = schema.training()
ActivationFunctionProto = _messages.ActivationFunctionProto
LayerOrActivationFunction = _messages.LayerOrActivationFunction
LayerProto = _messages.LayerProto
LossFunctionProto = _messages.LossFunctionProto
Network = _messages.Network
OptimizerProto = _messages.OptimizerProto
PrimitiveProto = _messages.PrimitiveProto
SchedulerProto = _messages.SchedulerProto
TransformProto = _messages.TransformProto
Version = _messages.Version
