"""Values as plain Python: what JSON can hold, or what `torch.load` reads without trusting the file."""

import argparse
import collections
import dataclasses
import datetime
import enum
import os
import sys
import warnings
from collections.abc import Callable, Mapping
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np

_NAMED = (type, FunctionType, BuiltinFunctionType, MethodType, ModuleType)


def for_json(value: Any, where: str = "value") -> Any:
    """`value` as strings, numbers, bools, `None`, lists and string-keyed dictionaries.

    Arrays and tensors become lists, sets sorted lists, dates ISO strings, paths, dtypes and devices strings; classes
    and functions their names, with a `UserWarning`; NaN stays NaN, as Python's `json` writes and reads it. Raises
    `TypeError`, naming the place, for anything else.
    """
    return _guarded(lambda: _Json().convert(value, where), where)


def for_torch(value: Any, where: str = "value", *, warn: bool = True) -> Any:
    """`value` in types that `torch.load(weights_only=True)` takes; tensors, devices and dtypes stay what they are.

    Objects that are not data become text, with a `UserWarning` that names them if `warn`. Raises `TypeError`, naming
    the place, for a dictionary two of whose keys are one text, and for what contains itself.
    """
    return _guarded(lambda: _Torch(warn).convert(value, where), where)


def _guarded(convert: Callable[[], Any], where: str) -> Any:
    try:
        return convert()
    except RecursionError:
        raise TypeError(f"{where} contains itself or is nested too deeply: give a finite tree of values.") from None


def is_tensor(value: Any) -> bool:
    """Whether `value` is a torch tensor; never imports torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def as_numpy(value: Any) -> Any:
    """Torch tensors and JAX arrays as NumPy arrays (typed keys as their data), anything else unchanged."""
    if is_tensor(value):
        value = value.detach().cpu()
        torch = sys.modules["torch"]
        return (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    jax = sys.modules.get("jax")
    if jax is not None and isinstance(value, jax.Array):
        is_key = jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key)
        return np.asarray(jax.random.key_data(value) if is_key else value)
    return value


class _Json:
    """The rules for JSON; `_Torch` changes some."""

    def convert(self, value: Any, where: str) -> Any:
        if value is None or type(value) in (bool, int, float, str):
            return value
        if isinstance(value, enum.Enum):
            return self.convert(value.value, where)
        array = self.array(value)
        if isinstance(array, (np.ndarray, np.generic)):
            return self.convert(array.tolist(), where) if array.dtype.kind != "V" else self.other(value, where)
        if isinstance(value, (bool, int, float, str)):  # subclasses
            return next(kind(value) for kind in (bool, int, float, str) if isinstance(value, kind))
        return self.container(value, where)

    def array(self, value: Any) -> Any:
        return as_numpy(value)

    def container(self, value: Any, where: str) -> Any:
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        elif isinstance(value, (argparse.Namespace, SimpleNamespace)):
            value = vars(value)
        if isinstance(value, Mapping):
            return self.mapping(value, where)
        if isinstance(value, (list, tuple, set, frozenset, collections.deque, range)):
            return self.sequence(value, where)
        return self.scalar(value, where)

    def mapping(self, value: Mapping[Any, Any], where: str) -> dict[Any, Any]:
        plain: dict[str, Any] = {}
        for key, item in value.items():
            name = self.key(key)
            if name in plain:
                raise TypeError(f"{where} has two keys that are both {name!r} as text: rename one.")
            plain[name] = self.convert(item, f"{where}[{key!r}]")
        return plain

    def key(self, key: Any) -> str:
        key = as_numpy(key)
        key = key.item() if isinstance(key, np.generic) else key
        # what Python's json writes for them
        return (
            {True: "true", False: "false", None: "null"}[key]
            if key is None or key is True or key is False
            else f"{key}"
        )

    def sequence(self, value: Any, where: str) -> Any:
        items = [self.convert(item, f"{where}[{index}]") for index, item in enumerate(value)]
        return sorted(items, key=lambda item: (str(type(item)), item)) if isinstance(value, (set, frozenset)) else items

    def scalar(self, value: Any, where: str) -> Any:
        if isinstance(value, os.PathLike):
            return os.fspath(value)
        if isinstance(value, (datetime.date, datetime.time)):
            return value.isoformat()
        if isinstance(value, datetime.timedelta):
            return value.total_seconds()
        return self.other(value, where)

    def other(self, value: Any, where: str) -> Any:
        if isinstance(value, np.dtype) or is_torch_name(value):
            return str(value)
        name = name_of(value)
        if name is not None and "<" not in name:  # one in a function, or a lambda, is not found by its name
            return warned_text(value, name, where)
        raise TypeError(
            f"{where} is of type {type(value).__name__}, which JSON cannot hold: convert it, for example with "
            "float(x), str(x) or x.tolist(), or save with file_format='pickle'."
        )


class _Torch(_Json):
    def __init__(self, warn: bool) -> None:
        self._warn = warn

    def array(self, value: Any) -> Any:
        return value if is_tensor(value) else as_numpy(value)

    def key(self, key: Any) -> Any:
        key = as_numpy(key)
        return key.item() if isinstance(key, np.generic) else key if isinstance(key, (int, float, tuple)) else str(key)

    def sequence(self, value: Any, where: str) -> Any:
        items = [self.convert(item, f"{where}[{index}]") for index, item in enumerate(value)]
        return next((kind(items) for kind in (tuple, set) if isinstance(value, kind)), items)

    def other(self, value: Any, where: str) -> Any:
        torch = sys.modules["torch"]
        if is_tensor(value) or isinstance(value, (bytes, complex, torch.device, torch.dtype, torch.Size)):
            return value
        text = name_of(value) or str(value)
        return warned_text(value, text, where) if self._warn else text


def is_torch_name(value: Any) -> bool:
    """Whether `value` is a dtype, a device or the like of torch, which its text tells."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, (torch.dtype, torch.device, torch.layout, torch.memory_format))


