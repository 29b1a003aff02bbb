"""Analog layers in torch: they compute what native tiles compute, and behave as torch modules do."""

import copy
import io
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from aihwkit.exceptions import TileError
from aihwkit.nn import AnalogConv2d, AnalogLinear, AnalogSequential
from aihwkit.nn.conversion import convert_to_analog
from aihwkit.optim import AnalogContext, AnalogOptimizer, AnalogSGD
from aihwkit.simulator import configs as c
from aihwkit.simulator.tiles.array import TileModuleArray

from analogjax.tile import Signal, update


def exact_config():
    perfect = c.IOParameters(is_perfect=True, out_bound=0.0)
    return c.SingleRPUConfig(device=c.IdealDevice(), forward=perfect, backward=copy.deepcopy(perfect))


def optimizer_of(model, rate=0.1):
    optimizer = AnalogSGD(model.parameters(), lr=rate)
    optimizer.regroup_param_groups(model)
    return optimizer


def train(model, steps=3, rate=0.1):
    generator = torch.Generator().manual_seed(5)
    optimizer = optimizer_of(model, rate)
    for _ in range(steps):
        x, t = torch.rand(4, 3, generator=generator), torch.rand(4, 2, generator=generator)
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(model(x), t).backward()
        optimizer.step()
    return model.get_weights()


def test_forward_and_backward_are_those_of_the_native_tile_for_the_same_key():
    layer = AnalogLinear(3, 2, bias=False)
    chips, tile = layer.analog_module.chips, layer.analog_module.chips.tile
    x, d = torch.randn(4, 3, requires_grad=True), torch.randn(4, 2)
    k_forward, k_backward = jax.random.split(jax.random.fold_in(chips.root, chips.uses + 1))
    y = layer(x)
    y.backward(d)
    expected, passes = jax.jit(lambda t, x, k: t.forward(x, k))(tile, jnp.asarray(x.detach().numpy()), k_forward)
    slope = jax.jit(lambda t, d, p, k: t.backward(d, p, k))(tile, jnp.asarray(d.numpy()), passes, k_backward)
    assert np.array_equal(y.detach().numpy(), expected)
    assert np.array_equal(x.grad.numpy(), slope)
    k_pulse, _ = jax.random.split(jax.random.fold_in(chips.root, chips.uses + 1))
    optimizer_of(layer, 0.1).step()
    signal = Signal(x=jnp.asarray(x.detach().numpy()), d=jnp.asarray(d.numpy()))
    moved = jax.jit(lambda t, s, k: update(t, s, 0.1, key=k))(tile, signal, k_pulse)
    assert np.array_equal(layer.get_weights()[0].numpy(), moved.read())


@pytest.mark.parametrize("config", [exact_config(), c.FloatingPointRPUConfig()], ids=["perfect", "floating point"])
def test_an_exact_tile_is_a_digital_layer(config):
    digital = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))
    analog = convert_to_analog(digital, config)
    assert isinstance(analog, AnalogSequential) and isinstance(analog[0], AnalogLinear)
    plain = torch.optim.SGD(digital.parameters(), lr=0.3)
    pulsed = optimizer_of(analog, 0.3)
    x = torch.randn(5, 3)
    outputs, slopes = [], []
    for model, optimizer in ((digital, plain), (analog, pulsed)):
        own = x.clone().requires_grad_()
        for _ in range(2):
            optimizer.zero_grad()
            y = model(own)
            y.square().sum().backward()
            optimizer.step()
        outputs.append(y.detach())
        slopes.append(own.grad)
    assert torch.allclose(*outputs, atol=1e-5) and torch.allclose(*slopes, atol=1e-5)
    for layer, twin in ((analog[0], digital[0]), (analog[2], digital[2])):
        weight, bias = layer.get_weights()
        assert torch.allclose(weight, twin.weight, atol=1e-5) and torch.allclose(bias, twin.bias, atol=1e-5)


def test_initial_weights_are_torchs_for_the_same_seed():
    torch.manual_seed(3)
    layers = [AnalogLinear(3, 2, rpu_config=exact_config()), AnalogLinear(3, 2, rpu_config=exact_config())]
    torch.manual_seed(3)
    digital = [torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)]
    for layer, twin in zip(layers, digital, strict=True):
        assert torch.equal(layer.get_weights()[0], twin.weight) and torch.equal(layer.get_weights()[1], twin.bias)


def test_one_seed_decides_everything_and_chips_differ():
    weights = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        weights.append(train(AnalogLinear(3, 2))[0])
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    one, two = AnalogLinear(3, 2), AnalogLinear(3, 2)
    cells = [layer.analog_module.get_hidden_parameters()["dwmin_up"] for layer in (one, two)]
    assert not torch.equal(*cells)


