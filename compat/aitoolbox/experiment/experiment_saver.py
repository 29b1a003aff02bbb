"""Savers of whole experiments to the local disk and then to a bucket."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from analogjax.store import StoreError
from compat.aitoolbox.cloud.AWS.model_save import FlaxS3ModelSaver, KerasS3ModelSaver, PyTorchS3ModelSaver
from compat.aitoolbox.cloud.AWS.results_save import S3ResultsSaver
from compat.aitoolbox.cloud.bucket import join, stamped
from compat.aitoolbox.cloud.GoogleCloud.model_save import (
    FlaxGoogleStorageModelSaver,
    KerasGoogleStorageModelSaver,
    PyTorchGoogleStorageModelSaver,
)
from compat.aitoolbox.cloud.GoogleCloud.results_save import GoogleStorageResultsSaver
from compat.aitoolbox.store import catalog, content, library, names, one_save
from compat.aitoolbox.store.catalog import LoadedExperiment, SavedExperiment
from compat.aitoolbox.store.library import Library


class AbstractExperimentSaver(ABC):
    """What an experiment saver is."""

    @abstractmethod
    def save_experiment(
        self,
        model: Any,
        result_package: Any,
        training_history: Any,
        experiment_timestamp: str | None = None,
        save_true_pred_labels: bool = False,
        separate_files: bool = False,
        protect_existing_folder: bool = True,
    ) -> Any:
        """Saves a model, results, hyperparameters and history under one time stamp; returns where they are."""


class BaseFullExperimentSaver(Library, AbstractExperimentSaver):
    """Saves models with `model_saver` and results with `results_saver`, which both save locally and then upload."""

    keep_last: int | None = None
    keep_last_local: int | None = None

    def __init__(self, model_saver: Any, results_saver: Any, project_name: str, experiment_name: str) -> None:
        self.model_saver = model_saver
        self.results_saver = results_saver
        self.project_name = project_name
        self.experiment_name = experiment_name

    def save_experiment(
        self,
        model: Any,
        result_package: Any,
        training_history: Any,
        experiment_timestamp: str | None = None,
        save_true_pred_labels: bool = False,
        separate_files: bool = False,
        protect_existing_folder: bool = True,
    ) -> tuple[str, str]:
        """Saves and uploads the model, then the results; returns `bucket/key` of the model and of the main results.

        Without `experiment_timestamp` it is now, or the next second for which there is no experiment, here or in the
        bucket. Raises as the local savers do, and `StoreError` if the bucket is out of reach: then everything is on
        the local disk, and calling again with the same stamp uploads it.
        """
        if experiment_timestamp is not None:
            self._check_names(experiment_timestamp)
        if hasattr(self.model_saver, "local_saver"):
            self.model_saver.local_saver.check_model(model)
        if hasattr(self.results_saver, "local_results_saver"):
            result_package, training_history = self.results_saver.local_results_saver.checked(
                result_package, training_history, save_true_pred_labels
            )
        place = (self.project_name, self.experiment_name, self._stamp(experiment_timestamp, protect_existing_folder))
        self._check_names(place[2])
        options = (save_true_pred_labels, separate_files)
        with one_save.begun(one_save.EXPERIMENT, lambda: content.record(result_package)):
            model_path, results_path = self._save(
                model, result_package, training_history, place, options, protect_existing_folder
            )
        self._delete_old(place[2])
        # those of this stamp were removed before it was uploaded; of others we cannot know who writes them
        library.discard_unfinished(self.model_saver, self._prefix(), self.project_name)
        return model_path, results_path

    def _save(
        self,
        model: Any,
        package: Any,
        history: Any,
        place: tuple[str, str, str],
        options: tuple[bool, bool],
        protect: bool,
    ) -> tuple[str, str]:
        try:
            model_path, *_ = self.model_saver.save_model(
                model=model,
                project_name=place[0],
                experiment_name=place[1],
                experiment_timestamp=place[2],
                protect_existing_folder=protect,
            )
        except StoreError as error:
            if hasattr(self.results_saver, "save_locally"):
                self.results_saver.save_locally(package, history, place, *options)
                error.add_note(f"Model and results of {place[1]} {place[2]} are saved on the local disk.")
            raise
        results_path, _ = self.results_saver.save_experiment_results(package, history, *place, *options, protect)
        return model_path, results_path

    def _check_names(self, stamp: str) -> None:
        names.check_experiment(self.project_name, self.experiment_name, stamp)
        names.check_results(self.experiment_name, stamp)

    def _stamp(self, given: str | None, protect: bool) -> str:
        place = (self.model_saver.cloud_dir_prefix, self.project_name, self.experiment_name)
        return stamped(self.model_saver, *place, given, self._root(), protect)

    def list_experiments(self, project_name: str | None = None) -> list[SavedExperiment]:
        """The experiments of a project, or of all projects, in the bucket, oldest first.

        Raises `NoSuchExperiment`, `StoreError`.
        """
        return library.list_bucket(self.model_saver, self._prefix(), project_name)

    def _load(self, found: SavedExperiment, wanted: library.Wanted) -> LoadedExperiment:
        return library.load_bucket(self.model_saver, self._prefix(), found, wanted, self._root())

    def _delete_old(self, stamp: str) -> None:
        library.delete_bucket(self.model_saver, self._prefix(), self._old(stamp, self.keep_last))
        if self.keep_last_local is not None:
            there = catalog.list_local(self._root(), self.project_name)
            library.delete_local(library.superseded(there, self.experiment_name, stamp, self.keep_last_local))

    def _local_model_saver(self) -> Any:
        return self.model_saver.local_saver

    def _prefix(self) -> str:
        return join(self.model_saver.cloud_dir_prefix)

    def _root(self) -> str:
        return self.results_saver.local_results_saver.local_model_result_folder_path


class _BucketExperimentSaver(BaseFullExperimentSaver):
    """Saves to the bucket `bucket_name`, below the key `cloud_dir_prefix`; the local copy stays.

    `file_format` is that of the results, `"pickle"` or `"json"`; `storage_options` and `endpoint_url` as of `Bucket`.
    With `keep_last` and `keep_last_local`, each save deletes the older ones of this experiment beyond that number, in
    the bucket and on the local disk.
    """

    results_saver_class: type

    def __init__(
        self,
        model_saver: Any,
        project_name: str,
        experiment_name: str,
        bucket_name: str = "model-result",
        cloud_dir_prefix: str = "",
        local_model_result_folder_path: str = "~/project/model_result",
        *,
        file_format: str = "pickle",
        storage_options: Mapping[str, Any] | None = None,
        endpoint_url: str | None = None,
        keep_last: int | None = None,
        keep_last_local: int | None = None,
    ) -> None:
        results_saver = self.results_saver_class(
            bucket_name,
            cloud_dir_prefix,
            local_model_result_folder_path,
            file_format=file_format,
            storage_options=storage_options,
            endpoint_url=endpoint_url,
        )
        super().__init__(model_saver, results_saver, project_name, experiment_name)
        self.keep_last = library.natural(keep_last)
        self.keep_last_local = library.natural(keep_last_local, "keep_last_local")


class BaseFullExperimentS3Saver(_BucketExperimentSaver):
    """Saves to S3."""

    results_saver_class = S3ResultsSaver


class BaseFullExperimentGoogleStorageSaver(_BucketExperimentSaver):
    """Saves to Google Storage."""

    results_saver_class = GoogleStorageResultsSaver


class _OneFramework:
    """The constructor of the savers that make their own model saver; `model_format` is its `file_format`, and the other
    options are those of the bucket.
    """

    model_saver_class: type

    def __init__(
        self,
        project_name: str,
        experiment_name: str,
        bucket_name: str = "model-result",
        cloud_dir_prefix: str = "",
        local_model_result_folder_path: str = "~/project/model_result",
        *,
        model_format: str | None = None,
        storage_options: Mapping[str, Any] | None = None,
        endpoint_url: str | None = None,
        **options: Any,
    ) -> None:
        place = (bucket_name, cloud_dir_prefix, local_model_result_folder_path)
        access: dict[str, Any] = {"storage_options": storage_options, "endpoint_url": endpoint_url}
        chosen = {} if model_format is None else {"file_format": model_format}
        model_saver = self.model_saver_class(*place, **access, **chosen)
        # the next class of a saver is that of its bucket, which takes the model saver first
        super().__init__(model_saver, project_name, experiment_name, *place, **access, **options)  # type: ignore[call-arg]


class FullPyTorchExperimentS3Saver(_OneFramework, BaseFullExperimentS3Saver):
    """Saves experiments with PyTorch checkpoints; see the base classes for the options."""

    model_saver_class = PyTorchS3ModelSaver


class FullKerasExperimentS3Saver(_OneFramework, BaseFullExperimentS3Saver):
    """Saves experiments with Keras models; see the base classes for the options."""

    model_saver_class = KerasS3ModelSaver


class FullFlaxExperimentS3Saver(_OneFramework, BaseFullExperimentS3Saver):
    """Saves experiments with JAX models, any pytree; see the base classes for the options."""

    model_saver_class = FlaxS3ModelSaver


class FullPyTorchExperimentGoogleStorageSaver(_OneFramework, BaseFullExperimentGoogleStorageSaver):
    """Saves experiments with PyTorch checkpoints; see the base classes for the options."""

    model_saver_class = PyTorchGoogleStorageModelSaver


class FullKerasExperimentGoogleStorageSaver(_OneFramework, BaseFullExperimentGoogleStorageSaver):
    """Saves experiments with Keras models; see the base classes for the options."""

    model_saver_class = KerasGoogleStorageModelSaver


class FullFlaxExperimentGoogleStorageSaver(_OneFramework, BaseFullExperimentGoogleStorageSaver):
    """Saves experiments with JAX models, any pytree; see the base classes for the options."""

    model_saver_class = FlaxGoogleStorageModelSaver
