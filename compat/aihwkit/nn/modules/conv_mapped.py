"""`AnalogConv2dMapped` and the other twins of the analog convolutions."""

from compat.aihwkit.nn.modules import conv
from compat.aihwkit.nn.modules.mapped import mapped_twins

globals().update(_twins := mapped_twins(conv, __name__))
__all__ = [*_twins]
