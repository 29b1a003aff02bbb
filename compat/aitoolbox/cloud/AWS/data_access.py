"""Files to and from S3."""

import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from analogjax.errors import MissingPackage
from analogjax.store import NotFound
from compat.aitoolbox.cloud.bucket import Bucket


class BaseDataSaver(Bucket):
    """Uploads to the bucket `bucket_name`; see `Bucket` for the options."""

    @cached_property
    def s3_client(self) -> Any:
        """boto3's client, for programs that use it themselves. Raises `MissingPackage`."""
        return _boto3().client("s3", endpoint_url=self._storage_options.get("endpoint_url"))


class BaseDataLoader(Bucket):
    """Downloads from the bucket `bucket_name`; see `Bucket` for the options."""

    def __init__(
        self,
        bucket_name: str = "dataset-store",
        local_base_data_folder_path: str = "~/project/data",
        *,
        storage_options: Mapping[str, Any] | None = None,
        endpoint_url: str | None = None,
    ) -> None:
        Bucket.__init__(self, bucket_name, storage_options=storage_options, endpoint_url=endpoint_url)
        self.local_base_data_folder_path = os.path.expanduser(local_base_data_folder_path)
        self.available_prepocessed_datasets: list[str] = []

    @cached_property
    def s3(self) -> Any:
        """boto3's resource, for programs that use it themselves. Raises `MissingPackage`."""
        return _boto3().resource("s3", endpoint_url=self._storage_options.get("endpoint_url"))

    def load_file(self, cloud_file_path: str, local_file_path: str) -> None:
        """Downloads a file, whole or not at all, unless the local one exists; prints a line if there is no such object.

        Raises `StoreError`.
        """
        local = Path(os.path.expanduser(local_file_path))
        if local.is_file():
            print(f"{local} exists and is not downloaded again")
            return
        try:
            self.location.download(cloud_file_path, local)
        except NotFound as error:
            print(error)

    def exists_local_data_folder(self, data_folder_name: str, protect_local_folder: bool = True) -> bool:
        """Whether the data folder exists; if not, it is made. Without `protect_local_folder` it is emptied first."""
        path = os.path.join(self.local_base_data_folder_path, data_folder_name)
        if os.path.exists(path) and protect_local_folder:
            return True
        if os.path.exists(path):
            shutil.rmtree(path)
        os.makedirs(path)
        return False

    def preproc_dataset_available(self, preproc_dataset_name: str) -> bool:
        """Whether the name is among `available_prepocessed_datasets`."""
        return preproc_dataset_name in self.available_prepocessed_datasets


class AbstractDatasetFetcher(ABC):
    """What fetches a data set."""

    @abstractmethod
    def fetch_dataset(self, dataset_name: str | None = None, protect_local_folder: bool = True) -> None:
        """Brings a data set to the local disk."""


def _boto3() -> Any:
    try:
        import boto3
    except ImportError as error:
        raise MissingPackage('boto3 is needed here: pip install "analogjax[s3]" boto3') from error
    return boto3
