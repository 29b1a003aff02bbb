"""The simulator tile of a tile module: every method of aihwkit's, on native chips."""

import copy
import pickle

import numpy as np
import pytest
import torch

from compat.aihwkit.exceptions import ConfigError, TileError
from compat.aihwkit.nn import AnalogConv1d, AnalogLinear
from compat.aihwkit.simulator.configs import (
    ChoppedTransferCompound,
    ConstantStepDevice,
    FloatingPointDevice,
    FloatingPointRPUConfig,
    IdealDevice,
    InferenceRPUConfig,
    IOParameters,
    ReferenceUnitCell,
    SingleRPUConfig,
    SoftBoundsDevice,
    SoftBoundsPmaxDevice,
    UnitCellRPUConfig,
)
from compat.aihwkit.simulator.parameters.helpers import get_bindings_class, parameters_to_bindings
from compat.aihwkit.simulator.rpu_base import devices, tiles
from compat.aihwkit.simulator.tiles.analog import AnalogTile
from compat.aihwkit.simulator.tiles.utils import UniformQuantize

W = torch.tensor([[0.5, -0.25, 0.125], [0.0, 1.0, -0.5]])


def perfect(device=None, **mapping):
    config = SingleRPUConfig(
        device=device or IdealDevice(), forward=IOParameters(is_perfect=True), backward=IOParameters(is_perfect=True)
    )
    for name, value in mapping.items():
        setattr(config.mapping, name, value)
    return config


def module_of(config, bias=False):
    torch.manual_seed(1)
    made = AnalogTile(2, 3, config, bias=bias)
    made.set_weights(W, torch.tensor([1.0, 2.0]) if bias else None)
    return made


def test_it_is_in_units_of_the_chip_and_the_module_is_not():
    module = module_of(perfect(weight_scaling_omega=0.5, weight_scaling_columnwise=True))
    tile, x = module.tile, torch.eye(3)
    scales = torch.tensor([1.0, 2.0])  # the largest weight of each row is 0.5 on the chip
    assert torch.allclose(tile.get_weights() * scales[:, None], W) and torch.allclose(module.get_weights()[0], W)
    assert torch.allclose(tile.forward(x).T, tile.get_weights()) and torch.allclose(module(x).T, W)
    assert torch.allclose(tile.backward(torch.eye(2)), tile.get_weights())
    assert torch.allclose(module.backward(torch.eye(2)), W)
    pre = module.pre_forward(x, 1)
    assert torch.allclose(module.post_forward(tile.forward(pre), 1), module(x))
    given = module.pre_backward(torch.eye(2), 1)
    assert torch.allclose(tile.backward(given), module.backward(torch.eye(2)))
    tile.set_learning_rate(0.5)
    assert module.get_learning_rate() == 0.5
    x, d = torch.ones(2, 3), torch.tensor([[1.0, 0.0], [1.0, -1.0]])
    before = tile.get_weights()
    tile.update(x, d)
    assert torch.allclose(tile.get_weights(), before - 0.5 * d.T @ x)
    assert torch.allclose(module.get_weights()[0], tile.get_weights() * scales[:, None])


@pytest.mark.parametrize("bias", [False, True])
def test_axes_and_the_column_of_a_bias(bias):
    module = module_of(perfect(digital_bias=False), bias=bias)
    tile, x, d = module.tile, torch.randn(4, 5, 3), torch.randn(4, 5, 2)
    own = torch.tensor([1.0, 2.0]) * bias
    assert (tile.get_x_size(), tile.get_d_size()) == (3 + bias, 2)
    assert torch.allclose(tile.forward(x, bias), x @ W.T + own, atol=1e-6)
    assert torch.allclose(tile.forward(x[0, 0], bias), x[0, 0] @ W.T + own, atol=1e-6)
    turned = tile.forward(x.permute(2, 0, 1), bias, in_trans=True, out_trans=True)
    assert torch.allclose(turned, (x @ W.T + own).permute(2, 0, 1), atol=1e-6)
    assert torch.allclose(tile.backward(d, bias), d @ W, atol=1e-6)
    assert torch.allclose(module.backward(d), d @ W, atol=1e-6)
    before = tile.get_weights()
    tile.update(x, d, bias)
    seen = torch.cat([x, torch.ones(4, 5, bias)], -1).reshape(20, -1)
    assert torch.allclose(tile.get_weights(), before - 0.1 * d.reshape(20, 2).T @ seen, atol=1e-6)
    with pytest.raises(TileError, match=r"inputs of size 7; the chip has"):
        tile.forward(torch.ones(1, 7))
    with pytest.raises(TileError, match=r"weights of shape \(1, 1\)"):
        tile.set_weights(torch.ones(1, 1))


