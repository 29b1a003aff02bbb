"""aihwkit's inference on torch modules: configurations, programming and drift, and `BasicInferencing`."""

import json
import logging

import numpy as np
import pytest
import torch
from aihwkit.exceptions import ConfigError, ModuleError, TileError
from aihwkit.experiments import BasicInferencing, BasicTraining
from aihwkit.experiments.runners import InferenceLocalRunner, LocalRunner
from aihwkit.inference import (
    GlobalDriftCompensation,
    PCMLikeNoiseModel,
    SinglePairConductanceConverter,
    StateIndependentNoiseModel,
    drift_analog_weights,
    program_analog_weights,
)
from aihwkit.nn import AnalogLinear, AnalogLinearMapped, AnalogSequential
from aihwkit.nn.conversion import convert_to_digital
from aihwkit.optim import AnalogSGD
from aihwkit.simulator.configs import (
    InferenceRPUConfig,
    TorchInferenceRPUConfig,
    WeightClipType,
    WeightModifierType,
)
from aihwkit.simulator.presets.web import OldWebComposerInferenceRPUConfig, WebComposerInferenceRPUConfig
from torch.nn import Flatten, LogSoftmax, NLLLoss, Sigmoid

from analogjax.physics.inference import PCMLike, SinglePair, StateIndependent
from tests.compat.test_compat_experiments import Digits


def config(**noise):
    made = InferenceRPUConfig()
    made.noise_model = PCMLikeNoiseModel(**noise)
    return made


def quiet():
    """Nothing random: the chips are exact at every time."""
    made = config(prog_noise_scale=0.0, read_noise_scale=0.0, drift_scale=0.0)
    made.forward.is_perfect = True
    return made


def network(made):
    torch.manual_seed(1)
    return AnalogSequential(
        Flatten(), AnalogLinear(64, 8, rpu_config=made), Sigmoid(), AnalogLinearMapped(8, 10, rpu_config=made),
        LogSoftmax(dim=1),
    )  # fmt: skip


def inferencing(made, **given):
    given = {"batch_size": 50, "loss_function": NLLLoss, "inference_time": 3600} | given
    return BasicInferencing(Digits, network(made), **given)


def entries(result):
    return [{name: value for name, value in one.items()} for one in result["inference_runs"]["inference_results"]]


def test_noise_models_are_the_native_ones():
    assert PCMLikeNoiseModel().to_native() == PCMLike()
    assert StateIndependentNoiseModel().to_native() == StateIndependent()
    given = PCMLikeNoiseModel([0.5, 0.25], SinglePairConductanceConverter(g_max=40.0), t_0=1.0).to_native()
    assert given == PCMLike(prog_coeff=(0.5, 0.25), g_converter=SinglePair(g_max=40.0), t_0=1.0)
    with pytest.raises(ConfigError, match="Did you mean 'drift_scale'"):
        wrong = PCMLikeNoiseModel()
        wrong.drift_scal = 2.0
        wrong.to_native()


def test_the_values_of_the_web_composer():
    web, old = WebComposerInferenceRPUConfig(), OldWebComposerInferenceRPUConfig()
    assert (web.forward.out_noise, web.forward.out_bound, web.forward.inp_res) == (0.1, 20.0, 1 / 126)
    assert web.modifier.type is WeightModifierType.ADD_NORMAL and web.clip.type is WeightClipType.FIXED_VALUE
    assert web.mapping.digital_bias and not old.mapping.digital_bias and old.mapping.max_input_size == 0
    assert "noise_model=PCMLikeNoiseModel" in str(web) and "type=WeightModifierType.NONE" in str(InferenceRPUConfig())