def name_of(value: Any) -> str | None:
    """The dotted name of a class, function or module, `None` of anything else."""
    if isinstance(value, ModuleType):
        return value.__name__
    named = isinstance(value, _NAMED) or (callable(value) and hasattr(value, "__qualname__"))
    return f"{getattr(value, '__module__', '')}.{value.__qualname__}" if named else None


def warned_text(value: Any, text: str, where: str) -> str:
    """`text`, with a `UserWarning` that it stands for `value`."""
    warnings.warn(
        f"{where} is of type {type(value).__name__}, which no file that loads safely can hold: it is saved as the text "
        f"{text[:60]!r}.",
        stacklevel=2,
    )
    return text


def without_numpy_numbers(value: Any) -> Any:
    """`value` with NumPy's single numbers as Python's; containers are copied only where something changes."""
    return _mapped(
        value, lambda leaf: leaf.item() if isinstance(leaf, np.generic) and leaf.dtype.kind in "biuf" else leaf
    )


def without_jax(value: Any) -> Any:
    """`value` with JAX arrays as NumPy's; containers are copied only where something changes."""
    return _mapped(value, lambda leaf: leaf if is_tensor(leaf) else as_numpy(leaf))


def _mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    if type(value) in (list, tuple):
        items = [_mapped(item, change) for item in value]
        return type(value)(items) if any(a is not b for a, b in zip(items, value, strict=True)) else value
    if type(value) is dict:
        entries = {change(key): _mapped(item, change) for key, item in value.items()}
        before = [part for entry in value.items() for part in entry]
        after = [part for entry in entries.items() for part in entry]
        return value if len(before) == len(after) and all(map(_is, before, after)) else entries
    return change(value)


def _is(one: Any, other: Any) -> bool:
    return one is other
