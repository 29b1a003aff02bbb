"""Operators that aihwkit compiles, for which nothing has to be compiled here."""

from compat.aihwkit.extension.aihwkit_extension import ops as extension_ops
from compat.aihwkit.extension.functions import FloatPrecisionCast as FloatPrecisionCast

__all__ = ["EXTENSION_COMPILED", "FloatPrecisionCast", "extension_ops"]

EXTENSION_COMPILED = True
