"""Optimizers."""

from compat.aihwkit.optim.analog_optimizer import AnalogAdam as AnalogAdam
from compat.aihwkit.optim.analog_optimizer import AnalogOptimizer as AnalogOptimizer
from compat.aihwkit.optim.analog_optimizer import AnalogOptimizerMixin as AnalogOptimizerMixin
from compat.aihwkit.optim.analog_optimizer import AnalogSGD as AnalogSGD
from compat.aihwkit.optim.context import AnalogContext as AnalogContext
