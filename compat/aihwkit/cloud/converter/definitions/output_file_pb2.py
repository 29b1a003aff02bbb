"""Messages of trainings."""

from analogjax.cloud.wire import schema

_messages = schema.training()
EpochInformation = _messages.EpochInformation
TrainingOutput = _messages.TrainingOutput
