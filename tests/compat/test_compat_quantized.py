"""Outputs, scales and biases of a few bits, against aihwkit's quantised tiles (see test_compat_torch_inference)."""

import copy
import pickle

import numpy as np
import pytest
import torch
from aihwkit.exceptions import ConfigError, TileError
from aihwkit.nn import AnalogLinear
from aihwkit.optim import AnalogSGD
from aihwkit.simulator import configs as c
from aihwkit.simulator.digital_low_precision.config_utils import (
    CurrentMinMaxEstimatorParams,
    MSEEstimatorParams,
    RunningMinMaxEstimatorParams,
)
from aihwkit.simulator.digital_low_precision.quantization_manager import Qstates, QuantizationManager
from aihwkit.simulator.digital_low_precision.quantizers import QMethods, QuantizerNotInitializedError
from aihwkit.simulator.digital_low_precision.range_estimators import OptMethod, RangeEstimators
from aihwkit.simulator.parameters.quantization import ActivationQuantConfig, QuantizationConfig, WeightQuantConfig
from aihwkit.simulator.tiles.array import QuantizedTileModuleArray
from aihwkit.simulator.tiles.quantized_inference_torch import QuantizedTorchInferenceTile

from tests.compat.descent import losses_of
from tests.compat.test_compat_torch_inference import MEASURED, close, tensor


def config(bits=0, periphery=0, **given):
    made = c.QuantizedTorchInferenceRPUConfig(act_quant_config=ActivationQuantConfig(bits, **given))
    made.forward.is_perfect, made.pre_post.periph_quant.n_bits = True, periphery
    return made


def configured(case):
    kind = RangeEstimators[case["estimator"]]
    made = config(case["bits"], case["periphery"], symmetric=case["symmetric"], range_estimator=kind)
    for name, value in (case["params"] or {}).items():
        setattr(
            made.act_quant_config.range_estimator_params,
            name,
            OptMethod[value] if name == "range_opt_method" else value,
        )
    periphery, mapping = made.pre_post.periph_quant, made.mapping
    periphery.symmetric, periphery.learn_quant_params, periphery.init_learning_after = (
        case["symmetric"],
        case["learn"],
        1,
    )
    mapping.max_input_size, mapping.max_output_size = (3, 4) if case["chips"] else (512, 512)
    mapping.weight_scaling_omega, mapping.weight_scaling_columnwise = case["omega"], True
    mapping.learn_out_scaling, mapping.out_scaling_columnwise = case["alpha"] is not None, True
    return made


def set_alpha(layer, alpha):
    """The learned scale of each output; of several chips, chip by chip."""
    if layer.analog_tile_count() == 1:
        layer.analog_module.out_scaling_alpha.data[:] = alpha
        return
    for column in layer.analog_module.array:
        for tile, own in zip(column, alpha.split(layer.analog_module.out_sizes), strict=True):
            tile.out_scaling_alpha.data[:] = own


def layer_of(case):
    w = tensor(case["w"])
    layer = AnalogLinear(w.shape[1], w.shape[0], rpu_config=configured(case))
    layer.set_weights(w, tensor(case["b"]))
    if case["alpha"] is not None:
        set_alpha(layer, tensor(case["alpha"]))
    return layer


@pytest.mark.parametrize("name", MEASURED["rounded"])
def test_what_is_rounded_is_rounded_as_in_aihwkit(name):
    case = MEASURED["rounded"][name]
    layer = layer_of(case)
    assert isinstance(layer.analog_module, QuantizedTileModuleArray if case["chips"] else QuantizedTorchInferenceTile)
    ys = [layer(tensor(x)) for x in case["xs"][:2]]
    layer.zero_grad()
    x = tensor(case["xs"][2]).requires_grad_()
    ys.append(layer(x))
    ys[-1].backward(tensor(case["d"]))
    ys.append(layer.eval()(tensor(case["xs"][3])))
    for ours, theirs in zip(ys, case["ys"], strict=True):
        assert close(ours, theirs, 1e-5)
    assert close(x.grad, case["dx"], 1e-5) and close(layer.analog_module.bias.grad, case["db"], 1e-5)


