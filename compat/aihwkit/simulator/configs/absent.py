"""Configurations that programs name, import and make, and whose physics this version does not have."""

from typing import Any, NoReturn

from analogjax.tile.presets import PRESETS
from compat.aihwkit.exceptions import ConfigError
from compat.aihwkit.simulator.configs.configs import IOManagedRPUConfig
from compat.parameters import parameters


def refuse(view: Any) -> NoReturn:
    """Raise the `ConfigError` of a configuration that is not simulated."""
    raise ConfigError(
        f"{type(view).__name__} is not simulated by this version of analogjax. Presets that are: {', '.join(PRESETS)}."
    )


@parameters()
class TorchInferenceRPUConfig(IOManagedRPUConfig):
    """Chips for inference on a tile made of torch operations; not simulated (`InferenceRPUConfig` is)."""

    def to_native(self) -> Any:
        """Raises `ConfigError`."""
        refuse(self)
