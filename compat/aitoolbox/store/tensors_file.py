"""A `.safetensors` file: named arrays, which other programs read too, and what we add about them, as JSON.

The format is that of the package `safetensors`: nothing in it can run a program, and arrays are mapped from the disk.
Our JSON is the entry `analogjax` of its metadata.
"""

import errno
import os
from importlib import import_module
from pathlib import Path
from typing import Any

from analogjax.errors import MissingPackage
from analogjax.store import json_values
from compat.aitoolbox.store.errors import DamagedFile

ENDING = ".safetensors"
_ABOUT = "analogjax"


def is_one(file: str | os.PathLike[str]) -> bool:
    """Whether a file is one, by its name."""
    return os.fspath(file).endswith(ENDING)


def package(part: str) -> Any:
    """`safetensors.numpy` or `safetensors.torch`. Raises `MissingPackage`."""
    try:
        return import_module(f"safetensors.{part}")
    except ImportError:
        raise MissingPackage('.safetensors files need safetensors: pip install "analogjax[safetensors]"') from None


def write(file: Path, arrays: dict[str, Any], about: Any, part: str = "numpy") -> None:
    """Write arrays of NumPy, or with `part="torch"` tensors, and plain JSON values about them.

    Raises `MissingPackage`, and `OSError` where the disk refuses.
    """
    metadata = {_ABOUT: json_values.dumps(about)} | ({"format": "pt"} if part == "torch" else {})
    saver, refusal = package(part), import_module("safetensors").SafetensorError
    try:
        saver.save_file(arrays, os.fspath(file), metadata=metadata)
    except refusal as error:  # of a full disk it says so in words, without a number
        raise OSError(errno.ENOSPC if "No space" in str(error) else errno.EIO, str(error)) from error


def read(file: str | os.PathLike[str], part: str = "numpy", **options: Any) -> tuple[dict[str, Any], Any]:
    """The arrays of a file, and what was written about them. Raises `MissingPackage`, `DamagedFile`,
    `FileNotFoundError`.
    """
    loader, opened = package(part), import_module("safetensors").safe_open
    name = os.fspath(file)
    try:
        with opened(name, framework={"torch": "pt"}.get(part, "np")) as stream:
            metadata = stream.metadata() or {}
        arrays = loader.load_file(name, **options)
        return arrays, json_values.loads(metadata[_ABOUT].encode())
    except FileNotFoundError:
        raise
    except KeyError:
        raise DamagedFile(
            f"{name} was not written by this library: it has no entry {_ABOUT!r} in its metadata. For its arrays "
            f"alone, use safetensors.{part}.load_file."
        ) from None
    except Exception as error:  # the package raises kinds of its own, and ValueError
        raise DamagedFile(f"{name} is damaged or not a checkpoint ({error}): restore it from a copy.") from error
