"""Savers of results to the local disk and then to Google Storage."""

from collections.abc import Mapping
from typing import Any

from compat.aitoolbox.cloud.AWS.results_save import BaseResultsSaver, S3ResultsSaver
from compat.aitoolbox.cloud.GoogleCloud.data_access import BaseGoogleStorageDataSaver


class BaseResultsGoogleStorageSaver(BaseGoogleStorageDataSaver):
    """Where results go in a bucket; see `Bucket` for the options."""

    def __init__(
        self,
        bucket_name: str = "model-result",
        cloud_dir_prefix: str = "",
        *,
        storage_options: Mapping[str, Any] | None = None,
        endpoint_url: str | None = None,
    ) -> None:
        self._use(bucket_name, storage_options, endpoint_url)
        self.cloud_dir_prefix = cloud_dir_prefix

    create_experiment_cloud_storage_folder_structure = BaseResultsSaver.create_experiment_cloud_storage_folder_structure


class GoogleStorageResultsSaver(BaseResultsGoogleStorageSaver, S3ResultsSaver):
    """Saves results: arguments and methods as of `S3ResultsSaver`."""

    __init__ = S3ResultsSaver.__init__
