"""The errors of the library: each says what was given, where, and how to mend it."""


class AnalogError(Exception):
    """Root of every error that analogjax raises on purpose."""


class ConfigError(AnalogError, ValueError):
    """A parameter has a value that makes no sense, alone or beside another."""


class ShapeError(AnalogError, ValueError):
    """Two sizes that must fit do not."""


class SlotError(AnalogError, ValueError):
    """A signal slot is missing, left over, or serves two calls (JAX would silently sum what they saw)."""


class GradientError(AnalogError, TypeError):
    """The gradient of something was asked for that has none: the weights of a tile whose devices are pulsed."""


class MissingPackage(AnalogError, ImportError):
    """An optional package is needed; the message holds the command that installs it."""


class NonFiniteError(AnalogError, ArithmeticError):
    """Data or a loss became NaN or infinite."""
