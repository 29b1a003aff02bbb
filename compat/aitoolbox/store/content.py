"""The content of results files, checked before anything is written: what is saved can be loaded.

Hyperparameters describe a training, so an object among them may become text; results, histories and labels are what
was measured, and an object there that would not be read back is refused.
"""

import argparse
import collections
import dataclasses
import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from analogjax.store.provenance import provenance
from compat.aitoolbox.store import pickles, plain
from compat.aitoolbox.store.errors import NotData

ENDINGS = {"pickle": ".p", "json": ".json"}
_MOST = 1000  # entries of each kind recorded with a save, and characters of one; a table is written often
_SETS = (set, frozenset, collections.deque)


def checked(parts: Mapping[str, Any], file_format: str) -> dict[str, Any]:
    """`parts` of a results file by their names, with what a file of this format cannot hold replaced.

    Warns, naming the place, where a class, a function or an object becomes text, and raises `NotData` or `TypeError`,
    naming it too, for what cannot be saved so that it can be loaded.
    """
    if file_format == "json":
        return plain.for_json(dict(parts), "The results")
    return {name: _loadable_part(part, f"The results[{name!r}]", name) for name, part in parts.items()}


def writer(content: dict[str, Any], file_format: str) -> Callable[[Path], None]:
    """What writes the file of what `checked` returned. Raises as that does."""
    if file_format == "pickle":
        return lambda file: pickles.write(file, content)
    text = json.dumps(plain.for_json(content, "The results"), sort_keys=True, indent=4)

    def write(file: Path) -> None:
        file.write_text(text, encoding="utf-8")

    return write


def record(package: Any) -> dict[str, Any]:
    """What is recorded of a save in addition to its files, so that saves can be compared without loading them.

    `provenance` as of `analogjax.store.provenance`; of a checked package `results`, those that are numbers, with a `/`
    between the names of nested ones, and `hyperparameters`, those that are numbers, short text or `None`; at most a
    thousand of each.
    """
    noted: dict[str, Any] = {"provenance": provenance()}
    if isinstance(package, Checked):
        given = package.get_hyperparameters()
        plainly = (
            (str(name), value)
            for name, value in (given.items() if isinstance(given, Mapping) else ())
            if value is None or (type(value) in (bool, int, float, str) and len(str(value)) <= _MOST)
        )
        noted["results"] = dict(islice(_numbers(package.get_results(), ""), _MOST))
        noted["hyperparameters"] = dict(islice(plainly, _MOST))
    return noted


def _numbers(results: Any, name: str) -> Iterator[tuple[str, float]]:
    if isinstance(results, Mapping):
        for key, value in results.items():
            yield from _numbers(value, f"{name}/{key}" if name else f"{key}")
    elif isinstance(results, (bool, int, float, np.integer, np.floating)) and name:
        yield name, results.item() if isinstance(results, np.generic) else results


class Checked:
    """A result package or a history with some answers given beforehand; for anything else `original` is asked."""

    def __init__(self, original: Any, **answers: Any) -> None:
        self.__dict__.update(answers, _original=original)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_original"], name)


def _loadable_part(part: Any, where: str, name: str) -> Any:
    part = plain.without_jax(part)
    try:
        names = pickles.check(part)
    except NotData:
        try:
            part = _loadable(part, where, is_description=name == "hyperparameters")
        except RecursionError:
            raise NotData(f"{where} contains itself or is nested too deeply: give a finite tree of values.") from None
        names = pickles.check(part)
    if names:
        warnings.warn(
            f"{where} holds {', '.join(names)}: loaded without allow_pickle=True, it is only this name.", stacklevel=5
        )
    return part


def _loadable(value: Any, where: str, is_description: bool) -> Any:
    """`value` itself if it can be loaded, or what stands for it."""
    try:
        pickles.check(value)
        return value
    except NotData as error:
        reason = error
    inside = _inside(value, where, is_description)
    if inside is not None:
        return inside
    array = np.asarray(value) if isinstance(value, np.ndarray) else plain.as_numpy(value)
    if array is not value:
        return _loadable(array, where, is_description)
    name = plain.name_of(value)
    if name is not None and "<" not in name:
        return plain.warned_text(value, name, where)
    if is_description and "cannot be pickled" not in str(reason):
        return plain.warned_text(value, str(value), where)
    raise NotData(
        f"{where} is of type {type(value).__name__} and is not saved, as {reason}: nothing was written. Give plain "
        "values instead, such as numbers, text, lists, dictionaries and arrays, or its name as text."
    )


def _inside(value: Any, where: str, is_description: bool) -> Any:
    """A container with everything in it loadable, `None` if `value` is none."""
    if isinstance(value, SimpleNamespace):
        value = vars(value)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, argparse.Namespace):
        return argparse.Namespace(**_inside(vars(value), where, is_description))
    if isinstance(value, Mapping):
        items = [
            (_loadable(key, f"a key of {where}", is_description), _loadable(item, f"{where}[{key!r}]", is_description))
            for key, item in value.items()
        ]
        return collections.OrderedDict(items) if isinstance(value, collections.OrderedDict) else dict(items)
    if isinstance(value, (list, tuple, *_SETS)):
        found = [_loadable(item, f"{where}[{index}]", is_description) for index, item in enumerate(value)]
        return next(kind for kind in (tuple, *_SETS, list) if isinstance(value, kind))(found)
    return None
