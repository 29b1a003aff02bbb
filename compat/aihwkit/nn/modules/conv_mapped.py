"""The place of the mapped convolutions in aihwkit."""

from compat.aihwkit.nn.modules.mapped import AnalogConv2dMapped as AnalogConv2dMapped
