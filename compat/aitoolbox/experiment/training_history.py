"""The values of each metric over the epochs."""

import copy
from collections.abc import ItemsView, Iterator, KeysView, Mapping
from typing import Any

from compat.aitoolbox.utils import dict_util


class TrainingHistory:
    """A list of values per metric name; `loss` and `accumulated_loss` are there from the start, and `val_loss` too
    unless `has_validation` is false. `history[name] = value` appends.

    With `strict_content_check` a doubtful content is a `ValueError` instead of a printed line.
    """

    def __init__(self, has_validation: bool = True, strict_content_check: bool = False) -> None:
        names = ["loss", "accumulated_loss", *(["val_loss"] if has_validation else [])]
        self.train_history: dict[str, Any] = {name: [] for name in names}
        self.empty_train_history: dict[str, Any] = {name: [] for name in names}
        self.strict_content_check = strict_content_check

    def insert_single_result_into_history(self, metric_name: str, metric_result: Any) -> None:
        """Appends a value to a metric, which may be new."""
        self.train_history.setdefault(metric_name, []).append(metric_result)

    def get_train_history(self) -> dict[str, Any]:
        """The dictionary itself, not a copy."""
        return self.train_history

    def get_train_history_dict(self, flatten_dict: bool = False) -> dict[str, Any]:
        """The dictionary; with `flatten_dict`, metrics whose values are dictionaries become several metrics."""
        if self.train_history == self.empty_train_history:
            self.warn_about_result_data_problem("The training history is empty")
        return dict_util.flatten_combine_dict(self.train_history) if flatten_dict else self.train_history

    def wrap_pre_prepared_history(self, history: dict[str, Any]) -> "TrainingHistory":
        """Takes over a dictionary of lists; returns this object."""
        self.train_history = history
        return self

    def qa_check_history_records(self) -> None:
        """Complains about every metric that has another number of values than the first one."""
        lengths = {name: len(values) for name, values in self.train_history.items()}
        for name, length in lengths.items():
            first = next(iter(lengths.values()))
            if length != first:
                self.warn_about_result_data_problem(
                    f"Training history: {name} has {length} values, {next(iter(lengths))} has {first}"
                )

    def warn_about_result_data_problem(self, msg: str) -> None:
        """Prints `msg`. Raises `ValueError` with it if the check is strict."""
        if self.strict_content_check:
            raise ValueError(msg)
        print(msg)

    def add_history_dict(self, other: dict[str, Any]) -> None:
        """Appends one value per entry of a plain dictionary. Raises `TypeError` for anything else."""
        if type(other) is not dict:
            raise TypeError(f"A dictionary of one value per metric can be added, not a {type(other).__name__}.")
        for name, value in other.items():
            self.insert_single_result_into_history(name, value)

    def __add__(self, other: dict[str, Any]) -> "TrainingHistory":
        return copy.deepcopy(self).__iadd__(other)

    __radd__ = __add__

    def __iadd__(self, other: dict[str, Any]) -> "TrainingHistory":
        self.add_history_dict(other)
        return self

    def __str__(self) -> str:
        return str(self.train_history)

    def __len__(self) -> int:
        return len(self.train_history)

    def __getitem__(self, item: str) -> Any:
        return self.train_history[item]

    def __setitem__(self, key: str, value: Any) -> None:
        self.insert_single_result_into_history(key, value)

    def __contains__(self, item: object) -> bool:
        return item in self.train_history

    def __iter__(self) -> Iterator[str]:
        return iter(self.train_history)

    def keys(self) -> KeysView[str]:
        """The metric names."""
        return self.train_history.keys()

    def items(self) -> ItemsView[str, Any]:
        """The metric names and their lists."""
        return self.train_history.items()


def as_training_history(history: Any) -> TrainingHistory:
    """`history` itself, or a wrapped dictionary of lists, Keras `History`, or `None`. Raises `TypeError`."""
    if hasattr(history, "get_train_history"):
        return history
    content = {} if history is None else getattr(history, "history", history)
    if not isinstance(content, Mapping):
        raise TypeError(
            f"training_history is a {type(history).__name__}: give a TrainingHistory, or a dictionary of lists."
        )
    return TrainingHistory().wrap_pre_prepared_history(dict(content))
