r"""The range that a quantizer has to cover, from the tensors that it sees.

    current_minmax    min and max of the last one (with `percentile` p: its p-th percentile and its max)
    allminmax         of all of them
    running_minmax    r <- (1 - momentum) new + momentum r
    MSE               the range of least squared rounding error, cross_entropy: of least cross entropy after a softmax

The last two search either a grid, with the errors of all tensors added up, or by golden section, for the last one.
"""

import copy
from collections import namedtuple
from collections.abc import Callable
from enum import Enum
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar

from compat.torch_package import torch

Range = tuple[Any, Any]


class RangeEstimatorBase(torch.nn.Module):
    """Remembers a range; called with a tensor it returns the range so far: of all of it, or (`per_channel`) of each
    place of its first axis.
    """

    current_xmin: Any
    current_xmax: Any
    quantizer: Any

    def __init__(self, quantizer: Any = None, per_channel: bool = False) -> None:
        super().__init__()
        self.per_channel = per_channel
        self.register_buffer("current_xmin", None)
        self.register_buffer("current_xmax", None)
        object.__setattr__(self, "quantizer", quantizer)  # no part of this module: it is the manager's

    @torch.no_grad()
    def forward(self, x: Any) -> Range:
        """The range after `x`."""
        self.current_xmin, self.current_xmax = self._after(x)
        return self.current_xmin, self.current_xmax

    def _after(self, x: Any) -> Range:
        raise NotImplementedError

    def _ends(self, x: Any) -> Range:
        if not self.per_channel:
            return x.min(), x.max()
        rows = x.reshape(len(x), -1)
        return rows.amin(1), rows.amax(1)

    def reset(self) -> None:
        """Forget the range."""
        self.current_xmin = self.current_xmax = None

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        for name in ("current_xmin", "current_xmax"):
            if prefix + name in state_dict:
                setattr(self, name, state_dict[prefix + name].clone())
        super()._load_from_state_dict(state_dict, prefix, *args)


class CurrentMinMaxEstimator(RangeEstimatorBase):
    """The range of the last tensor."""

    def __init__(
        self, percentile: float | None = None, quantizer: Any = None, per_channel: bool = False
    ) -> None:  # fmt: skip
        super().__init__(quantizer, per_channel)
        self.percentile = percentile

    def _after(self, x: Any) -> Range:
        if not self.percentile:
            return self._ends(x)
        rows = x.reshape(len(x) if self.per_channel else 1, -1)
        low, high = np.percentile(rows.numpy(), (self.percentile, 100), axis=1)
        return torch.from_numpy(low).float(), torch.from_numpy(high).float()


class AllMinMaxEstimator(RangeEstimatorBase):
    """The range of all tensors."""

    def _after(self, x: Any) -> Range:
        low, high = self._ends(x)
        if self.current_xmin is None:
            return low, high
        return torch.minimum(self.current_xmin, low), torch.maximum(self.current_xmax, high)


class RunningMinMaxEstimator(RangeEstimatorBase):
    """A running mean of the range."""

    def __init__(self, momentum: float = 0.9, quantizer: Any = None, per_channel: bool = False) -> None:
        super().__init__(quantizer, per_channel)
        self.momentum = momentum

    def _after(self, x: Any) -> Range:
        low, high = self._ends(x)
        if self.current_xmin is None:
            return low, high
        new, old = 1 - self.momentum, self.momentum
        return new * low + old * self.current_xmin, new * high + old * self.current_xmax


class OptMethod(Enum):
    """Ways to search for a range."""

    grid = 1
    golden_section = 2

    @classmethod
    def list(cls) -> Any:
        """The names."""
        return [kind.name for kind in cls]


