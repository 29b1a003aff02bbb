"""The folder of an experiment: `<root>/<project>/<experiment>_<timestamp>`."""

import os

from compat.aitoolbox.store.folder import Folder


class ExperimentFolder:
    """Where an experiment is."""

    @staticmethod
    def create_base_folder(
        project_name: str, experiment_name: str, experiment_timestamp: str, local_model_result_folder_path: str
    ) -> str:
        """Makes the folder, with all above it, if need be; returns its path.

        Raises `BadName` for names that are not one folder each, and `SaveError`.
        """
        place = (project_name, experiment_name, experiment_timestamp, local_model_result_folder_path)
        Folder.made(*place)
        return ExperimentFolder.get_base_folder_paths(*place)[1]

    @staticmethod
    def get_base_folder_paths(
        project_name: str, experiment_name: str, experiment_timestamp: str, local_model_result_folder_path: str
    ) -> tuple[str, str]:
        """The paths of the project and of the experiment; nothing is checked or made."""
        project = os.path.join(os.path.expanduser(local_model_result_folder_path), project_name)
        return project, os.path.join(project, f"{experiment_name}_{experiment_timestamp}")
