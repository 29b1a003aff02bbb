"""What a metric is: a name and a value, computed when it is made."""

import operator
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np


class AbstractBaseMetric(ABC):
    """A metric of predictions; subclasses compute it in `calculate_metric`.

    With `np_array`, labels and predictions are NumPy arrays by then. Metrics of one number compare with each other
    and with numbers; `a + b` makes a dictionary of both.
    """

    def __init__(self, y_true: Any, y_predicted: Any, metric_name: str, np_array: bool = True) -> None:
        self.y_true = np.array(y_true) if np_array else y_true
        self.y_predicted = np.array(y_predicted) if np_array else y_predicted
        self.metric_name = metric_name
        self.metric_result: Any = None
        self.metric_result = self.calculate_metric()

    @abstractmethod
    def calculate_metric(self) -> Any:
        """Returns the value."""

    def get_metric(self) -> Any:
        """The value."""
        return self.metric_result

    def get_metric_dict(self) -> dict[str, Any]:
        """The value under its name."""
        return {self.metric_name: self.metric_result}

    def concat_metric(self, other: Any) -> dict[str, Any]:
        """This metric and `other`, a metric or a dictionary, in one dictionary. Raises `TypeError`."""
        if isinstance(other, AbstractBaseMetric):
            return self.get_metric_dict() | other.get_metric_dict()
        if type(other) is dict:
            return self.get_metric_dict() | other
        raise TypeError(f"A metric or a dictionary can be added to {self.metric_name}, not a {type(other).__name__}.")

    def __add__(self, other: Any) -> dict[str, Any]:
        return self.concat_metric(other)

    def __radd__(self, other: Any) -> dict[str, Any]:
        return self.concat_metric(other)

    def _compare(self, other: Any, relation: Callable[[Any, Any], bool]) -> bool:
        value = other.metric_result if isinstance(other, AbstractBaseMetric) else other
        if type(self.metric_result) not in (int, float) or type(value) not in (int, float):
            raise ValueError(f"{self} and {other} cannot be compared: both must be single numbers.")
        return relation(self.metric_result, value)

    def __lt__(self, other: Any) -> bool:
        return self._compare(other, operator.lt)

    def __le__(self, other: Any) -> bool:
        return self._compare(other, operator.le)

    def __gt__(self, other: Any) -> bool:
        return self._compare(other, operator.gt)

    def __ge__(self, other: Any) -> bool:
        return self._compare(other, operator.ge)

    def __str__(self) -> str:
        return f"{self.metric_name}: {self.metric_result}"

    def __len__(self) -> int:
        if self.metric_result is None:
            return 0
        if isinstance(self.metric_result, (int, float)):
            return 1
        if isinstance(self.metric_result, (list, dict)):
            return len(self.metric_result)
        raise TypeError(f"{self.metric_name} is a {type(self.metric_result).__name__}, which has no length here.")

    def __contains__(self, item: object) -> bool:
        return item == self.metric_name or (isinstance(self.metric_result, dict) and item in self.metric_result)

    def __getitem__(self, item: str) -> Any:
        if item == self.metric_name:
            return self.metric_result
        if item in self:
            return self.metric_result[item]
        raise KeyError(f"{item!r} is neither {self.metric_name!r} nor a part of it.")