def test_the_text_of_a_configuration_that_rounds():
    made = c.QuantizedTorchInferenceRPUConfig(act_quant_config=ActivationQuantConfig(4))
    made.pre_post.periph_quant.n_bits = 6
    ours = str(made).replace("compat.aihwkit", "aihwkit")
    start = ours.index("act_quant_config")
    assert ours[start:] == MEASURED["text"]["rounded"][MEASURED["text"]["rounded"].index("act_quant_config") :]
    assert "periph_quant=PeripheryQuantizationParameter(n_bits=6))" in ours


def test_with_no_bits_it_is_the_torch_tile():
    for bits in (None, 0, -1):
        made = config(bits or 0)
        made.act_quant_config = None if bits is None else made.act_quant_config
        made.mapping.max_input_size = 3
        layer, x = AnalogLinear(7, 4, rpu_config=made), torch.rand(5, 7)
        twin = AnalogLinear(7, 4, rpu_config=c.TorchInferenceRPUConfig(forward=made.forward, mapping=made.mapping))
        twin.set_weights(*layer.get_weights())
        assert torch.allclose(layer(x), twin(x), atol=1e-6)
        assert not [name for name, _ in layer.named_parameters() if "quant" in name]


def test_outputs_have_so_many_levels():
    layer = AnalogLinear(8, 300, rpu_config=config(3))
    assert len(layer(torch.rand(10, 8)).unique()) <= 2**3
    whole = AnalogLinear(8, 300, rpu_config=config())
    assert len(whole(torch.rand(10, 8)).unique()) > 2**3


def test_training_is_through_the_rounding():
    layer = AnalogLinear(3, 2, rpu_config=config(6, 6))
    x = torch.rand(16, 3, generator=torch.Generator().manual_seed(4))
    wanted = x @ torch.tensor([[0.5, -0.4], [0.2, 0.1], [-0.3, 0.6]])
    losses = losses_of(layer, lambda: torch.nn.functional.mse_loss(layer(x), wanted), lr=0.1, steps=150)
    assert losses[-1] < 0.05 * losses[0]


def test_learned_steps_are_parameters_after_some_batches():
    made = config(0, 4)
    made.pre_post.periph_quant.learn_quant_params, made.pre_post.periph_quant.init_learning_after = True, 2
    layer, x = AnalogLinear(3, 2, rpu_config=made), torch.rand(4, 3)
    quantizer = layer.analog_module.bias_quantizer
    optimizer = AnalogSGD(layer.parameters(), lr=0.1)
    optimizer.regroup_param_groups(layer)
    for state in (Qstates.estimate_ranges_train, Qstates.estimate_ranges_train, Qstates.learn_ranges):
        optimizer.zero_grad()
        layer(x).sum().backward()
        assert quantizer.state is state
        before = quantizer.quantizer._delta.clone()
        optimizer.step()
        assert torch.equal(before, quantizer.quantizer._delta) == (state is Qstates.estimate_ranges_train)


def test_in_evaluation_mode_scales_take_the_first_range_that_comes_and_outputs_need_one():
    layer, x = AnalogLinear(3, 2, rpu_config=config(0, 4)).eval(), torch.rand(4, 3)
    first = layer(x)
    assert torch.equal(layer(x), first) and layer.analog_module.bias_quantizer.state is Qstates.fix_ranges
    for symmetric in (True, False):
        layer = AnalogLinear(3, 2, rpu_config=config(4, symmetric=symmetric)).eval()
        with pytest.raises(QuantizerNotInitializedError, match="run a batch in training mode"):
            layer(x)
        layer.analog_module.out_quantizer.estimate_ranges()
        assert len(layer(x).unique()) <= 16


