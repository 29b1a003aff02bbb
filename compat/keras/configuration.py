"""The arguments of analog layers: configurations as plain values, and options of Keras that chips do not have."""

from collections.abc import Mapping
from typing import Any

from analogjax.cloud.configuration import any_config_from_json, any_config_to_json
from analogjax.cloud.errors import DescriptionError
from analogjax.errors import ConfigError
from analogjax.tile import HardwareAware, TileConfig

_DIGITAL = "computes its matrix digitally"
_WEIGHTS = "the devices hold the weights; limit them with HardwareAware(clip=...)"
# option of a Keras layer -> values that change nothing, and why there are no others
_REFUSED: dict[str, tuple[tuple[Any, ...], str]] = {
    "kernel_constraint": ((None,), _WEIGHTS),
    "recurrent_constraint": ((None,), _WEIGHTS),
    "recurrent_regularizer": ((None,), "give kernel_regularizer, which is for both matrices"),
    "lora_rank": ((None,), f"a layer with it {_DIGITAL}"),
    "lora_alpha": ((None,), f"a layer with it {_DIGITAL}"),
    "quantization_config": ((None,), "the converters of the chips round: HardwareAware(forward=Periphery(...))"),
    "groups": ((1,), "use a layer for each group"),
    "dropout": ((0, 0.0), "put a keras.layers.Dropout in front of the layer"),
    "recurrent_dropout": ((0, 0.0), "a state that is dropped is not read from chips; use keras.layers.Dropout"),
    "stateful": ((False,), "give initial_state, and take the last one with return_state=True"),
    "unroll": ((False,), "its steps are one loop on chips"),
    "use_cudnn": (("auto", False), f"cuDNN {_DIGITAL}"),
    "implementation": ((1, 2), "it has one"),
    "time_major": ((False,), "give [batch, time, features]"),
}


def refuse(layer: str, options: dict[str, Any]) -> dict[str, Any]:
    """The options without those of Keras that have no meaning on chips. Raises `ConfigError` if one was asked for."""
    left = dict(options)
    for name, value in options.items():
        if name not in _REFUSED:
            continue
        neutral, reason = _REFUSED[name]
        if not any(value is one or (value == one and isinstance(value, type(one))) for one in neutral):
            raise ConfigError(f"{layer}({name}={value!r}): analog layers do not have it: {reason}.")
        del left[name]
    return left


def as_config(value: Any, layer: str) -> TileConfig | HardwareAware:
    """A configuration, or that of which these are the plain values. Raises `ConfigError`."""
    if isinstance(value, (TileConfig, HardwareAware)):
        return value
    if not isinstance(value, Mapping):
        raise ConfigError(
            f"{layer}(config={value!r}): needs the configuration of the chips, a TileConfig or a HardwareAware."
        )
    try:
        return any_config_from_json(dict(value), f"{layer}(config)")
    except DescriptionError as error:
        raise ConfigError(str(error)) from None


def as_json(config: TileConfig | HardwareAware, layer: str) -> dict[str, Any]:
    """Plain values of a configuration. Raises `ConfigError` for arrays and classes of one's own."""
    try:
        return any_config_to_json(config)
    except DescriptionError as error:
        raise ConfigError(
            f"{layer}: its configuration can't be written with a Keras model ({str(error).split(':')[0]}); a model "
            "holds numbers and the classes of analogjax alone. Save its weights with model.save_weights instead."
        ) from None
