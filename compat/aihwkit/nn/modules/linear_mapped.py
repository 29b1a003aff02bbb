"""`AnalogLinearMapped`, of the analog linear layer."""

from compat.aihwkit.nn.modules import linear
from compat.aihwkit.nn.modules.mapped import mapped_twins

globals().update(_twins := mapped_twins(linear, __name__))
__all__ = [*_twins]