def test_a_construction_seed_makes_identical_chips_with_noise_of_their_own():
    def config(seed):
        return c.SingleRPUConfig(device=c.ConstantStepDevice(construction_seed=seed))

    layers = [AnalogLinear(3, 2, rpu_config=config(seed)) for seed in (7, 7, 8)]
    cells = [layer.analog_module.get_hidden_parameters() for layer in layers]
    assert all(torch.equal(cells[0][name], cells[1][name]) for name in cells[0])
    assert not torch.equal(cells[0]["max_bound"], cells[2]["max_bound"])
    layers[1].set_weights(*layers[0].get_weights())
    x = torch.ones(2, 3)
    assert not torch.equal(layers[0](x), layers[1](x))


def test_weights_may_lie_in_any_shape_of_their_number():
    layer = AnalogLinear(3, 2, bias=False, rpu_config=exact_config())
    tile = layer.analog_module
    tile.set_weights(torch.arange(6.0).reshape(3, 2) / 10)  # as a published training does, for one output
    assert torch.allclose(tile.get_weights()[0], torch.arange(6.0).reshape(2, 3) / 10)
    with pytest.raises(TileError, match=r"weights of shape \(2, 2\) for a tile of 2 x 3"):
        tile.set_weights(torch.ones(2, 2))


def test_torch_may_write_in_place():
    layer = AnalogLinear(3, 2, bias=False, rpu_config=exact_config())
    before = layer.get_weights()[0]
    x = torch.randn(4, 3)
    expected = torch.relu(x @ before.T)
    y = layer(x)
    torch.relu_(y)
    assert torch.allclose(y, expected, atol=1e-6)
    y.sum().backward()
    d = layer.analog_module.analog_ctx.analog_grad_output[0]
    assert torch.equal(d, (expected > 0).float())
    x.fill_(100.0)  # between backward and step: what was seen has been kept
    y.detach().fill_(100.0)
    weight = layer.get_weights()[0]
    weight.fill_(9.0)
    assert torch.equal(layer.get_weights()[0], before)
    optimizer_of(layer, 0.0).step()
    assert torch.equal(layer.get_weights()[0], before)


def test_an_input_changed_before_backward_is_an_error_of_torch():
    layer = AnalogLinear(3, 2, rpu_config=exact_config())
    x = torch.randn(4, 3)
    y = layer(x)
    x.add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.int64])
def test_other_number_types_are_refused(dtype):
    layer = AnalogLinear(3, 2, rpu_config=exact_config())
    with pytest.raises(TypeError, match=r"\.float\(\)") as caught:
        layer(torch.ones(1, 3, dtype=dtype))
    assert isinstance(caught.value, TileError)


def test_shapes():
    layer = AnalogLinear(3, 2, rpu_config=exact_config())
    assert layer(torch.ones(3)).shape == (2,)
    assert layer(torch.ones(2, 4, 3)).shape == (2, 4, 2)
    assert layer(torch.ones(3, 4).T).shape == (4, 2)
    assert layer(torch.ones(4, 6)[:, ::2]).shape == (4, 2)
    with pytest.raises(TileError, match="the last axis must be 3"):
        layer(torch.ones(2, 4))
    layer(torch.ones(0, 3)).sum().backward()
    optimizer_of(layer).step()


def test_without_gradients_nothing_is_collected():
    layer = AnalogLinear(3, 2, rpu_config=exact_config()).eval()
    context = layer.analog_module.analog_ctx
    with torch.no_grad():
        assert not layer(torch.ones(2, 3)).requires_grad
    context.requires_grad_(False)
    layer(torch.ones(2, 3)).sum().backward()  # the bias has a gradient, the tile has none
    assert not context.has_gradient()


def test_accumulated_batches_are_one_long_batch_and_zero_grad_forgets():
    x, d = torch.randn(6, 3), torch.randn(6, 2)
    results = []
    for parts in (1, 3):
        torch.manual_seed(1)
        layer = AnalogLinear(3, 2, bias=False, rpu_config=exact_config())
        optimizer = optimizer_of(layer)
        layer(torch.ones(6, 3)).sum().backward()
        optimizer.zero_grad()
        for part_x, part_d in zip(x.chunk(parts), d.chunk(parts), strict=True):
            layer(part_x).backward(part_d)
        optimizer.step()
        results.append(layer.get_weights()[0])
    assert torch.allclose(*results, atol=1e-6)
    assert not layer.analog_module.analog_ctx.has_gradient()


