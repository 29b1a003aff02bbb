"""Analog layers for torch: every layer that the modules below name in their `__all__`."""

from compat.aihwkit.nn.modules.container import AnalogSequential as AnalogSequential
from compat.aihwkit.nn.modules.container import AnalogWrapper as AnalogWrapper
from compat.aihwkit.nn.modules.conv import *  # noqa: F403
from compat.aihwkit.nn.modules.conv_mapped import *  # noqa: F403
from compat.aihwkit.nn.modules.linear import *  # noqa: F403
from compat.aihwkit.nn.modules.linear_mapped import *  # noqa: F403
from compat.aihwkit.nn.modules.rnn.cells import *  # noqa: F403
from compat.aihwkit.nn.modules.rnn.rnn import *  # noqa: F403