def test_programming_and_drift_leave_the_trained_weights_alone():
    layer = AnalogLinear(6, 4, rpu_config=config())
    trained, x = layer.get_weights()[0], torch.rand(3, 6)
    for act in (layer.program_analog_weights, layer.drift_analog_weights):
        with pytest.raises(ModuleError, match=r"model\.eval\(\)"):
            act()
    with pytest.raises(TileError, match=r"model\.eval\(\)"):
        layer.analog_module.drift_weights(1.0)
    layer.eval()
    layer.program_analog_weights()
    programmed = layer.get_weights()[0]
    assert not torch.equal(programmed, trained)
    # a weight is a pair of devices of 25 uS, one of them at 0; their programming noise is a polynomial in h
    largest = trained.abs().max()
    h = trained.abs() / largest
    spread = torch.hypot(0.26348 + 1.9650 * h - 1.1731 * h**2, torch.tensor(0.26348)) / 25 * largest
    assert torch.all((programmed - trained).abs() < 5 * spread)  # standard deviations, of 24 weights
    layer.drift_analog_weights(1e6)
    assert not torch.equal(layer.get_weights()[0], programmed)
    late = layer(x)
    layer.drift_analog_weights(0.0)  # time is that since programming: it can go back
    assert not torch.equal(layer(x), late)
    layer.train()
    assert torch.equal(layer.get_weights()[0], trained)


def test_without_compensation_outputs_fade_and_with_it_they_do_not():
    answers = {}
    for compensation in (None, GlobalDriftCompensation()):
        made = config()
        made.forward.is_perfect, made.drift_compensation = True, compensation
        torch.manual_seed(2)
        layer = AnalogLinear(100, 50, bias=False, rpu_config=made).eval()
        x = torch.ones(1, 100)
        exact = layer(x).abs().mean()
        drift_analog_weights(layer, 1e7)
        answers[compensation is None] = float((layer(x).abs().mean() / exact).detach())
    assert answers[True] < 0.7 and abs(answers[False] - 1) < 0.2


@pytest.mark.parametrize("kind", [InferenceRPUConfig, TorchInferenceRPUConfig])
@pytest.mark.parametrize("learned", [False, True])
def test_drifted_weights_are_those_of_the_devices_without_the_factor_of_the_compensation(kind, learned):
    made = kind(noise_model=PCMLikeNoiseModel(read_noise_scale=0.0))
    made.forward.is_perfect, made.mapping.learn_out_scaling = True, learned
    made.mapping.weight_scaling_omega, made.mapping.max_input_size = 1.0, 30
    torch.manual_seed(4)
    model = AnalogSequential(AnalogLinear(50, 20, rpu_config=made)).eval()
    trained, x = model[0].get_weights()[0], torch.rand(5, 50)
    model.program_analog_weights()
    model.drift_analog_weights(3e7)
    weight, bias = model[0].get_weights()
    assert 0.3 < float(weight.norm() / trained.norm()) < 0.7  # about (3e7 / 20)^-0.05 of what was written
    digital = convert_to_digital(model)
    assert torch.equal(digital[0].weight, weight)
    # two chips, each with a factor of its own, which brings the outputs back
    factor = float(((model(x) - bias).norm() / (x @ weight.T).norm()).detach())
    assert 1.5 < factor < 3.0 and abs(float(((model(x) - bias).norm() / (x @ trained.T).norm()).detach()) - 1) < 0.1


def test_a_whole_model_is_programmed_with_another_noise_model():
    model = network(config()).eval()
    trained = model.get_weights()
    program_analog_weights(model, PCMLikeNoiseModel(prog_noise_scale=0.0))
    for name, (weight, _) in model.get_weights().items():
        assert torch.allclose(weight, trained[name][0], atol=1e-6)


def test_remapped_weights_are_the_same_logical_ones():
    layer = AnalogLinear(6, 4, rpu_config=quiet())
    weight, bias = layer.get_weights()
    layer.remap_analog_weights(1.0)
    assert torch.allclose(layer.get_weights()[0], weight, atol=1e-6) and torch.equal(layer.get_weights()[1], bias)
    assert float(np.abs(layer.analog_module.chips.tile.state.w).max()) == pytest.approx(1.0)


def test_the_web_composers_configuration_trains_with_noise_on_the_weights():
    layer = AnalogLinear(6, 4, rpu_config=WebComposerInferenceRPUConfig())
    weight = layer.get_weights()[0]
    layer.analog_module.post_update_step()
    drawn = layer.analog_module._disturbed.weights
    assert not torch.equal(drawn, weight) and torch.equal(layer.get_weights()[0], weight)


