"""Compounds: devices made of devices."""

from analogjax.physics.compounds.vector import UpdatePolicy as UpdatePolicy
from analogjax.physics.compounds.vector import Vector as Vector
