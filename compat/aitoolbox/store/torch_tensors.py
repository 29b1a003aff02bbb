"""PyTorch checkpoints in `.safetensors` files: tensors by name, and around them plain values as JSON.

Weights of the model have the names of its `state_dict`, as other programs expect; tensors elsewhere in the checkpoint
are named by their path, `optimizer_state_dict/state/0/exp_avg`. A tensor that occurs twice is written once, and is one
tensor again.
"""

import collections
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from analogjax.store import json_values
from compat.aitoolbox.store import plain, tensors_file
from compat.aitoolbox.store.errors import DamagedFile, NotData
from compat.torch_package import torch

_WEIGHTS = "model_state_dict"
FORMAT = 1


def check(checkpoint: Mapping[str, Any]) -> None:
    """Raise `NotData`, naming the place, for what a `.safetensors` file can't hold, and `MissingPackage`."""
    tensors_file.package("torch")
    _Packed(_plain(checkpoint, warn=False))


def write(file: Path, checkpoint: Mapping[str, Any]) -> None:
    """Write a checkpoint."""
    packed = _Packed(_plain(checkpoint))
    tensors_file.write(file, packed.tensors, {"format": FORMAT, "checkpoint": packed.node}, "torch")


def read(file: str | os.PathLike[str], map_location: Any = None) -> Any:
    """The checkpoint. `map_location` is a device, or `None` (the CPU); raises `ValueError` for a function or table."""
    if not (map_location is None or isinstance(map_location, (str, torch.device))):
        raise ValueError(f"map_location={map_location!r}: of a .safetensors file it is a device, such as 'cpu'.")
    tensors, about = tensors_file.read(file, "torch", device=str(map_location or "cpu"))
    if about.get("format") != FORMAT:
        raise DamagedFile(f"{os.fspath(file)} is no PyTorch checkpoint, or of a newer version: update analogjax.")
    try:
        return _unpacked(about["checkpoint"], tensors)
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedFile(f"{os.fspath(file)} is damaged ({error!r}): restore it from a copy.") from error


def _plain(checkpoint: Mapping[str, Any], warn: bool = True) -> dict[str, Any]:
    """The checkpoint with plain hyperparameters, which are those that JSON can hold."""
    given = checkpoint["hyperparams"]
    hyperparams = plain.for_json(plain.for_torch(given, "hyperparams", warn=warn), "hyperparams")
    return {key: plain.without_numpy_numbers(value) for key, value in checkpoint.items()} | {"hyperparams": hyperparams}


class _Packed:
    """A value as JSON, whose tensors are apart."""

    def __init__(self, value: Any) -> None:
        self.tensors: dict[str, Any] = {}
        self._names: dict[Any, str] = {}
        self._storages: set[int] = set()
        self.node = self._pack(value, ())

    def _pack(self, value: Any, path: tuple[Any, ...]) -> Any:
        if isinstance(value, torch.Tensor):
            return {"tensor": self._put(value, path)}
        if isinstance(value, np.ndarray):
            return {"array": self._put(self._of_array(value, path), path)}
        if isinstance(value, Mapping):
            kind = "ordered" if isinstance(value, collections.OrderedDict) else "dict"
            items = [[self._key(key, path), self._pack(item, (*path, key))] for key, item in value.items()]
            return {kind: items}
        if type(value) in (list, tuple):
            return {type(value).__name__: [self._pack(item, (*path, n)) for n, item in enumerate(value)]}
        try:
            json_values.encode(value)
        except TypeError as error:
            raise self._refused(path, str(error)) from None
        return {"value": value}

    def _key(self, key: Any, path: tuple[Any, ...]) -> Any:
        if isinstance(key, bool) or not isinstance(key, (str, int)):
            raise self._refused(path, f"its key {key!r} is neither text nor a whole number")
        return key

    def _put(self, tensor: Any, path: tuple[Any, ...]) -> str:
        if tensor.layout is not torch.strided or tensor.is_quantized:
            raise self._refused(path, "it is sparse or quantised")
        same = (tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), tensor.dtype)
        if tensor.numel() and same in self._names:
            return self._names[same]
        name = str(path[1]) if len(path) == 2 and path[0] == _WEIGHTS else "/".join(map(str, path))
        if name in self.tensors or name == "__metadata__":
            raise self._refused(path, f"another tensor is called {name!r}")
        self._names[same] = name
        own = tensor.detach().cpu().contiguous()
        # memory that several tensors share partly is written for each
        storage = own.untyped_storage()
        whole = storage.nbytes() == own.numel() * own.element_size() and storage.data_ptr() not in self._storages
        self._storages.add(storage.data_ptr())
        self.tensors[name] = own if whole else own.clone()
        return name

    def _of_array(self, array: np.ndarray, path: tuple[Any, ...]) -> Any:
        try:
            return torch.from_numpy(np.ascontiguousarray(array).reshape(array.shape))
        except TypeError as error:
            raise self._refused(path, str(error)) from None

    @staticmethod
    def _refused(path: tuple[Any, ...], why: str) -> NotData:
        where = "".join(f"[{step!r}]" for step in path)
        return NotData(
            f"The checkpoint's {where or 'content'} can't be in a .safetensors file: {why}. Give plain values and "
            "tensors, or use model_format='pth'; nothing was written."
        )


def _unpacked(node: Any, tensors: Mapping[str, Any]) -> Any:
    ((kind, content),) = node.items()
    if kind in ("tensor", "array"):
        return tensors[content] if kind == "tensor" else tensors[content].numpy()
    if kind == "value":
        return content
    if kind in ("list", "tuple"):
        return {"list": list, "tuple": tuple}[kind](_unpacked(item, tensors) for item in content)
    return {"dict": dict, "ordered": collections.OrderedDict}[kind](_items(content, tensors))


def _items(content: Any, tensors: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    return ((key, _unpacked(item, tensors)) for key, item in content)
