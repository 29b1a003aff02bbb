"""The place of `AnalogLinearMapped` in aihwkit."""

from compat.aihwkit.nn.modules.mapped import AnalogLinearMapped as AnalogLinearMapped
