"""Saves hyperparameters, the main script and the source of an experiment next to its model and results."""

import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

from compat.aitoolbox.experiment.local_save.folder_create import ExperimentFolder
from compat.aitoolbox.store.folder import Folder

_NOT_SOURCE = {"__pycache__", ".git", ".hg", ".svn", ".venv", ".mypy_cache", ".pytest_cache", ".ipynb_checkpoints"}


class HyperParamSourceReporter:
    """Writes into the experiment's folder, which is made here."""

    def __init__(
        self,
        project_name: str,
        experiment_name: str,
        experiment_timestamp: str,
        local_model_result_folder_path: str,
    ) -> None:
        self.project_name = project_name
        self.experiment_name = experiment_name
        self.experiment_timestamp = experiment_timestamp
        self.local_model_result_folder_path = os.path.expanduser(local_model_result_folder_path)
        self.experiment_dir_path = ExperimentFolder.create_base_folder(
            project_name, experiment_name, experiment_timestamp, local_model_result_folder_path
        )
        self.file_name = "hyperparams_list.txt"
        self.local_hyperparams_file_path = os.path.join(self.experiment_dir_path, self.file_name)

    def save_hyperparams_to_text_file(self, hyperparams: dict[str, Any], sort_names: bool = False) -> str:
        """One `name:<TAB>value` line per hyperparameter, newlines as `\\n`; returns the path. Raises `SaveError`."""
        names = sorted(hyperparams) if sort_names else list(hyperparams)
        lines = [f"{name}:\t{hyperparams[name]}".replace("\r", "\\r").replace("\n", "\\n") for name in names]
        text = "".join(f"{line}\n" for line in lines)
        Folder(self.experiment_dir_path).write(self.file_name, lambda draft: _write_text(draft, text))
        return self.local_hyperparams_file_path

    def copy_to_cloud_storage(
        self, local_hyperparams_file_path: str, cloud_saver: Any, file_name: str | None = None
    ) -> str:
        """Upload a file next to the experiment's `model` folder; returns its key. Raises `StoreError`."""
        inside = cloud_saver.create_experiment_cloud_storage_folder_structure(
            self.project_name, self.experiment_name, self.experiment_timestamp
        )
        key = f"{inside.rpartition('/')[0]}/{file_name or self.file_name}"
        cloud_saver.save_file(local_hyperparams_file_path, key)
        return key

    def save_experiment_python_file(self, hyperparams: dict[str, Any]) -> str | None:
        """Copies the script that `experiment_file_path` names; returns the copy, or prints why there is none."""
        source = hyperparams.get("experiment_file_path")
        if source is None or not os.path.isfile(os.path.expanduser(source)):
            print(f"The main script is not copied: experiment_file_path is {source!r}, which is not a file")
            return None
        source = os.path.expanduser(source)
        return str(Folder(self.experiment_dir_path).write(os.path.basename(source), lambda draft: _copy(source, draft)))

    def save_experiment_source_files(self, hyperparams: dict[str, Any]) -> str | None:
        """Packs the folders of `source_dirs_paths` (a list or tuple) into `source_code.zip`, without caches and
        version control; returns its path, or `None` if there are none. Raises `FileNotFoundError`, `SaveError`.
        """
        sources = hyperparams.get("source_dirs_paths")
        if not isinstance(sources, (list, tuple)) or not sources:
            return None
        folders = [Path(os.path.abspath(os.path.expanduser(source))) for source in sources]
        for folder in folders:
            if not folder.is_dir():
                raise FileNotFoundError(f"source_dirs_paths names {folder}, which is not a folder.")
        return str(Folder(self.experiment_dir_path).write("source_code.zip", lambda draft: _pack(folders, draft)))


def _write_text(draft: Path, text: str) -> None:
    draft.write_text(text, encoding="utf-8")


def _copy(source: str, draft: Path) -> None:
    shutil.copyfile(source, draft)


def _pack(folders: list[Path], draft: Path) -> None:
    taken: set[str] = set()
    with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as archive:
        for folder in folders:
            top = next(
                name for n in range(len(folders)) if (name := f"{folder.name}_{n}" if n else folder.name) not in taken
            )
            taken.add(top)
            for path, below, files in os.walk(folder):
                below[:] = sorted(set(below) - _NOT_SOURCE)
                for name in sorted(files):
                    file = Path(path, name)
                    if file.is_file() and draft.parent.parent not in file.parents:
                        archive.write(file, Path(top, file.relative_to(folder)))
