"""Savers of results to the local disk and then to S3."""

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from compat.aitoolbox.cloud.AWS.data_access import BaseDataSaver
from compat.aitoolbox.cloud.bucket import ResultsPlace, experiment_folder, join, stamped
from compat.aitoolbox.experiment.local_save.local_results_save import LocalResultsSaver
from compat.aitoolbox.store import content, one_save


class AbstractResultsSaver(ABC):
    """What a cloud results saver is."""

    @abstractmethod
    def save_experiment_results(
        self,
        result_package: Any,
        training_history: Any,
        project_name: str,
        experiment_name: str,
        experiment_timestamp: str | None = None,
        save_true_pred_labels: bool = False,
        separate_files: bool = False,
        protect_existing_folder: bool = True,
    ) -> tuple[str, str]:
        """Saves results; returns `bucket/key` of the main file and the time stamp."""


class BaseResultsSaver(ResultsPlace, BaseDataSaver):
    """Where results go in a bucket; see `Bucket` for the options."""


class S3ResultsSaver(BaseResultsSaver, AbstractResultsSaver):
    """Saves with a `LocalResultsSaver` of this `file_format`, then uploads."""

    def __init__(
        self,
        bucket_name: str = "model-result",
        cloud_dir_prefix: str = "",
        local_model_result_folder_path: str = "~/project/model_result",
        *,
        file_format: str = "pickle",
        storage_options: Mapping[str, Any] | None = None,
        endpoint_url: str | None = None,
    ) -> None:
        ResultsPlace.__init__(
            self, bucket_name, cloud_dir_prefix, storage_options=storage_options, endpoint_url=endpoint_url
        )
        self.local_results_saver = LocalResultsSaver(local_model_result_folder_path, file_format)

    def save_experiment_results(
        self,
        result_package: Any,
        training_history: Any,
        project_name: str,
        experiment_name: str,
        experiment_timestamp: str | None = None,
        save_true_pred_labels: bool = False,
        separate_files: bool = False,
        protect_existing_folder: bool = True,
    ) -> tuple[str, str]:
        """Saves everything locally, then uploads it; returns `bucket/key` of the main file and the time stamp.

        Arguments as of the local saver; `separate_files` chooses its method. Raises what that raises, and
        `StoreError`, with the local files in place.
        """
        result_package, training_history = self.local_results_saver.checked(
            result_package, training_history, save_true_pred_labels
        )
        root, names = self.local_results_saver.local_model_result_folder_path, (project_name, experiment_name)
        stamp = stamped(self, self.cloud_dir_prefix, *names, experiment_timestamp, root, protect_existing_folder)
        place = (*names, stamp)
        with one_save.begun(one_save.RESULTS, lambda: content.record(result_package)):
            saved = self.save_locally(result_package, training_history, place, save_true_pred_labels, separate_files)
            folder = experiment_folder(self, self.cloud_dir_prefix, *place)
            folder.upload([(Path(path), f"results/{name}") for name, path in saved if os.path.isfile(path)])
        key = self.create_experiment_cloud_storage_folder_structure(*place)
        return join(self.bucket_name, key, saved[0][0]), stamp

    def save_locally(
        self,
        result_package: Any,
        training_history: Any,
        place: tuple[str, str, str],
        save_true_pred_labels: bool = False,
        separate_files: bool = False,
    ) -> list[list[str]]:
        """The local half of `save_experiment_results`; `place` is project, experiment and time stamp."""
        saver = self.local_results_saver
        save = saver.save_experiment_results_separate_files if separate_files else saver.save_experiment_results
        return save(result_package, training_history, *place, save_true_pred_labels)
