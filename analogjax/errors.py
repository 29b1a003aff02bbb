"""Errors of the library: each states what was given, where, and how to fix it."""


class AnalogError(Exception):
    """Base class of all errors that analogjax raises on purpose."""


class ConfigError(AnalogError, ValueError):
    """A parameter has an invalid value, or two parameters contradict each other."""


class ShapeError(AnalogError, ValueError):
    """Two shapes do not fit together."""


class SlotError(AnalogError, ValueError):
    """A signal slot is missing, unused, or used twice (JAX would silently add up its signals)."""


class GradientError(AnalogError, TypeError):
    """The gradient of a pulsed tile was requested; its weights have none."""


class MissingPackage(AnalogError, ImportError):
    """An optional package is not installed; the message contains the command that installs it."""


class NonFiniteError(AnalogError, ArithmeticError):
    """Data or a loss became NaN or infinite."""
