"""Savers of results to the local disk."""

import os
import warnings
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from compat.aitoolbox.experiment.local_save.folder_create import ExperimentFolder
from compat.aitoolbox.experiment.result_reporting.report_generator import TrainingHistoryPlotter
from compat.aitoolbox.experiment.training_history import as_training_history
from compat.aitoolbox.store import content, names, one_save
from compat.aitoolbox.store.content import ENDINGS, Checked
from compat.aitoolbox.store.errors import explained
from compat.aitoolbox.store.folder import Folder, replace_file


class AbstractLocalResultsSaver(ABC):
    """What a local results saver is."""

    @abstractmethod
    def save_experiment_results(
        self,
        result_package: Any,
        training_history: Any,
        project_name: str,
        experiment_name: str,
        experiment_timestamp: str | None = None,
        save_true_pred_labels: bool = False,
        protect_existing_folder: bool = True,
    ) -> list[list[str]]:
        """Saves everything into one file; returns `[[path in the results folder, path], ...]`, this file first."""

    @abstractmethod
    def save_experiment_results_separate_files(
        self,
        result_package: Any,
        training_history: Any,
        project_name: str,
        experiment_name: str,
        experiment_timestamp: str,
        save_true_pred_labels: bool = False,
        protect_existing_folder: bool = True,
    ) -> list[list[str]]:
        """Saves results, hyperparameters and history into a file each; returns a list as above, results first."""


class BaseLocalResultsSaver:
    """Where results go: `results` in the experiment's folder; `file_format` is `"pickle"` or `"json"`."""

    def __init__(
        self, local_model_result_folder_path: str = "~/project/model_result", file_format: str = "pickle"
    ) -> None:
        self.local_model_result_folder_path = os.path.expanduser(local_model_result_folder_path)
        if file_format not in ENDINGS:
            print(f"There is no file_format {file_format!r}, only 'pickle' and 'json': using 'pickle'")
            file_format = "pickle"
        self.file_format = file_format

    def create_experiment_local_folder_structure(
        self, project_name: str, experiment_name: str, experiment_timestamp: str
    ) -> str:
        """Makes the results folder if need be; returns its path. Raises `BadName`, `SaveError`."""
        return self.create_experiment_local_results_folder(
            project_name, experiment_name, experiment_timestamp, self.local_model_result_folder_path
        )

    @staticmethod
    def create_experiment_local_results_folder(
        project_name: str, experiment_name: str, experiment_timestamp: str, local_model_result_folder_path: str
    ) -> str:
        """The same below any root."""
        place = (project_name, experiment_name, experiment_timestamp, local_model_result_folder_path)
        ExperimentFolder.create_base_folder(*place)
        path = BaseLocalResultsSaver.get_experiment_local_results_folder_paths(*place)[2]
        with explained(path):
            os.makedirs(path, exist_ok=True)
        return path

    @staticmethod
    def get_experiment_local_results_folder_paths(
        project_name: str, experiment_name: str, experiment_timestamp: str, local_model_result_folder_path: str
    ) -> tuple[str, str, str]:
        """The paths of the project, the experiment and its results; nothing is checked or made."""
        project, experiment = ExperimentFolder.get_base_folder_paths(
            project_name, experiment_name, experiment_timestamp, local_model_result_folder_path
        )
        return project, experiment, os.path.join(experiment, "results")

    def save_file(
        self, result_dict: dict[str, Any], file_name_w_type: str, file_local_path_w_type: str
    ) -> tuple[str, str]:
        """Writes a dictionary; the name and the path are given without the ending, and returned with it.

        Raises `ValueError` for an unknown `file_format`, `TypeError` for values that could not be loaded, `SaveError`;
        a file that was there is whole in each case.
        """
        return self._write(content.checked(result_dict, self._format()), file_name_w_type, file_local_path_w_type)

    def _write(self, checked: dict[str, Any], name: str, path: str) -> tuple[str, str]:
        write, ending = content.writer(checked, self._format()), ENDINGS[self.file_format]
        target = Path(f"{path}{ending}")
        if target.parent.name == "results":
            Folder(target.parent.parent).write(f"results/{target.name}", write)
        else:
            replace_file(target, write)
        return f"{name}{ending}", f"{path}{ending}"

    def _format(self) -> str:
        if self.file_format not in ENDINGS:
            raise ValueError(f"There is no file_format {self.file_format!r}: use 'pickle' or 'json'.")
        return self.file_format


