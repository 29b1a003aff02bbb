"""Savers of models to the local disk."""

import datetime as datetime  # star imports of this module have always brought these three
import os as os
import time as time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from compat.aitoolbox.experiment.local_save.folder_create import ExperimentFolder
from compat.aitoolbox.experiment.local_save.model_removal import (
    LocalSubOptimalModelRemover as LocalSubOptimalModelRemover,
)
from compat.aitoolbox.store import names
from compat.aitoolbox.store.errors import explained
from compat.aitoolbox.store.folder import Folder


class AbstractLocalModelSaver(ABC):
    """What a local model saver is."""

    @abstractmethod
    def save_model(
        self,
        model: Any,
        project_name: str,
        experiment_name: str,
        experiment_timestamp: str | None = None,
        epoch: int | None = None,
        iteration_idx: int | None = None,
        protect_existing_folder: bool = True,
    ) -> tuple[str, str]:
        """Saves `model`; returns the file's name and its path."""


class BaseLocalModelSaver:
    """Where models go: `model`, or `checkpoint_model` for those saved during training, in the experiment's folder.

    `file_format` is one of `file_formats`, the first of which is the default. Raises `ValueError` for another.
    """

    file_format = ""
    file_formats: tuple[str, ...] = ()  # those it can choose from; none: it has its `file_format`
    load_options: tuple[str, ...] = ("like", "map_location")  # what `read_model` takes in addition to `allow_pickle`

    def __init__(
        self,
        local_model_result_folder_path: str = "~/project/model_result",
        checkpoint_model: bool = False,
        *,
        file_format: str | None = None,
    ) -> None:
        self.local_model_result_folder_path = os.path.expanduser(local_model_result_folder_path)
        self.checkpoint_model = checkpoint_model
        if file_format is not None and file_format not in self.file_formats:
            known = " or ".join(map(repr, self.file_formats)) or repr(self.file_format)
            raise ValueError(f"file_format {file_format!r}: {type(self).__name__} saves models as {known}.")
        if file_format is not None or self.file_formats:
            self.file_format = file_format or self.file_formats[0]

    def create_experiment_local_models_folder(
        self, project_name: str, experiment_name: str, experiment_timestamp: str
    ) -> str:
        """Makes the folder if need be; returns its path. Raises `BadName`, `SaveError`."""
        experiment = ExperimentFolder.create_base_folder(
            project_name, experiment_name, experiment_timestamp, self.local_model_result_folder_path
        )
        path = os.path.join(experiment, "checkpoint_model" if self.checkpoint_model else "model")
        with explained(path):
            os.makedirs(path, exist_ok=True)
        return path

    def save_model(
        self,
        model: Any,
        project_name: str,
        experiment_name: str,
        experiment_timestamp: str | None = None,
        epoch: int | None = None,
        iteration_idx: int | None = None,
        protect_existing_folder: bool = True,
    ) -> tuple[str, str]:
        """Saves `model`; returns the file's name and its path. The file of that name, if any, is replaced as a whole.

        Without `experiment_timestamp` it is now, or the next second for which there is no experiment
        (`protect_existing_folder=False`: now, whatever is there). `epoch` and `iteration_idx` go into the name.
        Raises what `check_model` and `write_model` do, `BadName`, and `SaveError`; a new folder is removed then.
        """
        self.check_model(model)
        if experiment_timestamp is None:
            experiment_timestamp = names.claim(
                project_name,
                experiment_name,
                self.local_model_result_folder_path,
                share=not protect_existing_folder,
            )
        names.check_experiment(project_name, experiment_name, experiment_timestamp)
        name = self.model_file_name(experiment_name, experiment_timestamp, epoch, iteration_idx)
        path = self.create_experiment_local_models_folder(project_name, experiment_name, experiment_timestamp)
        folder = Folder(os.path.dirname(path))
        try:
            folder.write(f"{os.path.basename(path)}/{name}", lambda draft: self.write_model(draft, model))
        except BaseException:
            folder.withdraw()
            raise
        return name, os.path.join(path, name)

    def model_file_name(
        self,
        experiment_name: str,
        experiment_timestamp: str,
        epoch: int | None = None,
        iteration_idx: int | None = None,
    ) -> str:
        """The name of a model's file. Raises `BadName` if it is too long."""
        place = "" if epoch is None else f"_E{epoch}" if iteration_idx is None else f"_E{epoch}_ITER{iteration_idx}"
        return names.check_file(f"model_{experiment_name}_{experiment_timestamp}{place}.{self.file_format}")

    def model_files(
        self,
        experiment_name: str,
        experiment_timestamp: str,
        epoch: int | None = None,
        iteration_idx: int | None = None,
    ) -> list[str]:
        """The names that a model's file may have, in any of the formats."""
        name = self.model_file_name(experiment_name, experiment_timestamp, epoch, iteration_idx)
        stem = name.removesuffix(f".{self.file_format}")
        return [f"{stem}.{ending}" for ending in self.file_formats or (self.file_format,)]

    def check_model(self, model: Any) -> None:
        """Raise an error that explains what is wrong with `model`."""
        raise NotImplementedError(f"{type(self).__name__} does not define what a model is: override check_model.")

    def write_model(self, file: Path, model: Any) -> None:
        """Writes `model` into the new file `file`."""
        raise NotImplementedError(f"{type(self).__name__} does not define how to write a model: override write_model.")

    def read_model(self, file: str, *, allow_pickle: bool = False, **options: Any) -> Any:
        """Returns the model in `file`, which is whole: see `load_experiment` of the experiment savers."""
        raise NotImplementedError(f"{type(self).__name__} does not define how to read a model: override read_model.")


