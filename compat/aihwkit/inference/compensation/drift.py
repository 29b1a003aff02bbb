"""One digital factor for each chip."""

from analogjax.physics.inference import GlobalCompensation
from compat.aihwkit.inference.compensation.base import BaseDriftCompensation
from compat.parameters import parameters


@parameters(native=GlobalCompensation)
class GlobalDriftCompensation(BaseDriftCompensation):
    """The mean answer of a chip, read again, brings its outputs back."""
