"""The operators by themselves."""

from compat.extension_ops import float_precision_cast as float_precision_cast
from compat.extension_ops import thevenin_equiv as thevenin_equiv
