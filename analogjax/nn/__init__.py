"""Flax modules with analog layers."""

from analogjax.nn.attention import AnalogMultiHeadAttention as AnalogMultiHeadAttention
from analogjax.nn.convert import convert_to_analog as convert_to_analog
from analogjax.nn.convert import convert_to_digital as convert_to_digital
from analogjax.nn.hardware_aware import after_step as after_step
from analogjax.nn.hardware_aware import mixes_items as mixes_items
from analogjax.nn.hardware_aware import with_weights as with_weights
from analogjax.nn.model import Variables as Variables
from analogjax.nn.model import apply as apply
from analogjax.nn.model import apply_training as apply_training
from analogjax.nn.model import init as init
from analogjax.nn.model import slots as slots
from analogjax.nn.moving import moved as moved
from analogjax.nn.programming import ProgrammedModel as ProgrammedModel
from analogjax.nn.programming import exact_chips as exact_chips
from analogjax.nn.programming import program as program
from analogjax.nn.range_calibration import calibrate_input_ranges as calibrate_input_ranges
from analogjax.nn.recurrent import AnalogRNN as AnalogRNN
from analogjax.nn.recurrent_cells import AnalogGRUCell as AnalogGRUCell
from analogjax.nn.recurrent_cells import AnalogLSTMCell as AnalogLSTMCell
from analogjax.nn.recurrent_cells import AnalogRNNCell as AnalogRNNCell
from analogjax.nn.sequential import Sequential as Sequential
from analogjax.nn.serialization import register as _register_with_flax
from analogjax.nn.table import *  # noqa: F403 - the layers, by the names in its `__all__`

_register_with_flax()