def test_without_it_training_is_exact():
    model = network(quiet())
    optimizer = AnalogSGD(model.parameters(), lr=0.1)
    optimizer.regroup_param_groups(model)
    before = model[1].get_weights()[0]
    NLLLoss()(model(torch.rand(4, 1, 8, 8)), torch.tensor([1, 2, 3, 4])).backward()
    optimizer.step()
    assert not torch.equal(model[1].get_weights()[0], before)
    results = LocalRunner().run(BasicTraining(Digits, network(quiet()), batch_size=20, epochs=1), 40)
    assert len(results) == 1


def test_the_compiled_run_is_the_one_in_torch_where_nothing_is_random():
    compiled = entries(InferenceLocalRunner().run(inferencing(quiet()), 60))
    experiment = inferencing(quiet())
    by_hand = entries(_in_torch(experiment))
    assert len(compiled) == len(by_hand) == 10
    for ours, theirs in zip(compiled, by_hand, strict=True):
        assert ours["avg_accuracy"] == pytest.approx(theirs["avg_accuracy"]) and ours["std_accuracy"] == 0.0
        assert ours["avg_loss"] == pytest.approx(theirs["avg_loss"], rel=1e-5)
        assert ours["t_inference"] == pytest.approx(theirs["t_inference"])


def _in_torch(experiment):
    from compat.aihwkit.experiments.runners.i_metrics import InferenceLocalMetric

    InferenceLocalMetric().watch(experiment)
    return experiment.run(60)


def test_the_same_seed_gives_the_same_result_and_lines_of_json(capsys):
    results = []
    for _ in range(2):
        experiment = inferencing(config(), inference_repeats=3)
        torch.manual_seed(5)
        results.append(entries(InferenceLocalRunner().run(experiment, 60, stdout=True)))
        assert not experiment.model.training and experiment.results is not None
    assert results[0] == results[1] and results[0][0]["std_accuracy"] >= 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["inference_runs"]["is_partial"] for line in lines] == [True, True, False] * 2


class OwnStep(BasicInferencing):
    def inferencing_step(self, *args):
        return super().inferencing_step(*args)


def test_an_experiment_with_a_step_of_its_own_runs_in_torch_and_says_so(caplog):
    with caplog.at_level(logging.WARNING, "compat"):
        experiment = OwnStep(Digits, network(config()), 50, NLLLoss, inference_repeats=1)
        result = InferenceLocalRunner().run(experiment, 60)
    assert "OwnStep has its own inferencing_step()" in caplog.text
    assert len(entries(result)) == 10 and result["inference_runs"]["inference_repeat"] == 1


def test_weights_of_a_file(tmp_path):
    source = network(config())
    file = tmp_path / "template.pth"
    torch.save(source.state_dict(), file)
    experiment = inferencing(quiet(), weight_template_id=str(file))
    torch.manual_seed(9)
    for layer in experiment.model.analog_layers():
        layer.reset_parameters()
    model = experiment.get_model(str(file))
    for ours, theirs in zip(model.analog_layers(), source.analog_layers(), strict=True):
        assert torch.allclose(ours.get_weights()[0], theirs.get_weights()[0], atol=1e-6)
    assert len(entries(InferenceLocalRunner().run(experiment, 60))) == 10


def test_a_template_of_ibm_is_refused_with_what_to_do():
    with pytest.raises(ConfigError, match=r"torch\.save"):
        InferenceLocalRunner().run(inferencing(quiet(), weight_template_id="hwa_lenet5"), 60)


class Lossy(PCMLikeNoiseModel):
    def apply_programming_noise_to_conductance(self, g_target):
        return 0.0 * g_target


def test_a_material_with_methods_of_its_own_is_not_compiled_over(caplog):
    made = quiet()
    made.noise_model, made.drift_compensation = Lossy(read_noise_scale=0.0), None
    with caplog.at_level(logging.WARNING, "compat"):
        experiment = inferencing(made, inference_repeats=1)
        result = InferenceLocalRunner().run(experiment, 60)
    assert "has methods of its own" in caplog.text and len(entries(result)) == 10
    assert not experiment.model[1].get_weights()[0].any()
