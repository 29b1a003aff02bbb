"""Bits of floating-point numbers, and the equivalent circuit of a column of devices.

Letters: `B` vectors, `I` rows and `O` columns of the circuit, `T` points of time.
"""

from typing import Any

from compat.aihwkit.exceptions import ArgumentError, InputTypeError
from compat.torch_package import torch

_BITS, _BIAS = 23, 127  # of the mantissa of float32; of its exponent
_EXPONENT, _SIGN, _ALL = 0x7F800000, -0x80000000, 0x7FFFFFFF
_TRUNCATED = (6, 9)  # the format that aihwkit cuts off, instead of rounding
_LEAK = 1e-12  # of a row that holds nothing [uS]
_MOST, _LEAST, _KEPT = 0x4F7FC000, 0x30800000, ~0x3FFF
_REST, _SWING = (
    0.4,
    0.2,
)  # voltage of a device without a pulse, and what a pulse adds to one and takes from the other [V]


@torch.no_grad()
def float_precision_cast(x_input: Any, exponent: int, mantissa: int, saturate_to_inf: bool) -> Any:
    """The numbers with `exponent` (2 to 8) and `mantissa` (3 to 22) bits, halves rounded away from zero.

    What is below the least normal number becomes 0. What has the largest exponent or more becomes infinite with
    `saturate_to_inf`, and has the largest exponent with its own mantissa without. As in aihwkit, numbers of 6 and 9
    bits without `saturate_to_inf` are cut off, and stay at the largest one.

    Raises `InputTypeError` for other numbers than float32, `ArgumentError` for other bits.
    """
    if x_input.dtype != torch.float32:
        raise InputTypeError(f"float_precision_cast: got {x_input.dtype}, and float32 is needed.")
    if exponent not in range(2, 9) or mantissa not in range(3, 23):
        raise ArgumentError(f"exponent={exponent}, mantissa={mantissa}: give 2 to 8, and 3 to 22 bits.")
    bits = x_input.contiguous().view(torch.int32)
    if (exponent, mantissa) == _TRUNCATED and not saturate_to_inf:
        return _cut_off(bits).view(torch.float32)
    last = 1 << (_BITS - mantissa)
    finite = (bits & _EXPONENT) != _EXPONENT
    rounded = (bits & -last) + ((bits & (last >> 1)) << 1)
    rounded = torch.where(finite, rounded, bits & (_SIGN | _EXPONENT))
    if exponent == 8 and saturate_to_inf:
        return rounded.view(torch.float32)
    return _within(rounded, exponent, saturate_to_inf).view(torch.float32)


def _within(bits: Any, exponent: int, saturate_to_inf: bool) -> Any:
    """Numbers whose exponent is within its bits."""
    bias, most = (1 << (exponent - 1)) - 1, (1 << exponent) - 1
    size = ((bits & _EXPONENT) >> _BITS) - _BIAS + bias
    if saturate_to_inf:
        large = (bits & _SIGN) | _EXPONENT
    else:
        large = (bits & ~_EXPONENT) | ((most + _BIAS - bias) << _BITS)
    bits = torch.where(size >= most, large, bits)
    return torch.where(size <= 0, torch.zeros_like(bits), bits)


def _cut_off(bits: Any) -> Any:
    magnitude = bits & _ALL
    small = torch.where(magnitude < _LEAST, torch.zeros_like(bits), bits & _KEPT)
    return torch.where(magnitude > _MOST, (bits & _SIGN) | _MOST, small)


@torch.no_grad()
def thevenin_equiv(
    x_input: Any, gp_values: Any, gm_values: Any, r_s: float, t_max: float, time_steps: int
) -> Any:  # fmt: skip
    """Voltage and resistance that each column shows its ADC over time, wires included, one segment for each row.

    See `analogjax.physics.TimedCrossbar` for the equations.

    Args:
        x_input: Pulse lengths `[B, I]`, between -t_max and t_max.
        gp_values: Conductances of the positive devices `[O, I]` [uS].
        gm_values: Those of the negative ones.
        r_s: Resistance of the wire between two rows [Ohm].
        t_max: The last time.
        time_steps: Points of time.

    Returns:
        Voltages [V] and resistances [MOhm], `[2, B, O, T]`.
    """
    time, wire = torch.linspace(0.0, t_max, time_steps, dtype=x_input.dtype), 1e-6 * r_s
    pulse = (x_input[..., None] > time).to(time) - (x_input[..., None] < -time).to(time)  # [B, I, T]
    both, difference = gp_values + gm_values, gp_values - gm_values
    total = both + _LEAK
    v: Any = None
    r: Any = None
    for row in range(gp_values.shape[1]):
        own = (1.0 / total[:, row])[None, :, None]
        source = own * (_REST * both[:, row, None] + _SWING * difference[:, row, None] * pulse[:, None, row])
        if v is None:
            v, r = source, own.expand_as(source)
            continue
        before = r + wire
        r = before * own / (before + own)
        v = (v / before + source / own) * r
    return torch.stack([v, r + wire / 2])
