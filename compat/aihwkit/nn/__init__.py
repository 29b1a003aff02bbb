"""Analog layers for torch."""

from compat.aihwkit.nn.modules.container import AnalogSequential as AnalogSequential
from compat.aihwkit.nn.modules.container import AnalogWrapper as AnalogWrapper
from compat.aihwkit.nn.modules.linear import AnalogLinear as AnalogLinear
