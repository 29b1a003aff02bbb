"""The weights of inference tiles are an ordinary parameter: what torch does to a digital layer it does to them."""

import copy
import io
import pickle

import numpy as np
import pytest
import torch
from aihwkit.nn import AnalogConv2d, AnalogConv2dMapped, AnalogLinear, AnalogLinearMapped, AnalogSequential
from aihwkit.optim import AnalogAdam, AnalogContext, AnalogOptimizer, AnalogSGD
from aihwkit.simulator.configs import (
    InferenceRPUConfig,
    QuantizedTorchInferenceRPUConfig,
    SingleRPUConfig,
    TorchInferenceRPUConfig,
    WeightModifierParameter,
    WeightModifierType,
)
from torch import nn

KINDS = (InferenceRPUConfig, TorchInferenceRPUConfig, QuantizedTorchInferenceRPUConfig)


def exact(kind=InferenceRPUConfig, **mapping):
    config = kind()
    config.forward.is_perfect = True
    for name, value in mapping.items():
        setattr(config.mapping, name, value)
    return config


def pair(kind=InferenceRPUConfig, layer=AnalogLinear, bias=True, **mapping):
    """An analog layer, and the digital one of the same weights."""
    digital = nn.Linear(5, 4, bias=bias)
    analog = layer(5, 4, bias=bias, rpu_config=exact(kind, **mapping))
    analog.set_weights(digital.weight, digital.bias)
    return analog, digital


def trained(model, optimizer, steps=4, penalty=0.0, clip=None):
    x = torch.linspace(-1, 1, 15).reshape(3, 5)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = (model(x) - 1).pow(2).mean()
        if penalty:
            loss = loss + penalty * sum(p.pow(2).sum() for p in model.parameters())
        loss.backward()
        if clip is not None:
            assert nn.utils.clip_grad_norm_(model.parameters(), clip) > clip
        optimizer.step()
    return model


def same(analog, digital, atol=1e-5):
    weight, bias = analog.get_weights()
    assert torch.allclose(weight, digital.weight, atol=atol)
    assert digital.bias is None or torch.allclose(bias, digital.bias, atol=atol)


TORCH = {
    "SGD": lambda p: torch.optim.SGD(p, lr=0.3),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.8, nesterov=True, weight_decay=0.2),
    "AdamW": lambda p: torch.optim.AdamW(p, lr=0.05, weight_decay=0.3),
    "RMSprop": lambda p: torch.optim.RMSprop(p, lr=0.02),
    "foreach": lambda p: torch.optim.Adam(p, lr=0.05, foreach=True),
}
ANALOG = {
    "momentum": (lambda p: AnalogSGD(p, lr=0.1, momentum=0.7), lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.7)),
    "nesterov": (
        lambda p: AnalogSGD(p, lr=0.1, momentum=0.7, nesterov=True),
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.7, nesterov=True),
    ),
    "decay": (lambda p: AnalogSGD(p, lr=0.1, weight_decay=0.4), lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.4)),
    "Adam": (lambda p: AnalogAdam(p, lr=0.05), lambda p: torch.optim.Adam(p, lr=0.05)),
    "any": (lambda p: AnalogOptimizer(torch.optim.NAdam, p, lr=0.05), lambda p: torch.optim.NAdam(p, lr=0.05)),
}


@pytest.mark.parametrize("name", TORCH)
@pytest.mark.parametrize("kind", KINDS)
def test_torchs_optimizers_train_as_on_a_digital_layer(kind, name):
    analog, digital = pair(kind)
    for model in (analog, digital):
        trained(model, TORCH[name](model.parameters()))
    same(analog, digital)


@pytest.mark.parametrize("name", ANALOG)
def test_analog_optimizers_do_to_them_what_torch_does(name):
    analog, digital = pair()
    ours, theirs = ANALOG[name]
    optimizer = ours(analog.parameters())
    optimizer.regroup_param_groups(analog)
    trained(analog, optimizer)
    trained(digital, theirs(digital.parameters()))
    same(analog, digital)


def test_clipping_and_penalties_see_the_weights():
    for given in ({"clip": 0.01}, {"penalty": 0.5}):
        analog, digital = pair()
        for model in (analog, digital):
            trained(model, torch.optim.SGD(model.parameters(), lr=0.5), **given)
        same(analog, digital)