class LocalResultsSaver(BaseLocalResultsSaver, AbstractLocalResultsSaver):
    """Saves results, hyperparameters, the training history, labels on request, and plots of the history.

    What makes a plot fail, costs the plot and a `UserWarning`, not the results.
    """

    def save_experiment_results(
        self,
        result_package: Any,
        training_history: Any,
        project_name: str,
        experiment_name: str,
        experiment_timestamp: str | None = None,
        save_true_pred_labels: bool = False,
        protect_existing_folder: bool = True,
    ) -> list[list[str]]:
        """Saves everything into one file; returns `[[path in the results folder, path], ...]`, this file first.

        `training_history`: a `TrainingHistory`, a dictionary of lists, or `None`. For the time stamp and
        `protect_existing_folder` see the model savers. Raises what `checked` does (nothing is made then), `BadName`,
        and `SaveError`.
        """
        package, history = self.checked(result_package, training_history, save_true_pred_labels)
        stamp = self._stamp(project_name, experiment_name, experiment_timestamp, protect_existing_folder)
        parts = _parts(package, history, save_true_pred_labels)
        together = {key: value for part in parts.values() for key, value in part.items()}
        files = {"results_hyperParams_hist": (True, together)}
        return self._save(files, package, history, project_name, experiment_name, stamp)

    def save_experiment_results_separate_files(
        self,
        result_package: Any,
        training_history: Any,
        project_name: str,
        experiment_name: str,
        experiment_timestamp: str | None = None,
        save_true_pred_labels: bool = False,
        protect_existing_folder: bool = True,
    ) -> list[list[str]]:
        """Saves results, hyperparameters, history and labels into a file each; returns a list as above.

        Arguments and errors as of `save_experiment_results`.
        """
        package, history = self.checked(result_package, training_history, save_true_pred_labels)
        stamp = self._stamp(project_name, experiment_name, experiment_timestamp, protect_existing_folder)
        parts = _parts(package, history, save_true_pred_labels)
        files = {name: (name != "true_pred_labels", part) for name, part in parts.items()}
        return self._save(files, package, history, project_name, experiment_name, stamp)

    def checked(self, result_package: Any, training_history: Any, with_labels: bool = False) -> tuple[Any, Any]:
        """Package and history as the two methods above save them: with nothing in them that could not be loaded again.

        Classes, functions and objects among the hyperparameters become text, with a `UserWarning`. Raises `TypeError`,
        naming the place, for what cannot be saved, and `ValueError` for an unknown `file_format`.
        """
        if isinstance(result_package, Checked):
            return result_package, training_history
        parts = _parts(result_package, training_history, with_labels)
        found: dict[str, Any] = {}
        for part in parts.values():
            found |= content.checked(part, self._format())
        package = Checked(
            result_package,
            get_results=lambda: found["results"],
            get_hyperparameters=lambda: found["hyperparameters"],
            **({name: found[name] for name in ("y_true", "y_predicted")} if with_labels else {}),
        )
        history = Checked(as_training_history(training_history), get_train_history=lambda: found["training_history"])
        return package, history

    def _stamp(self, project_name: str, experiment_name: str, given: str | None, protect: bool) -> str:
        stamp = given
        if stamp is None:
            stamp = names.claim(project_name, experiment_name, self.local_model_result_folder_path, share=not protect)
        names.check_experiment(project_name, experiment_name, stamp)
        names.check_results(experiment_name, stamp)
        return stamp

    def _save(
        self,
        files: dict[str, tuple[bool, dict[str, Any]]],
        result_package: Any,
        training_history: Any,
        project_name: str,
        experiment_name: str,
        stamp: str,
    ) -> list[list[str]]:
        folder = self.create_experiment_local_folder_structure(project_name, experiment_name, stamp)
        head = {"experiment_name": experiment_name, "experiment_results_local_path": folder}
        saved = []
        with one_save.begun(one_save.RESULTS, lambda: content.record(result_package)):
            for name, (with_head, part) in files.items():
                name = f"{name}_{experiment_name}_{stamp}"
                part = {**head, **part} if with_head else part
                saved.append(list(self._write(part, name, os.path.join(folder, name))))
            return saved + _additional(result_package, folder) + _plots(training_history, folder)


def _parts(result_package: Any, training_history: Any, with_labels: bool) -> dict[str, dict[str, Any]]:
    """The content of the files, by their names, in the order in which they are saved."""
    history = as_training_history(training_history)
    if getattr(history, "strict_content_check", False):
        history.get_train_history_dict()
    parts = {
        "results": {"results": result_package.get_results()},
        "hyperparams": {"hyperparameters": result_package.get_hyperparameters()},
        "train_history": {"training_history": history.get_train_history()},
    }
    if with_labels:
        labels = {"y_true": result_package.y_true, "y_predicted": result_package.y_predicted}
        parts["true_pred_labels"] = labels
    return parts


def _additional(result_package: Any, results_folder: str) -> list[list[str]]:
    """The package's own files, which need not exist; checksums are taken of those that are in the experiment."""
    paths = result_package.get_additional_results_dump_paths() or []
    experiment = os.path.dirname(os.path.abspath(results_folder))
    inside = [os.path.abspath(path) for _, path in paths if os.path.isfile(path)]
    inside = [os.path.relpath(path, experiment) for path in inside if path.startswith(experiment + os.sep)]
    if inside:
        Folder(experiment).record(*inside)
    return list(paths)


def _plots(training_history: Any, results_folder: str) -> list[list[str]]:
    try:
        plots = TrainingHistoryPlotter(results_folder).generate_report(as_training_history(training_history))
        if plots:
            Folder(os.path.dirname(results_folder)).record(*(f"results/{name}" for name, _ in plots))
        return plots
    except Exception as error:
        warnings.warn(f"The training history could not be plotted: {error}", stacklevel=3)
        return []
