r"""Uniform rounding to `n` bits, with steps that can be estimated from a range or learned.

    symmetric     D = max|x| / i_max,             D clamp(round(x / D), i_min, i_max)
                  i_max = 2^(n-1) - 1, i_min = -2^(n-1);   where nothing is below 0:  i_max = 2^n - 1, i_min = 0
    asymmetric    D = (x_max - x_min) / (2^n - 1),  z = clamp(round(-x_min / D), 0, 2^n - 1)
                  D (clamp(round(x / D) + z, 0, 2^n - 1) - z)

The range always has 0 in it. Rounding is half to even and straight-through; what is clamped passes no gradient.
Reference: Nagel et al. 2021, arXiv:2106.08295; Esser et al. 2020, arXiv:1902.08153 (learned steps).
"""

from collections import namedtuple
from enum import Enum
from typing import Any

from compat.aihwkit.exceptions import ConfigError, TileError
from compat.torch_package import torch

LEAST = 1e-8  # of a step and of the upper end of a range


class QuantizerNotInitializedError(TileError):
    """A quantizer is used before it has a range."""

    def __init__(self) -> None:
        super().__init__(
            "this quantizer has no range yet: run a batch in training mode, or call estimate_ranges() before one in "
            "evaluation mode."
        )


class RoundStraightThrough(torch.autograd.Function):
    """Rounding whose derivative is that of the identity."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return torch.round(x)

    @staticmethod
    def backward(ctx: Any, d: Any) -> Any:
        return d


class FloorStraightThrough(torch.autograd.Function):
    """Rounding down whose derivative is that of the identity."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return torch.floor(x)

    @staticmethod
    def backward(ctx: Any, d: Any) -> Any:
        return d


class QuantizerBase(torch.nn.Module):
    """Rounds to a grid of step `_delta`, which is not a number until there is a range; of one step, or (`per_channel`)
    of one for each place of the first axis.
    """

    symmetric: bool
    _delta: Any
    _numbers: tuple[str, ...] = ("_delta",)

    def __init__(self, n_bits: int, per_channel: bool = False) -> None:
        super().__init__()
        self.n_bits, self.per_channel = n_bits, per_channel
        for name in self._numbers:
            self.register_parameter(name, torch.nn.Parameter(torch.tensor(torch.nan), requires_grad=False))

    @property
    def is_initialized(self) -> bool:
        """Whether there is a range."""
        return not bool(torch.isnan(self._delta).all())

    @property
    def scale(self) -> Any:
        """The step."""
        if not self.is_initialized:
            raise QuantizerNotInitializedError
        return torch.clamp(self._delta, min=LEAST)

    @property
    def int_min(self) -> float:
        """The lowest level."""
        raise NotImplementedError

    @property
    def int_max(self) -> float:
        """The highest level."""
        raise NotImplementedError

    @property
    def zero_point(self) -> Any:
        """The level of 0."""
        return 0.0

    def forward(self, x: Any) -> Any:
        """`x` on the grid. Raises `QuantizerNotInitializedError` where there is no range."""
        scale, zero = self._along(self.scale, x), self._along(self.zero_point, x)
        level = RoundStraightThrough.apply(x / scale) + zero
        return scale * (torch.clamp(level, self.int_min, self.int_max) - zero)

    def to_integer_forward(self, x: Any) -> Any:
        """The levels of `x`."""
        level = RoundStraightThrough.apply(x / self._along(self.scale, x)) + self._along(self.zero_point, x)
        return torch.clamp(level, self.int_min, self.int_max)

    def _along(self, value: Any, x: Any) -> Any:
        """A value of each channel, shaped for `x`."""
        if not self.per_channel or not isinstance(value, torch.Tensor) or value.ndim == 0:
            return value
        return value.reshape(-1, *(1,) * (x.ndim - 1))

    @property
    def delta(self) -> Any:
        """The step, as it is learned."""
        return self._delta

    @property
    def x_max(self) -> Any:
        """The highest number on the grid."""
        return self.scale * (self.int_max - self.zero_point)

    @property
    def x_min(self) -> Any:
        """The lowest number on the grid."""
        return self.scale * (self.int_min - self.zero_point)

    @torch.no_grad()
    def set_quant_range(self, x_min: Any, x_max: Any) -> None:
        """Take the step from a range, widened to hold 0."""
        low, high = (torch.as_tensor(end, dtype=torch.float32) for end in (x_min, x_max))
        for name, value in zip(self._numbers, self._fitted(low.clamp(max=0.0), high.clamp(min=LEAST)), strict=True):
            getattr(self, name).data = value

    def _fitted(self, low: Any, high: Any) -> tuple[Any, ...]:
        """The numbers of a range."""
        raise NotImplementedError

    def make_range_trainable(self) -> None:
        """Let an optimizer move the step."""
        for name in self._numbers:
            getattr(self, name).requires_grad_(True)

    def reset(self) -> None:
        """Forget the range."""
        for name in self._numbers:
            getattr(self, name).data = torch.tensor(torch.nan)

    def extra_repr(self) -> str:
        """Bits, and whether there is a range."""
        return f"n_bits={self.n_bits}, is_initialized={self.is_initialized}"

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        for name in self._numbers:  # those of a percentile have an axis
            if prefix + name in state_dict:
                getattr(self, name).data = torch.full_like(state_dict[prefix + name], torch.nan)
        super()._load_from_state_dict(state_dict, prefix, *args)


