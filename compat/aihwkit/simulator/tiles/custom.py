"""Tiles with a simulator tile that is torch code: one that computes with converters, and what users derive from it."""

import dataclasses
from typing import Any

from compat.aihwkit.exceptions import AnalogBiasConfigError, TileError
from compat.aihwkit.simulator.parameters.io import IOParameters
from compat.aihwkit.simulator.parameters.mapping import MappableRPU
from compat.aihwkit.simulator.parameters.pre_post import PrePostProcessingRPU
from compat.aihwkit.simulator.tiles.analog_mvm import AnalogMVM
from compat.aihwkit.simulator.tiles.array import TileModuleArray
from compat.aihwkit.simulator.tiles.base import SimulatorTile, SimulatorTileWrapper
from compat.aihwkit.simulator.tiles.functions import AnalogFunction
from compat.aihwkit.simulator.tiles.periphery import TileWithPeriphery
from compat.aihwkit.simulator.tiles.tile_module import TileModule
from compat.parameters import View, check_fields, parameters
from compat.torch_package import torch


class CustomSimulatorTile(SimulatorTile, torch.nn.Module):
    """A crossbar in torch: reads with converters both ways, and updates in floating point with noise."""

    _analog_weight: Any

    def __init__(self, x_size: int, d_size: int, rpu_config: Any, bias: bool = False) -> None:
        torch.nn.Module.__init__(self)
        if bias:
            raise AnalogBiasConfigError(f"{type(self).__name__} holds no bias; set mapping.digital_bias=True.")
        self.x_size, self.d_size, self.learning_rate = x_size, d_size, 0.1
        AnalogMVM.check_support(rpu_config.forward)
        AnalogMVM.check_support(rpu_config.backward)
        self.set_config(rpu_config)
        self.register_buffer("_analog_weight", torch.zeros(d_size, x_size))

    def set_config(self, rpu_config: Any) -> None:
        """Read and update by that configuration from now on."""
        self._fwd_io, self._bwd_io, self._update = rpu_config.forward, rpu_config.backward, rpu_config.update

    def forward(
        self, x_input: Any, bias: bool = False, in_trans: bool = False, out_trans: bool = False, is_test: bool = False,
        non_blocking: bool = False,
    ) -> Any:  # fmt: skip
        """`[..., x] -> [..., d]`."""
        _refuse(self, bias, in_trans, out_trans)
        return AnalogMVM.matmul(self._analog_weight, x_input, self._fwd_io, False, is_test)

    def backward(
        self, d_input: Any, bias: bool = False, in_trans: bool = False, out_trans: bool = False,
        non_blocking: bool = False,
    ) -> Any:  # fmt: skip
        """`[..., d] -> [..., x]`."""
        _refuse(self, bias, in_trans, out_trans)
        return AnalogMVM.matmul(self._analog_weight, d_input, self._bwd_io, True)

    def update(
        self, x_input: Any, d_input: Any, bias: bool = False, in_trans: bool = False, out_trans: bool = False,
        non_blocking: bool = False,
    ) -> None:  # fmt: skip
        """Move the weights against the gradient, with Gaussian noise of `gradient_noise` on it."""
        _refuse(self, bias, in_trans, out_trans)
        gradient = d_input.reshape(-1, d_input.shape[-1]).T @ x_input.reshape(-1, x_input.shape[-1])
        if self._update.gradient_noise:
            gradient = gradient + self._update.gradient_noise * torch.randn_like(gradient)
        self._analog_weight = self._analog_weight - self.learning_rate * gradient

    def set_weights(self, weight: Any) -> None:
        """Set the weights `[d, x]`."""
        self._analog_weight.copy_(weight)

    def get_weights(self, as_ref: bool = False) -> Any:
        """The weights `[d, x]`: a copy, or themselves."""
        return self._analog_weight.data if as_ref else self._analog_weight.detach().clone()

    def get_x_size(self) -> int:
        """Columns."""
        return self.x_size

    def get_d_size(self) -> int:
        """Rows."""
        return self.d_size

    def get_brief_info(self) -> str:
        """The class and the sizes."""
        return f"{type(self).__name__}({self.extra_repr()})"

    def extra_repr(self) -> str:
        """The sizes, and where torch sees it."""
        return f"{self.d_size}, {self.x_size}, {self._analog_weight.device}"

    def get_learning_rate(self) -> float | None:
        """The rate of updates."""
        return self.learning_rate

    def set_learning_rate(self, learning_rate: float | None) -> None:
        """Set the rate of updates."""
        if learning_rate is not None:
            self.learning_rate = learning_rate

    def set_weights_uniform_random(self, bmin: float, bmax: float) -> None:
        """Set weights that are uniform between two values."""
        if bmin >= bmax:
            raise TileError(f"set_weights_uniform_random({bmin}, {bmax}): the first must be the smaller.")
        self.set_weights(torch.rand_like(self._analog_weight) * (bmax - bmin) + bmin)

    def dump_extra(self) -> dict[str, Any]:
        """Nothing: all is in its buffers."""
        return {}


