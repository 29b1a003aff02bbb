"""Converters between weights and conductances, one for each way to build a weight of devices."""

from analogjax.physics.inference.converters.converter import Converter as Converter
from analogjax.physics.inference.converters.custom_pairs import CustomPairs as CustomPairs
from analogjax.physics.inference.converters.fusion import Fusion as Fusion
from analogjax.physics.inference.converters.levels import Levels as Levels
from analogjax.physics.inference.converters.n_pairs import NPairs as NPairs
from analogjax.physics.inference.converters.single_device import SingleDevice as SingleDevice
from analogjax.physics.inference.converters.single_pair import SinglePair as SinglePair
