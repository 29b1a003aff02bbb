"""Layers in a row."""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as linen

from analogjax.errors import ConfigError
from analogjax.nn.mode import mode


class Row(linen.Module):
    """A model of `layers` in a row; each is told whether this is training, where it wants to know.

    As in `linen.Sequential`, a tuple goes on as arguments of the next layer, a dict as keyword arguments.
    """

    layers: Sequence[Callable[..., Any]]

    @linen.compact
    def __call__(self, *args: Any, training: bool = False, **kwargs: Any) -> Any:
        for layer in self.layers:
            y = layer(*args, **kwargs, **mode(layer, training))
            args, kwargs = (y, {}) if isinstance(y, tuple) else ((), y) if isinstance(y, dict) else ((y,), {})
        return y


def Sequential(*layers: Callable[..., Any]) -> Row:
    """A flax module of layers in a row: modules, or plain functions such as `jax.nn.sigmoid`.

    Dropout and batch normalisation work as in any flax model; `nn.apply` says whether this is training. Raises
    `ConfigError` where a layer can't be called, or where there is none.
    """
    for layer in layers:
        if not callable(layer):
            raise ConfigError(f"Sequential: {layer!r} is neither a module nor a function of the activations.")
    if not layers:
        raise ConfigError("Sequential(): needs at least one layer.")
    return Row(layers)
