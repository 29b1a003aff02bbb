"""What was saved below a root: listing, finding, and reading back."""

import datetime
import json
import os
import re
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compat.aitoolbox.store import names, pickles
from compat.aitoolbox.store.checksums import Table
from compat.aitoolbox.store.errors import DamagedFile, NoSuchExperiment
from compat.aitoolbox.store.folder import Folder
from compat.aitoolbox.store.names import STAMP

_STAMPED = re.compile(r"(?P<name>.*)_(?P<stamp>\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d)", re.DOTALL)
_SUBFOLDERS = ("model", "checkpoint_model", "results")


@dataclass(frozen=True)
class SavedExperiment:
    """One experiment that is there; `complete` if it has both a final model and results."""

    project_name: str
    experiment_name: str
    experiment_timestamp: str
    path: str
    complete: bool
    created: float  # [s since 1970]
    verifiable: bool = True


@dataclass
class LoadedExperiment:
    """One experiment, read back; `paths` are the files that it was read from."""

    project_name: str
    experiment_name: str
    experiment_timestamp: str
    model: Any = None
    results: Any = None
    hyperparameters: Any = None
    training_history: Any = None
    y_true: Any = None
    y_predicted: Any = None
    paths: list[str] = field(default_factory=list)


def list_local(root: str, project_name: str | None = None) -> list[SavedExperiment]:
    """The experiments below `root`, oldest first. Raises `NoSuchExperiment` if there is no such root or project."""
    if project_name is not None:
        names.check_folder("project_name", project_name)
    top = Path(root) if project_name is None else Path(root, project_name)
    if not top.is_dir():
        raise NoSuchExperiment(f"There is no folder {top}: check the path and the project's name.")
    projects = [top] if project_name is not None else [path for path in top.iterdir() if _is_visible(path)]
    found = [_described(folder) for project in projects for folder in project.iterdir() if _is_visible(folder)]
    return in_order(experiment for experiment in found if experiment is not None)


def in_order(experiments: Iterable[SavedExperiment]) -> list[SavedExperiment]:
    """Oldest first."""
    return sorted(experiments, key=lambda one: (one.created, one.project_name, one.experiment_name))


def entry(
    project: str, folder: str, path: str, table: Table | None, files: Iterable[str], made: float = 0.0
) -> SavedExperiment | None:
    """The experiment in a folder with these files; `None` if it is being deleted, or has none."""
    files = [name for name in files if name.split("/")[0] in _SUBFOLDERS and "/" in name]
    files += table.must_exist() if table is not None and files else []  # what is lost is to be missed when it is loaded
    if (table is not None and table.deleted) or not files:
        return None
    stamped = _STAMPED.fullmatch(folder)
    name, stamp = (
        (stamped["name"], stamped["stamp"]) if stamped else (folder.rpartition("_")[0], folder.rpartition("_")[2])
    )
    if table is not None and f"{table.experiment_name}_{table.experiment_timestamp}" == folder:
        name, stamp = table.experiment_name, table.experiment_timestamp
    complete = all(any(file.startswith(start) for file in files) for start in ("model/model_", "results/results_"))
    made = _time_of(stamp) or (table.created if table is not None else made)
    return SavedExperiment(project, name, stamp, path, complete, made, table is not None)


def find(
    experiments: list[SavedExperiment], project_name: str, experiment_name: str, experiment_timestamp: str | None
) -> SavedExperiment:
    """The experiment with this stamp, or without one the latest complete one. Raises `NoSuchExperiment`."""
    named = [one for one in experiments if one.experiment_name == experiment_name]
    if experiment_timestamp is not None:
        named = [one for one in experiments if _folder(one) == f"{experiment_name}_{experiment_timestamp}"]
    chosen = [one for one in named if one.complete or experiment_timestamp is not None]
    if chosen:
        return chosen[-1]
    there = ", ".join(_folder(one) for one in experiments[-3:]) or "nothing"
    wanted = f"{experiment_name!r}" + (f" of {experiment_timestamp}" if experiment_timestamp else "")
    cut = f" ({len(named)} saves of it were cut off: give one's experiment_timestamp)" if named else ""
    raise NoSuchExperiment(f"There is no experiment {wanted} in project {project_name!r}{cut}. There is: {there}.")


