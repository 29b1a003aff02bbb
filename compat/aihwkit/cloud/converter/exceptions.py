"""Errors of the conversion."""

from analogjax.cloud.errors import DescriptionError
from compat.aihwkit.exceptions import AihwkitException


class ConversionError(AihwkitException, DescriptionError):
    """An experiment can't be expressed in the protocol."""
