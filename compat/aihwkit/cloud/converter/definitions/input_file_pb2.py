"""Messages of trainings."""

from analogjax.cloud.wire import schema

_messages = schema.training()
Dataset = _messages.Dataset
Training = _messages.Training
TrainingInput = _messages.TrainingInput
