"""Tiles with torch code of users' own: simulator tiles that are asked step by step, and what they compute with."""

import copy
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

from compat.aihwkit.exceptions import AnalogBiasConfigError, ConfigError, TileError
from compat.aihwkit.extension.functions import FloatPrecisionCast
from compat.aihwkit.nn import AnalogLinear, AnalogSequential
from compat.aihwkit.optim import AnalogSGD
from compat.aihwkit.simulator.configs import (
    ChoppedTransferCompound,
    DynamicTransferCompound,
    IOParameters,
    SoftBoundsDevice,
    TorchInferenceRPUConfig,
    TorchInferenceRPUConfigIRDropT,
    UnitCellRPUConfig,
)
from compat.aihwkit.simulator.rpu_base import tiles
from compat.aihwkit.simulator.tiles.analog_mvm import AnalogMVM
from compat.aihwkit.simulator.tiles.analog_mvm_irdrop_t import AnalogMVMIRDropT
from compat.aihwkit.simulator.tiles.custom import CustomRPUConfig, CustomSimulatorTile, CustomTile
from compat.aihwkit.simulator.tiles.functions import AnalogFunction
from compat.aihwkit.simulator.tiles.module import TileModule
from compat.aihwkit.simulator.tiles.periphery import TileWithPeriphery
from compat.aihwkit.simulator.tiles.rpucuda import RPUCudaSimulatorTileWrapper
from compat.aihwkit.simulator.tiles.torch_tile import TorchSimulatorTile
from compat.aihwkit.simulator.tiles.transfer import TorchTransferTile


def stepped(layer, x, lr=0.1):
    optimizer = AnalogSGD(layer.parameters(), lr=lr)
    optimizer.regroup_param_groups(layer)
    layer(x).sum().backward()
    optimizer.step()
    return layer.get_weights()[0]


class Tripled(CustomSimulatorTile):
    updates: ClassVar[int] = 0

    def forward(self, x_input, *args, **kwargs):
        return 3 * super().forward(x_input, *args, **kwargs)

    def update(self, x_input, d_input, *args, **kwargs):
        Tripled.updates += 1
        return super().update(x_input, 2 * d_input, *args, **kwargs)


def custom(**fields):
    perfect = IOParameters(is_perfect=True)
    return CustomRPUConfig(forward=perfect, backward=copy.deepcopy(perfect), **fields)


def test_a_simulator_tile_of_users_is_asked():
    layer, x = AnalogLinear(3, 2, rpu_config=custom(simulator_tile_class=Tripled)), torch.randn(4, 3)
    before, bias = layer.get_weights()
    assert torch.allclose(layer(x), 3 * x @ before.T + bias, atol=1e-6)
    leaf, calls = x.clone().requires_grad_(True), Tripled.updates
    layer(leaf).sum().backward()
    assert torch.allclose(leaf.grad, before.sum(0).expand(4, 3), atol=1e-6)
    layer.zero_grad()
    next(layer.analog_tiles()).analog_ctx.reset()
    after = stepped(layer, x)
    assert torch.allclose(after, before - 0.2 * x.sum(0), atol=1e-6) and Tripled.updates == calls + 1
    new = AnalogLinear(3, 2, rpu_config=custom(simulator_tile_class=Tripled))
    new.load_state_dict(layer.state_dict())
    assert torch.equal(new(x), layer(x)) and torch.equal(copy.deepcopy(layer)(x), layer(x))


def test_a_matrix_is_cut_over_tiles_of_users():
    config = custom()
    config.mapping.max_input_size, config.mapping.max_output_size = 2, 3
    config.mapping.weight_scaling_omega = 0.5
    model = AnalogSequential(AnalogLinear(5, 4, rpu_config=config))
    layer, x = model[0], torch.randn(2, 6, 5)
    weight, bias = layer.get_weights()
    assert torch.allclose(layer(x), x @ weight.T + bias, atol=1e-5) and model.analog_tile_count() == 6
    assert layer.analog_module.in_sizes == [2, 2, 1] and layer.analog_module.out_sizes == [2, 2]
    shared = float(layer.analog_module.array[0][0].tile.get_weights().abs().max())
    assert shared == pytest.approx(0.5)
    assert not torch.equal(stepped(layer, x), weight)
    with pytest.raises(AnalogBiasConfigError, match=r"digital_bias=True"):
        config = custom()
        config.mapping.digital_bias = False
        CustomTile(2, 3, config, bias=True)


