"""Layers in sequence."""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as linen

from analogjax.errors import ConfigError
from analogjax.nn.mode import mode


class Row(linen.Module):
    """A model of `layers` in sequence, which receive the mode (training or evaluation) if they take it as an argument.

    As in `linen.Sequential`, a tuple is passed to the next layer as arguments, and a dict as keyword arguments.
    """

    layers: Sequence[Callable[..., Any]]

    @linen.compact
    def __call__(self, *args: Any, training: bool = False, **kwargs: Any) -> Any:
        for layer in self.layers:
            y = layer(*args, **kwargs, **mode(layer, training))
            args, kwargs = (y, {}) if isinstance(y, tuple) else ((), y) if isinstance(y, dict) else ((y,), {})
        return y


def Sequential(*layers: Callable[..., Any]) -> Row:
    """Make a flax module of layers in sequence.

    Dropout and batch normalisation work as in any flax model; `nn.apply` sets the mode.

    Args:
        *layers: Flax modules, or plain functions such as `jax.nn.sigmoid`.

    Returns:
        The model.

    Raises:
        ConfigError: If a layer can't be called, or if there is none.

    Example:
        >>> Sequential(flatten, AnalogLinear(32), jax.nn.sigmoid, AnalogLinear(10), jax.nn.log_softmax)
    """
    for layer in layers:
        if not callable(layer):
            raise ConfigError(f"Sequential: {layer!r} is neither a module nor a function of the activations.")
    if not layers:
        raise ConfigError("Sequential(): needs at least one layer.")
    return Row(layers)
