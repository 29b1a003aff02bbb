"""Loaders of models from the local disk."""

import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from compat.aitoolbox.experiment.local_save.folder_create import ExperimentFolder
from compat.aitoolbox.store.errors import NoSuchExperiment
from compat.aitoolbox.store.folder import Folder
from compat.aitoolbox.torchtrain.schedulers.basic import AbstractScheduler

_ENDINGS = (".pth", ".safetensors")


class AbstractLocalModelLoader(ABC):
    """What a local model loader is."""

    @abstractmethod
    def load_model(
        self,
        project_name: str,
        experiment_name: str,
        experiment_timestamp: str,
        model_save_dir: str,
        epoch_num: int | None = None,
        **kwargs: Any,
    ) -> Any:
        """Returns the model."""

    def model_file_name(
        self,
        experiment_name: str,
        experiment_timestamp: str,
        epoch_num: int | None = None,
        iteration_idx: int | None = None,
    ) -> str:
        """The name of a checkpoint's file."""
        place = "" if epoch_num is None else f"_E{epoch_num}"
        place += "" if epoch_num is None or iteration_idx is None else f"_ITER{iteration_idx}"
        return f"model_{experiment_name}_{experiment_timestamp}{place}.pth"

    def model_files(
        self,
        experiment_name: str,
        experiment_timestamp: str,
        epoch_num: int | None = None,
        iteration_idx: int | None = None,
    ) -> list[str]:
        """The names that this file may have, in any of the formats."""
        name = self.model_file_name(experiment_name, experiment_timestamp, epoch_num, iteration_idx)
        return [name.removesuffix(_ENDINGS[0]) + ending for ending in _ENDINGS]


class PyTorchLocalModelLoader(AbstractLocalModelLoader):
    """Loads PyTorch checkpoints from below a root, and puts them into models, optimizers and schedulers."""

    def __init__(self, local_model_result_folder_path: str) -> None:
        self.local_model_result_folder_path = os.path.expanduser(local_model_result_folder_path)
        self.model_representation: Any = None
        self._file = ""

    def load_model(  # type: ignore[override]
        self,
        project_name: str,
        experiment_name: str,
        experiment_timestamp: str,
        model_save_dir: str = "checkpoint_model",
        epoch_num: int | None = None,
        map_location: Any = None,
        *,
        iteration_idx: int | None = None,
        weights_only: bool | None = None,
    ) -> dict[str, Any]:
        """Returns the checkpoint of an epoch (and iteration), the final one of `model_save_dir` without.

        `map_location` as for `torch.load`; `weights_only=False` trusts the file. Raises `NoSuchExperiment`,
        `DamagedFile` if it is not what was saved, and `UnsafeFile` if it holds more than data.
        """
        _, experiment = ExperimentFolder.get_base_folder_paths(
            project_name, experiment_name, experiment_timestamp, self.local_model_result_folder_path
        )
        names = self.model_files(experiment_name, experiment_timestamp, epoch_num, iteration_idx)
        paths = [os.path.join(experiment, model_save_dir, name) for name in names]
        path = next(filter(os.path.isfile, paths), paths[0])
        if not os.path.isfile(path):
            there = [file for file in Path(experiment).glob(f"{model_save_dir}/*") if file.suffix in _ENDINGS]
            others = sorted(file.name for file in there)[:5]
            raise NoSuchExperiment(
                f"There is no model {path}; {model_save_dir!r} has: {', '.join(others) or 'no model'}. Final models "
                "are in 'model', those saved during training in 'checkpoint_model'."
            )
        Folder(experiment).verify([f"{model_save_dir}/{os.path.basename(path)}"])
        return self.load_model_from_path(path, map_location, weights_only=weights_only)

    def load_model_from_path(
        self, model_path: str, map_location: Any = None, *, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Returns the checkpoint in any file. Raises `FileNotFoundError`, `DamagedFile`, `UnsafeFile`."""
        from compat.aitoolbox.store import torch_file

        self.model_representation = torch_file.read(model_path, map_location, weights_only)
        self._file = os.fspath(model_path)
        if isinstance(self.model_representation, dict):
            self.model_representation.setdefault("schedulers_state_dict", [])
        return self.model_representation

    def check_if_model_loaded(self) -> None:
        """Raises `ValueError` before `load_model`."""
        if self.model_representation is None:
            raise ValueError("No model is loaded yet: call load_model first.")

    def init_model(self, model: Any, used_data_parallel: bool = False) -> Any:
        """Gives the model its weights, and returns it; with `used_data_parallel`, `module.` is cut from their names.

        Raises `WrongModel` if the weights are those of another model.
        """
        from compat.aitoolbox.store import torch_file

        self.check_if_model_loaded()
        torch_file.fit(model, self.model_representation, self._file, "module." if used_data_parallel else "")
        return model

    def init_optimizer(self, optimizer: Any, device: str = "cuda") -> Any:
        """Gives the optimizer its state, on the device of its parameters, and returns it; `device` has no effect."""
        self.check_if_model_loaded()
        optimizer.load_state_dict(self.model_representation["optimizer_state_dict"])
        return optimizer

    def init_scheduler(
        self, scheduler_callbacks_list: list[Any], ignore_saved: bool = False, ignore_missing_saved: bool = False
    ) -> list[Any]:
        """Gives the schedulers their states, in order, and returns them.

        Raises `KeyError` if none were saved, unless `ignore_missing_saved`; `ValueError` if none are given but some
        were saved, unless `ignore_saved`, or if their number differs; `TypeError` for what is no scheduler.
        """
        self.check_if_model_loaded()
        saved = self.model_representation.get("schedulers_state_dict") or []
        given = scheduler_callbacks_list
        if given and not saved:
            if not ignore_missing_saved:
                raise KeyError(
                    f"{len(given)} schedulers are given, and none were saved: pass ignore_missing_saved=True."
                )
            return given
        if saved and not given:
            if not ignore_saved:
                raise ValueError(f"{len(saved)} schedulers were saved, and none are given: pass ignore_saved=True.")
            return given
        if len(saved) != len(given):
            raise ValueError(f"{len(given)} schedulers are given, and {len(saved)} were saved.")
        for scheduler, state in zip(given, saved, strict=True):
            if not isinstance(scheduler, AbstractScheduler):
                raise TypeError(f"A {type(scheduler).__name__} is given as a scheduler, no AbstractScheduler.")
            scheduler.load_state_dict(state)
        return given

    def init_amp(self, amp_scaler: Any) -> Any:
        """Gives the gradient scaler its state, and returns it. Raises `KeyError` if none was saved."""
        self.check_if_model_loaded()
        amp_scaler.load_state_dict(self.model_representation["amp"])
        return amp_scaler