def test_weights_in_torch_and_gradients_on_request():
    tile = module_of(perfect()).tile
    gradient, x, d = torch.empty(2, 3), torch.randn(4, 3), torch.randn(4, 2)
    tile.set_delta_weights(gradient)
    tile.update(x, d)
    assert torch.allclose(gradient, d.T @ x) and torch.equal(tile.get_weights(), W)
    tile.reset_delta_weights()
    tile.update(x, d)
    assert torch.allclose(tile.get_weights(), W - 0.1 * d.T @ x, atol=1e-6)
    shared = torch.zeros(2, 3)
    assert not tile.get_shared_weights_if()
    tile.set_shared_weights(shared)
    assert torch.equal(shared, tile.get_weights()) and tile.get_shared_weights_if()
    shared.fill_(0.5)
    assert torch.equal(tile.forward(torch.ones(3)), torch.full((2,), 1.5))


def test_decay_and_diffusion_apart():
    decaying = module_of(perfect(SoftBoundsDevice(w_max=2, w_min=-2, w_max_dtod=0.0, w_min_dtod=0.0, lifetime=10.0,
                                                  diffusion=0.1)))  # fmt: skip
    before = decaying.get_weights()[0]
    decaying.decay_weights(0.5)
    assert torch.allclose(decaying.get_weights()[0], before * (1 - 0.05))
    torch.manual_seed(3)
    walking = AnalogTile(40, 50, FloatingPointRPUConfig(device=FloatingPointDevice(diffusion=0.2, lifetime=5.0)))
    walking.diffuse_weights()
    spread = walking.get_weights()[0].std()
    assert abs(spread - 0.2) < 4 * 0.2 / (2 * 2000) ** 0.5  # standard errors of a deviation, n = 2000
    mean = walking.get_weights()[0]
    walking.decay_weights()
    assert torch.allclose(walking.get_weights()[0], 0.8 * mean)


def test_one_device_of_a_cell_is_written_and_pulsed():
    cell = ReferenceUnitCell(unit_cell_devices=[SoftBoundsDevice(w_max_dtod=0.0, w_min_dtod=0.0)] * 2)
    module = AnalogTile(2, 3, UnitCellRPUConfig(device=cell))
    first, second = torch.full((2, 3), 0.25), torch.full((2, 3), -0.125)
    module.tile.set_weights(first)
    module.set_hidden_update_index(1)
    module.tile.set_weights(second)
    shown = module.get_hidden_parameters()
    assert torch.equal(shown["hidden_weights_0"], first) and torch.equal(shown["hidden_weights_1"], second)
    assert module.get_hidden_update_index() == 1 and torch.allclose(module.get_weights()[0], first - second)
    with pytest.raises(TileError, match=r"there are 2 devices"):
        module.set_hidden_update_index(2)


def test_what_is_remembered_besides_goes_out_and_comes_back():
    config = UnitCellRPUConfig(device=ChoppedTransferCompound(
        unit_cell_devices=[SoftBoundsDevice(w_max_dtod=0.0, w_min_dtod=0.0) for _ in range(2)], gamma=0.5,
    ))  # fmt: skip
    module = AnalogTile(2, 3, config)
    params = module.get_hidden_parameters()
    params["hidden_weights_0"], params["hidden_weights_1"] = torch.full((2, 3), 0.2), torch.full((2, 3), 0.1)
    extra = module.tile.dump_extra()
    extra["rpu.rpu_device.in_chopper"] = [1.0, 0.0, 0.0]
    extra["rpu.learning_rate"] = [0.75]
    module.tile.load_extra(extra, True)
    module.set_hidden_parameters(params)
    assert torch.allclose(module.get_weights()[0], torch.tensor([0.0, 0.2, 0.2]).expand(2, 3), atol=1e-7)
    assert module.tile.dump_extra() == extra and module.get_learning_rate() == 0.75
    del extra["rpu.rpu_device.in_chopper"]
    with pytest.raises(RuntimeError, match="in_chopper"):
        module.load_extra(extra, True)
    module.load_extra(extra)
    with pytest.raises(RuntimeError, match="has 1 values, and needs 2"):
        module.load_extra({"rpu.rpu_device.out_chopper": [0.0]})


