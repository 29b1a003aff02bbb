"""The analog convolution in torch: torch's own with exact chips, and one compiled loop in experiments."""

import logging

import numpy as np
import pytest
import torch
from aihwkit.exceptions import AnalogBiasConfigError, ConfigError, ModuleError
from aihwkit.experiments import BasicTraining
from aihwkit.experiments.runners import LocalRunner
from aihwkit.nn import AnalogConv2d, AnalogConv2dMapped, AnalogLinear, AnalogLinearMapped, AnalogSequential
from aihwkit.nn.conversion import convert_to_analog, convert_to_digital
from aihwkit.optim import AnalogSGD
from aihwkit.simulator import configs as c
from aihwkit.simulator.presets import CapacitorPreset
from torch.nn import Conv2d, Flatten, LogSoftmax, MaxPool2d, Sequential, Tanh

from compat.aihwkit.experiments import convert
from tests.compat.test_compat_experiments import Digits, OwnLoop

SHAPES = [
    {"kernel_size": 3},
    {"kernel_size": (3, 2), "stride": (2, 1), "padding": (1, 0)},
    {"kernel_size": 2, "dilation": (2, 3), "padding": 2, "bias": False},
]


def exact():
    return c.FloatingPointRPUConfig()


@pytest.mark.parametrize("given", SHAPES)
def test_an_exact_convolution_is_torchs(given):
    digital = Sequential(Conv2d(2, 3, **given), Tanh())
    analog = convert_to_analog(digital, exact())
    layer = analog[0]
    assert type(layer) is AnalogConv2d
    plain, pulsed = torch.optim.SGD(digital.parameters(), 0.1), AnalogSGD(analog.parameters(), 0.1)
    pulsed.regroup_param_groups(analog)
    x, outputs, slopes = torch.randn(4, 2, 7, 6), [], []
    for model, optimizer in ((digital, plain), (analog, pulsed)):
        own = x.clone().requires_grad_()
        for _ in range(2):
            optimizer.zero_grad()
            outputs.append(model(own))
            outputs[-1].square().sum().backward()
            optimizer.step()
        slopes.append(own.grad)
    assert torch.allclose(outputs[1], outputs[3], atol=1e-4) and torch.allclose(*slopes, atol=1e-4)
    weight, bias = layer.get_weights()
    assert torch.allclose(weight, digital[0].weight.reshape(3, -1), atol=1e-4)
    assert bias is None if digital[0].bias is None else torch.allclose(bias, digital[0].bias, atol=1e-4)
    back = AnalogConv2d.to_digital(layer)
    assert torch.allclose(back(x), layer(x), atol=1e-5)
    assert torch.equal(layer(x)[2], layer(x[2]))  # one image without a batch


def test_it_starts_as_torchs_layer_does_and_is_saved_and_loaded(tmp_path):
    torch.manual_seed(3)
    digital = Conv2d(2, 3, 3)
    torch.manual_seed(3)
    layer = AnalogConv2d(2, 3, 3, rpu_config=exact())
    assert torch.equal(layer.get_weights()[0], digital.weight.reshape(3, -1))
    assert torch.equal(layer.get_weights()[1], digital.bias)
    torch.save(layer.state_dict(), tmp_path / "layer.pt")
    other = AnalogConv2d(2, 3, 3, rpu_config=exact())
    other.load_state_dict(torch.load(tmp_path / "layer.pt"))
    assert torch.equal(other.get_weights()[0], layer.get_weights()[0])
    assert "kernel_size=(3, 3)" in repr(layer) and "FloatingPointRPUConfig" in repr(layer)


def test_a_view_can_be_taken_of_what_comes_out_pooled_or_not():
    y = AnalogConv2d(2, 3, 3, rpu_config=exact())(torch.randn(4, 2, 7, 6))
    assert torch.equal(y.view(4, -1), y.flatten(1))
    pooled = torch.nn.functional.avg_pool2d(y, 2)
    assert torch.equal(pooled.view(4, -1), pooled.flatten(1))


@pytest.mark.parametrize("given", [{"groups": 2}, {"padding_mode": "reflect"}, {"padding": "same"}, {"rpu_config": 1}])
def test_what_it_can_not_do_is_refused(given):
    with pytest.raises(ConfigError, match="AnalogConv2d") as told:
        AnalogConv2d(2, 2, 3, **given)
    assert isinstance(told.value, ValueError)  # what aihwkit raises


@pytest.mark.parametrize(("kind", "plain"), [(AnalogConv2dMapped, AnalogConv2d), (AnalogLinearMapped, AnalogLinear)])
def test_mapped_layers_are_the_plain_ones(kind, plain):
    """Every layer lies on as many chips as its mapping asks for; a cut between kernels needs no more of them here."""
    given = (2, 6, 3) if plain is AnalogConv2d else (20, 6)
    config = exact()
    config.mapping.max_input_size, config.mapping.max_output_size = 9, 4
    x = torch.rand(3, 2, 5, 5) if plain is AnalogConv2d else torch.rand(3, 20)
    outputs = []
    for one in (kind, plain):
        torch.manual_seed(3)
        layer = one(*given, rpu_config=config)
        assert isinstance(layer, plain) and layer.analog_tile_count() == (4 if plain is AnalogConv2d else 6)
        outputs.append(layer(x))
    assert torch.equal(*outputs)


