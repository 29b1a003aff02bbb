"""Compounds: devices made of devices."""

from analogjax.physics.compounds.chopped import ChoppedTransfer as ChoppedTransfer
from analogjax.physics.compounds.chopped import DynamicTransfer as DynamicTransfer
from analogjax.physics.compounds.mixed_precision import MixedPrecision as MixedPrecision
from analogjax.physics.compounds.one_sided import OneSided as OneSided
from analogjax.physics.compounds.residual import ResidualTransfer as ResidualTransfer
from analogjax.physics.compounds.transfer import BufferedTransfer as BufferedTransfer
from analogjax.physics.compounds.transfer import Transfer as Transfer
from analogjax.physics.compounds.vector import UpdatePolicy as UpdatePolicy
from analogjax.physics.compounds.vector import Vector as Vector
