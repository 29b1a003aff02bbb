"""A bucket, and what all savers and loaders do with one; nothing connects before the first transfer."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from analogjax.store import Location
from compat.aitoolbox.store import names
from compat.aitoolbox.store.bucket_folder import BucketFolder


class Bucket:
    """Something that works with the bucket `bucket_name`.

    `storage_options` go to the bucket's file system (s3fs, gcsfs); `endpoint_url` is where it is, if not where the
    provider's own servers are.
    """

    protocol = "s3"
    _connected: Location | None = None

    def __init__(
        self,
        bucket_name: str = "model-result",
        *,
        storage_options: Mapping[str, Any] | None = None,
        endpoint_url: str | None = None,
    ) -> None:
        self.bucket_name = bucket_name
        self._storage_options = dict(storage_options or {})
        if endpoint_url is not None:
            self._storage_options["endpoint_url"] = endpoint_url

    @property
    def location(self) -> Location:
        """The bucket. Raises `StoreError` for an empty name."""
        if self._connected is None:
            self._connected = Location.of(
                f"{self.protocol}://{self.bucket_name}", storage_options=self._storage_options or None
            )
        return self._connected

    def save_file(self, local_file_path: str, cloud_file_path: str) -> None:
        """Uploads a file, verified; it appears whole or not at all. Raises `StoreError`, `FileNotFoundError`."""
        self.location.upload(Path(os.path.expanduser(local_file_path)), cloud_file_path)

    def save_folder(self, local_folder_path: str, cloud_folder_path: str) -> None:
        """Uploads the content of a folder, with its folders, below a key; as a bucket has no folders, empty ones are
        left out. Raises `StoreError`, `NotADirectoryError`.
        """
        folder = Path(os.path.expanduser(local_folder_path))
        if not folder.is_dir():
            raise NotADirectoryError(f"{folder} is not a folder: check the path.")
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            self.save_file(str(file), join(cloud_folder_path, file.relative_to(folder).as_posix()))


class ModelPlace(Bucket):
    """Where models go in a bucket."""

    def __init__(
        self,
        bucket_name: str = "model-result",
        cloud_dir_prefix: str = "",
        checkpoint_model: bool = False,
        *,
        storage_options: Mapping[str, Any] | None = None,
        endpoint_url: str | None = None,
    ) -> None:
        Bucket.__init__(self, bucket_name, storage_options=storage_options, endpoint_url=endpoint_url)
        self.cloud_dir_prefix = cloud_dir_prefix
        self.checkpoint_model = checkpoint_model

    def create_experiment_cloud_storage_folder_structure(
        self, project_name: str, experiment_name: str, experiment_timestamp: str
    ) -> str:
        """The key of the models folder; nothing is made. Raises `BadName`."""
        folder = "checkpoint_model" if self.checkpoint_model else "model"
        return join(experiment_key(self.cloud_dir_prefix, project_name, experiment_name, experiment_timestamp), folder)


class ResultsPlace(Bucket):
    """Where results go in a bucket."""

    def __init__(
        self,
        bucket_name: str = "model-result",
        cloud_dir_prefix: str = "",
        *,
        storage_options: Mapping[str, Any] | None = None,
        endpoint_url: str | None = None,
    ) -> None:
        Bucket.__init__(self, bucket_name, storage_options=storage_options, endpoint_url=endpoint_url)
        self.cloud_dir_prefix = cloud_dir_prefix

    def create_experiment_cloud_storage_folder_structure(
        self, project_name: str, experiment_name: str, experiment_timestamp: str
    ) -> str:
        """The key of the results folder; nothing is made. Raises `BadName`."""
        key = experiment_key(self.cloud_dir_prefix, project_name, experiment_name, experiment_timestamp)
        return join(key, "results")


def join(*parts: str) -> str:
    """One key of parts that may be empty or have slashes around them."""
    return "/".join(part.strip("/") for part in parts if part.strip("/"))


def experiment_key(prefix: str, project_name: str, experiment_name: str, experiment_timestamp: str) -> str:
    """The key of an experiment's folder. Raises `BadName`."""
    names.check_experiment(project_name, experiment_name, experiment_timestamp)
    return join(prefix, project_name, f"{experiment_name}_{experiment_timestamp}")


def experiment_folder(
    bucket: Bucket, prefix: str, project_name: str, experiment_name: str, experiment_timestamp: str
) -> BucketFolder:
    """An experiment's folder in a bucket. Raises `BadName`."""
    place = (project_name, experiment_name, experiment_timestamp)
    return BucketFolder(bucket.location / experiment_key(prefix, *place), *place)


def stamped(
    bucket: Bucket, prefix: str, project_name: str, experiment_name: str, given: str | None, root: str, protect: bool
) -> str:
    """The stamp that is given, or that of now; with `protect`, of the next second that is free both here and there.

    Raises `BadName`, `SaveError`.
    """
    if given is not None:
        return given

    def take(stamp: str) -> bool:
        return experiment_folder(bucket, prefix, project_name, experiment_name, stamp).claim()

    return names.claim(project_name, experiment_name, root, share=not protect, take=take)