def test_a_mapped_convolution_is_cut_between_kernels():
    config = exact()
    config.mapping.max_input_size, config.mapping.max_output_size = 14, 4
    layer = AnalogConv2dMapped(3, 6, (2, 3), rpu_config=config)
    assert layer.in_sizes == [2, 1] and layer.out_sizes == [3, 3]
    assert [tuple(tile.in_size for tile in column) for column in layer.array] == [(12, 12), (6, 6)]
    names = ["array.0.0", "array.0.1", "array.1.0", "array.1.1"]
    assert [name for name, _ in layer.named_analog_tiles()] == names and not hasattr(layer, "analog_module")
    assert {name.rpartition(".")[0] for name in layer.state_dict()} == {*names, ""}
    x, (weight, bias) = torch.rand(2, 3, 5, 5), layer.get_weights()
    expected = torch.nn.functional.conv2d(x, weight.reshape(6, 3, 2, 3), bias)
    assert torch.allclose(layer(x), expected, atol=1e-5) and torch.allclose(layer(x[0]), expected[0], atol=1e-5)
    assert "bias=False" not in repr(layer) and "bias=False" in repr(AnalogConv2dMapped(1, 1, 2, bias=False))
    digital = convert_to_digital(AnalogSequential(layer))[0]
    assert type(digital) is Conv2d and torch.allclose(digital(x), expected, atol=1e-5)
    assert torch.equal(digital.weight, weight.reshape(6, 3, 2, 3)) and torch.equal(digital.bias, bias)
    config.mapping.max_input_size = 5
    with pytest.raises(ModuleError, match="a kernel has 6 values, and a chip takes 5"):
        AnalogConv2dMapped(3, 6, (2, 3), rpu_config=config)


def test_the_bias_of_mapped_layers_is_digital_on_a_single_chip_too():
    config = exact()
    config.mapping.digital_bias = False
    layer = AnalogLinearMapped(20, 6, rpu_config=config)
    (tile,) = layer.analog_tiles()
    assert layer.analog_module.bias.shape == (6,) and not tile.analog_bias and tile.bias is None
    with pytest.raises(AnalogBiasConfigError, match="digital_bias=True"):
        AnalogConv2dMapped(2, 6, 3, rpu_config=config)
    assert AnalogConv2dMapped(2, 6, 3, bias=False, rpu_config=config).get_weights()[1] is None


def network(config=exact):
    return AnalogSequential(
        AnalogConv2d(1, 4, 3, padding=1, rpu_config=config()), Tanh(), MaxPool2d(3, 2, 1, ceil_mode=True),
        AnalogConv2d(4, 6, (2, 3), stride=(1, 2), rpu_config=config()), Tanh(), MaxPool2d(2), Flatten(),
        AnalogLinear(12, 10, rpu_config=config()), LogSoftmax(dim=1),
    )  # fmt: skip


def test_the_compiled_loop_does_what_torch_does():
    losses, weights = [], []
    for kind in (BasicTraining, OwnLoop):
        torch.manual_seed(1)
        model = network()
        experiment = kind(Digits, model, batch_size=2000, epochs=2, learning_rate=0.1)
        results = LocalRunner().run(experiment)
        losses.append([entry["train_loss"] for entry in results])
        weights.append([layer.get_weights()[0].numpy() for layer in model.analog_layers()])
    assert np.allclose(*losses, atol=1e-4)
    for one, other in zip(*weights, strict=True):
        assert np.allclose(one, other, atol=1e-4)


@pytest.mark.slow
def test_it_learns_compiled_with_a_preset(caplog):
    model = network(CapacitorPreset)
    with caplog.at_level(logging.WARNING, "compat"):
        results = LocalRunner().run(BasicTraining(Digits, model, batch_size=8, epochs=3, learning_rate=0.1))
    assert not caplog.records and results[-1]["accuracy"] > 0.5


def test_indices_of_a_pool_have_no_native_form():
    with pytest.raises(convert.Obstacle, match="return_indices"):
        list(convert.layers_of(AnalogSequential(MaxPool2d(2, return_indices=True))))


def test_a_pool_with_a_dilation_runs_in_torch():
    """JAX has no gradient for it."""
    with pytest.raises(convert.Obstacle, match="dilation"):
        list(convert.layers_of(AnalogSequential(MaxPool2d(2, dilation=2))))


def test_sizes_by_the_names_of_linear_layers():
    layer = AnalogConv2d(2, 5, (3, 2), stride=2, padding=1, rpu_config=exact())
    assert (layer.in_features, layer.out_features, layer.get_tile_size(4, 1, (3, 3))) == (12, 5, 36)
    assert [layer.get_image_size(9, axis) for axis in (0, 1)] == [5, 5]


def test_programs_that_ask_for_torchs_convolution_leave_analog_ones_alone():
    """As in aihwkit: what fills `weight` of each `Conv2d` has nothing to fill here."""
    model = AnalogSequential(AnalogConv2d(1, 2, (3, 1), rpu_config=exact()), torch.nn.Conv2d(2, 2, 3, bias=False))
    before = model[0].get_weights()[0].clone()
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.zeros_(module.weight)
    assert not model[1].weight.any() and torch.equal(model[0].get_weights()[0], before)
    assert isinstance(model[0], torch.nn.modules.conv._ConvNd) and model[0].kernel_size == (3, 1)
