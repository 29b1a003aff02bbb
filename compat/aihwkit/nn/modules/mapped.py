"""Layers that aihwkit makes of an array of chips, be it of one: their bias is digital, whatever the mapping says.

Plain layers are cut where their matrix is too large as well, and are the same then.
"""

from typing import Any

from compat.aihwkit.nn.modules.conv import AnalogConv2d
from compat.aihwkit.nn.modules.linear import AnalogLinear


class AnalogLinearMapped(AnalogLinear):
    """A linear layer on as many chips as the sizes in its mapping ask for; the bias is digital."""

    _tile_options: dict[str, Any] = {"bias_outside": True}  # noqa: RUF012


class AnalogConv2dMapped(AnalogConv2d):
    """A convolution on as many chips as its mapping asks for; the bias is digital."""

    _tile_options: dict[str, Any] = {"bias_outside": True}  # noqa: RUF012
