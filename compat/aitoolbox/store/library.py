"""Listing, loading and retention for the experiment savers."""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from analogjax.store.transfer import each
from compat.aitoolbox.store import bucket_folder, catalog, checkpoints, names, one_save
from compat.aitoolbox.store.bucket_folder import CHECKSUMS, BucketFolder
from compat.aitoolbox.store.catalog import LoadedExperiment, SavedExperiment
from compat.aitoolbox.store.errors import DamagedFile, ExperimentError, NoSuchExperiment
from compat.aitoolbox.store.folder import Folder
from compat.aitoolbox.store.one_save import Version


@dataclass(frozen=True)
class Wanted:
    """Which parts of an experiment to load: the model `model_name`(s) of a folder, results, and how.

    A training that still goes on has no results yet: with `results_may_lack` that is no error.
    """

    model_names: list[str]
    read_model: Callable[[str], Any] | None
    with_results: bool
    allow_pickle: bool
    verify: bool
    results_may_lack: bool = False


class Library:
    """What all experiment savers can do with the experiments that are there."""

    project_name: str
    experiment_name: str
    model_saver: Any
    results_saver: Any

    def list_experiments(self, project_name: str | None = None) -> list[SavedExperiment]:
        """The experiments of a project, or of all projects, oldest first.

        Raises `NoSuchExperiment` if there is no such project, and `StoreError`.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define where its experiments are.")

    def load_experiment(
        self,
        project_name: str | None = None,
        experiment_name: str | None = None,
        experiment_timestamp: str | None = None,
        *,
        model_save_dir: str = "model",
        epoch_num: int | Literal["newest"] | None = None,
        iteration_idx: int | None = None,
        with_model: bool = True,
        with_results: bool = True,
        like: Any = None,
        map_location: Any = None,
        custom_objects: Mapping[str, Any] | None = None,
        compile: bool | None = None,
        allow_pickle: bool = False,
        verify: bool = True,
    ) -> LoadedExperiment:
        """Reads an experiment back: this saver's own project and experiment, and the latest complete save, by default.

        `model_save_dir` with `epoch_num` and `iteration_idx` choose a checkpoint instead of the final model, and
        `epoch_num="newest"` the newest one that there is, with the results if there are any yet. `like`: a pytree that
        gives the structure (Flax), or the module that takes the weights (PyTorch). `map_location` as for `torch.load`.
        `custom_objects` and `compile` as for `keras.models.load_model`. `allow_pickle` trusts the files, so that those
        that hold more than data are loaded too.

        All files are first compared with their checksums (`verify`). Raises `MixedSaves` if model and results are of
        different saves, `NoSuchExperiment`, `DamagedFile`, `UnsafeFile`, `WrongModel`, and `StoreError`; `ValueError`
        for an option that this kind of model does not have.
        """
        names.check_folder("model_save_dir", model_save_dir)
        newest = epoch_num == "newest"
        if newest:
            model_save_dir = checkpoints.FOLDER
        local = self._local_model_saver()
        options = _given(local, like=like, map_location=map_location, custom_objects=custom_objects, compile=compile)
        project, name = project_name or self.project_name, experiment_name or self.experiment_name
        with_checkpoints = newest or (model_save_dir == checkpoints.FOLDER and epoch_num is not None)
        found = catalog.find(
            self.list_experiments(project),
            project,
            name,
            experiment_timestamp,
            with_checkpoints=with_checkpoints,
            mixed_too=not (with_model and with_results),
        )
        place = (found.experiment_name, found.experiment_timestamp)
        if epoch_num == "newest":
            epoch_num, iteration_idx = _newest(found, local, iteration_idx)
        wanted = Wanted(
            [f"{model_save_dir}/{file}" for file in local.model_files(*place, epoch_num, iteration_idx)],
            (lambda file: local.read_model(file, allow_pickle=allow_pickle, **options)) if with_model else None,
            with_results,
            allow_pickle,
            verify,
            results_may_lack=newest,
        )
        loaded = self._load(found, wanted)
        if with_model:
            loaded.epoch_num, loaded.iteration_idx = epoch_num, iteration_idx if epoch_num is not None else None
        return loaded

    def _local_model_saver(self) -> Any:
        return self.model_saver

    def _load(self, found: SavedExperiment, wanted: Wanted) -> LoadedExperiment:
        raise NotImplementedError

    def _old(self, stamp: str, keep_last: int | None) -> list[SavedExperiment]:
        """The saves of this experiment beyond the last `keep_last`, but never the one of `stamp`, nor foreign ones."""
        if keep_last is None:
            return []
        return superseded(self.list_experiments(self.project_name), self.experiment_name, stamp, keep_last)


def _given(saver: Any, **options: Any) -> dict[str, Any]:
    """The options that are given. Raises `ValueError`, naming one that `saver` does not have."""
    known = getattr(saver, "load_options", ("like", "map_location"))
    given = {option: value for option, value in options.items() if value is not None}
    wrong = sorted(given.keys() - set(known))
    if wrong:
        raise ValueError(
            f"{wrong[0]} is not an option of models that {type(saver).__name__} saves: leave it out. Theirs are: "
            f"{', '.join(known)}."
        )
    return given


def _newest(found: SavedExperiment, saver: Any, iteration_idx: int | None) -> tuple[int, int | None]:
    if iteration_idx is not None:
        raise ValueError(f"iteration_idx={iteration_idx} with epoch_num='newest': give both as numbers, or neither.")
    place = (found.experiment_name, found.experiment_timestamp)
    mine = [
        one for one in found.checkpoints if one.file_name in saver.model_files(*place, one.epoch_num, one.iteration_idx)
    ]
    if not mine:
        has = ", ".join(one.file_name for one in found.checkpoints) or "none"
        raise NoSuchExperiment(f"{found.path} has no checkpoint of a {type(saver).__name__}; it has: {has}.")
    last = max(mine, key=lambda one: one.order)
    return last.epoch_num, last.iteration_idx


def superseded(
    listed: list[SavedExperiment], experiment_name: str, stamp: str, keep_last: int
) -> list[SavedExperiment]:
    """Of the experiments of a project, oldest first, those saves of one that the save `stamp` has made superfluous.

    Only complete saves count, and only they are given up: one without results may be a training that still goes on.
    """
    mine = [
        one
        for one in listed
        if one.experiment_name == experiment_name
        and one.experiment_timestamp != stamp
        and one.verifiable
        and one.complete
    ]
    return mine[: max(0, len(mine) - keep_last + 1)]


def natural(keep_last: int | None, name: str = "keep_last") -> int | None:
    """`keep_last` if it is `None` or 1 or more. Raises `ValueError`."""
    if keep_last is not None and (isinstance(keep_last, bool) or not isinstance(keep_last, int) or keep_last < 1):
        raise ValueError(f"{name} is {keep_last!r}: give the number of saves to keep, 1 or more, or None for all.")
    return keep_last


def load_local(found: SavedExperiment, wanted: Wanted) -> LoadedExperiment:
    """Reads an experiment from its folder on the local disk."""
    if wanted.verify:
        catalog.verify(Folder(found.path))
    with_results = wanted.with_results
    if wanted.results_may_lack:
        name = f"{found.experiment_name}_{found.experiment_timestamp}"
        with_results = any(Path(found.path, file).is_file() for file in catalog.results_names(name))
    return catalog.read(
        found, wanted.read_model, wanted.model_names, with_results=with_results, allow_pickle=wanted.allow_pickle
    )


def delete_local(experiments: list[SavedExperiment]) -> None:
    """Deletes experiments from the local disk."""
    for one in experiments:
        Folder(one.path).delete()


def list_bucket(bucket: Any, prefix: str, project_name: str | None) -> list[SavedExperiment]:
    """The experiments below the key `prefix`, oldest first. Raises `StoreError`, `NoSuchExperiment`."""
    if project_name is not None:
        names.check_folder("project_name", project_name)
    top = bucket.location / prefix
    found: dict[tuple[str, str], dict[str, int]] = {}
    for entry in (top / project_name if project_name is not None else top).list():
        parts = ([project_name] if project_name is not None else []) + entry.name.split("/", 1 if project_name else 2)
        if len(parts) == 3:
            found.setdefault((parts[0], parts[1]), {})[parts[2]] = entry.size
    if project_name is not None and not found:
        raise NoSuchExperiment(f"There is no project {project_name!r} in {top.url}: check the names.")
    listed = each(lambda item: _described(top, item[0], item[1]), list(found.items()))
    return catalog.in_order(one for one in listed if one is not None)


def _described(top: Any, place: tuple[str, str], files: dict[str, int]) -> SavedExperiment | None:
    """The experiment in this folder, of whose files the sizes are known."""
    project, folder = place
    table = None
    if CHECKSUMS in files:
        try:
            table = BucketFolder(top / project / folder).table()
        except DamagedFile:
            table = None
    lines = table.files if table is not None else {}

    def present(name: str) -> Version | None:
        return one_save.present(lines.get(name, ()), files.get(name), None)

    return catalog.entry(project, folder, f"{project}/{folder}", table, files, present)


def load_bucket(bucket: Any, prefix: str, found: SavedExperiment, wanted: Wanted, root: str) -> LoadedExperiment:
    """Downloads an experiment to a folder of its own below `root`, verified, and reads it; the folder is removed."""
    location = bucket.location / prefix / found.path
    there = {entry.name for entry in location.list()}
    files = [name for name in wanted.model_names if wanted.read_model is not None and name in there]
    if wanted.read_model is not None and not files:
        raise catalog.nothing_of(location.url, "model", wanted.model_names, "with_model=False leaves it out", there)
    results = [name for name in there if wanted.with_results and name.startswith("results/") and name.count("/") == 1]
    named = catalog.results_names(f"{found.experiment_name}_{found.experiment_timestamp}")
    with_results = wanted.with_results
    if with_results and not there.intersection(named):
        if not wanted.results_may_lack:
            raise catalog.nothing_of(location.url, "results", named, "with_results=False leaves them out", there)
        with_results = False
    files += results
    os.makedirs(root, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".download-", dir=root) as place:
        copy = Path(place)
        BucketFolder(location).download(files, copy)
        with _named_as_there(str(copy), location.url):
            if wanted.verify:
                catalog.verify(Folder(copy), files, where=location.url)
            local = SavedExperiment(**{**vars(found), "path": str(copy)})
            loaded = catalog.read(
                local,
                wanted.read_model,
                wanted.model_names,
                with_results=with_results,
                allow_pickle=wanted.allow_pickle,
            )
        loaded.paths = [
            f"{location.url.partition('://')[2]}/{Path(p).relative_to(copy).as_posix()}" for p in loaded.paths
        ]
    return loaded


@contextmanager
def _named_as_there(copy: str, url: str) -> Iterator[None]:
    """Errors of reading name the bucket, not the copy, which is gone when they are read."""
    try:
        yield
    except ExperimentError as error:
        if copy not in str(error):
            raise
        raise type(error)(str(error).replace(copy, url)) from error


def discard_unfinished(bucket: Any, prefix: str, project_name: str) -> None:
    """Removes the parts of uploads to a project that were begun over a day ago and were never finished."""
    top = bucket.location / prefix
    bucket_folder.discard_unfinished(top / project_name, older_than=bucket_folder.LONGEST_UPLOAD)


def delete_bucket(bucket: Any, prefix: str, experiments: list[SavedExperiment]) -> None:
    """Deletes experiments from a bucket. Raises `StoreError`."""
    top = bucket.location / prefix
    for one in experiments:
        BucketFolder(top / one.path, one.project_name, one.experiment_name, one.experiment_timestamp).delete()
