"""Layers that aihwkit cuts over chips inside the layer; here every layer is cut where its matrix is too large."""

from typing import Any

from compat.aihwkit.exceptions import ConfigError


class _Mapped:
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        name = type(self).__name__
        plain = name.removesuffix("Mapped")
        raise ConfigError(
            f"{name} is not part of this version of analogjax. {plain} does the same: a matrix that is larger than "
            "mapping.max_input_size or max_output_size lies on several chips."
        )


class AnalogLinearMapped(_Mapped):
    """A linear layer cut over chips; not made here."""


class AnalogConv2dMapped(_Mapped):
    """A convolution cut over chips; not made here."""
