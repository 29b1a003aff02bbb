"""Analog layers for models written with `flax.nnx`.

model = Net(rngs=nnx.Rngs(0, analog=1))
value, gradients, signals = analogjax.nnx.value_and_grad(loss)(model, x, y)
optimizer.update(model, gradients)                                        # nnx.Optimizer, of the nnx.Param
new, state = pulsed.update(signals, state, analogjax.nnx.tiles(model), key=key)
analogjax.nnx.set_tiles(model, new)
"""

from analogjax.nnx.attention import AnalogMultiHeadAttention as AnalogMultiHeadAttention
from analogjax.nnx.calls import set_tiles as set_tiles
from analogjax.nnx.calls import tiles as tiles
from analogjax.nnx.calls import value_and_grad as value_and_grad
from analogjax.nnx.hardware_aware import after_step as after_step
from analogjax.nnx.hardware_aware import program as program
from analogjax.nnx.layers import AnalogConv1d as AnalogConv1d
from analogjax.nnx.layers import AnalogConv2d as AnalogConv2d
from analogjax.nnx.layers import AnalogConv3d as AnalogConv3d
from analogjax.nnx.layers import AnalogConvTranspose1d as AnalogConvTranspose1d
from analogjax.nnx.layers import AnalogConvTranspose2d as AnalogConvTranspose2d
from analogjax.nnx.layers import AnalogConvTranspose3d as AnalogConvTranspose3d
from analogjax.nnx.layers import AnalogLinear as AnalogLinear
from analogjax.nnx.layers import Chips as Chips
from analogjax.nnx.layers import Hardware as Hardware
from analogjax.nnx.recurrent import AnalogGRUCell as AnalogGRUCell
from analogjax.nnx.recurrent import AnalogLSTMCell as AnalogLSTMCell
from analogjax.nnx.recurrent import AnalogRNN as AnalogRNN
from analogjax.nnx.recurrent import AnalogRNNCell as AnalogRNNCell
from analogjax.nnx.recurrent import over_time as over_time