def test_patches_of_a_convolution_are_gathered():
    config = perfect()
    config.mapping.digital_bias = True
    layer, x = AnalogConv1d(2, 4, 3, padding=1, rpu_config=config), torch.randn(5, 2, 6)
    tile = layer.analog_module
    numbers = torch.nn.functional.pad(torch.arange(12.0).reshape(2, 6) + 2, (1, 1))  # 0 is a zero
    indices = torch.stack([numbers[c, k : k + 6] for c in range(2) for k in range(3)]).long()
    wanted, reference = layer(x), copy.deepcopy(layer)
    tile.set_indexed(indices.flatten(), [2, 6, 6])
    assert tile.is_indexed() and tile.tile.has_matrix_indices()
    leaf = x.clone().requires_grad_(True)
    found = tile(leaf)
    assert torch.allclose(found, wanted, atol=1e-6)
    found.square().sum().backward()
    other = x.clone().requires_grad_(True)
    reference(other).square().sum().backward()
    assert torch.allclose(leaf.grad, other.grad, atol=1e-4)
    context, old = tile.analog_ctx, tile.get_weights()[0]
    tile.set_learning_rate(0.01)
    tile.update_and_rest(context.analog_input, context.analog_grad_output)
    module = reference.analog_module
    module.set_learning_rate(0.01)
    module.update_and_rest(module.analog_ctx.analog_input, module.analog_ctx.analog_grad_output)
    assert torch.allclose(tile.get_weights()[0], module.get_weights()[0], atol=1e-4)
    assert not torch.allclose(tile.get_weights()[0], old)
    assert layer.get_tile_size(4, 2, (3, 5)) == 30


def test_bindings_hold_the_parameters_and_make_tiles_that_compute():
    config = perfect(ConstantStepDevice(dw_min=0.01))
    bound = config.as_bindings()
    assert type(bound).__name__ == config.bindings_class == "AnalogTileParameter"
    assert bound.forward_io.is_perfect and not config.bindings_ignore
    bound.forward_io.is_perfect, bound.forward_io.out_noise = False, 0.5
    bound.forward_io.noise_management = devices.NoiseManagementType.Max
    tile = bound.create_array(3, 2, config.device.as_bindings(None))
    assert isinstance(tile, tiles.AnalogTile) and isinstance(tile, tiles.FloatingPointTile)
    tile.set_weights(torch.zeros(2, 3))
    y = tile.forward(torch.ones(2000, 3))
    assert abs(y.std() - 0.5) < 4 * 0.5 / (2 * 4000) ** 0.5  # n = 4000
    assert tile.get_meta_parameters().forward_io.noise_management is devices.NoiseManagementType.Max
    assert config.device.as_bindings(None).calc_weight_granularity() == pytest.approx(0.01)
    assert copy.deepcopy(pickle.loads(pickle.dumps(bound))).forward_io.out_noise == 0.5
    with pytest.raises(AttributeError, match="no attribute 'inp_niose'"):
        bound.forward_io.inp_niose = 1
    with pytest.raises(ConfigError, match="needs the parameters of a device"):
        bound.create_array(3, 2)
    config.forward.out_bound = True
    with pytest.raises(ConfigError, match="out_bound"):
        config.as_bindings()


def test_bindings_of_cells_and_of_derived_parameters():
    cell = ReferenceUnitCell(unit_cell_devices=[SoftBoundsDevice(dw_min=0.25), ConstantStepDevice()])
    bound = cell.as_bindings(None)
    assert [type(part).__name__ for part in bound._inside] == [
        "SoftBoundsResistiveDeviceParameter", "ConstantStepResistiveDeviceParameter",
    ]  # fmt: skip
    assert bound.view() == cell and get_bindings_class(cell) is type(bound)
    assert parameters_to_bindings(cell)._inside == [] and parameters_to_bindings(3) == 3
    derived = SoftBoundsPmaxDevice(p_max=1000, alpha=0.0005).as_bindings(None)
    b = 2 / (1 - np.exp(-0.5))
    assert (derived.w_max, derived.dw_min) == (pytest.approx(-1 + b), pytest.approx(b * 0.0005))
    alone = tiles.AnalogTile(3, 2)
    alone.set_weights(W)
    assert torch.allclose(alone.get_weights(), W) and str(alone) == "RPUPulsed<float>[Ideal](2,3)"
    exact = FloatingPointRPUConfig().device.as_bindings(None).create_array(3, 2)
    exact.set_weights(W)
    assert torch.allclose(exact.forward(torch.ones(3)), W.sum(1))
    with pytest.raises(ConfigError, match="makes no tile"):
        derived.create_array(3, 2)