def test_rate_zero_pulses_nothing_and_the_weights_rest_all_the_same():
    config = exact_config()
    config.device.lifetime = 10.0
    layer = AnalogLinear(3, 2, bias=False, rpu_config=config)
    before = layer.get_weights()[0]
    optimizer = optimizer_of(layer, 0.0)
    layer(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    assert torch.allclose(layer.get_weights()[0], before * 0.9)
    optimizer.step()  # without any forward pass as well
    assert torch.allclose(layer.get_weights()[0], before * 0.81)


def test_groups_and_other_optimizers():
    model = AnalogSequential(AnalogLinear(3, 2), torch.nn.Linear(2, 2))
    optimizer = AnalogOptimizer(torch.optim.Adam, model.parameters(), lr=0.01)
    optimizer.regroup_param_groups(model)
    assert isinstance(optimizer, torch.optim.Adam)
    assert [len(group["params"]) for group in optimizer.param_groups] == [3, 1]
    assert isinstance(optimizer.param_groups[1]["params"][0], AnalogContext)
    model(torch.ones(2, 3)).sum().backward()
    optimizer.step()
    optimizer.set_learning_rate(0.5)
    assert model[0].analog_module.get_learning_rate() == 0.5


def test_state_dict_round_trip():
    source, target = AnalogLinear(3, 2), AnalogLinear(3, 2)
    train(source)
    state = source.state_dict()
    assert list(state) == ["analog_module.bias", "analog_module.analog_tile_state"]
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    target.load_state_dict(torch.load(buffer))  # the safe loader of torch accepts it
    for ours, theirs in zip(train(source), train(target), strict=True):
        assert torch.equal(ours, theirs)  # the same chips go on in the same way
    assert torch.equal(*(layer.analog_module.get_hidden_parameters()["max_bound"] for layer in (source, target)))


def test_a_state_that_does_not_fit():
    layer = AnalogLinear(3, 2)
    with pytest.raises(RuntimeError, match="another kind of tile"):
        layer.load_state_dict(
            AnalogLinear(3, 2, rpu_config=c.SingleRPUConfig(device=c.SoftBoundsDevice())).state_dict()
        )
    with pytest.raises(RuntimeError, match=r"is \(2, 3\) in the checkpoint and \(2, 4\) in the model"):
        AnalogLinear(4, 2).load_state_dict(layer.state_dict())
    with pytest.raises(RuntimeError, match="Missing key"):
        layer.load_state_dict({"analog_module.bias": torch.zeros(2)})


@pytest.mark.parametrize("how", ["deepcopy", "pickle", "torch.save"])
def test_copies_are_whole_and_independent(how):
    model = AnalogSequential(AnalogLinear(3, 2), torch.nn.Sigmoid())
    train(model)
    if how == "deepcopy":
        twin = copy.deepcopy(model)
    elif how == "pickle":
        twin = pickle.loads(pickle.dumps(model))
    else:
        buffer = io.BytesIO()
        torch.save(model, buffer)
        buffer.seek(0)
        twin = torch.load(buffer, weights_only=False)
    context = twin[0].analog_module.analog_ctx
    assert isinstance(context, AnalogContext) and context.analog_tile is twin[0].analog_module
    before = model.get_weights()["0.analog_module"][0]
    after = train(twin)["0.analog_module"]
    assert torch.equal(model.get_weights()["0.analog_module"][0], before)
    for ours, theirs in zip(train(model)["0.analog_module"], after, strict=True):
        assert torch.equal(ours, theirs)


def test_a_large_matrix_is_cut_and_drifted_states_load():
    config = c.SingleRPUConfig(device=c.ConstantStepDevice(drift=c.DriftParameter(nu=0.1)))
    config.mapping.max_input_size = 2
    layer = AnalogLinear(3, 2, rpu_config=config)
    assert type(layer.analog_module) is TileModuleArray and layer.analog_module.in_sizes == [2, 1]
    model = AnalogSequential(layer)
    assert model.analog_tile_count() == 2
    assert layer(torch.ones(4, 3)).shape == (4, 2)
    before = layer.get_weights()[0]
    for tile in layer.analog_tiles():
        tile.drift_weights(10.0)
        tile.drift_weights(1000.0)
    after = layer.get_weights()[0]
    assert (after.abs() <= before.abs()).all() and not torch.equal(after, before)
    other = AnalogLinear(3, 2, rpu_config=config)
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other.get_weights()[0], after)


