"""Pickle files: written as aitoolbox wrote them, read without running anything that they ask for."""

import io
import os
import pickle
from typing import Any

from compat.aitoolbox.store.errors import DamagedFile, UnsafeFile

_BUILTINS = {"set", "frozenset", "complex", "bytearray", "range", "slice", "list", "dict", "tuple", "int", "float",
             "str", "bool", "bytes"}  # fmt: skip
_PATHS = {"PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath"}
_CLASSES = {
    "builtins": _BUILTINS,
    "collections": {"OrderedDict", "defaultdict", "Counter", "deque"},
    "datetime": {"datetime", "date", "time", "timedelta", "timezone"},
    "decimal": {"Decimal"},
    "fractions": {"Fraction"},
    "pathlib": _PATHS,
    "pathlib._local": _PATHS,
    "argparse": {"Namespace"},
    "numpy": {"ndarray", "dtype"},
    "torch": {"Size", "device"},
}
_ARRAYS = {"_reconstruct", "scalar"}  # they build the arrays and numbers of the allowed dtypes


class _Plain(pickle.Unpickler):
    """Builds containers, numbers, text, dates, paths, NumPy arrays and torch tensors; refuses everything else."""

    def find_class(self, module: str, name: str) -> Any:
        if name in _CLASSES.get(module, ()):
            return super().find_class(module, name)
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name in _ARRAYS:
            return super().find_class("numpy._core.multiarray", name)
        if module in ("numpy.core.numeric", "numpy._core.numeric") and name == "_frombuffer":
            return super().find_class("numpy._core.numeric", name)
        if module == "numpy.dtypes" and name.endswith("DType"):
            return super().find_class(module, name)
        if module == "torch._utils" and name == "_rebuild_tensor_v2":
            return super().find_class(module, name)
        if module == "torch.storage" and name == "_load_from_bytes":
            return _storage
        raise UnsafeFile(f"it asks for {module}.{name}")


def _storage(data: bytes) -> Any:
    from compat.torch_package import torch

    return torch.load(io.BytesIO(data), weights_only=True)


def read(file: str | os.PathLike[str], *, allow_pickle: bool = False) -> Any:
    """Returns what the pickle `file` holds, if that is data; with `allow_pickle`, whatever it is.

    Raises `UnsafeFile` for a file that would import or call something, `DamagedFile` for one that is not a pickle.
    """
    with open(file, "rb") as stream:
        try:
            return pickle.load(stream) if allow_pickle else _Plain(stream).load()
        except UnsafeFile as error:
            raise UnsafeFile(
                f"{os.fspath(file)} was not loaded, because {error} and so might run a program. If you trust whoever "
                "wrote it, pass allow_pickle=True."
            ) from None
        except Exception as error:  # a damaged pickle may raise anything
            if allow_pickle and isinstance(error, (ImportError, AttributeError)):
                raise
            raise DamagedFile(
                f"{os.fspath(file)} is damaged: it cannot be unpickled ({error!r}). Restore it from a copy."
            ) from error
