"""Savers of models to the local disk and then to Google Storage."""

from collections.abc import Mapping
from typing import Any

from compat.aitoolbox.cloud.AWS.model_save import (
    BaseModelSaver,
    FlaxS3ModelSaver,
    KerasS3ModelSaver,
    PyTorchS3ModelSaver,
)
from compat.aitoolbox.cloud.GoogleCloud.data_access import BaseGoogleStorageDataSaver


class BaseModelGoogleStorageSaver(BaseGoogleStorageDataSaver):
    """Where models go in a bucket; see `Bucket` for the options."""

    def __init__(
        self,
        bucket_name: str = "model-result",
        cloud_dir_prefix: str = "",
        checkpoint_model: bool = False,
        *,
        storage_options: Mapping[str, Any] | None = None,
        endpoint_url: str | None = None,
    ) -> None:
        self._use(bucket_name, storage_options, endpoint_url)
        self.cloud_dir_prefix = cloud_dir_prefix
        self.checkpoint_model = checkpoint_model

    create_experiment_cloud_storage_folder_structure = BaseModelSaver.create_experiment_cloud_storage_folder_structure


class PyTorchGoogleStorageModelSaver(BaseModelGoogleStorageSaver, PyTorchS3ModelSaver):
    """Saves PyTorch checkpoints: arguments and methods as of `PyTorchS3ModelSaver`."""

    __init__ = PyTorchS3ModelSaver.__init__


class KerasGoogleStorageModelSaver(BaseModelGoogleStorageSaver, KerasS3ModelSaver):
    """Saves Keras models: arguments and methods as of `KerasS3ModelSaver`."""

    __init__ = KerasS3ModelSaver.__init__


class FlaxGoogleStorageModelSaver(BaseModelGoogleStorageSaver, FlaxS3ModelSaver):
    """Saves JAX models: arguments and methods as of `FlaxS3ModelSaver`."""

    __init__ = FlaxS3ModelSaver.__init__
