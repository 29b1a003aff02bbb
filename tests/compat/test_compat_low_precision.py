"""Digital layers of a few bits, and the calibration of ranges."""

import copy

import pytest
import torch
from torch import nn

from compat.aihwkit.exceptions import ArgumentError, ConfigError
from compat.aihwkit.inference.calibration import (
    InputRangeCalibrationType,
    calibrate_input_ranges,
    calibrate_quantization_ranges,
)
from compat.aihwkit.nn import AnalogLinear, AnalogSequential, AnalogWrapper
from compat.aihwkit.nn.conversion import convert_to_analog, convert_to_digital
from compat.aihwkit.nn.low_precision_conversion import convert_to_quantized
from compat.aihwkit.nn.low_precision_modules import quantization_states as states
from compat.aihwkit.nn.low_precision_modules.conversion_utils import append_default_conversions, get_module_args
from compat.aihwkit.nn.low_precision_modules.quantized_base_modules import (
    QuantBatchNorm2d,
    QuantConv2d,
    QuantEmbedding,
    QuantLayerNorm,
    QuantLinear,
)
from compat.aihwkit.simulator import configs as c
from compat.aihwkit.simulator.digital_low_precision.config_utils import (
    CurrentMinMaxEstimatorParams,
    MSEEstimatorParams,
    RunningMinMaxEstimatorParams,
)
from compat.aihwkit.simulator.digital_low_precision.quantizers import QMethods
from compat.aihwkit.simulator.digital_low_precision.range_estimators import RangeEstimators
from compat.aihwkit.simulator.parameters.quantization import (
    ActivationQuantConfig,
    QuantizationConfig,
    QuantizationMap,
    QuantizedModuleConfig,
    WeightQuantConfig,
)


class Mixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.norm = nn.Embedding(7, 6, padding_idx=0), nn.LayerNorm(6)
        self.head = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3, bias=False))

    def forward(self, x):
        return self.head(self.norm(self.words(x)))


def to(acts=0, weights=0, **more):
    made = QuantizationMap(default_qconfig=QuantizationConfig(
        ActivationQuantConfig(acts), WeightQuantConfig(weights)), **more)  # fmt: skip
    append_default_conversions(made)
    return made


def levels(tensor):
    return len(tensor.detach().unique())


def test_layers_become_their_rounded_twins_with_the_same_weights():
    model, x = Mixed(), torch.randint(0, 7, (20, 4))
    rounded = convert_to_quantized(model, to(acts=3, weights=8))
    kinds = [type(part) for part in (rounded.words, rounded.norm, rounded.head[0], rounded.head[2])]
    assert kinds == [QuantEmbedding, QuantLayerNorm, QuantLinear, QuantLinear]
    assert type(model.head[0]) is nn.Linear and torch.equal(rounded.head[0].weight, model.head[0].weight)
    y = rounded(x)
    assert levels(y) <= 8 and float((y - model(x)).detach().abs().max()) < 1.0
    y.sum().backward()  # straight through
    assert rounded.head[0].weight.grad.abs().sum() > 0
    states.full_precision(rounded)
    assert torch.allclose(rounded(x), model(x), atol=1e-6)


def test_a_layer_is_chosen_by_its_name_before_its_type_and_may_be_left_out():
    model, x = nn.Sequential(nn.Linear(6, 40), nn.Linear(40, 40), nn.Linear(40, 40)), torch.rand(3, 6)
    few = QuantizedModuleConfig(QuantLinear, QuantizationConfig(ActivationQuantConfig(2)))
    rounded = convert_to_quantized(
        model, to(acts=8, instance_qconfig_map={"1": few}, excluded_modules=["2"],
                  input_activation_qconfig_map={"0": ActivationQuantConfig(1, symmetric=False)}),
    )  # fmt: skip
    seen = []
    for part in rounded:
        part.register_forward_hook(lambda _, given, made: seen.append((given[0], made)))
    rounded(x)
    assert levels(seen[1][1]) <= 4 < levels(seen[2][1]) and type(rounded[2]) is nn.Linear
    assert levels(rounded[0].input_quantizer(x)) <= 2
    with pytest.warns(UserWarning, match=r"excluded_modules: the model has no module head\.9"):
        convert_to_quantized(model, to(excluded_modules=["head.9"]))


