"""The root of tile configurations."""

import dataclasses
from typing import Any, ClassVar

from analogjax.tile import TileConfig
from compat.aihwkit.exceptions import ConfigError
from compat.aihwkit.simulator.parameters.enums import RPUDataType
from compat.aihwkit.simulator.parameters.runtime import RuntimeParameter
from compat.parameters import View, check_fields, parameters


@parameters()
class RPUConfigBase(View):
    """What a tile is made of. Those for tiles of ours are `MappableRPU` and `PrePostProcessingRPU`, too."""

    _tolerant = True
    _data_types: ClassVar[tuple[RPUDataType, ...]] = (RPUDataType.FLOAT,)  # those of its tiles

    tile_class: type
    runtime: RuntimeParameter = dataclasses.field(default_factory=RuntimeParameter, compare=False)

    def to_native(self: Any, inputs: int = 0) -> TileConfig:
        """The native configuration of a layer with so many inputs (0: of none in particular).

        Raises `ConfigError` for a wrong name or type, or something not supported.
        """
        check_fields(self)
        self.runtime.check(self._data_types)
        self.pre_post.check()
        return TileConfig(mapping=self.mapping.to_native(), **self._parts(inputs))

    def _parts(self, inputs: int) -> dict[str, Any]:
        """The parts that differ between configurations."""
        raise NotImplementedError

    @property
    def trains_aware(self: Any) -> bool:
        """Whether training is more than steps of the weights: inputs have a range."""
        return self.pre_post.input_range.enable

    @property
    def population_seed(self: Any) -> int:
        """The seed of the device population (`construction_seed`); 0: none was chosen."""
        device = getattr(self, "device", None)
        # a digital rank update hands its seed to the device inside, which may have one of its own
        seed = getattr(device, "construction_seed", 0) or getattr(
            getattr(device, "device", None), "construction_seed", 0
        )
        if seed < 0:
            raise ConfigError(f"{type(device).__name__}(construction_seed={seed}): needs 0 or more.")
        return seed

    def get_default_tile_module_class(self, out_size: int = 0, in_size: int = 0) -> type:
        """The class of the tile module of a matrix of that size."""
        return self.tile_class

    def create_tile(self: Any, *args: Any, **kwargs: Any) -> Any:
        """A tile module with this configuration."""
        return self.tile_class(*args, rpu_config=self, **kwargs)

    def compatible_with(self: Any, tile_class_name: str) -> bool:
        """Whether a tile module of that class may have this configuration."""
        return tile_class_name == self.tile_class.__name__


RPUConfigGeneric = RPUConfigBase
