"""What was saved below a root: listing, finding, and reading back."""

import datetime
import json
import os
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from compat.aitoolbox.store import checkpoints, names, one_save, pickles
from compat.aitoolbox.store.checkpoints import Checkpoint
from compat.aitoolbox.store.checksums import Table
from compat.aitoolbox.store.errors import DamagedFile, MixedSaves, NoSuchExperiment
from compat.aitoolbox.store.folder import Folder
from compat.aitoolbox.store.names import STAMP
from compat.aitoolbox.store.one_save import Version

_STAMPED = re.compile(r"(?P<name>.*)_(?P<stamp>\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d)", re.DOTALL)
_REQUIRED = 3  # files of results that are saved one by one; labels are optional
_TRIES = 20  # while another process saves
_SUBFOLDERS = ("model", "checkpoint_model", "results")


@dataclass(frozen=True)
class SavedExperiment:
    """One experiment that is there; `complete` if it has both a final model and results, of one save.

    `mixed` names what belongs to different saves, and is empty if nothing does. `checkpoints` are the models that were
    saved during training, in its order. Of the newest results, `provenance` records where they come from
    (`analogjax.store.provenance`), `results` has the numbers, and `hyperparameters` those that are one number or text
    (at most a thousand of each); all three are empty for what aitoolbox itself saved.
    """

    project_name: str
    experiment_name: str
    experiment_timestamp: str
    path: str
    complete: bool
    created: float  # [s since 1970]
    verifiable: bool = True
    mixed: str = ""
    checkpoints: tuple[Checkpoint, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    results: Mapping[str, float] = field(default_factory=dict, compare=False)
    hyperparameters: Mapping[str, Any] = field(default_factory=dict, compare=False)


@dataclass
class LoadedExperiment:
    """One experiment, read back; `paths` are the files that it was read from.

    `epoch_num` and `iteration_idx` identify the checkpoint if `model` is one.
    """

    project_name: str
    experiment_name: str
    experiment_timestamp: str
    model: Any = None
    results: Any = None
    hyperparameters: Any = None
    training_history: Any = None
    y_true: Any = None
    y_predicted: Any = None
    epoch_num: int | None = None
    iteration_idx: int | None = None
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
    project: str,
    folder: str,
    path: str,
    table: Table | None,
    files: Iterable[str],
    present: Callable[[str], Version | None],
    made: float = 0.0,
) -> SavedExperiment | None:
    """The experiment in a folder with these files; `None` if it is being deleted, or has none.

    `present` tells which of the contents in the table a file has.
    """
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
    whole = all(any(file.startswith(start) for file in files) for start in ("model/model_", "results/results_"))
    mixed = _mixed(table, folder, files, present) if table is not None and whole else ""
    made = _time_of(stamp) or (table.created if table is not None else made)
    trained = checkpoints.among(files, folder, table)
    complete, verifiable = whole and not mixed, table is not None
    noted = _noted(table, folder) if table is not None else {}
    return SavedExperiment(project, name, stamp, path, complete, made, verifiable, mixed, trained, **noted)


def _noted(table: Table, folder: str) -> dict[str, Any]:
    """What is noted of the save that the newest results are of."""
    lines = [line for name in results_names(folder) for line in table.files.get(name, ()) if not line.pending]
    newest = max(lines, key=lambda line: line.saved, default=None)
    found = table.saves.get(newest.save, {}) if newest is not None else {}
    return {key: found[key] for key in ("provenance", "results", "hyperparameters") if key in found}


def _mixed(table: Table, folder: str, files: list[str], present: Callable[[str], Version | None]) -> str:
    """What is wrong with the newest final model and the newest results together; `""` if nothing is."""
    models = [name for name in files if os.path.splitext(name)[0] == f"model/model_{folder}"]
    results = [name for name in results_names(folder) if name in files]
    if not models or not results:
        return ""
    model, main = (max(names, key=table.saved) for names in (models, results))
    group = _belonging_to(main)[:_REQUIRED]
    lost = [name for name in group if name not in files]
    return f"the results lack {lost[0]}" if lost else belonging([model], group, table, present)