def test_clipping_remapping_and_disturbing_by_bindings():
    tile = module_of(perfect()).tile
    clip = tiles.WeightClipParameter()
    clip.type, clip.fixed_value = tiles.WeightClipType.FixedValue, 0.25
    tile.clip_weights(clip)
    assert torch.equal(tile.get_weights(), W.clamp(-0.25, 0.25))
    tile.set_weights(W)
    remap = tiles.WeightRemapParameter()
    remap.type = tiles.WeightRemapType.ChannelwiseSymmetric
    scales = tile.remap_weights(remap, torch.ones(2))
    assert torch.allclose(tile.get_weights() * scales[:, None], W) and float(tile.get_weights().abs().max()) == 1
    modifier = tiles.WeightModifierParameter()
    tile.modify_weights(modifier)
    modifier.type, modifier.std_dev = tiles.WeightModifierType.AddNormal, 0.5
    before = tile.get_weights()
    tile.modify_weights(modifier)
    assert not torch.equal(tile.get_weights(), before)


def test_programming_by_pulses():
    module = module_of(perfect(ConstantStepDevice(w_max=2, w_min=-2, dw_min=0.002)))
    module.set_learning_rate(0.7)
    module.program_weights()
    assert module.get_learning_rate() == 0.7 and not torch.equal(module.get_weights()[0], W)
    assert float((module.get_weights()[0] - W).abs().mean()) < 0.01  # of the largest answer, which is 1
    assert torch.allclose(module.reference_combined_weights, W)
    start = torch.full((2, 3), 0.5)
    module.program_weights(max_iter=0, w_init=start)
    assert torch.allclose(module.get_weights()[0], start)
    module.program_weights(x_values=torch.eye(3)[:1], max_iter=50, w_init=start, tolerance=None)
    assert torch.allclose(module.get_weights()[0][:, 1:], start[:, 1:])  # what is not asked is not pulsed
    module.set_weights(W, realistic=True)
    assert float((module.get_weights()[0] - W).abs().mean()) < 0.01
    with pytest.raises(TileError, match=r"needs \[N, 3\]"):
        module.program_weights(x_values=torch.ones(2, 2))


def test_another_configuration_by_to_and_processes_in_parallel():
    module = module_of(perfect())
    other = perfect()
    other.forward.is_perfect, other.forward.out_noise = False, 0.25
    assert module.to(other) is module and module.tile.get_meta_parameters().forward_io.out_noise == 0.25
    other.forward.out_noise = 0.5
    assert module.rpu_config.forward.out_noise == 0.25  # a copy
    assert module.to(torch.device("cpu"), rpu_config=other).rpu_config.forward.out_noise == 0.5
    layer = AnalogLinear(3, 2, rpu_config=InferenceRPUConfig())
    layer.prepare_for_ddp()
    assert layer._ddp_params_and_buffers_to_ignore == ["analog_module.analog_tile_state"]


def test_a_state_with_a_scale_for_each_output_loads_where_there_was_one():
    each = perfect(weight_scaling_omega=1.0, weight_scaling_columnwise=True)
    source, target = AnalogLinear(3, 2, rpu_config=each), AnalogLinear(3, 2, rpu_config=perfect())
    target.load_state_dict(source.state_dict())
    assert torch.equal(target.get_weights()[0], source.get_weights()[0])


def test_rounding():
    x = torch.tensor([0.1, 0.26, -0.9], requires_grad=True)
    y = UniformQuantize.apply(x, 8, 1.0, False)
    y.sum().backward()
    assert torch.allclose(y, torch.tensor([0.0, 0.25, -1.0])) and torch.equal(x.grad, torch.ones(3))
