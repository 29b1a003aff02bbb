"""What a package of results is, and packages of packages."""

import copy
from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from compat.aitoolbox.experiment.training_history import TrainingHistory
from compat.aitoolbox.utils import file_system


class AbstractResultPackage(ABC):
    """Results of one evaluation by name; subclasses compute them in `prepare_results_dict`.

    `np_array`: labels and predictions become NumPy arrays (`True`), stay as given (`False`), or become arrays if
    their rows have one length (`"auto"`). With `strict_content_check` a doubtful content is a `ValueError` instead of
    a printed line. `a + b` makes a package of both, `a += b` merges the results into `a`.
    """

    def __init__(
        self,
        pkg_name: str | None = None,
        strict_content_check: bool = False,
        np_array: bool | str = True,
        **kwargs: Any,
    ) -> None:
        self.pkg_name = pkg_name
        self.strict_content_check = strict_content_check
        self.np_array = np_array
        self.y_true: Any = None
        self.y_predicted: Any = None
        self.additional_results: Any = None
        self.additional_results_dump_paths: list[list[str]] | None = None
        self.results_dict: Any = None
        self.requires_loss = False
        self.hyperparameters: dict[str, Any] | None = None
        self.package_metadata = kwargs

    @abstractmethod
    def prepare_results_dict(self) -> Any:
        """Returns the results of `self.y_true` and `self.y_predicted`."""

    def prepare_result_package(
        self, y_true: Any, y_predicted: Any, hyperparameters: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        """Evaluates predictions; `kwargs` are kept as additional results."""
        self.y_true, self.y_predicted = self._array(y_true), self._array(y_predicted)
        self.hyperparameters = hyperparameters
        self.additional_results = kwargs
        self.results_dict = None
        self.results_dict = self.prepare_results_dict()

    def _array(self, values: Any) -> Any:
        if self.np_array is True:
            return np.array(values)
        return self.auto_y_input_array_convert(values) if self.np_array == "auto" else values

    @staticmethod
    def auto_y_input_array_convert(y_array: Any) -> Any:
        """An array if all rows have one length, else the rows as they are."""
        return np.array(y_array) if len({len(row) for row in y_array}) <= 1 else y_array

    def get_results(self) -> Any:
        """The results, `None` before an evaluation."""
        if self.results_dict is None:
            self.warn_about_result_data_problem("The results are missing: call prepare_result_package first")
        return self.results_dict

    def get_hyperparameters(self) -> dict[str, Any] | None:
        """The hyperparameters, `None` if none were given."""
        self.qa_check_hyperparameters_dict()
        return self.hyperparameters

    def get_additional_results_dump_paths(self) -> list[list[str]] | None:
        """Files that belong to the results, as `[[name in the results folder, path], ...]`."""
        self.additional_results_dump_paths = self.list_additional_results_dump_paths()
        self.qa_check_additional_results_dump_paths()
        return self.additional_results_dump_paths

    def list_additional_results_dump_paths(self) -> list[list[str]] | None:
        """For subclasses: the list that `get_additional_results_dump_paths` checks and returns."""
        return None

    def set_experiment_dir_path_for_additional_results(  # noqa: B027 - what subclasses may leave out
        self, project_name: str, experiment_name: str, experiment_timestamp: str, local_model_result_folder_path: str
    ) -> None:
        """For subclasses that write files: where the experiment is."""

    def qa_check_hyperparameters_dict(self) -> None:
        """Complains about missing hyperparameters, and if strict, about the two paths that make a run repeatable."""
        if self.hyperparameters is None:
            self.warn_about_result_data_problem("The hyperparameters are missing")
        for name in ("bash_script_path", "experiment_file_path"):
            if self.strict_content_check and (self.hyperparameters or {}).get(name) is None:
                self.warn_about_result_data_problem(f"{name} is missing from the hyperparameters")

    def qa_check_additional_results_dump_paths(self) -> None:
        """Raises `ValueError` unless the paths are a list of pairs (as lists) of strings, or `None`."""
        paths = self.additional_results_dump_paths
        if paths is None:
            return
        if type(paths) is not list:
            raise ValueError(f"Additional results: a list of [name, path] is needed, not {paths!r}.")
        for pair in paths:
            if type(pair) is not list or len(pair) != 2 or not all(type(part) is str for part in pair):
                raise ValueError(f"Additional results: {pair!r} is not a [name, path] of two strings.")

    def warn_about_result_data_problem(self, msg: str) -> None:
        """Prints `msg`. Raises `ValueError` with it if the check is strict."""
        if self.strict_content_check:
            raise ValueError(msg)
        print(msg)

    @staticmethod
    def zip_additional_results_dump(source_dir_path: str, zip_path: str) -> str:
        """Packs a folder; returns the path of the `.zip`."""
        return file_system.zip_folder(source_dir_path, zip_path)

    def add_merge_multi_pkg_wrap(self, other_object: Any) -> "MultipleResultPackageWrapper":
        """A package of copies of this one and another package or dictionary. Raises `ValueError`."""
        self.warn_if_results_dict_not_defined()
        other, mine = self._create_other_object_pkg(other_object), copy.deepcopy(self)
        both = MultipleResultPackageWrapper()
        both.prepare_result_package([mine, other], mine.hyperparameters)
        return both

    @staticmethod
    def _create_other_object_pkg(other_object: Any) -> "AbstractResultPackage":
        if isinstance(other_object, AbstractResultPackage):
            other_object.warn_if_results_dict_not_defined()
            return copy.deepcopy(other_object)
        if type(other_object) is dict:
            return PreCalculatedResultPackage(copy.deepcopy(other_object))
        raise ValueError(f"A result package or a dictionary can be added, not a {type(other_object).__name__}.")

    def add_merge_dicts(self, other: Any) -> "AbstractResultPackage":
        """Takes over the results of another package or dictionary. Raises `ValueError` if a name is there already."""
        self.warn_if_results_dict_not_defined()
        results = self._create_other_object_pkg(other).results_dict
        twice = sorted(map(str, self.results_dict.keys() & results.keys()))
        if twice:
            raise ValueError(f"Both have results with the names {', '.join(twice)}: rename one, or add with `a + b`.")
        self.results_dict = {**self.results_dict, **results}
        return self

    def warn_if_results_dict_not_defined(self) -> None:
        """Raises `ValueError` before an evaluation."""
        if self.results_dict is None:
            raise ValueError("There are no results yet: call prepare_result_package first.")

    def __add__(self, other: Any) -> "MultipleResultPackageWrapper":
        return self.add_merge_multi_pkg_wrap(other)

    def __radd__(self, other: Any) -> "MultipleResultPackageWrapper":
        return self.add_merge_multi_pkg_wrap(other)

    def __iadd__(self, other: Any) -> "AbstractResultPackage":
        return self.add_merge_dicts(other)

    def __str__(self) -> str:
        self.warn_if_results_dict_not_defined()
        return "\n".join(f"{name}: {value}" for name, value in self.results_dict.items())

    def __len__(self) -> int:
        self.warn_if_results_dict_not_defined()
        return len(self.results_dict)

    def __contains__(self, item: object) -> bool:
        self.warn_if_results_dict_not_defined()
        return item in self.results_dict

    def __getitem__(self, item: str) -> Any:
        if item not in self:
            raise KeyError(f"{item!r} is not among the results {list(self.results_dict)}.")
        return self.results_dict[item]


class PreCalculatedResultPackage(AbstractResultPackage):
    """Results that were computed elsewhere."""

    def __init__(self, results_dict: dict[str, Any], strict_content_check: bool = False, **kwargs: Any) -> None:
        super().__init__("PreCalculatedResult", strict_content_check, **kwargs)
        self.results_dict = self._given = results_dict
        self.training_history = TrainingHistory()
        self.hyperparameters = {}

    def prepare_results_dict(self) -> Any:
        return self._given


class MultipleResultPackageWrapper(AbstractResultPackage):
    """Several evaluated packages as one: a dictionary of results per package, whose labels are dictionaries too.

    A package whose name is taken gets its index behind it.
    """

    def __init__(self, strict_content_check: bool = False, **kwargs: Any) -> None:
        super().__init__("MultipleResultWrapper", strict_content_check, **kwargs)
        self.result_packages: Any = None

    def prepare_result_package(  # type: ignore[override]
        self, result_packages: list[AbstractResultPackage], hyperparameters: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        """Takes the packages, which have been evaluated."""
        self.result_packages = result_packages
        self.hyperparameters = hyperparameters
        self.additional_results = kwargs
        self.results_dict = None
        self.results_dict = self.prepare_results_dict()

    def prepare_results_dict(self) -> dict[str, Any]:
        results: dict[str, Any] = {}
        self.y_true, self.y_predicted = {}, {}
        self.additional_results = {self.pkg_name: self.additional_results} if self.additional_results else {}
        for index, package in enumerate(self.result_packages):
            name = f"ResultPackage{index}" if package.pkg_name is None else package.pkg_name
            name += f"{index}" if name in results else ""
            results[name] = package.get_results()
            self.y_true[name], self.y_predicted[name] = package.y_true, package.y_predicted
            self.additional_results[name] = package.additional_results
        return results

    def get_additional_results_dump_paths(self) -> list[list[str]] | None:
        """The files of this package and of all packages in it, `None` if there are none."""
        lists = [self.list_additional_results_dump_paths()]
        lists += [package.get_additional_results_dump_paths() for package in self.result_packages]
        given = [paths for paths in lists if paths is not None]
        self.additional_results_dump_paths = [pair for paths in given for pair in paths] if given else None
        self.qa_check_additional_results_dump_paths()
        return self.additional_results_dump_paths

    def add_merge_multi_pkg_wrap(self, other_object: Any) -> "MultipleResultPackageWrapper":
        self.warn_if_results_dict_not_defined()
        return copy.deepcopy(self).__iadd__(other_object)

    def __iadd__(self, other: Any) -> "MultipleResultPackageWrapper":
        self.warn_if_results_dict_not_defined()
        package = self._create_other_object_pkg(other)
        more = package.result_packages if isinstance(package, MultipleResultPackageWrapper) else [package]
        self.prepare_result_package(self.result_packages + more, self.hyperparameters, **self.package_metadata)
        return self

    def __str__(self) -> str:
        return "\n".join(f"--> {package.pkg_name}:\n{package}" for package in self.result_packages)

    def __len__(self) -> int:
        return len(self.result_packages)