def belonging(models: list[str], results: list[str], table: Table, present: Callable[[str], Version | None]) -> str:
    """What is wrong with a model, if one is named, for files of results, the main one first; `""` if nothing is."""
    lines = {name: present(name) for name in [*models, *results] if table.files.get(name)}
    unknown = [name for name, line in lines.items() if line is None]
    if unknown:
        return f"a save was cut off while it replaced {unknown[0]}, and it is not known which of both contents that has"
    found = [line for name in results if (line := lines.get(name)) is not None]
    wrong = one_save.split(found)
    model = lines.get(models[0]) if models else None
    return wrong or (one_save.difference(model, found[0]) if model is not None and found else "")


def find(
    experiments: list[SavedExperiment],
    project_name: str,
    experiment_name: str,
    experiment_timestamp: str | None,
    *,
    with_checkpoints: bool = False,
    mixed_too: bool = False,
) -> SavedExperiment:
    """The experiment with this stamp, or without one the latest complete one, or the latest one that has checkpoints.

    One whose model and results are of different saves counts where only one of them is wanted (`mixed_too`), or where
    there is no other. Raises `NoSuchExperiment`.
    """
    named = [one for one in experiments if one.experiment_name == experiment_name]
    if experiment_timestamp is not None:
        named = [one for one in experiments if _folder(one) == f"{experiment_name}_{experiment_timestamp}"]
    if with_checkpoints:
        fitting = [one for one in named if one.checkpoints]
    else:
        fitting = [one for one in named if one.complete or (one.mixed and mixed_too)]
        fitting = fitting or [one for one in named if one.mixed]  # reading it will raise the error
    chosen = named if experiment_timestamp is not None else fitting
    if chosen:
        return chosen[-1]
    there = ", ".join(_folder(one) for one in experiments[-3:]) or "nothing"
    wanted = f"{experiment_name!r}" + (f" of {experiment_timestamp}" if experiment_timestamp else "")
    if with_checkpoints:
        wanted += " with checkpoints"
    raise NoSuchExperiment(
        f"There is no experiment {wanted} in project {project_name!r}{_cut_off(named)}. There is: {there}."
    )


def _cut_off(named: list[SavedExperiment]) -> str:
    if not named:
        return ""
    last, told = named[-1], f" ({len(named)} saves of it were cut off: give one's experiment_timestamp"
    if last.checkpoints:
        epochs = ", ".join(f"{one.epoch_num}" for one in last.checkpoints[-5:] if one.iteration_idx is None)
        told += f"; {last.experiment_timestamp} has checkpoints{f' of epochs {epochs}' if epochs else ''}: "
        told += "epoch_num='newest' loads the newest one"
    return f"{told})"


def read(
    experiment: SavedExperiment,
    read_model: Callable[[str], Any] | None,
    model_names: list[str],
    *,
    with_results: bool = True,
    allow_pickle: bool = False,
) -> LoadedExperiment:
    """Reads an experiment's model, the newest of `model_names`, unless `read_model` is `None`, and its newest results.

    Raises `MixedSaves` if they are of different saves, `DamagedFile`, `UnsafeFile`, `NoSuchExperiment`, and what
    `read_model` does.
    """
    folder = Folder(experiment.path)
    loaded = LoadedExperiment(experiment.project_name, experiment.experiment_name, experiment.experiment_timestamp)
    models, results = _of_one_save(folder, loaded, model_names if read_model is not None else None, with_results)
    if read_model is not None:
        loaded.paths.append(str(folder.path / models[0]))
        loaded.model = read_model(loaded.paths[0])
    for name in results:
        _read_results(str(folder.path / name), loaded, allow_pickle)
    return loaded


def _of_one_save(
    folder: Folder, loaded: LoadedExperiment, model_names: list[str] | None, with_results: bool
) -> tuple[list[str], list[str]]:
    """The files of the newest model of `model_names` (`None`: of no model) and of the newest results.

    Where these do not belong together, but the table has changed since it was read, a save goes on: it is read again.
    """
    for tries_left in reversed(range(_TRIES)):
        table = folder.table() or Table()
        models, results = [], []
        if model_names is not None:
            models = [_newest(folder, table, model_names, "model", "with_model=False leaves it out")]
        if with_results:
            results = _results_files(folder, table, f"{loaded.experiment_name}_{loaded.experiment_timestamp}")
        try:
            _check_one_save(folder, table, [name for name in models if name.startswith("model/")], results)
        except MixedSaves:
            if not tries_left or (folder.table() or Table()) == table:
                raise
        else:
            break
    return models, results


