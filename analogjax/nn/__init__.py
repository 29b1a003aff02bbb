"""Flax modules with analog layers."""

from analogjax.nn.conv import AnalogConv2d as AnalogConv2d
from analogjax.nn.linear import AnalogLinear as AnalogLinear
from analogjax.nn.model import Variables as Variables
from analogjax.nn.model import apply as apply
from analogjax.nn.model import apply_training as apply_training
from analogjax.nn.model import flatten as flatten
from analogjax.nn.model import init as init
from analogjax.nn.model import slots as slots
from analogjax.nn.pool import max_pool as max_pool
from analogjax.nn.sequential import Sequential as Sequential
from analogjax.nn.serialization import register as _register_with_flax

_register_with_flax()
