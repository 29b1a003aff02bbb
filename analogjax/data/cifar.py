"""CIFAR-10's Python version: pickled batches, in a tar archive or unpacked.

Each batch is a dict with `data` uint8 `[N, 3072]` (32x32 red, then green, then blue) and `labels`, a list of ints.
Krizhevsky, "Learning multiple layers of features from tiny images", 2009; https://www.cs.toronto.edu/~kriz/cifar.html.

A pickle may run any code when it is loaded. The unpickler here builds plain containers, numbers, strings and byte
arrays, and refuses every other name.
"""

from __future__ import annotations

import io
import pickle
import tarfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from analogjax.data.errors import corrupt, on_disk

FOLDER = "cifar-10-batches-py"
TRAIN_BATCHES = tuple(f"data_batch_{i}" for i in range(1, 6))
TEST_BATCHES = ("test_batch",)
PIXELS = 3 * 32 * 32


def read_cifar10(paths: tuple[Path, ...], train: bool) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 `[N, 32, 32, 3]` and labels `[N]` of the archive, or of the unpacked folder that a batch lies in.

    Raises:
        DatasetError: a batch is missing, damaged, or holds anything other than arrays and labels.
    """
    (path,) = paths
    names = TRAIN_BATCHES if train else TEST_BATCHES
    if path.name in TRAIN_BATCHES + TEST_BATCHES:
        batches = [(path.with_name(name), _bytes_of(path.with_name(name))) for name in names]
    else:
        batches = [(path, raw) for raw in _members(path, names)]
    pairs = [_batch(source, raw) for source, raw in batches]
    images = np.concatenate([data for data, _ in pairs]).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), np.concatenate([labels for _, labels in pairs])


def _bytes_of(path: Path) -> bytes:
    """The content of `path`."""
    with on_disk("read", path):
        return path.read_bytes()


def _members(path: Path, names: tuple[str, ...]) -> list[bytes]:
    """The contents of the members `names` of the gzipped tar archive `path`, in the order of `names`."""
    found: dict[str, bytes] = {}
    with on_disk("read", path), open(path, "rb") as file:
        try:
            with tarfile.open(fileobj=file, mode="r:gz") as archive:
                for member in archive:
                    name = member.name.rpartition("/")[2]
                    if name in names and member.isfile() and (content := archive.extractfile(member)):
                        found[name] = content.read()
        except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
            raise corrupt(path, f"the archive is truncated or damaged ({error})") from error
    missing = [name for name in names if name not in found]
    if missing:
        raise corrupt(path, f"the archive lacks {', '.join(missing)}")
    return [found[name] for name in names]


def _batch(source: Path, raw: bytes) -> tuple[np.ndarray, np.ndarray]:
    """The data `[N, 3072]` and the labels `[N]` of one pickled batch."""
    try:
        batch = _Unpickler(io.BytesIO(raw), encoding="bytes").load()
    except Exception as error:  # pickle has no closed set of errors for damaged data
        raise corrupt(source, f"not a pickled batch of CIFAR-10 ({type(error).__name__}: {error})") from error
    if not isinstance(batch, dict):
        raise corrupt(source, f"a batch should be a dict, it is a {type(batch).__name__}")
    # Python 2 wrote the published files, so that their keys come as bytes.
    pixels, labels = (batch.get(key.encode(), batch.get(key)) for key in ("data", "labels"))
    data = pixels.array if isinstance(pixels, _ByteArray) else None
    if data is None or data.ndim != 2 or data.shape[1] != PIXELS:
        raise corrupt(source, f"a batch should hold data, uint8 [N, {PIXELS}]")
    if not isinstance(labels, list) or not all(label in range(256) for label in labels):
        raise corrupt(source, "a batch should hold labels, a list of small whole numbers")
    return data, np.asarray(labels, np.int64)


class _ByteArray:
    """Stands in for a pickled NumPy array: only its state reaches NumPy, only as bytes, and only if it fits."""

    array: np.ndarray | None = None

    def __setstate__(self, state: tuple[int, tuple[int, ...], Any, bool, bytes]) -> None:
        _version, shape, _dtype, fortran, raw = state
        self.array = np.frombuffer(raw, np.uint8).reshape(shape, order="F" if fortran else "C")


class _ByteType:
    """Stands in for the pickled dtype uint8, whose state carries no information."""

    def __setstate__(self, state: object) -> None:
        return None


def _byte_array(*_: object) -> _ByteArray:
    return _ByteArray()


def _byte_type(code: str | bytes, *_: object) -> _ByteType:
    if code not in ("u1", b"u1"):
        raise pickle.UnpicklingError(f"an array of {code!r}, where bytes are expected")
    return _ByteType()


def _latin1(text: str, encoding: str | bytes) -> bytes:
    """How Python 3 writes bytes in the pickle protocols up to 2."""
    return text.encode("latin-1")


class _Unpickler(pickle.Unpickler):
    """Knows the names in a pickled byte array, and no other."""

    def find_class(self, module: str, name: str) -> Any:
        match module, name:
            case (("numpy.core.multiarray" | "numpy._core.multiarray"), "_reconstruct"):
                return _byte_array
            case "numpy", "dtype":
                return _byte_type
            case "numpy", "ndarray":
                return "ndarray"  # an argument that _byte_array ignores: it need not be the class
            case "_codecs", "encode":
                return _latin1
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which a CIFAR-10 batch has no use for")