def test_analog_bias_and_learned_scale():
    config = exact_config()
    config.mapping.digital_bias = False
    config.mapping.learn_out_scaling = config.mapping.out_scaling_columnwise = True
    layer = AnalogLinear(3, 2, rpu_config=config)
    assert [name for name, _ in layer.named_parameters()] == [
        "analog_module.analog_ctx", "analog_module.out_scaling_alpha"
    ]  # fmt: skip
    weight, bias = layer.get_weights()
    x = torch.randn(4, 3)
    assert torch.allclose(layer(x), x @ weight.T + bias, atol=1e-6)
    layer(x).sum().backward()
    assert layer.analog_module.out_scaling_alpha.grad.shape == (2,)
    optimizer_of(layer, 0.1).step()
    assert not torch.equal(layer.get_weights()[1], bias)


def test_walking_through_a_model():
    model = AnalogSequential(AnalogLinear(3, 2), torch.nn.Sequential(AnalogLinear(2, 2)))
    assert [name for name, _ in model.named_analog_tiles()] == ["0.analog_module", "1.0.analog_module"]
    assert [name for name, _ in model.named_analog_layers()] == ["0", "1.0"]
    assert [name for name, _ in model.named_analog_modules()] == ["", "0", "1.0"]
    assert model.analog_tile_count() == 2
    weights = model.get_weights()
    model.set_weights(weights)
    seen = []
    model.apply_to_analog_tiles(lambda tile: seen.append(tile.reset()))
    assert len(seen) == 2 and float(model[0].get_weights()[0].abs().max()) < 0.1
    assert "in_features=3, out_features=2, bias=True, SingleRPUConfig" in repr(model)


def test_moving_a_model_about():
    model = AnalogSequential(AnalogLinear(3, 2, rpu_config=exact_config())).to("cpu").float().eval()
    context = model[0].analog_module.analog_ctx
    assert isinstance(context, AnalogContext) and context.shape == (2, 3)
    with torch.inference_mode():
        assert model(torch.ones(1, 3)).shape == (1, 2)
    assert "AnalogContext of AnalogTile (2, 3)" in str(list(model.parameters()))
    x = torch.ones(1, 3, requires_grad=True)
    (slope,) = torch.autograd.grad(model(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()
    assert all(leaf.committed for leaf in model[0].analog_module.chips.leaves)


def test_an_update_by_hand_does_not_rest():
    config = exact_config()
    config.device.lifetime = 10.0
    tile = AnalogLinear(3, 2, bias=False, rpu_config=config).analog_module
    before = tile.get_weights()[0]
    tile.set_learning_rate(0.5)
    tile.update(torch.ones(1, 3), torch.ones(1, 2))
    assert torch.allclose(tile.get_weights()[0], before - 0.5)
    tile.post_update_step()
    assert torch.allclose(tile.get_weights()[0], 0.9 * (before - 0.5))


def test_weights_are_estimated_from_noisy_reads():
    layer = AnalogLinear(6, 2)
    weight, bias = layer.get_weights(realistic=True)
    exact, exact_bias = layer.get_weights()
    assert not torch.equal(weight, exact) and torch.equal(bias, exact_bias)
    assert (weight - exact).abs().max() < 0.2


def test_a_layer_keeps_the_configuration_it_was_made_with():
    config = c.SingleRPUConfig()
    layer, other = AnalogLinear(3, 2, rpu_config=config), AnalogLinear(3, 2, rpu_config=config)
    config.forward.out_noise = 7.0
    layer.analog_module.rpu_config.forward.out_noise = 3.0
    assert other.analog_module.rpu_config.forward.out_noise == c.SingleRPUConfig().forward.out_noise


@pytest.mark.filterwarnings("ignore:`torch.jit.trace:DeprecationWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("kind", [c.FloatingPointRPUConfig, c.InferenceRPUConfig, c.TorchInferenceRPUConfig])
def test_a_traced_model_computes_what_the_model_does(kind):
    """`torch.jit.trace` records the product of a tile as a call of ours, for inputs of any number, with gradients."""
    config = kind()
    if hasattr(config, "forward"):
        config.forward.is_perfect = True
    model = AnalogSequential(
        AnalogConv2d(1, 2, 2, rpu_config=config), torch.nn.Flatten(), AnalogLinear(8, 3, rpu_config=config)
    ).eval()
    traced = torch.jit.trace(model, torch.rand(4, 1, 3, 3))
    x = torch.rand(5, 1, 3, 3, requires_grad=True)
    y, expected = traced(x), model(x)
    assert torch.equal(y, expected) and y.shape == (5, 3)
    ours, theirs = (torch.autograd.grad(one.square().sum(), x)[0] for one in (y, expected))
    assert torch.equal(ours, theirs)
