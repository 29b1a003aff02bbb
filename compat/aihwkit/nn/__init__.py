"""Analog layers for torch."""

from compat.aihwkit.nn.modules.container import AnalogSequential as AnalogSequential
from compat.aihwkit.nn.modules.container import AnalogWrapper as AnalogWrapper
from compat.aihwkit.nn.modules.conv import AnalogConv2d as AnalogConv2d
from compat.aihwkit.nn.modules.linear import AnalogLinear as AnalogLinear
from compat.aihwkit.nn.modules.mapped import AnalogConv2dMapped as AnalogConv2dMapped
from compat.aihwkit.nn.modules.mapped import AnalogLinearMapped as AnalogLinearMapped
