"""What analog layers and containers have in common."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from compat.aihwkit.exceptions import ModuleError, StateError, TileModuleError
from compat.aihwkit.simulator.tiles.base import AnalogTileStateNames as AnalogTileStateNames
from compat.aihwkit.simulator.tiles.inference import InferenceTileWithPeriphery as InferenceTileWithPeriphery
from compat.aihwkit.simulator.tiles.saved_config import of_data
from compat.aihwkit.simulator.tiles.tile_module import STATE, TileModule
from compat.torch_package import torch

_NOT_YET = ("from_digital", "to_digital")


class AnalogLayerBase:
    """Added to a torch module: ways to its analog layers and tiles."""

    IS_CONTAINER: bool = False
    analog_module: Any  # the tile module of a layer, which a container lacks

    def parameters(self, recurse: bool = True) -> Iterator[Any]:
        """What an optimizer trains: each weight once."""
        return (param for _, param in super().named_parameters(recurse=recurse))  # type: ignore[misc]

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Any]]:
        """The same with names, and the contexts of tiles whose weights torch trains, which have no values."""
        for name, module in self.named_modules(prefix=prefix) if recurse else ():  # type: ignore[attr-defined]
            if isinstance(module, TileModule) and "analog_ctx" in vars(module):
                yield f"{name}.analog_ctx" if name else "analog_ctx", module.analog_ctx
        yield from super().named_parameters(prefix, recurse, remove_duplicate)  # type: ignore[misc]

    def named_analog_modules(self) -> Iterator[tuple[str, Any]]:
        """Analog layers and containers, this one included, with names."""
        for name, module in self.named_modules():  # type: ignore[attr-defined]
            if isinstance(module, AnalogLayerBase):
                yield name, module

    def analog_modules(self) -> Iterator[Any]:
        """Analog layers and containers."""
        return (module for _, module in self.named_analog_modules())

    def named_analog_layers(self) -> Iterator[tuple[str, Any]]:
        """Analog layers without containers, with names."""
        return ((name, module) for name, module in self.named_analog_modules() if not module.IS_CONTAINER)

    def analog_layers(self) -> Iterator[Any]:
        """Analog layers without containers."""
        return (layer for _, layer in self.named_analog_layers())

    def named_analog_tiles(self) -> Iterator[tuple[str, TileModule]]:
        """Tile modules, with names."""
        for name, module in self.named_modules():  # type: ignore[attr-defined]
            if isinstance(module, TileModule):
                yield name, module

    def analog_tiles(self) -> Iterator[TileModule]:
        """Tile modules."""
        return (tile for _, tile in self.named_analog_tiles())

    def apply_to_analog_layers(self, fn: Callable) -> "AnalogLayerBase":
        """Call `fn` with each analog layer."""
        for layer in self.analog_layers():
            fn(layer)
        return self

    def apply_to_analog_tiles(self, fn: Callable) -> "AnalogLayerBase":
        """Call `fn` with each tile module."""
        for tile in self.analog_tiles():
            fn(tile)
        return self

    def prepare_for_ddp(self) -> None:
        """Tell torch's `DistributedDataParallel` to leave the chips alone: it keeps only ordinary parameters the same.

        Raises `ModuleError` where a tile has devices, whose pulses would differ from process to process.
        """
        for name, tile in self.named_analog_tiles():
            if not tile.supports_ddp:
                raise ModuleError(
                    f"prepare_for_ddp: {name} is a {type(tile).__name__}, whose devices would go ways of their own in "
                    "each process; only chips of an InferenceRPUConfig are trained like that."
                )
        names = (AnalogTileStateNames.CONTEXT, AnalogTileStateNames.ANALOG_STATE_NAME)
        state: Any = self.state_dict()  # type: ignore[attr-defined]
        left = [name for name in state if any(own in name for own in names)]
        self._ddp_params_and_buffers_to_ignore = left

    def program_analog_weights(self, noise_model: Any = None) -> None:
        """Program every tile again, in evaluation mode.

        Raises `ModuleError` in training mode, and, before anything is programmed, where a configuration is not for
        inference.
        """
        self._need_evaluation("program_analog_weights")
        for name, tile in self.named_analog_tiles():
            if not isinstance(tile, InferenceTileWithPeriphery):
                raise ModuleError(
                    f"program_analog_weights: {name} is a {type(tile).__name__}, whose configuration is for training; "
                    "only chips of an InferenceRPUConfig can be programmed yet."
                )
        for tile in self._programmable():
            tile.program_weights(noise_model=noise_model)

    def drift_analog_weights(self, t_inference: float = 0.0) -> None:
        """What was programmed, `t_inference` seconds later; tiles whose configuration is for training stay as they are.

        Raises `ModuleError` in training mode.
        """
        self._need_evaluation("drift_analog_weights")
        for tile in self._programmable():
            tile.drift_weights(t_inference)

    def remap_analog_weights(self, weight_scaling_omega: float | None = 1.0) -> None:
        """Write the weights to the chips again, the largest as `weight_scaling_omega` (`None`: as configured)."""
        for tile in self._programmable():
            configured = tile.rpu_config.mapping.weight_scaling_omega
            tile.remap_weights(configured if weight_scaling_omega is None else weight_scaling_omega)

    def _programmable(self) -> Iterator[Any]:
        return (tile for tile in self.analog_tiles() if isinstance(tile, InferenceTileWithPeriphery))

    def _need_evaluation(self, what: str) -> None:
        if self.training:  # type: ignore[attr-defined]
            raise ModuleError(f"{what} is for evaluation mode only: call model.eval() first.")

    def analog_tile_count(self) -> int:
        """The number of chips."""
        return len(list(self.analog_tiles()))

    def get_analog_tile_devices(self) -> list[Any]:
        """The torch device of each tile module."""
        return [tile.device for tile in self.analog_tiles()]

    def unregister_parameter(self, param_name: str) -> None:
        """Make a parameter a plain attribute that is `None`."""
        if not isinstance(getattr(self, param_name, None), torch.nn.Parameter):
            raise ModuleError(f"{type(self).__name__} has no parameter {param_name!r} to unregister.")
        delattr(self, param_name)
        setattr(self, param_name, None)

    def set_weights(self, weight: Any, bias: Any = None, **kwargs: Any) -> None:
        """Write weights and bias to the tile of this layer."""
        self._own_tile("set_weights").set_weights(weight, bias, **kwargs)

    def get_weights(self, **kwargs: Any) -> Any:
        """Weights and bias of the tile of this layer."""
        return self._own_tile("get_weights").get_weights(**kwargs)

    def _own_tile(self, what: str) -> Any:
        if not hasattr(self, "analog_module"):
            raise ModuleError(f"{type(self).__name__} has no tile of its own, so {what} is not defined for it.")
        return self.analog_module

    def load_state_dict(
        self, state_dict: Any, strict: bool = True, load_rpu_config: bool | None = None,
        strict_rpu_config_check: bool | None = None, assign: bool = False,
    ) -> Any:  # fmt: skip
        """As torch's; the model's own configuration is kept, unless `load_rpu_config`.

        With `load_rpu_config=False` it is `TileModuleError` where the tiles could not have the configurations of the
        checkpoint; those of another class they could not, unless `strict_rpu_config_check=False`.

        A configuration in which something is of a class of a user's is not in a state dict; `TileModuleError` says so.
        """
        if strict_rpu_config_check is not None:
            for tile in self.analog_tiles():
                tile.set_load_rpu_config_state(None, strict_rpu_config_check)
        if load_rpu_config:
            self._take_configurations(state_dict)
        elif load_rpu_config is not None:
            self._check_configurations(state_dict)
        try:
            return super().load_state_dict(state_dict, strict, assign)  # type: ignore[misc]
        except RuntimeError as error:
            if STATE not in str(error):
                raise
            raise StateError(str(error)) from error

    def _configurations(self, state_dict: Any) -> Iterator[tuple[str, TileModule, Any]]:
        """The name of each tile, the tile, and its configuration in a state dict as data; `None`: there is none."""
        for name, tile in self.named_analog_tiles():
            state = state_dict.get(f"{name}.{STATE}" if name else STATE)
            data = state.get("rpu_config") if isinstance(state, dict) else None
            yield name, tile, data if isinstance(data, dict) else None

    def _check_configurations(self, state_dict: Any) -> None:
        for name, tile, data in self._configurations(state_dict):
            fits, why = (True, None) if data is None else tile.compatible_with(of_data(data))
            if not fits:
                raise TileModuleError(f"load_rpu_config=False: {name}: {why}")

    def _take_configurations(self, state_dict: Any) -> None:
        ready = []
        for name, tile, data in self._configurations(state_dict):
            if data is None:
                raise TileModuleError(f"load_rpu_config=True: the checkpoint has no configuration for {name}.")
            ready.append(tile.replacing(of_data(data)))
        for act in ready:
            act()

    def replace_rpu_config(self, rpu_config: Any) -> None:
        """Go on with a copy of another configuration in every tile; devices, weights, scales and biases stay.

        Raises `TileModuleError` where a tile can't have it, and then nothing has changed.
        """
        for act in [tile.replacing(rpu_config) for tile in self.analog_tiles()]:
            act()

    if not TYPE_CHECKING:  # or every misspelt name would pass

        def __getattr__(self, name: str) -> Any:
            try:
                return super().__getattr__(name)
            except AttributeError:
                if name not in _NOT_YET:
                    raise
            message = f"{type(self).__name__}.{name}() is not part of analogjax's compat yet."
            raise AttributeError(message, name=name, obj=self)

    def extra_repr(self) -> str:
        """What torch shows of the layer, and the kind of its configuration."""
        shown = super().extra_repr()  # type: ignore[misc]
        if not shown:
            return shown
        return f"{shown}, {type(next(self.analog_tiles()).rpu_config).__name__}"
