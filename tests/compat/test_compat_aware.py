"""Hardware-aware training in torch: weights are disturbed, clipped and remapped, inputs have a range."""

import copy
import gzip
import json
from pathlib import Path

import pytest
import torch

from compat.aihwkit.exceptions import ConfigError
from compat.aihwkit.nn import AnalogConv2d, AnalogLinear
from compat.aihwkit.optim import AnalogSGD
from compat.aihwkit.simulator import configs as c
from compat.aihwkit.simulator.parameters.enums import BoundManagementType, NoiseManagementType

BOTH = [c.InferenceRPUConfig, c.TorchInferenceRPUConfig]
GOLDEN = Path(__file__).parents[1] / "golden" / "data" / "periphery.json.gz"


def perfect(kind=c.InferenceRPUConfig, **modifier):
    config = kind()
    config.forward.is_perfect = True
    config.drift_compensation = None
    for name, value in modifier.items():
        setattr(config.modifier, name, value)
    return config


def noisy(kind=c.InferenceRPUConfig, std_dev=0.3, **more):
    return perfect(kind, type=c.WeightModifierType.ADD_NORMAL, std_dev=std_dev, **more)


def layer_of(config, weight=None, bias=False):
    weight = torch.tensor([[0.4, -0.2, 0.1], [0.9, 0.3, -0.6]]) if weight is None else weight
    layer = AnalogLinear(weight.shape[1], weight.shape[0], bias=bias, rpu_config=config)
    layer.set_weights(weight, torch.zeros(len(weight)) if bias else None)
    return layer


def seen(layer):
    """The matrix that a layer computes with."""
    return layer(torch.eye(layer.in_features)).detach().T


def test_a_copy_is_drawn_after_each_step_and_holds_until_the_next():
    layer = layer_of(noisy())
    weight = layer.get_weights()[0]
    assert torch.allclose(seen(layer), weight)  # before the first step
    layer.analog_module.post_update_step()
    first = seen(layer)
    assert not torch.allclose(first, weight) and torch.equal(seen(layer), first)
    layer.eval()
    assert torch.allclose(seen(layer), weight)
    layer.train()
    assert torch.equal(seen(layer), first) and torch.equal(layer.get_weights()[0], weight)
    layer.analog_module.post_update_step()
    assert not torch.allclose(seen(layer), first)


def test_both_passes_see_the_copy_and_the_weights_get_the_plain_gradient():
    layer, x = layer_of(noisy()), torch.tensor([[1.0, -2.0, 0.5]], requires_grad=True)
    layer.analog_module.post_update_step()
    drawn = seen(layer)
    layer(x).sum().backward()
    assert torch.allclose(x.grad, drawn.sum(0)[None], atol=1e-6)
    assert torch.allclose(layer.analog_module.shared_weights.grad, x.detach().expand(2, 3))


def test_new_weights_are_read_at_once():
    layer = layer_of(noisy())
    layer.analog_module.post_update_step()
    layer.set_weights(torch.full((2, 3), 0.25))
    assert torch.allclose(seen(layer), torch.full((2, 3), 0.25))


def test_a_copy_may_answer_in_evaluation_mode_too_and_programmed_chips_as_they_are():
    layer = layer_of(noisy(enable_during_test=True)).eval()
    layer.analog_module.post_update_step()
    drawn = seen(layer)
    assert not torch.allclose(drawn, layer.get_weights()[0])
    layer.program_analog_weights()
    assert not torch.allclose(seen(layer), drawn)


def test_a_torch_tile_draws_in_each_training_pass():
    layer = layer_of(noisy(c.TorchInferenceRPUConfig))
    first, second = seen(layer), seen(layer)
    assert not torch.allclose(first, second) and not torch.allclose(first, layer.get_weights()[0])
    assert torch.allclose(seen(layer.eval()), layer.get_weights()[0])


def test_a_torch_tile_may_draw_for_each_sample():
    config = noisy(c.TorchInferenceRPUConfig, per_batch_sample=True)
    one = layer_of(config)
    x = torch.tensor([[1.0, 2.0, -1.0]], requires_grad=True)
    rows = one(x.expand(5, 3))
    assert len({tuple(row) for row in rows.tolist()}) == 5
    rows.sum().backward()
    assert torch.allclose(one.analog_module.shared_weights.grad, 5 * x.detach().expand(2, 3))
    # positions of one image share a disturbance, and chips of an array have their own
    conv = AnalogConv2d(1, 2, 2, bias=False, rpu_config=config)
    same = conv(torch.ones(3, 1, 3, 3)).detach()
    assert torch.allclose(same, same[:, :, :1, :1].expand_as(same), atol=1e-6)
    assert len({float(value) for value in same[:, 0, 0, 0]}) == 3
    config.mapping.max_input_size = 2
    cut = layer_of(config)
    assert cut(torch.ones(4, 3)).shape == (4, 2) and cut.analog_tile_count() == 2