def test_analog_layers_that_are_named_become_digital_and_rounded():
    config = c.InferenceRPUConfig()
    model = AnalogSequential(AnalogLinear(4, 3, rpu_config=config), AnalogLinear(3, 2, rpu_config=config))
    how = QuantizedModuleConfig(QuantLinear, QuantizationConfig(weight_quant=WeightQuantConfig(4)))
    rounded = convert_to_quantized(model, QuantizationMap(instance_qconfig_map={"0": how}))
    assert type(rounded[0]) is QuantLinear and type(rounded[1]) is AnalogLinear
    assert torch.equal(rounded[0].weight, model[0].get_weights()[0])


def test_modules_of_other_kinds_are_wrapped():
    how = QuantizedModuleConfig(QuantBatchNorm2d, QuantizationConfig(ActivationQuantConfig(3)))
    model = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1, padding_mode="circular"), nn.BatchNorm2d(2))
    rounded = convert_to_quantized(model, to(weights=8, module_qconfig_map={nn.BatchNorm2d: how}))
    assert type(rounded[0]) is QuantConv2d and type(rounded[1]) is QuantBatchNorm2d
    x = torch.rand(4, 1, 5, 5)
    assert levels(rounded(x)) <= 8
    states.full_precision_weights(rounded)
    assert torch.allclose(rounded[0](x), model[0](x), atol=1e-6)
    with pytest.raises(ArgumentError, match="BatchNorm2d has no rounded twin; there are some of Linear"):
        get_module_args(nn.BatchNorm2d(2))


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        (RangeEstimators.current_minmax, CurrentMinMaxEstimatorParams(percentile=1.0)),
        (RangeEstimators.allminmax, None),
        (RangeEstimators.running_minmax, RunningMinMaxEstimatorParams(0.5)),
        (RangeEstimators.MSE, MSEEstimatorParams(num_candidates=20)),
    ],
)
@pytest.mark.parametrize("symmetric", [True, False])
def test_each_output_may_have_a_step_of_its_own(kind, params, symmetric):
    torch.manual_seed(0)
    weight = torch.randn(3, 50) * torch.tensor([[0.01], [1.0], [100.0]])
    how = WeightQuantConfig(6, symmetric, per_channel=True, range_estimator=kind, range_estimator_params=params)
    layer = nn.Linear(50, 3, bias=False)
    layer.weight.data = weight
    rounded = convert_to_quantized(layer, QuantizationMap(module_qconfig_map={
        nn.Linear: QuantizedModuleConfig(QuantLinear, QuantizationConfig(weight_quant=how))}))  # fmt: skip
    seen = rounded.get_params()[0]
    assert rounded.weight_quantizer.quantizer.scale.shape == (3,)
    assert all(2 < levels(row) <= 64 for row in seen)
    # every row alone is rounded to the same
    for n in range(3):
        alone = nn.Linear(50, 1, bias=False)
        alone.weight.data = weight[n : n + 1]
        how.per_channel = False
        twin = convert_to_quantized(alone, QuantizationMap(module_qconfig_map={
            nn.Linear: QuantizedModuleConfig(QuantLinear, QuantizationConfig(weight_quant=how))}))  # fmt: skip
        if symmetric or kind is not RangeEstimators.MSE:  # two ends are searched from where the range of all began
            assert torch.allclose(twin.get_params()[0][0], seen[n], rtol=1e-4)


def test_a_weight_for_each_feature_may_have_steps_of_its_own_too():
    how = to(weights=3)
    how.module_qconfig_map[nn.LayerNorm].module_qconfig.weight_quant.per_channel = True
    model = nn.LayerNorm(4)
    model.weight.data = torch.tensor([0.1, 1.0, 10.0, -5.0])
    rounded = convert_to_quantized(model, how)
    assert torch.allclose(rounded.get_params()[0], model.weight) and rounded(torch.rand(2, 4)).shape == (2, 4)


