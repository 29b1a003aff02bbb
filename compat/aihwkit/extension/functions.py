"""Floating-point numbers of fewer bits."""

from typing import Any

from compat.extension_ops import float_precision_cast
from compat.torch_package import torch


class FloatPrecisionCastFunction(torch.autograd.Function):
    """`ops.float_precision_cast`, whose gradient passes unchanged."""

    @staticmethod
    def forward(
        ctx: Any, input_: Any, exponent: int = 8, mantissa: int = 7, saturate_to_inf: bool = True
    ) -> Any:  # fmt: skip
        return float_precision_cast(input_, exponent, mantissa, saturate_to_inf)

    @staticmethod
    def backward(ctx: Any, grad_in: Any) -> Any:
        return grad_in, None, None, None


class FloatPrecisionCast(torch.nn.Module):
    """Rounds float32 numbers to those of fewer bits; the gradient passes unchanged.

    Args:
        exponent: Bits of the exponent, 2 to 8.
        mantissa: Bits of the mantissa, 3 to 22.
        saturate_to_inf: Whether what is too large becomes infinite, instead of the largest exponent with its mantissa.
    """

    def __init__(self, exponent: int = 8, mantissa: int = 7, saturate_to_inf: bool = True) -> None:
        super().__init__()
        self.exponent, self.mantissa, self.saturate_to_inf = exponent, mantissa, saturate_to_inf

    def forward(self, input_: Any) -> Any:
        """The rounded numbers."""
        return FloatPrecisionCastFunction.apply(input_, self.exponent, self.mantissa, self.saturate_to_inf)