def test_parameters_are_those_of_a_digital_layer():
    analog, digital = pair()
    trained(analog, torch.optim.SGD(analog.parameters(), lr=0.0), steps=1)
    trained(digital, torch.optim.SGD(digital.parameters(), lr=0.0), steps=1)
    assert sum(p.numel() for p in analog.parameters()) == sum(p.numel() for p in digital.parameters())
    ours, theirs = dict(analog.named_parameters()), dict(digital.named_parameters())
    assert list(ours) == ["analog_module.analog_ctx", "analog_module.bias", "analog_module.shared_weights"]
    assert len(list(analog.parameters())) == 2 and isinstance(ours["analog_module.analog_ctx"], AnalogContext)
    plain = nn.ModuleDict({"one": analog})  # knows of no contexts
    assert [name for name, _ in plain.named_parameters()] == [f"one.{name}" for name in list(ours)[1:]]
    assert type(ours["analog_module.shared_weights"]) is nn.Parameter
    for name, other in (("shared_weights", "weight"), ("bias", "bias")):
        assert torch.allclose(ours[f"analog_module.{name}"].grad, theirs[other].grad, atol=1e-6)
    norm = nn.utils.parameters_to_vector(analog.parameters()).norm()
    assert torch.allclose(norm, nn.utils.parameters_to_vector(digital.parameters()).norm())
    assert isinstance(analog.analog_module.analog_ctx, AnalogContext)


def test_named_parameters_may_be_given_to_an_optimizer():
    """Though both names of the weights are there, a disturbed copy of them is drawn once after a step."""
    seen = []
    for named in (False, True):
        torch.manual_seed(0)
        config = InferenceRPUConfig(modifier=WeightModifierParameter(type=WeightModifierType.ADD_NORMAL, std_dev=0.1))
        layer = AnalogLinear(3, 2, rpu_config=config)
        params = [param for _, param in layer.named_parameters()] if named else layer.parameters()
        optimizer = AnalogSGD(params, lr=0.1)
        layer(torch.ones(1, 3)).sum().backward()
        optimizer.step()
        seen.append(layer(torch.eye(3)))
    assert torch.equal(*seen)


def test_writing_to_the_parameter_writes_to_the_chip():
    analog, _ = pair()
    x = torch.rand(2, 5)
    weight, bias = analog.get_weights()
    analog.analog_module.shared_weights.data.mul_(0.5)  # torch does not count such a write
    assert torch.allclose(analog.get_weights()[0], 0.5 * weight)
    assert torch.allclose(analog(x), 0.5 * x @ weight.T + bias, atol=1e-6)
    with torch.no_grad():
        nn.utils.vector_to_parameters(torch.zeros(24), analog.parameters())
    assert not analog(x).any()


def test_schedules_groups_frozen_weights_and_closures():
    analog, digital = pair()
    for model in (analog, digital):
        weight, bias = (next(p for p in model.parameters() if p.ndim == n) for n in (2, 1))
        groups = [{"params": [weight], "lr": 0.4}, {"params": [bias], "lr": 0.0}]
        kind = AnalogSGD if model is analog else torch.optim.SGD
        optimizer = kind(groups, lr=0.1)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
        for _ in range(3):
            trained(model, optimizer, steps=1)
            schedule.step()
    same(analog, digital)
    analog.analog_module.shared_weights.requires_grad_(False)
    before = analog.get_weights()[0]
    trained(analog, AnalogSGD(analog.parameters(), lr=0.5))
    assert torch.equal(analog.get_weights()[0], before)


@pytest.mark.parametrize("layer", [AnalogLinear, AnalogLinearMapped])
@pytest.mark.parametrize("kind", KINDS[:2])
def test_scaled_and_cut_matrices_step_by_the_logical_gradient(kind, layer):
    analog, digital = pair(
        kind, layer, weight_scaling_omega=0.6, weight_scaling_columnwise=True, max_input_size=3, max_output_size=3
    )
    assert analog.analog_tile_count() == 4
    scales = np.concatenate([tile.get_scales() for tile in analog.analog_tiles()])
    assert np.ptp(scales) > 0.1  # chips and rows have scales of their own
    for model in (analog, digital):
        trained(model, torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.5, weight_decay=0.1))
    same(analog, digital)


def test_a_bias_on_the_chip_is_a_column_of_the_parameter():
    analog, digital = pair(digital_bias=False)
    assert analog.analog_module.shared_weights.shape == (4, 6)
    for model in (analog, digital):
        trained(model, torch.optim.SGD(model.parameters(), lr=0.2))
    same(analog, digital)


@pytest.mark.parametrize("layer", [AnalogConv2d, AnalogConv2dMapped])
def test_convolutions(layer):
    digital = nn.Conv2d(2, 3, 3, padding=1)
    analog = layer(2, 3, 3, padding=1, rpu_config=exact(max_input_size=10))
    analog.set_weights(digital.weight, digital.bias)
    x = torch.rand(2, 2, 5, 5)
    for model in (analog, digital):
        optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
        for _ in range(3):
            optimizer.zero_grad()
            model(x).pow(2).mean().backward()
            optimizer.step()
    assert torch.allclose(analog(x), digital(x), atol=1e-4)


def test_learned_scales_train_beside_them():
    class Scaled(nn.Module):
        def __init__(self, linear):
            super().__init__()
            self.linear, self.alpha = linear, nn.Parameter(torch.ones(1))

        def forward(self, x):
            return nn.functional.linear(x, self.linear.weight) * self.alpha + self.linear.bias

    analog, digital = pair(learn_out_scaling=True)
    scaled = Scaled(digital)
    for model in (analog, scaled):
        trained(model, torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.5))
    assert torch.allclose(analog.get_weights()[0], digital.weight * scaled.alpha, atol=1e-5)


