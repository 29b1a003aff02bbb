"""Dictionaries of results: nested ones flat, and lists of them as dictionaries of lists."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from compat.aitoolbox.store.plain import is_tensor
from compat.aitoolbox.utils.util import flatten_list_of_lists


def combine_prediction_metadata_batches(metadata_list: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """One dictionary of the batches' lists, tensors or arrays, joined along their first axis.

    Raises `TypeError` for values of another type.
    """
    return {name: _joined(name, batches) for name, batches in combine_dict_elements(metadata_list).items()}


def _joined(name: str, batches: list[Any]) -> Any:
    first = batches[0]
    if isinstance(first, list):
        return flatten_list_of_lists(batches)
    if isinstance(first, np.ndarray):
        return np.concatenate(batches, axis=0)
    if is_tensor(first):
        import torch

        return torch.cat(batches, dim=0)
    raise TypeError(f"{name!r} is a {type(first).__name__}: give lists, torch tensors or NumPy arrays.")


def flatten_dict(nested_dict: Mapping[Any, Any], parent_key: str = "", sep: str = "_") -> dict[Any, Any]:
    """`{"a": {"b": 1}}` as `{"a_b": 1}`, at any depth."""
    flat: dict[Any, Any] = {}
    for key, value in nested_dict.items():
        name = f"{parent_key}{sep}{key}" if parent_key else key
        flat |= flatten_dict(value, str(name), sep) if isinstance(value, Mapping) else {name: value}
    return flat


def combine_dict_elements(list_of_dicts: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """A list per key with the values that the dictionaries have for it."""
    combined: dict[str, list[Any]] = {}
    for entries in list_of_dicts:
        for key, value in entries.items():
            combined.setdefault(key, []).append(value)
    return combined


def flatten_combine_dict(train_history: Mapping[str, Any]) -> dict[str, Any]:
    """A history in which metrics whose values are dictionaries become several metrics, and empty ones are left out."""
    flat: dict[str, Any] = {}
    for name, values in train_history.items():
        if not isinstance(values, (list, tuple)):
            flat[name] = values
        elif all(isinstance(value, Mapping) for value in values):
            parts = combine_dict_elements(flatten_dict(value) for value in values)
            flat |= {f"{name}_{part}": numbers for part, numbers in parts.items()}
        else:
            flat[name] = list(values)
    return flat
