"""Savers of models to the local disk and then to S3."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from compat.aitoolbox.cloud.AWS.data_access import BaseDataSaver
from compat.aitoolbox.cloud.bucket import ModelPlace, experiment_folder, join, stamped
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


class BaseModelSaver(ModelPlace, BaseDataSaver):
    """Where models go in a bucket; see `Bucket` for the options."""


class TwoPlaceModelSaver(BaseModelSaver, AbstractModelSaver):
    """Saves with `local_saver`, whose `file_format` may be chosen, then uploads."""

    local_saver: BaseLocalModelSaver
    local_saver_class: type
    local_saver_name: str  # what aitoolbox calls `local_saver` in a saver of one framework

    def __init__(
        self,
        bucket_name: str = "model-result",
        cloud_dir_prefix: str = "",
        local_model_result_folder_path: str = "~/project/model_result",
        checkpoint_model: bool = False,
        *,
        file_format: str | None = None,
        storage_options: Mapping[str, Any] | None = None,
        endpoint_url: str | None = None,
    ) -> None:
        ModelPlace.__init__(
            self,
            bucket_name,
            cloud_dir_prefix,
            checkpoint_model,
            storage_options=storage_options,
            endpoint_url=endpoint_url,
        )
        chosen = {} if file_format is None else {"file_format": file_format}
        self.local_saver = self.local_saver_class(local_model_result_folder_path, checkpoint_model, **chosen)
        setattr(self, self.local_saver_name, self.local_saver)

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
        root, names = self.local_saver.local_model_result_folder_path, (project_name, experiment_name)
        stamp = stamped(self, self.cloud_dir_prefix, *names, experiment_timestamp, root, protect_existing_folder)
        place = (*names, stamp)
        name, path = self.local_saver.save_model(model, *place, epoch, iteration_idx, protect_existing_folder)
        key = self.create_experiment_cloud_storage_folder_structure(*place)
        folder = experiment_folder(self, self.cloud_dir_prefix, *place)
        folder.upload([(Path(path), f"{key.rpartition('/')[2]}/{name}")])
        return join(self.bucket_name, key, name), stamp, path


class PyTorchS3ModelSaver(TwoPlaceModelSaver):
    """Saves PyTorch checkpoints: see `PyTorchLocalModelSaver`."""

    local_saver_class, local_saver_name = PyTorchLocalModelSaver, "pytorch_local_saver"


class KerasS3ModelSaver(TwoPlaceModelSaver):
    """Saves Keras models; `file_format` as of `KerasLocalModelSaver`."""

    local_saver_class, local_saver_name = KerasLocalModelSaver, "keras_local_saver"


class FlaxS3ModelSaver(TwoPlaceModelSaver):
    """Saves JAX models: see `FlaxLocalModelSaver`."""

    local_saver_class, local_saver_name = FlaxLocalModelSaver, "flax_local_saver"