def test_ranges_are_estimated_kept_learned_and_forgotten():
    model = convert_to_quantized(nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)), to(acts=8, weights=8)).eval()
    quantizers = [model[0].activation_quantizer, model[0].weight_quantizer]
    calibrate_quantization_ranges(model, [torch.rand(5, 3), {"input": torch.rand(5, 3)}, (torch.rand(5, 3), 0)])
    assert [one.state.name for one in quantizers] == ["fix_ranges", "fix_ranges"]
    before = [one.quantizer.scale.clone() for one in quantizers]
    model(100 * torch.rand(5, 3))
    assert all(torch.equal(one.quantizer.scale, old) for one, old in zip(quantizers, before, strict=True))
    states.estimate_act_ranges(model)
    model(100 * torch.rand(5, 3))
    assert quantizers[0].quantizer.scale > before[0] and quantizers[1].state.name == "fix_ranges"
    states.learn_ranges(model)
    assert all(one.is_learning() for one in quantizers)
    states.reset_act_ranges(model)
    assert not quantizers[0].quantizer.is_initialized and quantizers[1].is_learning()
    states.set_quant_state(model, weight_quant=False, act_quant=False)
    x = torch.rand(2, 3)
    digital = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    digital.load_state_dict({name: value for name, value in model.state_dict().items() if "quantizer" not in name})
    assert torch.allclose(model(x), digital(x), atol=1e-6)


def test_no_more_batches_than_asked_and_one():
    seen = []
    model = convert_to_quantized(nn.Sequential(nn.Linear(3, 4)), to(acts=8))
    model.register_forward_hook(lambda *_: seen.append(1))
    calibrate_quantization_ranges(model, (torch.rand(5, 3) for _ in range(9)), max_num_batches=4)
    assert len(seen) == 5 and not model.training


def test_rounded_weights_are_kept_in_evaluation_mode_until_they_change():
    layer = convert_to_quantized(nn.Linear(3, 4), to(weights=4))
    layer(torch.rand(2, 3))
    layer.eval()
    first, again = layer.get_params()[0], layer.get_params()[0]
    assert first is not again or first is layer.cached_params[0]
    assert layer.get_params()[0] is layer.cached_params[0]
    layer.load_state_dict({**layer.state_dict(), "weight": torch.zeros(4, 3)})
    assert not layer.get_params()[0].any()


def test_a_scale_of_another_kind_is_refused():
    with pytest.raises(ConfigError, match="scale_domain='log' is not supported"):
        QuantLinear(3, 2, method=QMethods.symmetric_uniform, scale_domain="log")
    with pytest.raises(ConfigError, match="none of those that can be part of a layer: ReLU"):
        QuantLinear(3, 2, activation=nn.Softmax(dim=1))
    assert float(QuantLinear(3, 2, activation=nn.ReLU())(torch.rand(4, 3)).detach().min()) >= 0


def test_an_analog_model_becomes_digital():
    digital = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(18, 3, bias=False))
    digital.append(digital[1])  # used twice
    analog = convert_to_analog(digital, c.InferenceRPUConfig())
    back, x = convert_to_digital(analog), torch.rand(2, 1, 5, 5)
    assert type(back) is nn.Sequential and torch.allclose(back(x), digital(x), atol=1e-6)
    assert back[1] is back[4] and type(analog[0]) is not nn.Conv2d
    wrapped = convert_to_analog(Mixed(), c.InferenceRPUConfig())
    assert isinstance(wrapped, AnalogWrapper) and type(convert_to_digital(wrapped)) is Mixed
    kept = convert_to_digital(analog, conversion_set={AnalogLinear})
    assert isinstance(kept, AnalogSequential) and type(kept[3]) is nn.Linear and type(kept[0]) is type(analog[0])
    with pytest.raises(ArgumentError, match="give a set of analog classes"):
        convert_to_digital(analog, conversion_set=[AnalogLinear])


KINDS = [kind for kind in InputRangeCalibrationType if kind is not InputRangeCalibrationType.NONE]


