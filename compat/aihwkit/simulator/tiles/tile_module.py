"""What all tile modules have in common: their place in a state dict, and that they may get another configuration."""

from typing import TYPE_CHECKING, Any

from compat.aihwkit.exceptions import TileModuleError
from compat.aihwkit.simulator.parameters.base import RPUConfigBase
from compat.aihwkit.simulator.tiles.base import AnalogTileStateNames, TileModuleBase
from compat.aihwkit.simulator.tiles.protocol import said
from compat.aihwkit.simulator.tiles.saved_config import as_data
from compat.torch_package import torch

STATE = AnalogTileStateNames.ANALOG_STATE_NAME


class TileModule(TileModuleBase, torch.nn.Module):
    """A module whose weights are on chips; what is added to it says which, and how they are simulated.

    Added are `found_in(state_dict, prefix)` (the names in a state dict that belong to the chips, and a function that
    takes their state from it), `get_analog_state()`, and `replacing(rpu_config)`.
    """

    supports_ddp = False
    supports_indexed = False
    rpu_config: Any
    chips: Any
    found_in: Any
    get_analog_state: Any
    replacing: Any
    set_weights: Any
    get_weights: Any
    remap_weights: Any
    _strict = True

    def compatible_with(self, rpu_config: Any) -> tuple[bool, str | None]:
        """Whether the tile may have another configuration, and if not, why."""
        ours, given = type(self.rpu_config), type(rpu_config)
        if self._strict and not (issubclass(ours, given) or issubclass(given, ours)):
            return False, f"{given.__name__} is another kind of configuration than {ours.__name__}."
        free = ("weight_scaling_omega", "weight_scaling_columnwise", "weight_scaling_lr_compensation")
        for name, value in vars(self.rpu_config.mapping).items():
            if name not in free and getattr(rpu_config.mapping, name) != value:
                return False, f"mapping.{name} is {getattr(rpu_config.mapping, name)}, and {value} here."
        return True, None

    def replace_with(self, rpu_config: Any) -> None:
        """Go on with a copy of another configuration: devices, weights, scales and bias stay, what is around is new.

        Raises `TileModuleError` where the devices would be of another kind, and nothing has changed then.
        """
        self.replacing(rpu_config)()

    def to(self, *args: Any, **kwargs: Any) -> Any:
        """As torch's; a configuration, given first or as `rpu_config`, replaces that of the tile."""
        rest = list(args)
        rpu_config = kwargs.pop("rpu_config", None)
        if rest and isinstance(rest[0], RPUConfigBase):
            rpu_config = rest.pop(0)
        if rpu_config is not None:
            self.replace_with(rpu_config)
        return super().to(*rest, **kwargs) if rest or kwargs else self

    def is_floating_point(self) -> bool:
        """Whether weights are numbers with a fraction: yes."""
        return True

    def set_load_rpu_config_state(
        self, load_rpu_config: bool | None = None, strict_rpu_config_check: bool | None = None
    ) -> None:
        """Say whether another configuration has to be of the same class."""
        if load_rpu_config:
            raise TileModuleError("load a configuration with the layer's load_state_dict(load_rpu_config=True).")
        if strict_rpu_config_check is not None:
            self._strict = bool(strict_rpu_config_check)

    @staticmethod
    def get_analog_state_name(prefix: str = "") -> str:
        """The name of that in a state dict."""
        return prefix + STATE

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        # the context stands for the weights; they are in the state below
        destination.pop(prefix + "analog_ctx", None)
        destination[prefix + STATE] = self.get_analog_state() | {"rpu_config": as_data(self.rpu_config)}

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, local_metadata: Any, strict: bool, missing_keys: list,
        unexpected_keys: list, error_msgs: list,
    ) -> None:  # fmt: skip
        known, take = self.found_in(state_dict, prefix)
        super()._load_from_state_dict(
            {name: value for name, value in state_dict.items() if name not in known}, prefix, local_metadata, strict,
            missing_keys, unexpected_keys, error_msgs,
        )  # fmt: skip
        for keys, name in ((missing_keys, "analog_ctx"), (unexpected_keys, "analog_ctx"), (unexpected_keys, STATE)):
            if prefix + name in keys:
                keys.remove(prefix + name)
        missing_keys[:] = [name for name in missing_keys if name not in known]
        if take is None:
            missing_keys.append(prefix + STATE)
            return
        try:
            take()
        except TileModuleError as error:
            error_msgs.append(f"{prefix + STATE}: {error}")

    if not TYPE_CHECKING:  # or every misspelt name would pass

        def __getattr__(self, name: str) -> Any:
            try:
                return super().__getattr__(name)
            except AttributeError:
                missing = said(self, name)
                if missing is None:
                    raise
            raise missing
