"""Pickle files: written as aitoolbox wrote them, read without running anything that they ask for.

Behind a pickle that names enumerations, classes or functions stands a note of these names, which `pickle.load` never
reaches. The reader takes a class or function as its name, and an enumeration's member as what it is where its class is
imported already, as its value elsewhere; nothing is imported or called at the request of a file.
"""

import enum
import io
import json
import os
import pickle
import sys
import types
import warnings
from typing import Any

import numpy as np

from compat.aitoolbox.store.errors import DamagedFile, NotData, UnsafeFile

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
    "argparse": {"Namespace"},
    "numpy": {"ndarray", "dtype"},
    "torch": {"Size", "device"},
    "torch.serialization": {"_get_layout"},  # a table of names
}
_ARRAYS = {"_reconstruct", "scalar"}  # they build the arrays and numbers of the allowed dtypes
_NUMBERS = ("numpy", "ml_dtypes", "jax.numpy")  # where the types of numbers are
_NAMED = (type, types.FunctionType, types.BuiltinFunctionType)
_NOTE = b"\n# analogjax names "  # after the pickle; what follows is JSON, to the end of the file
_LONGEST_NOTE = 1 << 20


def check(content: Any) -> list[str]:
    """Raises `NotData` if `read` would not read back what `write` writes: it cannot be pickled, or it is no data.

    Returns the names of the classes and functions in it, of which only the names are read back.
    """
    try:
        data = _pickled(content)
    except Exception as error:  # objects that can't be pickled raise many kinds of errors
        raise NotData(f"it cannot be pickled ({error})") from error
    note = _note(data)
    try:
        _Plain(io.BytesIO(data), note).load()
    except Exception as error:
        raise NotData(f"it is pickled as more than data ({error})") from error
    return [name.replace(":", ".") for name in note["names"]]


def write(file: str | os.PathLike[str], content: Any) -> None:
    """Makes the file of what `check` has passed."""
    with open(file, "wb") as stream:
        _Pickler(stream).dump_with_note(content)


def read(file: str | os.PathLike[str], *, allow_pickle: bool = False) -> Any:
    """Returns what the pickle `file` holds, if that is data; with `allow_pickle`, whatever it is.

    Raises `UnsafeFile` for a file that would import or call something, `DamagedFile` for one that is not a pickle.
    """
    with open(file, "rb") as stream:
        try:
            return pickle.load(stream) if allow_pickle else _Plain(stream, _note(_tail(stream))).load()
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


def _pickled(content: Any) -> bytes:
    """`content` as it is written, but for the numbers in its arrays, about which there is nothing to check."""
    stream = io.BytesIO()
    _Structure(stream).dump_with_note(content)
    return stream.getvalue()


def _tail(stream: Any) -> bytes:
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - _LONGEST_NOTE))
    data = stream.read()
    stream.seek(0)
    return data


def _note(data: bytes) -> dict[str, list[str]]:
    _, found, text = data[-_LONGEST_NOTE:].rpartition(_NOTE)
    try:
        note = json.loads(text) if found else {}
        return {kind: [str(name) for name in note.get(kind, ())] for kind in ("enumerations", "names")}
    except (ValueError, TypeError, AttributeError):  # bytes of an array that look like a note
        return {"enumerations": [], "names": []}


class _Pickler(pickle.Pickler):
    """Takes note of the enumerations, and of the classes and functions that the reader cannot take for data."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._stream = stream
        self.enumerations: set[str] = set()
        self.names: set[str] = set()

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, enum.Enum):
            self.enumerations.add(f"{type(value).__module__}:{type(value).__qualname__}")
            return type(value), (value.value,)  # whatever the version of Python
        if isinstance(value, _NAMED) and not _is_data(value.__module__ or "", value.__qualname__):
            self.names.add(f"{value.__module__}:{value.__qualname__}")
        return NotImplemented

    def dump_with_note(self, content: Any) -> None:
        self.dump(content)
        # the class of a member is met as a name as well
        names = self.names - self.enumerations
        note = {"enumerations": sorted(self.enumerations), "names": sorted(names)}
        if any(note.values()):
            self._stream.write(_NOTE + json.dumps(note).encode())


class _Structure(_Pickler):
    """Writes something empty in the place of arrays of numbers or text."""

    def reducer_override(self, value: Any) -> Any:
        is_data = type(value) is np.ndarray and value.dtype.kind in "biufcSUmM"
        return (dict, ()) if is_data else super().reducer_override(value)


class _Plain(pickle.Unpickler):
    """Builds containers, numbers, text, dates, paths, NumPy arrays and torch tensors; refuses everything else."""

    def __init__(self, stream: Any, note: dict[str, list[str]]) -> None:
        super().__init__(stream)
        self._noted = note

    def find_class(self, module: str, name: str) -> Any:
        if module == "pathlib._local" and name in _PATHS:  # so Python 3.13 calls it, and no other version
            return super().find_class("pathlib", name)
        if name in _CLASSES.get(module, ()) or _is_number_type(module, name):
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
        if module == "torch" and _is_torch_dtype(name):
            return super().find_class(module, name)
        if f"{module}:{name}" in self._noted["enumerations"]:
            return _Enumeration(f"{module}.{name}")
        if f"{module}:{name}" in self._noted["names"]:
            return f"{module}.{name}"
        raise UnsafeFile(f"it asks for {module}.{name}")


class _Enumeration(str):
    """The name of an enumeration, which its values are given to."""

    def __call__(self, value: Any) -> Any:
        """The member, or the value itself where the enumeration is not imported or has no such member."""
        kind = _imported(self)
        if isinstance(kind, enum.EnumMeta):
            try:
                return kind(value)
            except ValueError:
                pass
        warnings.warn(
            f"{self} is not imported here, or has no {value!r}: this value stands for the member that was saved.",
            stacklevel=2,
        )
        return value


def _imported(name: str) -> Any:
    """What has this dotted name in a module that is imported already, `None` if nothing has."""
    parts = name.split(".")
    for end in range(len(parts) - 1, 0, -1):
        found: Any = sys.modules.get(".".join(parts[:end]))
        if found is not None:
            for part in parts[end:]:
                found = vars(found).get(part) if hasattr(found, "__dict__") else None
            return found
    return None


def _is_data(module: str, name: str) -> bool:
    try:
        _Plain(io.BytesIO(), _note(b"")).find_class(module, name)
    except (UnsafeFile, AttributeError, ImportError):
        return False
    return True


def _is_number_type(module: str, name: str) -> bool:
    kind = getattr(sys.modules.get(module), name, None) if module in _NUMBERS else None
    return isinstance(kind, type) and (
        issubclass(kind, np.generic) or isinstance(getattr(kind, "dtype", None), np.dtype)
    )


def _is_torch_dtype(name: str) -> bool:
    from compat.torch_package import torch

    return isinstance(getattr(torch, name, None), torch.dtype)


def _storage(data: bytes) -> Any:
    from compat.torch_package import torch

    return torch.load(io.BytesIO(data), weights_only=True)