def two_layers(kind=c.InferenceRPUConfig, enable=True):
    config = kind()
    config.forward.noise_management = c.NoiseManagementType.NONE
    config.forward.bound_management = c.BoundManagementType.NONE
    config.forward.out_noise = 0.0
    config.pre_post.input_range.enable = enable
    torch.manual_seed(0)
    return AnalogSequential(*(AnalogLinear(*size, bias=False, rpu_config=copy.deepcopy(config))
                              for size in ((4, 3), (3, 2))))  # fmt: skip


def batches(n=6):
    torch.manual_seed(1)
    return [((torch.randn(8, 4),), {}) for _ in range(n)]


@pytest.mark.parametrize("strategy", KINDS)
@pytest.mark.parametrize("kind", [c.InferenceRPUConfig, c.QuantizedTorchInferenceRPUConfig])
def test_ranges_of_inputs_are_those_of_the_data(strategy, kind):
    model = two_layers(kind)
    calibrate_input_ranges(model, strategy, iter(batches()), quantile=0.9, std_alpha=2.0)
    x = torch.stack([args[0] for args, _ in batches()])
    expected = {
        "Max": x.abs().max(), "CacheQuantile": x.flatten().quantile(0.9),
        "MovingQuantile": torch.stack([one.flatten().quantile(0.9) for one in x]).mean(),
        "MovingStd": 2 * torch.stack([one.std() for one in x]).mean(),
    }[strategy.value]  # fmt: skip
    first, second = model.analog_tiles()
    assert first.input_range.item() == pytest.approx(float(expected), rel=1e-4) and second.input_range.item() > 0
    p = first.rpu_config.pre_post.input_range
    assert p.init_value == first.input_range.item() and p.calibration_info == strategy.value and p.init_from_data == 0
    assert model.training and not first.rpu_config.forward.is_perfect


def test_layers_without_a_range_get_one_unless_they_are_to_be_left():
    model = two_layers(enable=False)
    with pytest.raises(ConfigError, match=r"0\.analog_module scales its inputs by noise management"):
        other = two_layers()
        other[0].analog_module.rpu_config.forward.noise_management = c.NoiseManagementType.ABS_MAX
        calibrate_input_ranges(other, InputRangeCalibrationType.MAX, batches(), force_all_layers=False)
    calibrate_input_ranges(model, InputRangeCalibrationType.MAX, batches(), force_all_layers=False)
    assert model[0].analog_module.input_range is None
    calibrate_input_ranges(model, InputRangeCalibrationType.MAX, batches())
    assert all(not tile.input_range.requires_grad for tile in model.analog_tiles())
    managed = two_layers(enable=False)
    for tile in managed.analog_tiles():
        tile.rpu_config.forward.noise_management = c.NoiseManagementType.ABS_MAX
        tile.rpu_config.forward.inp_bound = 1.0
    calibrate_input_ranges(managed, InputRangeCalibrationType.MAX, batches())
    io = managed[0].analog_module.rpu_config.forward
    assert io.noise_management is c.NoiseManagementType.NONE
    assert managed[0].analog_module.chips.tile.config.forward.noise_management is None


def test_chips_that_were_programmed_stay_programmed():
    model = two_layers().eval()
    model.drift_analog_weights(100.0)
    before = [tile.get_weights()[0] for tile in model.analog_tiles()]
    calibrate_input_ranges(model, InputRangeCalibrationType.CACHE_QUANTILE, batches(), quantile=1.0)
    after = [tile.get_weights()[0] for tile in model.analog_tiles()]
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True)) and not model.training


def test_what_is_no_analog_model_is_refused_and_nothing_to_do_is_nothing():
    calibrate_input_ranges(nn.Linear(2, 2), InputRangeCalibrationType.NONE, [])
    with pytest.raises(ArgumentError, match="Linear is no analog model"):
        calibrate_input_ranges(nn.Linear(2, 2), InputRangeCalibrationType.MAX, [])


def test_a_single_input_may_be_given_as_it_is():
    def ranges(batch):
        model = two_layers()
        calibrate_input_ranges(model, InputRangeCalibrationType.MAX, [(batch, {})])
        return [tile.input_range.item() for tile in model.analog_tiles()]

    x = torch.randn(5, 4)
    assert ranges(x) == ranges((x,)) and ranges(x)[0] == pytest.approx(float(x.abs().max()))
