r"""Numbers of few bits: a sign, an exponent `E` bits wide with a bias of `2^(E-1) - 1`, and a mantissa of `M` bits.

x = s 2^e (1 + m),   m rounded to M bits, halves up      exponents that are too small: 0, too large: infinite
"""

from typing import Any

from compat.torch_package import torch


def float_precision_cast(input_: Any, exponent: int = 8, mantissa: int = 7, saturate_to_inf: bool = True) -> Any:
    """A tensor as such numbers show it; without `saturate_to_inf` the largest exponent stands for larger ones.

    6 and 9 bits are truncated, and neither saturate nor flush, as in aihwkit.
    """
    bias, top = 2 ** (exponent - 1) - 1, 2**exponent - 1
    fraction, power = torch.frexp(input_)  # |fraction| in [1/2, 1)
    steps = 2.0 ** (mantissa + 1)
    if (exponent, mantissa) == (6, 9):
        return torch.ldexp(torch.trunc(fraction * steps) / steps, power)
    rounded = torch.sign(fraction) * torch.floor(fraction.abs() * steps + 0.5) / steps
    fraction, more = torch.frexp(rounded)
    stored = power + more - 1 + bias
    capped = stored.clamp(max=top)
    values = torch.ldexp(fraction, capped - bias + 1)
    if saturate_to_inf:
        values = torch.where(stored >= top, torch.sign(input_) * float("inf"), values)
    return torch.where(stored <= 0, torch.zeros_like(values), values)


class FloatPrecisionCastFunction(torch.autograd.Function):
    """`float_precision_cast`, whose gradient passes as it is."""

    @staticmethod
    def forward(ctx: Any, input_: Any, exponent: int = 8, mantissa: int = 7, saturate_to_inf: bool = True) -> Any:
        return float_precision_cast(input_, exponent, mantissa, saturate_to_inf)

    @staticmethod
    def backward(ctx: Any, grad_in: Any) -> Any:
        return grad_in, None, None, None


class FloatPrecisionCast(torch.nn.Module):
    """The same as a layer."""

    def __init__(self, exponent: int = 8, mantissa: int = 7, saturate_to_inf: bool = True) -> None:
        super().__init__()
        self.exponent, self.mantissa, self.saturate_to_inf = exponent, mantissa, saturate_to_inf

    def forward(self, input_: Any) -> Any:
        """The tensor as such numbers show it."""
        return FloatPrecisionCastFunction.apply(input_, self.exponent, self.mantissa, self.saturate_to_inf)
