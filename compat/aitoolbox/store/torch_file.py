"""PyTorch checkpoints that load again with `torch.load`'s safe default."""

import argparse
import collections
import datetime
import importlib
import io
import os
import pathlib
import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from compat.aitoolbox.store import plain, tensors_file
from compat.aitoolbox.store.errors import DamagedFile, NotData, SaveError, UnsafeFile, WrongModel

_HARMLESS = (
    argparse.Namespace, collections.defaultdict, collections.deque, datetime.date, datetime.datetime, datetime.time,
    datetime.timedelta, datetime.timezone, np.ndarray, np.dtype, set, slice, int, float, str, list, dict, bool,
)  # fmt: skip
_PATHS = [
    (kind, f"{module}.{kind.__name__}")
    for kind in (pathlib.PosixPath, pathlib.PurePosixPath)
    for module in ("pathlib", "pathlib._local")  # the latter is what Python 3.13 writes
]


def plain_checkpoint(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """A copy of `checkpoint` whose hyperparameters are plain values; weights and everything unknown stay as given."""
    copy = {key: plain.without_numpy_numbers(value) for key, value in checkpoint.items()}
    copy["hyperparams"] = plain.for_torch(checkpoint["hyperparams"], "hyperparams")
    return copy


def check(checkpoint: dict[str, Any]) -> None:
    """Raises `NotData` for what cannot be pickled, and what `plain.for_torch` does, before anything is written."""
    from compat.torch_package import torch

    plain.for_torch(checkpoint["hyperparams"], "hyperparams", warn=False)
    numbers = (torch.Tensor, torch.UntypedStorage, np.ndarray)
    for key, value in checkpoint.items():
        if key == "hyperparams":
            continue
        try:
            _Structure(io.BytesIO(), numbers).dump(value)
        except Exception as error:  # objects that can't be pickled raise many kinds of errors
            raise NotData(
                f"The checkpoint's {key!r} is not saved, as it cannot be pickled ({error}): nothing was written. Give "
                "its state_dict() or plain values instead."
            ) from error


class _Structure(pickle.Pickler):
    """Pickles everything but the numbers, so that it takes no time."""

    def __init__(self, stream: io.BytesIO, numbers: tuple[type, ...]) -> None:
        super().__init__(stream)
        self._numbers = numbers

    def persistent_id(self, value: Any) -> str | None:
        return "numbers" if isinstance(value, self._numbers) else None


def write(file: Path, checkpoint: dict[str, Any]) -> None:
    """`torch.save`, with a `UserWarning` where the file will need trust to be loaded. Raises `SaveError`."""
    from compat.torch_package import torch

    try:
        torch.save(checkpoint, file)
    except RuntimeError as error:
        reasons = f"{error} {error.__context__}"
        if any(word in reasons for word in ("PytorchStreamWriter", "inline_container", "iostream")):
            raise SaveError(
                f"The checkpoint could not be written: {error}. The disk is probably full, or the file exceeds a size "
                "limit: free some space or use another folder. What was there is untouched."
            ) from error
        raise
    known = {f"{kind.__module__}.{kind.__qualname__}" for kind in _HARMLESS} | set(_numpy_names())
    unsafe = [name for name in torch.serialization.get_unsafe_globals_in_checkpoint(str(file)) if name not in known]
    if unsafe:
        warnings.warn(
            f"The checkpoint holds objects of {', '.join(sorted(unsafe))}, which are not data: it will load only with "
            "weights_only=False. Save their state_dict() or plain values instead.",
            stacklevel=2,
        )


def read(file: str | os.PathLike[str], map_location: Any = None, weights_only: bool | None = None) -> Any:
    """`torch.load` of a file that is whole, or its like of a `.safetensors` file.

    NumPy arrays, dates and paths count as data.

    `weights_only=False` trusts the file. Raises `UnsafeFile`, `DamagedFile` and `FileNotFoundError`.
    """
    from compat.torch_package import torch

    if tensors_file.is_one(file):
        from compat.aitoolbox.store import torch_tensors

        return torch_tensors.read(file, map_location)

    _check_zip(file)
    try:
        with torch.serialization.safe_globals(_allowed()):
            return torch.load(file, map_location=map_location, weights_only=weights_only is not False)
    except pickle.UnpicklingError as error:
        # bytes that are no pickle are met as operands that do not exist
        if "WeightsUnpickler error" in str(error) and (zipfile.is_zipfile(file) or "operand" not in str(error)):
            reason = str(error).split("WeightsUnpickler error:")[-1].strip().split("\n")[0]
            raise UnsafeFile(
                f"{os.fspath(file)} was not loaded, because it holds more than data and could run a program "
                f"({reason}). If you trust whoever wrote it, pass weights_only=False (load_experiment: "
                "allow_pickle=True)."
            ) from None
        raise _damaged(file, error) from error
    except EOFError as error:
        raise _damaged(file, error) from error
    except RuntimeError as error:
        if "PytorchStreamReader" in str(error) or "unexpected EOF" in str(error):
            raise _damaged(file, error) from error
        raise


def fit(model: Any, checkpoint: Any, file: str | os.PathLike[str], prefix: str = "") -> None:
    """Puts the weights of `checkpoint` into `model`; `prefix` is cut from their names where it is there.

    Raises `WrongModel`, naming weights, if they are not those of `model`.
    """
    weights = checkpoint["model_state_dict"]
    if prefix:
        weights = collections.OrderedDict((name.removeprefix(prefix), weight) for name, weight in weights.items())
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        wrapped = _wrapped(set(weights), set(model.state_dict()))
        if wrapped:
            raise WrongModel(f"{os.fspath(file)} does not fit this {type(model).__name__}, as {wrapped}.") from error
        _, *lines = str(error).splitlines() or [""]
        reasons = "; ".join(line.strip()[:200] for line in lines[:3]) or str(error)
        raise WrongModel(
            f"{os.fspath(file)} is of another model than this {type(model).__name__}: {reasons} Build the model that "
            "was saved, or load another file."
        ) from error


def _wrapped(saved: set[str], wanted: set[str]) -> str:
    """What to do if the names differ by what a wrapper of the model puts before them, `""` if they do not."""
    for prefix, (wrapper, remedy) in _WRAPPERS.items():
        if saved != wanted and {name.removeprefix(prefix) for name in saved} == wanted:
            return f"its names begin with {prefix!r}: it was saved from a model inside {wrapper}. {remedy}"
        if saved != wanted and saved == {name.removeprefix(prefix) for name in wanted}:
            return (
                f"the model's names begin with {prefix!r}, those that were saved do not: load into the model inside it"
            )
    return ""


_WRAPPERS = {
    "module.": (
        "DataParallel or DistributedDataParallel",
        "Load into the model inside such a wrapper with init_model(model, used_data_parallel=True), give the wrapped "
        "model as `like`, or save model.module.state_dict()",
    ),
    "_orig_mod.": (
        "torch.compile",
        "Give the compiled model as `like`, or save the state_dict() of the model that was compiled (model._orig_mod)",
    ),
    "_orig_mod.module.": ("torch.compile of DataParallel", "Save model._orig_mod.module.state_dict()"),
    "module._orig_mod.": ("DataParallel of torch.compile", "Save model.module._orig_mod.state_dict()"),
}


def _damaged(file: str | os.PathLike[str], error: object) -> DamagedFile:
    return DamagedFile(f"{os.fspath(file)} is damaged or not a checkpoint ({error}): restore it from a copy.")


def _check_zip(file: str | os.PathLike[str]) -> None:
    """torch itself does not look at the checksums in its files, so a flipped bit would load as a wrong weight."""
    from compat.torch_package import torch

    with open(file, "rb") as stream:
        if stream.read(2) != b"PK" or not torch.serialization.get_crc32_options():
            return
    try:
        with zipfile.ZipFile(file) as archive:
            broken = archive.testzip()
    except (zipfile.BadZipFile, OSError, EOFError) as error:
        raise _damaged(file, error) from error
    if broken is not None:
        raise _damaged(file, f"its part {broken} does not have its checksum")


def _numpy_names() -> dict[str, Any]:
    """What builds arrays and numbers, under the names that it has had."""
    core = importlib.import_module("numpy._core.multiarray")
    places = ("numpy.core.multiarray", "numpy._core.multiarray")
    return {f"{place}.{name}": getattr(core, name) for place in places for name in ("_reconstruct", "scalar")}


def _allowed() -> list[Any]:
    dtypes = [getattr(np.dtypes, name) for name in np.dtypes.__all__]
    return [*_HARMLESS, *_PATHS, *dtypes, *((function, name) for name, function in _numpy_names().items())]
