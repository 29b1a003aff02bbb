"""aihwkit's exceptions; all of them are `analogjax.AnalogError` too."""

from analogjax.cloud.errors import CloudError as NativeCloudError
from analogjax.errors import AnalogError
from analogjax.errors import ConfigError as NativeConfigError


class AihwkitException(AnalogError):
    """Root of aihwkit's errors."""


class ModuleError(AihwkitException):
    """A layer or container is used in a way it does not support."""


class TileError(AihwkitException):
    """A tile is given something it cannot take."""


class TileModuleError(TileError):
    """A tile module and a saved state do not fit."""


class StateError(TileModuleError, RuntimeError):
    """A state dict does not fit the tiles of a model; torch raises `RuntimeError`."""


class InputTypeError(TileError, TypeError):
    """A tile is given numbers of a type that it does not compute with."""


class PlaceholderError(TileError, RuntimeError):
    """The values of an analog context, which has none, are read or written."""


class ArgumentError(AihwkitException):
    """An argument makes no sense."""


class CudaError(AihwkitException):
    """CUDA is missing or misused."""


class ConfigError(AihwkitException, NativeConfigError):
    """A configuration is wrong, or asks for something that this version does not have."""


class AnalogBiasConfigError(ConfigError):
    """An analog bias is asked for where only a digital one is possible."""


class TorchTileConfigError(ConfigError):
    """A torch tile does not support this setting."""


class CloudError(AihwkitException, NativeCloudError):
    """Root of the cloud client's errors; `analogjax.cloud.CloudError` too."""


class FusionExportError(CloudError):
    """A file for the fusion chip has the wrong columns."""
