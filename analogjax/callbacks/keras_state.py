"""The whole state of a Keras model in training, as arrays, and what identifies the model and its settings."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

import jax
import keras
import numpy as np

from analogjax.store import CheckpointError

State = dict[str, list[np.ndarray]]
GROUPS = ("trainable", "non_trainable", "optimizer", "metrics")
WEIGHTS = GROUPS[:2]


def variables(model: Any) -> dict[str, list[Any]]:
    """The variables of a model in training by group: weights, seed generators, optimizer and metrics."""
    optimizer = getattr(model, "optimizer", None)
    if optimizer is not None and not optimizer.built:
        optimizer.build(model.trainable_variables)
    return {
        "trainable": list(model.trainable_variables),
        "non_trainable": list(model.non_trainable_variables),
        "optimizer": [] if optimizer is None else list(optimizer.variables),
        "metrics": list(model.metrics_variables),
    }


def read(model: Any) -> State:
    """The values of all variables of a model, as NumPy arrays."""
    return {
        group: [keras.ops.convert_to_numpy(one.value) for one in found] for group, found in variables(model).items()
    }


def shapes(state: State) -> dict[str, list[list[Any]]]:
    """Shape and dtype of each array, from which `like` makes what a checkpoint is restored into."""
    return {group: [[list(one.shape), one.dtype.name] for one in found] for group, found in state.items()}


def like(found: dict[str, list[list[Any]]]) -> dict[str, list[Any]]:
    """Empty arrays of the shapes and dtypes that `shapes` returned."""
    return {group: [np.empty(shape, jax.numpy.dtype(dtype)) for shape, dtype in rows] for group, rows in found.items()}


def assign(model: Any, state: State) -> None:
    """Give the variables of a model, of the groups that `state` has, its values."""
    for group, found in variables(model).items():
        for variable, value in zip(found, state.get(group, found), strict=True):
            if variable is not value:
                variable.assign(value)


def table(model: Any) -> list[list[Any]]:
    """One row `[group, path, shape, dtype]` per variable."""
    return [
        [group, one.path, list(one.shape), str(one.dtype)] for group, found in variables(model).items() for one in found
    ]


def identity(model: Any) -> dict[str, Any]:
    """What has to be equal for a model to go on from a backup: its layers, and what it was compiled with.

    Names that Keras counts up (`dense`, `dense_1`) are left out: they depend on what else the process has made.
    """
    return {
        "layers": [[type(layer).__name__, _settings(layer)] for layer in model.layers],
        "compiled": _plain(_asked(model.get_compile_config)),
    }


def refuse_other_variables(saved: list[list[Any]], model: Any, where: str, only: Collection[str] = GROUPS) -> None:
    """Raise `CheckpointError` for the first variable, of these groups, that differs from a saved table."""
    saved, here = ([row for row in rows if row[0] in only] for rows in (saved, table(model)))
    for n in range(max(len(saved), len(here))):
        was, now = (rows[n] if n < len(rows) else None for rows in (saved, here))
        if was is None or now is None or [was[0], *was[2:]] != [now[0], *now[2:]]:
            raise CheckpointError(
                f"{where} is the backup of another model: variable {n} was {_shown(was)} there and is {_shown(now)} "
                "here. Build and compile the model as it was, or choose another folder."
            )


def _shown(row: list[Any] | None) -> str:
    return "absent" if row is None else f"{row[1]} ({row[0]}) {row[3]}{row[2]}"


def _settings(layer: Any) -> Any:
    found = _asked(layer.get_config)
    return _plain({key: value for key, value in (found or {}).items() if key not in ("name", "layers")})


def _asked(question: Any) -> Any:
    try:
        return question()
    except (NotImplementedError, TypeError, ValueError):  # of custom classes that cannot be described: by their table
        return None


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(_without_names(value), default=lambda one: type(one).__name__))


def _without_names(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _without_names(one) for key, one in value.items() if key not in ("name", "build_config")}
    return [_without_names(one) for one in value] if isinstance(value, (list, tuple)) else value