class PyTorchLocalModelSaver(BaseLocalModelSaver, AbstractLocalModelSaver):
    """Saves PyTorch checkpoints: dictionaries with `model_state_dict`, `optimizer_state_dict`, `epoch`, `hyperparams`.

    Hyperparameters are saved as plain values, so that `torch.load` takes the file without trusting it. `file_format` is
    `"pth"` or `"safetensors"`, which holds tensors and plain values only.
    """

    file_formats = ("pth", "safetensors")

    @staticmethod
    def check_model_dict_contents(model: Any) -> None:
        """Raises `ValueError` naming the first key that is missing, `TypeError` if `model` is not a dictionary."""
        if not hasattr(model, "keys"):
            raise TypeError(
                f"A PyTorch model is saved as a dictionary with its state_dict, not as a {type(model).__name__}: give "
                "{'model_state_dict': ..., 'optimizer_state_dict': ..., 'epoch': ..., 'hyperparams': ...}."
            )
        for key in ("model_state_dict", "optimizer_state_dict", "epoch", "hyperparams"):
            if key not in model:
                raise ValueError(f"The model has no {key!r}: it is needed (None is allowed). It has {list(model)}.")

    def check_model(self, model: Any) -> None:
        self.check_model_dict_contents(model)
        from compat.aitoolbox.store import torch_file, torch_tensors

        (torch_tensors if self.file_format == "safetensors" else torch_file).check(model)

    def write_model(self, file: Path, model: Any) -> None:
        from compat.aitoolbox.store import torch_file, torch_tensors

        if self.file_format == "safetensors":
            return torch_tensors.write(file, model)
        return torch_file.write(file, torch_file.plain_checkpoint(model))

    def read_model(  # type: ignore[override]
        self, file: str, *, allow_pickle: bool = False, like: Any = None, map_location: Any = None
    ) -> Any:
        from compat.aitoolbox.store import torch_file

        checkpoint = torch_file.read(file, map_location, weights_only=not allow_pickle)
        if like is not None:
            torch_file.fit(like, checkpoint, file)
        return checkpoint


class KerasLocalModelSaver(BaseLocalModelSaver, AbstractLocalModelSaver):
    """Saves Keras models; `file_format` is `"h5"`, `"keras"` (takes subclassed models, too) or `"safetensors"`."""

    file_formats = ("h5", "keras", "safetensors")
    load_options = ("custom_objects", "compile")

    def check_model(self, model: Any) -> None:
        from compat.aitoolbox.store import keras_file

        keras_file.check(model, self.file_format)

    def write_model(self, file: Path, model: Any) -> None:
        from compat.aitoolbox.store import keras_file

        keras_file.write(file, model)

    def read_model(  # type: ignore[override]
        self, file: str, *, allow_pickle: bool = False, custom_objects: Any = None, compile: bool = True
    ) -> Any:
        from compat.aitoolbox.store import keras_file

        return keras_file.read(file, trusted=allow_pickle, custom_objects=custom_objects, compile=compile)


class FlaxLocalModelSaver(BaseLocalModelSaver, AbstractLocalModelSaver):
    """Saves JAX models: any pytree of arrays, PRNG keys and plain values, in one file without pickle; `file_format` is
    `"npz"` or `"safetensors"`.
    """

    file_formats = ("npz", "safetensors")
    load_options = ("like",)

    def check_model(self, model: Any) -> None:
        from compat.aitoolbox.store import leaves, tensors_file

        leaves.check(model)
        if self.file_format == "safetensors":
            tensors_file.package("numpy")  # said before any folder is made

    def write_model(self, file: Path, model: Any) -> None:
        from compat.aitoolbox.store import leaves

        leaves.write(file, model)

    def read_model(self, file: str, *, allow_pickle: bool = False, like: Any = None) -> Any:  # type: ignore[override]
        from compat.aitoolbox.store import leaves

        return leaves.read(file, like)