def _refuse(tile: Any, bias: bool, in_trans: bool, out_trans: bool) -> None:
    if bias or in_trans or out_trans:
        raise TileError(f"{type(tile).__name__} has no bias on the chip, and takes vectors along the last axis.")


class CustomTile(TileModule, TileWithPeriphery, SimulatorTileWrapper):
    """A tile module around the simulator tile that its configuration names (`simulator_tile_class`)."""

    def __init__(
        self, out_size: int, in_size: int, rpu_config: Any = None, bias: bool = False, in_trans: bool = False,
        out_trans: bool = False,
    ) -> None:  # fmt: skip
        if in_trans or out_trans:
            raise TileError(f"{type(self).__name__} takes vectors along the last axis.")
        rpu_config = CustomRPUConfig() if rpu_config is None else rpu_config
        TileModule.__init__(self)
        SimulatorTileWrapper.__init__(self, out_size, in_size, rpu_config, bias, torch_update=True)
        TileWithPeriphery.__init__(self)
        if self.analog_bias:
            raise AnalogBiasConfigError(f"{type(self).__name__} holds no bias; set mapping.digital_bias=True.")

    def _create_simulator_tile(self, x_size: int, d_size: int, rpu_config: Any) -> Any:
        return rpu_config.simulator_tile_class(x_size=x_size, d_size=d_size, rpu_config=rpu_config)

    def forward(self, x_input: Any, tensor_view: Any = None) -> Any:
        """`[..., I] -> [..., O]`, with learned scale and digital bias."""
        self.tile.set_config(self.rpu_config)
        out = AnalogFunction.apply(self.get_analog_ctx(), self, x_input, self.shared_weights, not self.training)
        view = self.get_tensor_view(out.dim()) if tensor_view is None else tensor_view
        out = self.apply_out_scaling(out, view)
        return out + self.bias.view(*view) if self.digital_bias else out


@parameters()
class CustomUpdateParameters(View):
    """How weights in torch are updated."""

    gradient_noise: float = 0.0


@parameters()
class CustomRPUConfig(MappableRPU, PrePostProcessingRPU):
    """A simulator tile in torch: `simulator_tile_class`, with converters and an update in floating point."""

    tile_class: type = CustomTile
    simulator_tile_class: type = CustomSimulatorTile
    tile_array_class: type = TileModuleArray
    forward: IOParameters = dataclasses.field(default_factory=IOParameters)
    backward: IOParameters = dataclasses.field(default_factory=IOParameters)
    update: CustomUpdateParameters = dataclasses.field(default_factory=CustomUpdateParameters)

    def check(self) -> None:
        """Raise `ConfigError` unless the settings are well formed."""
        check_fields(self)
        self.pre_post.check()
