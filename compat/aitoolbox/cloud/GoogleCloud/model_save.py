"""Savers of models to the local disk and then to Google Storage."""

from compat.aitoolbox.cloud.AWS.model_save import FlaxS3ModelSaver, KerasS3ModelSaver, PyTorchS3ModelSaver
from compat.aitoolbox.cloud.bucket import ModelPlace
from compat.aitoolbox.cloud.GoogleCloud.data_access import BaseGoogleStorageDataSaver


class BaseModelGoogleStorageSaver(ModelPlace, BaseGoogleStorageDataSaver):
    """Where models go in a bucket; see `Bucket` for the options."""


class PyTorchGoogleStorageModelSaver(BaseModelGoogleStorageSaver, PyTorchS3ModelSaver):
    """Saves PyTorch checkpoints: arguments and methods as of `PyTorchS3ModelSaver`."""


class KerasGoogleStorageModelSaver(BaseModelGoogleStorageSaver, KerasS3ModelSaver):
    """Saves Keras models: arguments and methods as of `KerasS3ModelSaver`."""


class FlaxGoogleStorageModelSaver(BaseModelGoogleStorageSaver, FlaxS3ModelSaver):
    """Saves JAX models: arguments and methods as of `FlaxS3ModelSaver`."""