class OfTheCore(TileModule, TileWithPeriphery, RPUCudaSimulatorTileWrapper):
    """A tile module as users compose it."""

    def __init__(self, out_size, in_size, rpu_config, bias=False, **kwargs):
        TileModule.__init__(self)
        RPUCudaSimulatorTileWrapper.__init__(self, out_size, in_size, rpu_config, bias, **kwargs)
        TileWithPeriphery.__init__(self)

    def _create_simulator_tile(self, x_size, d_size, rpu_config):
        return rpu_config.as_bindings().create_array(x_size, d_size, rpu_config.device.as_bindings(None))

    def pre_forward(self, x_input, dim, is_test=False, ctx=None):
        return 2 * super().pre_forward(x_input, dim, is_test, ctx)

    def forward(self, x_input, tensor_view=None):
        out = AnalogFunction.apply(self.get_analog_ctx(), self, x_input, self.shared_weights, not self.training)
        return out if self.bias is None else out + self.bias


def test_a_tile_module_that_users_compose():
    from compat.aihwkit.simulator.configs import IdealDevice, SingleRPUConfig

    perfect = IOParameters(is_perfect=True)
    config = SingleRPUConfig(device=IdealDevice(), forward=perfect, backward=perfect, tile_class=OfTheCore)
    config.mapping.weight_scaling_omega = 0.5
    layer, x = AnalogLinear(3, 2, rpu_config=config), torch.randn(4, 3)
    tile = layer.analog_module
    assert isinstance(tile.tile, tiles.AnalogTile)
    weight, bias = layer.get_weights()
    assert torch.allclose(layer(x), 2 * x @ weight.T + bias, atol=1e-6)
    tile.analog_ctx.reset()
    after = stepped(layer, x)
    assert torch.allclose(after, weight - 0.1 * 2 * x.sum(0), atol=1e-5)  # an update begins with pre_forward()
    tile.program_weights()
    assert float((layer.get_weights()[0] - after).abs().mean()) < 0.01 * float(after.abs().max()) * 3
    other = copy.deepcopy(config)
    other.forward.is_perfect = False
    tile.replace_with(other)
    assert not tile.tile.get_meta_parameters().forward_io.is_perfect


class TwoReads(TorchSimulatorTile):
    def __init__(self, x_size, d_size, rpu_config, bias=False):
        super().__init__(x_size, d_size, rpu_config, bias)
        self.apart = rpu_config.apart

    def forward(self, x_input, *args, **kwargs):
        if not self.apart:
            return super().forward(x_input, *args, **kwargs)
        up, down = x_input.clamp(min=0.0), -x_input.clamp(max=0.0)
        return super().forward(up, *args, **kwargs) - super().forward(down, *args, **kwargs)


@dataclass
class TwoReadsConfig(TorchInferenceRPUConfig):
    simulator_tile_class: ClassVar[type] = TwoReads
    apart: bool = True


@pytest.mark.parametrize("limit", [0, 2])
def test_reads_of_users_train_as_the_compiled_ones_do(limit):
    layers, x = [], torch.randn(4, 3)
    for config in (TwoReadsConfig(apart=False), TorchInferenceRPUConfig(), TwoReadsConfig()):
        config.forward.out_noise, config.mapping.max_input_size = 0.0, limit
        config.mapping.max_output_size = 0
        config.mapping.weight_scaling_omega, config.forward.inp_res = 0.5, 1 / 30
        config.pre_post.input_range.enable, config.pre_post.input_range.init_from_data = True, 0
        config.pre_post.input_range.init_value = 1.0
        torch.manual_seed(5)
        layers.append(AnalogLinear(3, 2, rpu_config=config))
    once, compiled, apart = layers
    assert torch.allclose(once(x), compiled(x), atol=1e-5) and not torch.allclose(apart(x), compiled(x), atol=1e-4)
    if limit == 0:
        for layer in (once, compiled):
            layer(x).square().sum().backward()
        parts = [layer.analog_module for layer in (once, compiled)]
        for name in ("shared_weights", "input_range"):
            assert torch.allclose(getattr(parts[0], name).grad, getattr(parts[1], name).grad, atol=1e-4), name
    apart.eval()
    trained = apart(x)
    apart.drift_analog_weights(1e4)
    assert not torch.allclose(apart(x), trained, atol=1e-4)


