"""Loaders of models from Google Storage."""

import os
from collections.abc import Mapping
from typing import Any

from compat.aitoolbox.cloud.AWS.model_load import ModelDownload, PyTorchS3ModelLoader
from compat.aitoolbox.cloud.GoogleCloud.data_access import BaseGoogleStorageDataLoader
from compat.aitoolbox.experiment.local_load.local_model_load import AbstractLocalModelLoader, PyTorchLocalModelLoader


class BaseModelGoogleStorageLoader(BaseGoogleStorageDataLoader):
    """Downloads models and loads them with `local_model_loader`; see `Bucket` for the options.

    Raises `TypeError` unless that is an `AbstractLocalModelLoader`.
    """

    def __init__(
        self,
        local_model_loader: Any,
        local_model_result_folder_path: str = "~/project/model_result",
        bucket_name: str = "model-result",
        cloud_dir_prefix: str = "",
        *,
        storage_options: Mapping[str, Any] | None = None,
        endpoint_url: str | None = None,
    ) -> None:
        if not isinstance(local_model_loader, AbstractLocalModelLoader):
            raise TypeError(
                f"local_model_loader is a {type(local_model_loader).__name__}, no AbstractLocalModelLoader."
            )
        BaseGoogleStorageDataLoader.__init__(
            self,
            bucket_name,
            local_model_result_folder_path,
            storage_options=storage_options,
            endpoint_url=endpoint_url,
        )
        self.local_model_result_folder_path = os.path.expanduser(local_model_result_folder_path)
        self.cloud_dir_prefix = cloud_dir_prefix
        self.local_model_loader = local_model_loader

    load_model = ModelDownload.load_model
    _fetch = ModelDownload._fetch


class PyTorchGoogleStorageModelLoader(BaseModelGoogleStorageLoader, PyTorchS3ModelLoader):
    """Downloads PyTorch checkpoints: arguments and methods as of `PyTorchS3ModelLoader`."""

    def __init__(
        self,
        local_model_result_folder_path: str = "~/project/model_result",
        bucket_name: str = "model-result",
        cloud_dir_prefix: str = "",
        *,
        storage_options: Mapping[str, Any] | None = None,
        endpoint_url: str | None = None,
    ) -> None:
        BaseModelGoogleStorageLoader.__init__(
            self,
            PyTorchLocalModelLoader(local_model_result_folder_path),
            local_model_result_folder_path,
            bucket_name,
            cloud_dir_prefix,
            storage_options=storage_options,
            endpoint_url=endpoint_url,
        )
