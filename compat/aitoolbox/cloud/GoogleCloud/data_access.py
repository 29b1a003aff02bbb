"""Files to and from Google Storage."""

import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from analogjax.errors import MissingPackage
from compat.aitoolbox.cloud.bucket import Bucket


class _GoogleStorage(Bucket):
    protocol = "gs"

    @cached_property
    def gcs_client(self) -> Any:
        """Google's client, for programs that use it themselves. Raises `MissingPackage`."""
        try:
            from google.cloud import storage
        except ImportError as error:
            raise MissingPackage(
                'google-cloud-storage is needed here: pip install "analogjax[gcs]" google-cloud-storage'
            ) from error
        return storage.Client()

    @cached_property
    def gcs_bucket(self) -> Any:
        """Google's bucket object."""
        return self.gcs_client.get_bucket(self.bucket_name)


class BaseGoogleStorageDataSaver(_GoogleStorage):
    """Uploads to the bucket `bucket_name`; see `Bucket` for the options."""


class BaseGoogleStorageDataLoader(_GoogleStorage):
    """Downloads from the bucket `bucket_name`; see `Bucket` for the options."""

    def __init__(
        self,
        bucket_name: str = "dataset-store",
        local_dataset_folder_path: str = "~/project/data",
        *,
        storage_options: Mapping[str, Any] | None = None,
        endpoint_url: str | None = None,
    ) -> None:
        Bucket.__init__(self, bucket_name, storage_options=storage_options, endpoint_url=endpoint_url)
        self.local_dataset_folder_path = os.path.expanduser(local_dataset_folder_path)
        self.available_prepocessed_datasets: list[str] = []

    def load_file(self, cloud_file_path: str, local_file_path: str) -> None:
        """Downloads a file, whole or not at all, unless the local one exists. Raises `NotFound`, `StoreError`."""
        local = Path(os.path.expanduser(local_file_path))
        if local.is_file():
            print(f"{local} exists and is not downloaded again")
            return
        self.location.download(cloud_file_path, local)