def test_other_tiles_draw_for_no_sample_and_may_be_evaluated():
    layer = layer_of(noisy(per_batch_sample=True))
    assert torch.allclose(seen(layer.eval()), layer.get_weights()[0])
    optimizer = AnalogSGD(layer.train().parameters(), lr=0.1)
    layer(torch.ones(2, 3)).sum().backward()
    with pytest.raises(ConfigError, match=r"per_batch_sample=True\): only torch tiles .* TorchInferenceRPUConfig"):
        optimizer.step()


def test_noise_of_a_torch_tile_is_relative_to_each_weight_n_4000():
    config = perfect(c.TorchInferenceRPUConfig, type=c.WeightModifierType.MULT_NORMAL, std_dev=0.1)
    config.modifier.per_batch_sample = True
    layer = layer_of(config, torch.tensor([[0.5]]))
    spread = float(layer(torch.ones(4000, 1)).detach().std())
    assert abs(spread / 0.05 - 1) < 5 / (2 * 4000) ** 0.5


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("size", [0, 2])
def test_a_step_clips_and_remaps_chip_by_chip(kind, size):
    config = perfect(kind)
    config.clip.type, config.clip.fixed_value = c.WeightClipType.FIXED_VALUE, 0.5
    config.remap.type = c.WeightRemapType.CHANNELWISE_SYMMETRIC
    config.mapping.learn_out_scaling = True
    config.mapping.max_input_size = size
    layer = layer_of(config)
    with torch.no_grad():
        for tile in layer.analog_tiles():
            tile.out_scaling_alpha.fill_(2.0)
    optimizer = AnalogSGD(layer.parameters(), lr=0.0)
    layer(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    clipped = 2 * torch.tensor([[0.4, -0.2, 0.1], [0.5, 0.3, -0.5]])
    assert torch.allclose(layer.get_weights()[0], clipped) and torch.allclose(seen(layer), clipped)
    on_chip = layer.get_weights(apply_weight_scaling=False)[0].abs()
    parts = on_chip.split([2, 1], dim=1) if size else [on_chip]
    assert all(torch.allclose(part.max(1).values, torch.ones(2)) for part in parts)
    assert all(torch.equal(tile.out_scaling_alpha.detach(), torch.ones(1)) for tile in layer.analog_tiles())


def test_training_with_all_of_it_learns_and_goes_on_from_a_state_dict():
    config = noisy(std_dev=0.02)
    config.clip.type, config.clip.sigma = c.WeightClipType.LAYER_GAUSSIAN, 3.0
    config.remap.type = c.WeightRemapType.LAYERWISE_SYMMETRIC
    config.pre_post.input_range.enable = True
    target = torch.tensor([[0.3, -0.5, 0.2], [0.1, 0.4, -0.2]])
    torch.manual_seed(0)
    layer, x = layer_of(config, bias=True), torch.randn(64, 3)

    def train(layer, steps):
        optimizer, losses = AnalogSGD(layer.parameters(), lr=0.1), []
        for _ in range(steps):
            optimizer.zero_grad()
            loss = ((layer(x) - x @ target.T) ** 2).mean()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        return losses

    losses = train(layer, 100)
    assert losses[-1] < 0.05 * losses[0]
    other = AnalogLinear(3, 2, rpu_config=copy.deepcopy(config))
    other.load_state_dict(layer.state_dict())
    assert train(copy.deepcopy(layer), 3) == train(other, 3) == train(layer, 3)


def reading(kind, **given):
    config = kind()
    config.forward.is_perfect = True
    config.pre_post.input_range.enable = True
    for name, value in given.items():
        setattr(config.pre_post.input_range, name, value)
    return config


def golden():
    with gzip.open(GOLDEN, "rt") as file:
        cases = json.load(file)["cases"]
    return {case["case"]: case for case in cases if case["case"].startswith("input_range")}


@pytest.mark.parametrize("name", golden())
def test_ranges_move_as_aihwkits(name):
    case = golden()[name]
    made, inputs, observed = case["config"], case["inputs"], case["observed"]
    config = getattr(c, made["class"])()
    for part, values in (("forward", made["forward"]), ("input_range", made["pre_post"]["input_range"])):
        place = config.forward if part == "forward" else config.pre_post.input_range
        for field, value in values.items():
            if field != "class":
                known = {"bound_management": BoundManagementType, "noise_management": NoiseManagementType}
                setattr(place, field, known[field](value) if field in known else value)
    layer = layer_of(config, torch.tensor(inputs["W"]))
    tile, ranges = layer.analog_module, []
    for n, (x, d) in enumerate(zip(inputs["x"], inputs["grad_output"], strict=True)):
        y = layer(torch.tensor(x))
        if n < len(observed["first_outputs"]):
            assert torch.allclose(y, torch.tensor(observed["first_outputs"][n]), atol=2e-5)
        used, tile.input_range.grad = tile.input_range.item(), None
        y.backward(torch.tensor(d))
        if config.pre_post.input_range.learn_input_range:
            tile.input_range.data -= inputs["learning_rate"] * tile.input_range.grad
        ranges.append([used, tile.input_range.item()])
    assert torch.allclose(torch.tensor(ranges), torch.tensor(observed["range"]), atol=2e-5)


@pytest.mark.parametrize("kind", [*BOTH, c.SingleRPUConfig])
def test_beyond_the_range_inputs_are_clipped(kind):
    config = reading(kind, init_value=2.0, init_from_data=0)
    config.mapping.max_input_size = 2
    layer = layer_of(config, torch.tensor([[0.5, -0.25, 0.125]]))
    x = torch.tensor([[1.0, -1.5, 0.5], [4.0, -3.0, 2.0]])
    assert torch.allclose(layer(x), x.clamp(-2, 2) @ layer.get_weights()[0].T, atol=1e-6)


def test_a_pulsed_tile_is_updated_by_inputs_in_units_of_the_range():
    config = c.FloatingPointRPUConfig()
    config.pre_post.input_range.enable, config.pre_post.input_range.init_value = True, 2.0
    config.pre_post.input_range.init_from_data, config.pre_post.input_range.learn_input_range = 0, False
    layer = layer_of(config, torch.tensor([[0.5, -0.25]]))
    optimizer = AnalogSGD(layer.parameters(), lr=0.1)
    layer(torch.tensor([[1.0, 6.0]])).sum().backward()
    optimizer.step()
    assert torch.allclose(layer.get_weights()[0], torch.tensor([[0.5 - 0.05, -0.25 - 0.1]]))


def test_an_update_takes_the_range_as_the_step_left_it():
    config = c.FloatingPointRPUConfig()
    config.pre_post.input_range.enable, config.pre_post.input_range.init_value = True, 2.0
    config.pre_post.input_range.init_from_data, config.mapping.digital_bias = 0, False
    layer = layer_of(config, torch.tensor([[0.5, -0.25]]), bias=True)
    layer(torch.tensor([[1.0, 6.0]])).sum().backward()
    layer.analog_module.input_range.data[0] = 4.0
    AnalogSGD([layer.analog_module.analog_ctx], lr=0.1).step()
    weight, bias = layer.get_weights()
    assert torch.allclose(weight, torch.tensor([[0.5 - 0.025, -0.25 - 0.1]])) and torch.allclose(
        bias, torch.tensor([-0.1])
    )


@pytest.mark.parametrize("size", [0, 2])
def test_a_mapping_that_makes_up_for_its_scales_in_the_rate(size):
    config = perfect()
    config.mapping.weight_scaling_omega, config.mapping.weight_scaling_columnwise = 0.5, True
    config.mapping.weight_scaling_lr_compensation, config.mapping.max_input_size = True, size
    layer = layer_of(config)
    before = layer.get_weights()[0]
    layer(torch.ones(1, 3)).sum().backward()
    with torch.no_grad():
        for tile in layer.analog_tiles():
            tile.shared_weights -= 0.1 * tile.shared_weights.grad
    # chip by chip, the mean scale of its outputs
    means = torch.tensor([[1.3, 1.3, 1.3]]) if not size else torch.tensor([[1.3, 1.3, 0.7]])
    assert torch.allclose(before - layer.get_weights()[0], 0.1 * means.expand(2, 3), atol=1e-6)


def test_a_range_is_set_saved_and_made_anew():
    layer = layer_of(reading(c.InferenceRPUConfig, init_from_data=0))
    tile = layer.analog_module
    assert {"input_range", "input_range_update_idx"} <= {name for name, _ in tile.named_parameters()}
    tile.set_input_range(-1.25)
    other = layer_of(reading(c.InferenceRPUConfig, init_from_data=0))
    other.load_state_dict(layer.state_dict())
    assert other.analog_module.input_range.item() == 1.25
    assert torch.equal(tile.apply_input_range(torch.tensor([[2.0, -3.0, 1.0]])), torch.tensor([[1.25, -1.25, 1.0]]))
    tile.rpu_config.pre_post.input_range.learn_input_range = False
    assert tile.init_input_processing() and "input_range" in dict(tile.named_buffers())
    tile.rpu_config.pre_post.input_range.enable = False
    assert not tile.init_input_processing() and tile.input_range is None
    with pytest.raises(ConfigError, match="there is no input range"):
        tile.set_input_range(1.0)


def test_two_passes_before_their_gradients():
    layer = layer_of(reading(c.InferenceRPUConfig, init_from_data=100, decay=0.0))
    (layer(torch.randn(4, 3)).sum() + layer(3 * torch.randn(4, 3)).sum()).backward()
    assert torch.isfinite(layer.analog_module.input_range.grad).all()


@pytest.mark.parametrize("kind", BOTH)
def test_scales_are_read_and_set(kind):
    config = perfect(kind)
    config.mapping.weight_scaling_omega, config.mapping.weight_scaling_columnwise = 0.5, True
    layer = layer_of(config)
    tile, weight = layer.analog_module, layer.get_weights()[0]
    assert torch.allclose(tile.get_scales(), torch.tensor([0.8, 1.8])) and torch.equal(tile.alpha, torch.ones(1))
    raw = layer.get_weights(apply_weight_scaling=False)[0]
    assert torch.allclose(raw * tile.mapping_scales[:, None], weight)
    tile.set_scales(torch.tensor([2.0, 4.0]))
    assert torch.allclose(layer.get_weights()[0], raw * torch.tensor([[2.0], [4.0]]))
    layer.set_weights(raw / 2, apply_weight_scaling=False)
    assert torch.allclose(layer.get_weights()[0], raw * torch.tensor([[1.0], [2.0]]))
    layer.set_weights(weight, weight_scaling_omega=1.0)
    assert torch.allclose(tile.get_scales(), torch.tensor([0.4, 0.9])) and torch.allclose(seen(layer), weight)


@pytest.mark.parametrize("kind", BOTH)
def test_a_tile_tells_what_it_was_programmed_with(kind):
    config = kind()
    config.forward.out_noise, config.mapping.learn_out_scaling = 0.0, True
    layer = layer_of(config).eval()
    tile = layer.analog_module
    assert tile.programmed_weights is None and tile.drift_baseline is None and tile.drift_noise_parameters is None
    layer.drift_analog_weights(1e5)
    assert tile.programmed_weights.shape == (2, 3) and float(tile.drift_baseline) > 0
    assert [nu.shape for nu in tile.drift_noise_parameters] == [(2, 3), (2, 3)]
    assert torch.equal(tile.reference_combined_weights, tile.shared_weights.detach()) and float(tile.alpha) > 1
    assert torch.equal(tile.drift_readout_tensor, torch.eye(3)) and "2, 3" in tile.get_brief_info()


def test_the_passes_of_a_tile_alone():
    layer = layer_of(noisy(), bias=True)
    tile, weight = layer.analog_module, layer.get_weights()[0]
    tile.post_update_step()
    x, d = torch.rand(4, 3), torch.rand(4, 2)
    assert torch.allclose(tile.joint_forward(x, is_test=True), x @ weight.T, atol=1e-6)
    assert not torch.allclose(tile.joint_forward(x), x @ weight.T) and tile.training
    assert torch.allclose(tile.backward(d), d @ weight, atol=1e-6)
    spread = c.SingleRPUConfig()
    spread.forward.is_perfect, spread.forward.out_noise_std = False, 0.5
    drawn = layer_of(spread).analog_module
    values = drawn.get_forward_parameters()["out_noise_values"]
    assert values.shape == (2,) and drawn.get_backward_parameters() == {}
    drawn.set_forward_parameters(out_noise_values=2 * values)
    assert torch.equal(drawn.get_forward_parameters()["out_noise_values"], 2 * values)


def test_columns_are_reset_in_a_circle():
    layer = layer_of(c.SingleRPUConfig(device=c.ConstantStepDevice(w_max_dtod=0.0, w_min_dtod=0.0, w_max=1.0)))
    layer.analog_module.reset_columns(2, 2)
    weight = layer.get_weights()[0]
    assert weight[0, 1] == pytest.approx(-0.2) and abs(float(weight[0, 2] - 0.1)) > 0 and weight[1, 0] != 0.9
