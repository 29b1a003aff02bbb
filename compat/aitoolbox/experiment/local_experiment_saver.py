"""Savers of whole experiments to the local disk."""

import datetime as datetime  # star imports of this module have always brought these two
import time as time
from typing import Any

from compat.aitoolbox.experiment.experiment_saver import AbstractExperimentSaver
from compat.aitoolbox.experiment.local_save.local_model_save import (
    AbstractLocalModelSaver,
    FlaxLocalModelSaver,
    KerasLocalModelSaver,
    PyTorchLocalModelSaver,
)
from compat.aitoolbox.experiment.local_save.local_results_save import LocalResultsSaver
from compat.aitoolbox.store import catalog, content, library, names, one_save
from compat.aitoolbox.store.catalog import LoadedExperiment, SavedExperiment
from compat.aitoolbox.store.library import Library


class BaseFullExperimentLocalSaver(Library, AbstractExperimentSaver):
    """Saves models with `model_saver` and results with a `LocalResultsSaver`.

    `file_format` is that of the results, `"pickle"` or `"json"`. With `keep_last`, each save deletes the older ones of
    this experiment beyond that number. Raises `TypeError` unless the model saver is an `AbstractLocalModelSaver`.
    """

    def __init__(
        self,
        model_saver: Any,
        project_name: str,
        experiment_name: str,
        local_model_result_folder_path: str = "~/project/model_result",
        *,
        file_format: str = "pickle",
        keep_last: int | None = None,
    ) -> None:
        if not isinstance(model_saver, AbstractLocalModelSaver):
            raise TypeError(f"model_saver is a {type(model_saver).__name__}, no AbstractLocalModelSaver.")
        self.project_name = project_name
        self.experiment_name = experiment_name
        self.model_saver = model_saver
        self.results_saver = LocalResultsSaver(local_model_result_folder_path, file_format)
        self.keep_last = library.natural(keep_last)

    def save_experiment(
        self,
        model: Any,
        result_package: Any,
        training_history: Any,
        experiment_timestamp: str | None = None,
        save_true_pred_labels: bool = False,
        separate_files: bool = False,
        protect_existing_folder: bool = True,
    ) -> list[str]:
        """Saves the model, then the results; returns the path of the model, then those of the results.

        Every file that is there is replaced as a whole or not at all. Without `experiment_timestamp` it is now, or the
        next second for which there is no experiment. Raises what the model saver does for a model that it does not
        know, and the results saver for content that could not be loaded again (nothing is made then), `BadName`, and
        `SaveError`.
        """
        stamp = experiment_timestamp
        if stamp is not None:
            names.check_experiment(self.project_name, self.experiment_name, stamp)
            names.check_results(self.experiment_name, stamp)
        if hasattr(self.model_saver, "check_model"):
            self.model_saver.check_model(model)
        if hasattr(self.results_saver, "checked"):
            result_package, training_history = self.results_saver.checked(
                result_package, training_history, save_true_pred_labels
            )
        if stamp is None:
            root = self.results_saver.local_model_result_folder_path
            stamp = names.claim(self.project_name, self.experiment_name, root, share=not protect_existing_folder)
        place = {
            "project_name": self.project_name,
            "experiment_name": self.experiment_name,
            "experiment_timestamp": stamp,
            "protect_existing_folder": protect_existing_folder,
        }
        saver = self.results_saver
        save = saver.save_experiment_results_separate_files if separate_files else saver.save_experiment_results
        with one_save.begun(one_save.EXPERIMENT, lambda: content.record(result_package)):
            _, model_path = self.model_saver.save_model(model=model, **place)
            saved = save(
                result_package=result_package,
                training_history=training_history,
                save_true_pred_labels=save_true_pred_labels,
                **place,
            )
        library.delete_local(self._old(stamp, self.keep_last))
        return [model_path, *(path for _, path in saved)]

    def list_experiments(self, project_name: str | None = None) -> list[SavedExperiment]:
        """The experiments of a project, or of all projects below the root, oldest first. Raises `NoSuchExperiment`."""
        return catalog.list_local(self.results_saver.local_model_result_folder_path, project_name)

    def _load(self, found: SavedExperiment, wanted: library.Wanted) -> LoadedExperiment:
        return library.load_local(found, wanted)


class _OneFramework(BaseFullExperimentLocalSaver):
    """The constructor of the savers that make their own model saver; `model_format` is its `file_format`."""

    model_saver_class: type

    def __init__(
        self,
        project_name: str,
        experiment_name: str,
        local_model_result_folder_path: str = "~/project/model_result",
        *,
        model_format: str | None = None,
        file_format: str = "pickle",
        keep_last: int | None = None,
    ) -> None:
        root, chosen = local_model_result_folder_path, {} if model_format is None else {"file_format": model_format}
        saver = self.model_saver_class(root, **chosen)
        super().__init__(saver, project_name, experiment_name, root, file_format=file_format, keep_last=keep_last)


class FullPyTorchExperimentLocalSaver(_OneFramework):
    """Saves experiments with PyTorch checkpoints; `model_format` is `"pth"` or `"safetensors"`."""

    model_saver_class = PyTorchLocalModelSaver


class FullKerasExperimentLocalSaver(_OneFramework):
    """Saves experiments with Keras models; `model_format` is `"h5"`, `"keras"` or `"safetensors"`."""

    model_saver_class = KerasLocalModelSaver


class FullFlaxExperimentLocalSaver(_OneFramework):
    """Saves experiments with JAX models, any pytree; `model_format` is `"npz"` or `"safetensors"`."""

    model_saver_class = FlaxLocalModelSaver
