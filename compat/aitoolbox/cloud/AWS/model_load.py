"""Loaders of models from S3."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from compat.aitoolbox.cloud.AWS.data_access import BaseDataLoader
from compat.aitoolbox.cloud.bucket import experiment_folder
from compat.aitoolbox.experiment.local_load.local_model_load import AbstractLocalModelLoader, PyTorchLocalModelLoader
from compat.aitoolbox.experiment.local_save.folder_create import ExperimentFolder
from compat.aitoolbox.store import one_save
from compat.aitoolbox.store.checksums import Table
from compat.aitoolbox.store.errors import DamagedFile, NoSuchExperiment
from compat.aitoolbox.store.folder import Folder, verify_file


class ModelDownload:
    """What the loaders of all buckets share: a download into the local layout, then `local_model_loader`."""

    def __init__(
        self,
        local_model_loader: Any,
        local_model_result_folder_path: str = "~/project/model_result",
        bucket_name: str = "model-result",
        cloud_dir_prefix: str = "",
        *,
        storage_options: Mapping[str, Any] | None = None,
        endpoint_url: str | None = None,
    ) -> None:
        if not isinstance(local_model_loader, AbstractLocalModelLoader):
            raise TypeError(
                f"local_model_loader is a {type(local_model_loader).__name__}, no AbstractLocalModelLoader."
            )
        # the next class of a loader is that of its bucket
        super().__init__(  # type: ignore[call-arg]
            bucket_name, local_model_result_folder_path, storage_options=storage_options, endpoint_url=endpoint_url
        )
        self.local_model_result_folder_path = os.path.expanduser(local_model_result_folder_path)
        self.cloud_dir_prefix = cloud_dir_prefix
        self.local_model_loader: Any = local_model_loader

    def load_model(
        self,
        project_name: str,
        experiment_name: str,
        experiment_timestamp: str,
        model_save_dir: str = "checkpoint_model",
        epoch_num: int | None = None,
        **kwargs: Any,
    ) -> Any:
        """Returns the model that `epoch_num` names, the final one of the folder without it.

        A local copy that is whole is not downloaded again. `kwargs` go to the local loader, and `iteration_idx` also
        chooses the file. Raises `NoSuchExperiment`, `StoreError`, and what the local loader does.
        """
        place = (project_name, experiment_name, experiment_timestamp)
        which = (experiment_name, experiment_timestamp, epoch_num, kwargs.get("iteration_idx"))
        loader = self.local_model_loader
        names = loader.model_files(*which) if hasattr(loader, "model_files") else [loader.model_file_name(*which)]
        self._fetch(place, [f"{model_save_dir}/{name}" for name in names])
        return self.local_model_loader.load_model(*place, model_save_dir, epoch_num, **kwargs)

    def _fetch(self, place: tuple[str, str, str], names: list[str]) -> None:
        _, path = ExperimentFolder.get_base_folder_paths(*place, self.local_model_result_folder_path)
        remote = experiment_folder(self, self.cloud_dir_prefix, *place)  # type: ignore[arg-type]
        table = remote.table()
        there = [one for one in names if (one in table.files if table else remote.location.exists(one))]
        name = there[0] if there else names[0]
        local = Path(path, name)
        lines = table.files.get(name, ()) if table else ()
        if local.is_file() and _is_whole(Folder(path), name, local, lines):
            return
        if not remote.location.exists(name):
            save_dir = name.partition("/")[0]
            others = ", ".join(entry.name for entry in (remote.location / save_dir).list()) or "no model"
            raise NoSuchExperiment(
                f"There is no model {remote.location.url}/{name}: check names, time stamp and epoch; {save_dir!r} has: "
                f"{others}."
            )
        folder = Folder.made(*place, self.local_model_result_folder_path)
        known = table.known(name) if table else None

        def download(draft: Path) -> None:
            remote.fetch(name, draft, known)
            verify_file(draft, lines)

        with one_save.of(one_save.Save(known.save) if known else one_save.Save()):
            folder.write(name, download)


def _is_whole(folder: Folder, name: str, local: Path, lines: Any) -> bool:
    """Whether the local file is what was saved here, or what is in the bucket; without checksums it is trusted."""
    own = (folder.table() or Table()).files.get(name, ())
    try:
        verify_file(local, [*own, *lines])
    except DamagedFile:
        return False
    return True


class BaseModelLoader(ModelDownload, BaseDataLoader):
    """Downloads models and loads them with `local_model_loader`; see `Bucket` for the options.

    Raises `TypeError` unless that is an `AbstractLocalModelLoader`.
    """


class PyTorchS3ModelLoader(BaseModelLoader):
    """Downloads PyTorch checkpoints; mind that the root comes before the bucket here, unlike in the savers."""

    def __init__(
        self,
        local_model_result_folder_path: str = "~/project/model_result",
        bucket_name: str = "model-result",
        cloud_dir_prefix: str = "",
        *,
        storage_options: Mapping[str, Any] | None = None,
        endpoint_url: str | None = None,
    ) -> None:
        loader = PyTorchLocalModelLoader(local_model_result_folder_path)
        place = (local_model_result_folder_path, bucket_name, cloud_dir_prefix)
        super().__init__(loader, *place, storage_options=storage_options, endpoint_url=endpoint_url)

    def init_model(self, model: Any, used_data_parallel: bool = False) -> Any:
        """See `PyTorchLocalModelLoader`, as for the three below."""
        return self.local_model_loader.init_model(model, used_data_parallel)

    def init_optimizer(self, optimizer: Any, device: str = "cuda") -> Any:
        """Gives the optimizer its saved state."""
        return self.local_model_loader.init_optimizer(optimizer, device)

    def init_scheduler(
        self, scheduler_callbacks_list: list[Any], ignore_saved: bool = False, ignore_missing_saved: bool = False
    ) -> list[Any]:
        """Gives the schedulers their saved states."""
        return self.local_model_loader.init_scheduler(scheduler_callbacks_list, ignore_saved, ignore_missing_saved)

    def init_amp(self, amp_scaler: Any) -> Any:
        """Gives the gradient scaler its saved state."""
        return self.local_model_loader.init_amp(amp_scaler)