class MSE_Estimator(RangeEstimatorBase):
    """The range whose rounding does the least harm, found by trying."""

    def __init__(
        self, num_candidates: int = 100, opt_method: OptMethod = OptMethod.grid, range_margin: float = 0.5,
        quantizer: Any = None, per_channel: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(quantizer, per_channel)
        self.num_candidates, self.opt_method, self.range_margin = num_candidates, opt_method, range_margin
        self.reset()

    def reset(self) -> None:
        super().reset()
        self.one_sided: bool | None = None  # whether the first tensor had nothing below 0
        self.ends = (0.0, 0.0)  # the range is searched within these
        self.losses: Any = None  # of all tensors so far, for each candidate
        self.of_channels: list[Any] | None = None  # an estimator of each channel

    def loss(self, x: Any, y: Any) -> Any:
        """The harm done by rounding `x` to `y`."""
        # row by row first, as aihwkit adds: a golden section goes another way for a rounding error
        return ((x - y) ** 2).reshape(len(x), -1).sum(1).sum()

    def _after(self, x: Any) -> Range:
        if self.per_channel:
            return self._of_each_channel(x)
        if self.one_sided is None:
            self.one_sided = bool(x.min() >= 0)
            low, high = float(x.min()), float(x.max())
            if self._on_one_axis:
                low = -max(abs(low), high)
                high = -low
            self.ends = low - self.range_margin, high + self.range_margin
        search = self._of_grid if self.opt_method is OptMethod.grid else self._by_golden_section
        return search(x)

    def _of_each_channel(self, x: Any) -> Range:
        if self.of_channels is None:
            one = copy.deepcopy(self.quantizer)
            one.per_channel = False
            kind, args = type(self), (self.num_candidates, self.opt_method, self.range_margin)
            self.of_channels = [kind(*args, quantizer=one) for _ in range(len(x))]
        ends = [one(row.reshape(1, -1)) for one, row in zip(self.of_channels, x, strict=True)]
        return torch.cat([low.reshape(1) for low, _ in ends]), torch.cat([high.reshape(1) for _, high in ends])

    @property
    def _on_one_axis(self) -> bool:
        """Whether one number, the upper end, is searched."""
        return bool(self.one_sided) or self.quantizer.symmetric

    @property
    def _reach(self) -> float:
        return self.ends[1] if self._on_one_axis else max(abs(end) for end in self.ends)

    def _harm(self, x: Any, low: float, high: float) -> float:
        tried = copy.deepcopy(self.quantizer)
        if low or high:
            tried.set_quant_range(low, high)
        return float(self.loss(x, tried(x)))

    def _of_grid(self, x: Any) -> Range:
        candidates = self._candidates()
        harm = np.array([self._harm(x, low, high) for low, high in candidates], np.float64)
        self.losses = harm if self.losses is None else self.losses + harm
        low, high = candidates[int(np.argmin(self.losses))]
        return torch.tensor([low], dtype=torch.float32), torch.tensor([high], dtype=torch.float32)

    def _candidates(self) -> list[tuple[float, float]]:
        step = self._reach / self.num_candidates
        ends = [step * n for n in range(1, self.num_candidates + 1)]
        if self._on_one_axis:
            return [(0.0 if self.one_sided else -end, end) for end in ends]
        skews = [sign * shift for shift in range(self._most_skew) for sign in (1, -1)]
        widths = [2 * end / (2**self.quantizer.n_bits - 1) for end in ends]
        return [
            (max(-end + skew * width, self.ends[0]), min(end + skew * width, self.ends[1]))
            for end, width in zip(ends, widths, strict=True)
            for skew in skews
        ]

    @property
    def _most_skew(self) -> int:
        """The largest shift of a range of two ends, in steps."""
        return 2**self.quantizer.n_bits // 4

    def _by_golden_section(self, x: Any) -> Range:
        end = self._least(lambda end: self._best(x, end)[0], 0.01 * self._reach, self._reach).x
        low, high = self._best(x, end)[1]
        return torch.tensor([low], dtype=torch.float32), torch.tensor([high], dtype=torch.float32)

    def _best(self, x: Any, end: float) -> tuple[float, tuple[float, float]]:
        """The harm of the best range of half-width `end`, and that range."""
        if self._on_one_axis:
            ends = (0.0 if self.one_sided else -end, end)
            return self._harm(x, *ends), ends
        most = 2 * end / (2**self.quantizer.n_bits - 1) * self._most_skew
        found = self._least(lambda shift: self._harm(x, shift - end, shift + end), -most, most)
        return found.fun, (found.x - end, found.x + end)

    def _least(self, harm: Callable[[float], float], low: float, high: float) -> Any:
        return minimize_scalar(harm, bounds=(low, high), method="bounded")


class CrossEntropyEstimator(MSE_Estimator):
    """The range whose rounding changes the probabilities of a softmax the least."""

    def loss(self, x: Any, y: Any) -> Any:
        return -torch.sum(torch.softmax(x, 1) * torch.log_softmax(y, 1))


RangeEstimatorMap = namedtuple("RangeEstimatorMap", ["value", "cls"])


class RangeEstimators(Enum):
    """Kinds of estimators."""

    current_minmax = RangeEstimatorMap(0, CurrentMinMaxEstimator)
    allminmax = RangeEstimatorMap(1, AllMinMaxEstimator)
    running_minmax = RangeEstimatorMap(2, RunningMinMaxEstimator)
    MSE = RangeEstimatorMap(3, MSE_Estimator)
    cross_entropy = RangeEstimatorMap(4, CrossEntropyEstimator)

    @property
    def cls(self) -> Any:
        """The estimator."""
        return self.value.cls

    @classmethod
    def list(cls) -> Any:
        """The names."""
        return [kind.name for kind in cls]
