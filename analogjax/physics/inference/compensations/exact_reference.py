r"""A compensation whose baseline is what the chip should answer, instead of what it answers after programming.

    b_0 = baseline of X W^T without noise, `W` the weights that were to be programmed, `X` the unit vectors

So it also makes up for what programming has changed in the mean.
"""

from analogjax._pytree import pytree
from analogjax._typing import Array, PyTree
from analogjax.physics.inference.compensations.compensation import Compensation
from analogjax.physics.inference.compensations.global_mean import GlobalCompensation


@pytree
class ExactReference:
    """Any compensation against exact answers (aihwkit's `GlobalDriftCompensationWithExactReference`)."""

    compensation: Compensation = GlobalCompensation()
    """What is computed of the answers."""

    def baseline(self, y: Array, exact: Array, used: Array) -> PyTree:
        """The baseline of the compensation for the `exact` answers `[I, O]`."""
        return self.compensation.baseline(exact, exact, used)

    def factor(self, baseline: PyTree, y: Array, used: Array) -> Array:
        """The factor of the compensation."""
        return self.compensation.factor(baseline, y, used)
