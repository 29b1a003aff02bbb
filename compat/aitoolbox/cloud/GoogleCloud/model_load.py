"""Loaders of models from Google Storage."""

from compat.aitoolbox.cloud.AWS.model_load import ModelDownload, PyTorchS3ModelLoader
from compat.aitoolbox.cloud.GoogleCloud.data_access import BaseGoogleStorageDataLoader


class BaseModelGoogleStorageLoader(ModelDownload, BaseGoogleStorageDataLoader):
    """Downloads models and loads them with `local_model_loader`; see `Bucket` for the options.

    Raises `TypeError` unless that is an `AbstractLocalModelLoader`.
    """


class PyTorchGoogleStorageModelLoader(BaseModelGoogleStorageLoader, PyTorchS3ModelLoader):
    """Downloads PyTorch checkpoints: arguments and methods as of `PyTorchS3ModelLoader`."""