def read(
    experiment: SavedExperiment,
    read_model: Callable[[str], Any] | None,
    model_names: list[str],
    *,
    with_results: bool = True,
    allow_pickle: bool = False,
) -> LoadedExperiment:
    """Reads an experiment's model, the newest of `model_names`, unless `read_model` is `None`, and its newest results.

    Raises `DamagedFile`, `UnsafeFile`, `NoSuchExperiment` and what `read_model` does.
    """
    folder = Folder(experiment.path)
    loaded = LoadedExperiment(experiment.project_name, experiment.experiment_name, experiment.experiment_timestamp)
    if read_model is not None:
        file = _newest(folder, model_names, "model", "with_model=False leaves it out")
        loaded.model = read_model(file)
        loaded.paths.append(file)
    if with_results:
        _read_results(folder, loaded, allow_pickle)
    return loaded


def verify(folder: Folder, only: list[str] | None = None) -> None:
    """Checks every file, or those named, against the checksums; warns if there are none. Raises `DamagedFile`."""
    if folder.table() is None:
        warnings.warn(
            f"{folder.path} has no checksums, as aitoolbox itself writes none: it is loaded without being verified.",
            stacklevel=4,
        )
    folder.verify(only)


def results_names(name: str) -> list[str]:
    """Where the main results of the experiment `name`, which includes the stamp, may be."""
    return [
        f"results/{kind}_{name}{end}" for kind in ("results_hyperParams_hist", "results") for end in (".p", ".json")
    ]


def _read_results(folder: Folder, loaded: LoadedExperiment, allow_pickle: bool) -> None:
    name = f"{loaded.experiment_name}_{loaded.experiment_timestamp}"
    main = _newest(folder, results_names(name), "results", "with_results=False leaves them out")
    files = [main]
    if not os.path.basename(main).startswith("results_hyperParams_hist_"):
        place, rest = os.path.dirname(main), os.path.basename(main).removeprefix("results")
        files += [os.path.join(place, f"{kind}{rest}") for kind in ("hyperparams", "train_history")]
        labels = os.path.join(place, f"true_pred_labels{rest}")
        files += [labels] if os.path.exists(labels) else []
    for file in files:
        content = _read_one(file, allow_pickle)
        for key in ("results", "hyperparameters", "training_history", "y_true", "y_predicted"):
            if key in content:
                setattr(loaded, key, content[key])
        loaded.paths.append(file)


def _read_one(file: str, allow_pickle: bool) -> dict[str, Any]:
    if not os.path.exists(file):
        raise NoSuchExperiment(f"{file} is missing: the save was cut off. Save the experiment again.")
    if file.endswith(".p"):
        content = pickles.read(file, allow_pickle=allow_pickle)
    else:
        try:
            content = json.loads(Path(file).read_bytes())
        except ValueError as error:
            raise DamagedFile(f"{file} is damaged: it is not JSON ({error}). Restore it from a copy.") from error
    if not isinstance(content, dict):
        raise DamagedFile(f"{file} holds a {type(content).__name__}, not the dictionary of a results saver.")
    return content


def _newest(folder: Folder, candidates: list[str], what: str, remedy: str) -> str:
    table = folder.table() or Table()
    there = [name for name in candidates if (folder.path / name).is_file()]
    if not there:
        files = sorted(
            str(path.relative_to(folder.path)) for kind in _SUBFOLDERS for path in (folder.path / kind).glob("*.*")
        )
        raise NoSuchExperiment(
            f"{folder.path} has no {what} {' or '.join(candidates)}; {remedy}. It has: {', '.join(files) or 'nothing'}."
        )

    def saved(name: str) -> float:
        times = [line.saved for line in table.files.get(name, ())]
        return max(times, default=(folder.path / name).stat().st_mtime)

    return str(folder.path / max(there, key=saved))


def _described(folder: Path) -> SavedExperiment | None:
    try:
        table = Folder(folder).table()
    except DamagedFile:
        table = None
    files = [f"{kind}/{path.name}" for kind in _SUBFOLDERS for path in (folder / kind).glob("*") if path.is_file()]
    return entry(folder.parent.name, folder.name, str(folder), table, files, folder.stat().st_mtime)


def _is_visible(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith((".trash-", ".staging-", ".download-"))


def _folder(experiment: SavedExperiment) -> str:
    return f"{experiment.experiment_name}_{experiment.experiment_timestamp}"


def _time_of(stamp: str) -> float:
    try:
        return datetime.datetime.strptime(stamp, STAMP).timestamp()
    except ValueError:
        return 0.0