def test_with_a_noisy_forward_pass_the_gradient_is_the_exact_one():
    config = InferenceRPUConfig()
    config.forward.out_noise = 0.5
    layer = AnalogLinear(5, 4, rpu_config=config)
    x, d = torch.rand(3, 5), torch.rand(3, 4)
    y = layer(x)
    assert not torch.allclose(y, layer(x), atol=1e-2)
    y.backward(d)
    assert torch.allclose(layer.analog_module.shared_weights.grad, d.T @ x, atol=1e-6)


def test_gradients_add_up_and_used_twice_are_summed():
    analog, digital = pair()
    x = torch.rand(3, 5)
    for model in (analog, digital):
        (model(x).sum() + model(2 * x).pow(2).sum()).backward()
        model(x).sum().backward()
    assert torch.allclose(analog.analog_module.shared_weights.grad, digital.weight.grad, rtol=1e-5)
    analog.zero_grad()
    assert analog.analog_module.shared_weights.grad is None


def test_copies_and_pickles_train_on_their_own_and_alike():
    analog, digital = pair()
    optimizer = torch.optim.SGD(analog.parameters(), lr=0.2)
    trained(analog, optimizer)
    file = io.BytesIO()
    torch.save(analog, file)
    twins = [copy.deepcopy(analog), pickle.loads(pickle.dumps(analog)),
             torch.load(io.BytesIO(file.getvalue()), weights_only=False)]  # fmt: skip
    for model in (*twins, digital):
        trained(model, torch.optim.SGD(model.parameters(), lr=0.2), steps=4 if model is digital else 2)
    trained(digital, torch.optim.SGD(digital.parameters(), lr=0.2), steps=2)
    for twin in twins:
        same(twin, digital)
    assert not torch.allclose(analog.get_weights()[0], digital.weight, atol=1e-3)


def test_models_of_both_kinds_of_tile_share_an_optimizer():
    model = AnalogSequential(AnalogLinear(5, 4, rpu_config=exact()), AnalogLinear(4, 2, rpu_config=SingleRPUConfig()))
    optimizer = AnalogSGD(model.parameters(), lr=0.2, momentum=0.5)
    optimizer.regroup_param_groups(model)
    before = [layer.get_weights()[0] for layer in model]
    trained(model, optimizer)
    assert all(not torch.equal(layer.get_weights()[0], w) for layer, w in zip(model, before, strict=True))
    assert sum(isinstance(p, AnalogContext) for p in model.parameters()) == 1


def test_devices_that_decay_still_do_so_after_each_step():
    config = exact()
    config.device.lifetime = 4.0
    layer = AnalogLinear(5, 4, bias=False, rpu_config=config)
    before = layer.get_weights()[0]
    trained(layer, AnalogSGD(layer.parameters(), lr=0.0), steps=1)
    assert torch.allclose(layer.get_weights()[0], 0.75 * before, atol=1e-6)


def test_weights_given_for_a_call_are_those_that_are_read():
    analog, _ = pair(bias=False)
    x, other = torch.rand(2, 5), torch.rand(4, 5, requires_grad=True)
    y = torch.func.functional_call(analog, {"analog_module.shared_weights": other}, (x,))
    assert torch.allclose(y, x @ other.T, atol=1e-6)
    y.sum().backward()
    assert torch.allclose(other.grad, x.sum(0).expand(4, 5), atol=1e-6)


def test_other_number_types_are_named():
    analog, _ = pair()
    with pytest.raises(TypeError, match=r"the weight is torch\.float64"):
        analog.double()(torch.rand(2, 5))


def test_a_moving_average_of_a_model_is_a_model():
    analog, _ = pair()
    average = torch.optim.swa_utils.AveragedModel(analog)
    before = analog.get_weights()[0]
    average.update_parameters(analog)
    trained(analog, torch.optim.SGD(analog.parameters(), lr=0.3))
    average.update_parameters(analog)
    mean = (before + analog.get_weights()[0]) / 2
    assert torch.allclose(average.module.get_weights()[0], mean, atol=1e-6)


def test_an_optimizer_that_leaves_pulsed_tiles_alone_says_so_once():
    def step(optimizer, model):
        model(torch.ones(1, 5)).sum().backward()
        optimizer.step()

    pulsed, exactly = AnalogLinear(5, 4, rpu_config=SingleRPUConfig()), pair()[0]
    optimizer = torch.optim.Adam([*pulsed.parameters(), *exactly.parameters()])
    with pytest.warns(UserWarning, match=r"Adam moves no pulsed device: 1 of its.*AnalogOptimizer\(Adam, ") as said:
        step(optimizer, pulsed)
    assert len(said) == 1 and said[0].filename == __file__
    step(optimizer, pulsed)
    step(torch.optim.SGD(exactly.parameters(), lr=0.1), exactly)
    step(AnalogOptimizer(torch.optim.Adam, pulsed.parameters()), pulsed)
