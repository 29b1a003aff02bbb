"""Where the weights of a torch layer become those of chips."""

from typing import Any

from compat.aihwkit.exceptions import ConfigError
from compat.aihwkit.simulator.configs.configs import SingleRPUConfig
from compat.aihwkit.simulator.parameters.base import RPUConfigBase
from compat.torch_package import torch


def configuration_of(layer: Any, rpu_config: Any) -> Any:
    """The configuration of a layer, by default a `SingleRPUConfig`. Raises `ConfigError` for what is none."""
    rpu_config = SingleRPUConfig() if rpu_config is None else rpu_config
    if not isinstance(rpu_config, RPUConfigBase):
        raise ConfigError(
            f"{type(layer).__name__}(rpu_config={rpu_config!r}): give a configuration, such as SingleRPUConfig()."
        )
    return rpu_config


def move_to_chips(
    layer: Any, out_size: int, in_size: int, bias: bool, rpu_config: Any, tile_module_class: type | None
) -> None:
    """Give a layer its `analog_module` in place of the parameters that torch's constructor made.

    Raises `ConfigError` where `rpu_config` is no configuration.
    """
    rpu_config = configuration_of(layer, rpu_config)
    kind = tile_module_class or rpu_config.get_default_tile_module_class(out_size, in_size)
    # the key of the chips is drawn aside, so that weights are those of a digital layer with the same seed
    with torch.random.fork_rng(devices=[]):
        layer.analog_module = kind(out_size, in_size, rpu_config, bias)
    layer.unregister_parameter("weight")
    layer._parameters.pop("bias", None)
    layer.bias = bias
