"""Rounding, and a question about numbers."""

from typing import Any

from compat.aihwkit.exceptions import ArgumentError
from compat.torch_package import torch


class UniformQuantize(torch.autograd.Function):
    """Round to multiples of a step; the gradient passes as it is.

    `res` is the step relative to the whole range `2 bound`, or (above 1) the number of steps; `stochastic`: up or down
    at random, by the distance.
    """

    @staticmethod
    def forward(ctx: Any, inp: Any, res: float, bound: Any, stochastic: bool = False) -> Any:
        if not res > 0:
            raise ArgumentError(f"UniformQuantize(res={res}): needs a step above 0, or a number of steps.")
        step = (1 / res if res > 1.0 else res) * 2 * bound
        scaled = inp / step
        return ((scaled + torch.rand_like(scaled) - 0.5) if stochastic else scaled).round() * step

    @staticmethod
    def backward(ctx: Any, grad_output: Any) -> Any:
        return grad_output, None, None, None


def isinf(x: Any) -> Any:
    """Whether a number (or text of one, or each of an array) is infinite."""
    return torch.isinf(torch.as_tensor(float(x) if isinstance(x, str) else x))