def test_ranges_are_saved():
    torch.manual_seed(2)
    made = config(4, 4, symmetric=False)
    made.mapping.max_input_size = made.mapping.max_output_size = 3
    made.mapping.weight_scaling_omega = 0.6
    layer, x = AnalogLinear(5, 4, rpu_config=made), torch.rand(6, 5)
    layer(x)
    other = AnalogLinear(5, 4, rpu_config=copy.deepcopy(made))
    other.load_state_dict(layer.state_dict())
    expected = layer.eval()(x)
    for again in (other, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(again.eval()(x), expected)


def test_drift_is_compensated_outside_of_the_rounded_scales():
    made = config(0, 8)
    made.mapping.weight_scaling_omega = 1.0
    layer, x = AnalogLinear(60, 20, bias=False, rpu_config=made).eval(), torch.ones(1, 60)
    exact = layer(x).abs().mean()
    layer.drift_analog_weights(1e7)
    assert abs(float((layer(x).abs().mean() / exact).detach()) - 1) < 0.2


SAMPLE = tensor([[-1.0, 0.3, 0.52], [0.9, 2.0, -0.2]])


@pytest.mark.parametrize(
    ("kind", "given", "ends"),
    [
        (RangeEstimators.current_minmax, {}, (-2.0, 4.0)),
        (RangeEstimators.allminmax, {}, (-2.0, 4.0)),
        (RangeEstimators.running_minmax, {"momentum": 0.75}, (-1.25, 2.5)),
    ],
)
def test_ranges_of_two_batches(kind, given, ends):
    manager = QuantizationManager(QMethods.asymmetric_uniform, kind, {"n_bits": 4}, given)
    for batch in (SAMPLE, 2 * SAMPLE):
        manager(batch)
    estimator = manager.range_estimator
    assert (float(estimator.current_xmin), float(estimator.current_xmax)) == pytest.approx(ends)
    manager.eval()(100 * SAMPLE)  # estimates nothing
    assert float(estimator.current_xmax) == pytest.approx(ends[1])
    manager.reset_ranges()
    with pytest.raises(QuantizerNotInitializedError):
        manager(SAMPLE)
    with pytest.raises(QuantizerNotInitializedError):
        manager.fix_ranges()


def test_levels_by_hand():
    symmetric = QuantizationManager(QMethods.symmetric_uniform, qparams={"n_bits": 3})
    # levels -4 ... 3 of 2 / 3
    assert torch.allclose(symmetric(SAMPLE), 2 / 3 * tensor([[-2, 0, 1], [1, 3, 0]]))
    unsigned = tensor([[1.1, 0.3, 0.52], [0.9, 2.0, 0.2]])  # nothing below 0: levels 0 ... 7 of 2 / 7
    assert torch.allclose(symmetric(unsigned), 2 / 7 * tensor([[4, 1, 2], [3, 7, 1]]))
    asymmetric = QuantizationManager(QMethods.asymmetric_uniform, qparams={"n_bits": 2})
    # levels of 1 from -1 to 2
    assert torch.allclose(asymmetric(SAMPLE), tensor([[-1, 0, 1], [1, 2, 0]]))


RANGES = MEASURED["ranges"]["cases"]


@pytest.mark.parametrize("case", RANGES, ids=[f"{case['kind']} {n}" for n, case in enumerate(RANGES)])
def test_estimated_ranges_are_those_of_aihwkit(case):
    given = {key: OptMethod[value] if key == "opt_method" else value for key, value in case["given"].items()}
    manager = QuantizationManager(QMethods[case["method"]], RangeEstimators[case["kind"]], {"n_bits": 3}, given)
    # a golden section ends where it is told to be near enough
    slack = 1e-3 if given.get("opt_method") is OptMethod.golden_section else 1e-6
    for batch, ends in zip(MEASURED["ranges"]["batches"], case["ends"], strict=True):
        manager(tensor(batch).abs() if case["positive"] else tensor(batch))
        estimator = manager.range_estimator
        assert (float(estimator.current_xmin), float(estimator.current_xmax)) == pytest.approx(ends, abs=slack)


@pytest.mark.parametrize("way", OptMethod)
def test_a_range_of_two_ends_is_searched_too(way):
    x = torch.randn(6, 40, generator=torch.Generator().manual_seed(1)) + 0.5
    searched = QuantizationManager(
        QMethods.asymmetric_uniform, RangeEstimators.MSE, {"n_bits": 3}, {"opt_method": way, "num_candidates": 40}
    )
    whole = QuantizationManager(QMethods.asymmetric_uniform, RangeEstimators.current_minmax, {"n_bits": 3})
    loss = searched.range_estimator.loss
    assert float(loss(x, searched(x))) < float(loss(x, whole(x)))


def test_the_parameters_of_an_estimator_follow_its_kind():
    made = ActivationQuantConfig(8)
    assert made.range_estimator is RangeEstimators.running_minmax
    assert made.range_estimator_params == RunningMinMaxEstimatorParams(momentum=0.9)
    made.range_estimator = RangeEstimators.MSE
    assert made.range_estimator_params == MSEEstimatorParams()
    with pytest.raises(TypeError, match="'MSE' has parameters of type MSEEstimatorParams, not RunningMinMax"):
        made.range_estimator_params = RunningMinMaxEstimatorParams()
    made.range_estimator = RangeEstimators.allminmax
    assert made.range_estimator_params is None
    with pytest.raises(TypeError, match="'allminmax' has parameters of type None"):
        made.range_estimator_params = MSEEstimatorParams()
    weights = WeightQuantConfig(4, per_channel=True, range_estimator_params=CurrentMinMaxEstimatorParams(2.0))
    assert weights.per_channel and weights.range_estimator_params.percentile == 2.0
    for one in (made, weights, QuantizationConfig(), ActivationQuantConfig(4, range_estimator=RangeEstimators.MSE)):
        assert pickle.loads(pickle.dumps(one)) == copy.deepcopy(one) == one


def test_what_makes_no_sense_is_refused():
    def told(made):
        with pytest.raises(ConfigError) as caught:
            AnalogLinear(3, 2, rpu_config=made)
        return str(caught.value)

    assert "Expected type <class 'int'> for field n_bits of ActivationQuantConfig, got 4.0" in told(config(4.0))
    assert "Expected type <class 'bool'> for field symmetric" in told(config(4, symmetric=1))
    for kind, params, expected in (
        ("running_minmax", RunningMinMaxEstimatorParams(momentum=1.5), "(momentum=1.5) needs a number from 0 to 1."),
        ("current_minmax", CurrentMinMaxEstimatorParams("5"), "(percentile='5') needs a number from 0 to 100."),
        ("MSE", MSEEstimatorParams(num_candidates=0), "(num_candidates=0) needs a number from 1 to inf."),
        ("MSE", MSEEstimatorParams("grid"), "(range_opt_method='grid') needs OptMethod.grid or OptMethod.golden"),
    ):
        made = config(4, range_estimator=RangeEstimators[kind], range_estimator_params=params)
        assert f"ActivationQuantConfig: {type(params).__name__}{expected}" in told(made)
    with pytest.raises(TypeError, match=r"one of RangeEstimators\.current_minmax, .* not 'MSE'"):
        ActivationQuantConfig(4, range_estimator="MSE")
    assert "Expected type <class 'int'> for field n_bits of PeripheryQuantizationParameter" in told(config(0, "4"))
    made = config(0, 4)
    made.pre_post.periph_quant.learn_quant_params, made.pre_post.periph_quant.init_learning_after = True, 0
    assert "init_learning_after=0): the first batches say where learning starts; needs 1 or more" in told(made)
    made = c.QuantizedTorchInferenceRPUConfig()
    made.pre_post.input_range.enable = made.pre_post.input_range.manage_output_clipping = True
    assert "QuantizedTorchInferenceTile can't tell which of its outputs were clipped" in told(made)
    with pytest.raises(ConfigError, match="n_bits=1: no level is left above 0; use 2 bits or more"):
        AnalogLinear(3, 2, rpu_config=config(1))(torch.rand(2, 3) - 0.5)
    assert issubclass(QuantizerNotInitializedError, TileError)
    assert np.unique(AnalogLinear(3, 2, rpu_config=config(1, symmetric=False))(torch.rand(2, 3)).detach()).size <= 2
