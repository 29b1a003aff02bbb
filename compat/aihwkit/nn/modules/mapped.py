"""Layers that aihwkit cuts over chips inside the layer; here every layer is cut where its matrix is too large."""

from compat.aihwkit.nn.modules.conv import AnalogConv2d
from compat.aihwkit.nn.modules.linear import AnalogLinear


class AnalogLinearMapped(AnalogLinear):
    """A linear layer on as many chips as `mapping.max_input_size` and `max_output_size` ask for: an `AnalogLinear`."""


class AnalogConv2dMapped(AnalogConv2d):
    """A convolution on as many chips as its mapping asks for: an `AnalogConv2d`."""