def _check_one_save(folder: Folder, table: Table, models: list[str], results: list[str]) -> None:
    """A checkpoint belongs to no results. Raises `MixedSaves`."""
    wrong = belonging(models, results, table, partial(folder.present, table=table))
    if wrong:
        remedy = "load them one by one with with_model=False and with_results=False, or" if models else "Each is whole;"
        raise MixedSaves(f"{folder.path}: {wrong}. That save was cut off, or still goes on: {remedy} save again.")


def verify(folder: Folder, only: list[str] | None = None, *, where: str | None = None) -> None:
    """Checks every file, or those named, against the checksums; warns if there are none. Raises `DamagedFile`.

    `where` is where the folder was copied from.
    """
    if folder.table() is None:
        warnings.warn(
            f"{where or folder.path} has no checksums, as aitoolbox itself writes none: it is loaded without being "
            "verified.",
            stacklevel=4,
        )
    folder.verify(only)


def results_names(name: str) -> list[str]:
    """Where the main results of the experiment `name`, which includes the stamp, may be."""
    return [
        f"results/{kind}_{name}{end}" for kind in ("results_hyperParams_hist", "results") for end in (".p", ".json")
    ]


def _results_files(folder: Folder, table: Table, name: str) -> list[str]:
    """The newest results, with the files that were written with them, the main one first."""
    main = _newest(folder, table, results_names(name), "results", "with_results=False leaves them out")
    labels = f"results/true_pred_labels_{name}{os.path.splitext(main)[1]}"
    files = [one for one in _belonging_to(main) if one != labels]
    ours, theirs = folder.present(main, table), folder.present(labels, table)
    is_old = ours is not None and theirs is not None and ours.save != theirs.save  # this save was one without labels
    with_labels = len(files) > 1 and (folder.path / labels).exists() and not is_old
    return [*files, labels] if with_labels else files


def _belonging_to(main: str) -> list[str]:
    """The main file of results, and those written with it; the labels, which are optional, come last."""
    if os.path.basename(main).startswith("results_hyperParams_hist_"):
        return [main]
    rest = main.removeprefix("results/results")
    return [main, *(f"results/{kind}{rest}" for kind in ("hyperparams", "train_history", "true_pred_labels"))]


def _read_results(file: str, loaded: LoadedExperiment, allow_pickle: bool) -> None:
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


def _newest(folder: Folder, table: Table, candidates: list[str], what: str, remedy: str) -> str:
    there = [name for name in candidates if (folder.path / name).is_file()]
    if not there:
        files = [f"{kind}/{path.name}" for kind in _SUBFOLDERS for path in (folder.path / kind).glob("*.*")]
        raise nothing_of(folder.path, what, candidates, remedy, files)
    return max(there, key=lambda name: table.saved(name) or (folder.path / name).stat().st_mtime)


def nothing_of(where: object, what: str, candidates: list[str], remedy: str, files: Iterable[str]) -> NoSuchExperiment:
    """The error that `where` has none of the `candidates`, and what it has instead."""
    there = sorted(name for name in files if name.split("/")[0] in _SUBFOLDERS and name.count("/") == 1)
    return NoSuchExperiment(
        f"{where} has no {what} {' or '.join(candidates)}; {remedy}. It has: {', '.join(there) or 'nothing'}."
    )


def _described(folder: Path) -> SavedExperiment | None:
    try:
        table = Folder(folder).table()
    except DamagedFile:
        table = None
    files = [f"{kind}/{path.name}" for kind in _SUBFOLDERS for path in (folder / kind).glob("*") if path.is_file()]
    present = partial(Folder(folder).present, table=table or Table())
    return entry(folder.parent.name, folder.name, str(folder), table, files, present, folder.stat().st_mtime)


def _is_visible(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith((".trash-", ".staging-", ".download-"))


def _folder(experiment: SavedExperiment) -> str:
    return f"{experiment.experiment_name}_{experiment.experiment_timestamp}"


def _time_of(stamp: str) -> float:
    try:
        return datetime.datetime.strptime(stamp, STAMP).timestamp()
    except ValueError:
        return 0.0