class SymmetricUniformQuantizer(QuantizerBase):
    """Levels on both sides of 0 alike, or above it alone."""

    symmetric = True
    _signed: Any

    def __init__(self, n_bits: int, per_channel: bool = False) -> None:
        super().__init__(n_bits, per_channel)
        self.register_buffer("_signed", None)

    @property
    def signed(self) -> bool:
        """Whether there are levels below 0."""
        if self._signed is None:
            raise QuantizerNotInitializedError
        return bool(self._signed)

    @property
    def int_min(self) -> float:
        return -(2.0 ** (self.n_bits - 1)) if self.signed else 0.0

    @property
    def int_max(self) -> float:
        return 2.0 ** (self.n_bits - self.signed) - 1

    def _fitted(self, low: Any, high: Any) -> tuple[Any, ...]:
        self._signed = low.min() < 0
        if self.int_max < 1:
            raise ConfigError(
                f"symmetric rounding of numbers below 0 to n_bits={self.n_bits}: no level is left above 0; use 2 bits "
                "or more, or symmetric=False."
            )
        return (torch.maximum(low.abs(), high) / self.int_max,)

    def reset(self) -> None:
        super().reset()
        self._signed = None

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        if prefix + "_signed" in state_dict:
            self._signed = state_dict[prefix + "_signed"].clone()
        super()._load_from_state_dict(state_dict, prefix, *args)


class AsymmetricUniformQuantizer(QuantizerBase):
    """Levels from the lowest number to the highest."""

    symmetric = False
    _zero_float: Any
    _numbers = ("_delta", "_zero_float")

    @property
    def int_min(self) -> float:
        return 0.0

    @property
    def int_max(self) -> float:
        return 2.0**self.n_bits - 1

    @property
    def zero_point(self) -> Any:
        return torch.clamp(RoundStraightThrough.apply(self._zero_float), self.int_min, self.int_max)

    def _fitted(self, low: Any, high: Any) -> tuple[Any, ...]:
        delta = (high - low) / self.int_max
        return delta, -low / delta


QMethodMap = namedtuple("QMethodMap", ["value", "cls"])


class QMethods(Enum):
    """Kinds of rounding."""

    symmetric_uniform = QMethodMap(0, SymmetricUniformQuantizer)
    asymmetric_uniform = QMethodMap(1, AsymmetricUniformQuantizer)

    @property
    def cls(self) -> Any:
        """The quantizer."""
        return self.value.cls

    @classmethod
    def of(cls, symmetric: bool) -> "QMethods":
        """The kind that is symmetric, or the one that is not."""
        return cls.symmetric_uniform if symmetric else cls.asymmetric_uniform

    @classmethod
    def list(cls) -> Any:
        """The names."""
        return [kind.name for kind in cls]