def test_products_in_torch_agree_with_those_of_the_chips():
    x = torch.randn(6, 5)
    config = TorchInferenceRPUConfig()
    config.forward.out_noise, config.forward.out_bound, config.forward.inp_asymmetry = 0.0, 0.4, 0.1
    layer = AnalogLinear(5, 3, bias=False, rpu_config=config)
    w = layer.get_weights()[0].requires_grad_(True)
    y = AnalogMVM.matmul(w, x, config.forward)
    y.square().sum().backward()
    found = layer(x)
    found.square().sum().backward()
    assert torch.allclose(y, found, atol=1e-6)
    assert torch.allclose(w.grad, layer.analog_module.shared_weights.grad, atol=1e-4)
    each = AnalogMVM.matmul(w.detach().expand(6, 3, 5), x, config.forward)
    assert torch.allclose(each, y, atol=1e-6)
    assert torch.equal(AnalogMVM.matmul(w, 0 * x, config.forward), torch.zeros(6, 3))
    timed = TorchInferenceRPUConfigIRDropT()
    timed.forward.out_noise, timed.mapping.max_input_size = 0.0, 8
    chip = AnalogLinear(5, 3, bias=False, rpu_config=timed).eval()
    given = {"phys_input_size": 8, "g_converter": timed.noise_model.g_converter}
    y = AnalogMVMIRDropT.matmul(chip.get_weights()[0], x, timed.forward, is_test=True, **given)
    assert torch.allclose(y, chip(x), atol=1e-6) and not torch.allclose(y, x @ chip.get_weights()[0].T, atol=1e-3)
    config.forward.w_noise = 0.1
    with pytest.raises(ConfigError, match=r"w_noise=0.1\) is not part of a product in torch"):
        AnalogMVM.check_support(config.forward)


@pytest.mark.parametrize("kind", [ChoppedTransferCompound, DynamicTransferCompound])
def test_a_transfer_in_torch_moves_the_weights(kind):
    torch.manual_seed(4)
    cell = kind(unit_cell_devices=[SoftBoundsDevice(), SoftBoundsDevice()], units_in_mbatch=True, transfer_every=1.0)
    cell.transfer_forward.is_perfect = True
    config = UnitCellRPUConfig(device=cell, tile_class=TorchTransferTile)
    layer, x = AnalogLinear(3, 2, bias=False, rpu_config=config), torch.ones(4, 3)
    before = layer.get_weights()[0]
    optimizer = AnalogSGD(layer.parameters(), lr=0.5)
    for _ in range(30):
        optimizer.zero_grad()
        layer(x).sum().backward()
        optimizer.step()
    after = layer.get_weights()[0]
    assert bool((after <= before).all()) and bool((after < before).any())
    shown = layer.analog_module.get_hidden_parameters()
    assert {"max_bound_0", "slope_up_1", "fast_weight", "slow_weight", "hidden_weight"} <= set(shown)
    assert torch.equal(shown["slow_weight"], after) and bool((shown["fast_weight"] != 0).any())
    new = AnalogLinear(3, 2, bias=False, rpu_config=config)
    new.load_state_dict(layer.state_dict())
    for name, value in new.analog_module.get_hidden_parameters().items():
        assert torch.equal(value, shown[name]), name
    assert new.analog_module.tile.update_counter == 120
    layer.analog_module.tile.device_config.n_reads_per_transfer = 2
    with pytest.raises(ConfigError, match="n_reads_per_transfer=2"):
        layer.analog_module.update(x, torch.ones(4, 2))


def test_what_is_not_there_is_said():
    tile = CustomTile(2, 3, custom())
    with pytest.raises(NotImplementedError):
        tile.tile.get_meta_parameters()
    with pytest.raises(TileError, match="gathers no patches"):
        tile.set_indexed(torch.zeros(3), [1, 3, 3])
    with pytest.raises(ConfigError, match="needs a UnitCellRPUConfig"):
        TorchTransferTile(2, 3, custom())


def test_numbers_of_few_bits():
    x = torch.tensor([0.0, 1.0 + 1 / 32, -3.0, 1e-9, 1e9], requires_grad=True)
    y = FloatPrecisionCast(4, 3)(x)
    y[:3].sum().backward()
    assert torch.equal(y, torch.tensor([0.0, 1.0, -3.0, 0.0, float("inf")]))
    assert torch.equal(x.grad, torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0]))
    assert float(FloatPrecisionCast(4, 3, saturate_to_inf=False)(x.detach())[4]) < 1e9
