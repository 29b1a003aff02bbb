"""Savers of models to the local disk and then to S3."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from compat.aitoolbox.cloud.AWS.data_access import BaseDataSaver
from compat.aitoolbox.cloud.bucket import claim, experiment_folder, experiment_key, join
from compat.aitoolbox.experiment.local_save.local_model_save import (
    BaseLocalModelSaver,
    FlaxLocalModelSaver,
    KerasLocalModelSaver,
    PyTorchLocalModelSaver,
)


class AbstractModelSaver(ABC):
    """What a cloud model saver is."""

    @abstractmethod
    def save_model(
        self,
        model: Any,
        project_name: str,
        experiment_name: str,
        experiment_timestamp: str | None = None,
        epoch: int | None = None,
        iteration_idx: int | None = None,
        protect_existing_folder: bool = True,
    ) -> tuple[str, str, str]:
        """Saves `model`; returns `bucket/key`, the time stamp, and the local path."""


class BaseModelSaver(BaseDataSaver):
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

    def create_experiment_cloud_storage_folder_structure(
        self, project_name: str, experiment_name: str, experiment_timestamp: str
    ) -> str:
        """The key of the models folder; nothing is made. Raises `BadName`."""
        folder = "checkpoint_model" if self.checkpoint_model else "model"
        return join(experiment_key(self.cloud_dir_prefix, project_name, experiment_name, experiment_timestamp), folder)


class TwoPlaceModelSaver(BaseModelSaver, AbstractModelSaver):
    """Saves with `local_saver`, then uploads."""

    local_saver: BaseLocalModelSaver

    def save_model(
        self,
        model: Any,
        project_name: str,
        experiment_name: str,
        experiment_timestamp: str | None = None,
        epoch: int | None = None,
        iteration_idx: int | None = None,
        protect_existing_folder: bool = True,
    ) -> tuple[str, str, str]:
        """Saves `model` locally, then uploads it; returns `bucket/key`, the time stamp, and the local path.

        Arguments as of the local saver. Raises what that raises, and `StoreError`, with the local file in place.
        """
        self.local_saver.check_model(model)
        stamp = experiment_timestamp
        if stamp is None:
            stamp = claim(
                self,
                self.cloud_dir_prefix,
                project_name,
                experiment_name,
                self.local_saver.local_model_result_folder_path,
                share=not protect_existing_folder,
            )
        place = (project_name, experiment_name, stamp)
        name, path = self.local_saver.save_model(model, *place, epoch, iteration_idx, protect_existing_folder)
        key = self.create_experiment_cloud_storage_folder_structure(*place)
        folder = experiment_folder(self, self.cloud_dir_prefix, *place)
        folder.upload([(Path(path), f"{key.rpartition('/')[2]}/{name}")])
        return join(self.bucket_name, key, name), stamp, path


class PyTorchS3ModelSaver(TwoPlaceModelSaver):
    """Saves PyTorch checkpoints: see `PyTorchLocalModelSaver`."""

    def __init__(
        self,
        bucket_name: str = "model-result",
        cloud_dir_prefix: str = "",
        local_model_result_folder_path: str = "~/project/model_result",
        checkpoint_model: bool = False,
        *,
        storage_options: Mapping[str, Any] | None = None,
        endpoint_url: str | None = None,
    ) -> None:
        BaseModelSaver.__init__(
            self,
            bucket_name,
            cloud_dir_prefix,
            checkpoint_model,
            storage_options=storage_options,
            endpoint_url=endpoint_url,
        )
        self.pytorch_local_saver = PyTorchLocalModelSaver(local_model_result_folder_path, checkpoint_model)
        self.local_saver = self.pytorch_local_saver


class KerasS3ModelSaver(TwoPlaceModelSaver):
    """Saves Keras models; `file_format` as of `KerasLocalModelSaver`."""

    def __init__(
        self,
        bucket_name: str = "model-result",
        cloud_dir_prefix: str = "",
        local_model_result_folder_path: str = "~/project/model_result",
        checkpoint_model: bool = False,
        *,
        file_format: str = "h5",
        storage_options: Mapping[str, Any] | None = None,
        endpoint_url: str | None = None,
    ) -> None:
        BaseModelSaver.__init__(
            self,
            bucket_name,
            cloud_dir_prefix,
            checkpoint_model,
            storage_options=storage_options,
            endpoint_url=endpoint_url,
        )
        self.keras_local_saver = KerasLocalModelSaver(
            local_model_result_folder_path, checkpoint_model, file_format=file_format
        )
        self.local_saver = self.keras_local_saver


class FlaxS3ModelSaver(TwoPlaceModelSaver):
    """Saves JAX models: see `FlaxLocalModelSaver`."""

    def __init__(
        self,
        bucket_name: str = "model-result",
        cloud_dir_prefix: str = "",
        local_model_result_folder_path: str = "~/project/model_result",
        checkpoint_model: bool = False,
        *,
        storage_options: Mapping[str, Any] | None = None,
        endpoint_url: str | None = None,
    ) -> None:
        BaseModelSaver.__init__(
            self,
            bucket_name,
            cloud_dir_prefix,
            checkpoint_model,
            storage_options=storage_options,
            endpoint_url=endpoint_url,
        )
        self.flax_local_saver = FlaxLocalModelSaver(local_model_result_folder_path, checkpoint_model)
        self.local_saver = self.flax_local_saver
