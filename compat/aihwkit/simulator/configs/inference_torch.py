"""Configurations of chips that are trained through their converters, and programmed once."""

import dataclasses
from typing import Any, ClassVar

from analogjax.physics import Periphery
from compat.aihwkit.exceptions import ConfigError
from compat.aihwkit.simulator.configs.inference import InferenceRPUConfig
from compat.aihwkit.simulator.parameters.enums import RPUDataType
from compat.aihwkit.simulator.parameters.io import IOParameters, IOParametersIRDropT
from compat.aihwkit.simulator.parameters.pre_post import PrePostProcessingParameterQuant
from compat.aihwkit.simulator.parameters.quantization import ActivationQuantConfig
from compat.aihwkit.simulator.tiles.array import QuantizedTileModuleArray, TileModuleArray
from compat.aihwkit.simulator.tiles.inference_torch import TorchInferenceTile
from compat.aihwkit.simulator.tiles.protocol import refuse_own_simulator
from compat.aihwkit.simulator.tiles.quantized_inference_torch import QuantizedTorchInferenceTile
from compat.aihwkit.simulator.tiles.torch_tile import TorchSimulatorTile
from compat.aihwkit.simulator.tiles.torch_tile_irdrop_t import TorchSimulatorTileIRDropT
from compat.parameters import parameters
from compat.whole_batch import as_torch_tile


@parameters()
class TorchInferenceRPUConfig(InferenceRPUConfig):
    """Differentiated through its converters; raises `TorchTileConfigError` for what aihwkit's torch tile lacks."""

    _data_types: ClassVar[tuple[RPUDataType, ...]] = (RPUDataType.FLOAT, RPUDataType.HALF)

    tile_class: type = TorchInferenceTile
    tile_array_class: type = TileModuleArray
    simulator_tile_class: type = TorchSimulatorTile

    def _parts(self, inputs: int) -> dict[str, Any]:
        if not issubclass(self.simulator_tile_class, TorchSimulatorTile):
            raise ConfigError(
                f"{type(self).__name__}(simulator_tile_class={self.simulator_tile_class.__name__}) is not supported by "
                "this version of analogjax, which has a simulator of its own; leave it at its default."
            )
        refuse_own_simulator(self.simulator_tile_class, TorchSimulatorTile)
        self.simulator_tile_class.check_rpu_config_support(self)
        return super()._parts(inputs)

    def check_read(self, inputs: int) -> None:
        """Raise `ConfigError` where a layer with so many inputs can be trained, and not be read in evaluation mode."""

    def _reading(self, inputs: int) -> Periphery:
        return as_torch_tile(self.forward.within_one().to_native())


@parameters()
class QuantizedTorchInferenceRPUConfig(TorchInferenceRPUConfig):
    """With outputs, digital scales and bias of a few bits; see `tiles.quantized_inference_torch`."""

    tile_class: type = QuantizedTorchInferenceTile
    tile_array_class: type = QuantizedTileModuleArray
    act_quant_config: ActivationQuantConfig | None = None
    pre_post: PrePostProcessingParameterQuant = dataclasses.field(default_factory=PrePostProcessingParameterQuant)

    def _parts(self, inputs: int) -> dict[str, Any]:
        if self.act_quant_config is not None:
            self.act_quant_config.check()
        return super()._parts(inputs)


@parameters()
class TorchInferenceRPUConfigIRDropT(TorchInferenceRPUConfig):
    """Read in time, in evaluation mode, through wires that lose voltage; see `analogjax.physics.TimedCrossbar`.

    A chip has `mapping.max_input_size` rows (0: as many as the layer has inputs), its conductances are those of the
    noise model.
    """

    simulator_tile_class: type = TorchSimulatorTileIRDropT
    forward: IOParametersIRDropT = dataclasses.field(default_factory=IOParametersIRDropT)

    def check_read(self, inputs: int) -> None:
        """Raise `ConfigError` where a layer with so many inputs can't be read in evaluation mode."""
        self.forward.check_rows(max(self.mapping.max_input_size, 0) or inputs)

    def _reading(self, inputs: int) -> Periphery:
        if self.forward.is_perfect:  # there is no circuit, whatever its size
            return as_torch_tile(IOParameters(is_perfect=True).to_native())
        rows = max(self.mapping.max_input_size, 0) or inputs
        if rows == 0:
            raise ConfigError(
                f"{type(self).__name__}: without mapping.max_input_size a chip has as many rows as its layer has "
                "inputs; give them: to_native(inputs)."
            )
        return self.forward.circuit(rows, self.noise_model.g_converter.to_native())
