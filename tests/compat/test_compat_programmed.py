"""Programmed chips follow new weights, and travel in state dicts."""

import copy
import io
import pickle

import numpy as np
import pytest
import torch
from aihwkit.exceptions import ConfigError, ModuleError
from aihwkit.inference import (
    GlobalDriftCompensation,
    PCMLikeNoiseModel,
    StateIndependentNoiseModel,
    drift_analog_weights,
)
from aihwkit.nn import AnalogConv2d, AnalogLinear, AnalogLinearMapped, AnalogSequential
from aihwkit.simulator.configs import (
    SingleRPUConfig,
    TorchInferenceRPUConfig,
)

from tests.compat.chips import QUIET, EachOutput, Halves, answer, config, linear

# New weights


def rewritten(model, how):
    new = linear(0.8, config(PCMLikeNoiseModel(**QUIET)))
    if how == "set_weights":
        model.set_weights(new.get_weights()[0])
    elif how == "load_state_dict":
        model.load_state_dict(new.state_dict())
    elif how == "data":
        next(model.parameters()).data.fill_(0.8)
    elif how == "an optimizer":
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        weight = next(model.parameters())
        weight.grad = weight.detach() - 0.8
        optimizer.step()
    else:
        model.analog_module.set_learning_rate(1.0)
        model.analog_module.update(torch.eye(3), torch.full((3, 2), 0.1 - 0.8))


@pytest.mark.parametrize("how", ["set_weights", "load_state_dict", "data", "an optimizer", "update"])
def test_new_weights_are_read_and_drift_starts_from_them(how):
    model = linear(0.1, config())
    model.drift_analog_weights(1e6)
    faded = answer(model) / 0.3
    assert (faded < 0.8).all()
    rewritten(model, how)
    assert torch.allclose(answer(model), torch.full((1, 2), 2.4), atol=1e-5)
    assert torch.allclose(model.get_weights()[0], torch.full((2, 3), 0.8), atol=1e-6)
    model.drift_analog_weights(1e6)
    assert ((answer(model) / 2.4 - faded).abs() < 0.2).all() and (answer(model) < 2.0).all()


def test_a_chip_with_another_scale_is_another_chip():
    model = linear(0.25, config(weight_scaling_omega=0.5))
    model.program_analog_weights()
    model.set_weights(torch.full((2, 3), 0.75))  # the devices hold the same as before, and only the scale differs
    assert torch.allclose(answer(model), torch.full((1, 2), 2.25), atol=1e-5)


def test_checkpoints_one_after_the_other_give_each_its_own_results():
    states = {value: copy.deepcopy(linear(value, config()).state_dict()) for value in (0.2, 0.5, 0.9)}
    model, answers = linear(0.0, config(StateIndependentNoiseModel(**QUIET))), {}
    for value, state in states.items():
        model.load_state_dict(state)
        drift_analog_weights(model, 3600.0)
        answers[value] = float(answer(model).mean()) / (3 * value)
    assert np.ptp(list(answers.values())) < 0.2 and all(0.3 < ratio < 0.9 for ratio in answers.values())


def test_weights_that_are_written_again_as_they_were_leave_no_old_chip():
    model = linear(0.5, config())
    model.drift_analog_weights(1e6)
    model.set_weights(torch.full((2, 3), 0.5))
    assert torch.allclose(answer(model), torch.full((1, 2), 1.5), atol=1e-6)


def test_a_noise_model_given_once_is_that_of_later_chips_but_of_no_other_layer():
    shared = config()
    model, other = linear(0.5, shared), linear(0.5, shared)
    model.program_analog_weights(PCMLikeNoiseModel(prog_noise_scale=8.0, read_noise_scale=0.0))
    model.set_weights(torch.full((2, 3), 0.5))
    for layer in (model, other):
        layer.program_analog_weights()
    assert torch.allclose(answer(other), torch.full((1, 2), 1.5), atol=1e-5)
    assert not torch.allclose(answer(model), torch.full((1, 2), 1.5), atol=1e-2)
    with pytest.raises(ConfigError, match="is no noise model"):
        model.analog_module.program_weights(noise_model=3)


def test_drift_is_that_of_the_models_of_today():
    model = linear(0.5, config())
    made = model.analog_module.rpu_config
    model.program_analog_weights()
    made.noise_model.t_0 = 1e15  # the exponents have been drawn
    model.drift_analog_weights(1e7)
    assert torch.allclose(answer(model), torch.full((1, 2), 1.5), atol=1e-5)
    made.drift_compensation = GlobalDriftCompensation()
    with pytest.raises(ConfigError, match=r"there was no compensation, which needs a baseline,.*program it anew"):
        model.drift_analog_weights(1e7)
    made.drift_compensation = None
    made.noise_model.generate_drift_coefficients = lambda g: 0.1 * g
    with pytest.raises(ConfigError, match="had no methods of its own when the chip was programmed; program it anew"):
        model.drift_analog_weights(1e7)
    model.program_analog_weights()
    model.drift_analog_weights(1e7)
    made.drift_compensation = GlobalDriftCompensation()
    with pytest.raises(ConfigError, match="there was no compensation"):
        model.drift_analog_weights(1e7)


def test_without_the_reference_the_chip_is_programmed_as_it_is_now():
    model = linear(0.5, config())
    model.drift_analog_weights(1e7)
    faded = answer(model)
    model.analog_module.program_weights(from_reference=False)
    assert torch.allclose(answer(model), faded, atol=1e-5)
    model.analog_module.program_weights()
    assert torch.allclose(answer(model), torch.full((1, 2), 1.5), atol=1e-5)


def test_chips_for_training_are_not_passed_over():
    noisy_chip = linear(0.5, config(PCMLikeNoiseModel(prog_noise_scale=9.0)))
    model = AnalogSequential(noisy_chip, AnalogLinear(2, 2, rpu_config=SingleRPUConfig())).eval()
    with pytest.raises(ModuleError, match=r"1\.analog_module is a AnalogTile, whose configuration is for training"):
        model.program_analog_weights()
    assert torch.allclose(model[0](torch.ones(1, 3)), torch.full((1, 2), 1.5), atol=1e-6)  # nor is any other


# State dicts


def noisy():
    return config(PCMLikeNoiseModel(), GlobalDriftCompensation())


CHIPS = {
    "one chip": lambda: linear(0.4, noisy()),
    "torch tile": lambda: linear(0.4, config(PCMLikeNoiseModel(), kind=TorchInferenceRPUConfig)),
    "several chips": lambda: linear(
        0.4, config(PCMLikeNoiseModel(), GlobalDriftCompensation(), max_input_size=2, weight_scaling_omega=0.7)
    ),
    "mapped": lambda: linear(0.4, noisy(), AnalogLinearMapped),
    "own noise": lambda: linear(0.4, config(Halves(), GlobalDriftCompensation(), max_output_size=1)),
    "own compensation": lambda: linear(0.4, config(PCMLikeNoiseModel(), EachOutput())),
}


def through_a_file(state):
    file = io.BytesIO()
    torch.save(state, file)
    return torch.load(io.BytesIO(file.getvalue()))


@pytest.mark.parametrize("name", CHIPS)
@pytest.mark.parametrize("strict", [True, False])
def test_a_programmed_chip_travels_in_the_state_dict(name, strict):
    model = CHIPS[name]()
    model.drift_analog_weights(1e5)
    state = through_a_file(model.state_dict())
    twin = CHIPS[name]()
    assert not torch.equal(answer(twin), answer(model))
    twin.load_state_dict(state, strict=strict)
    assert torch.equal(answer(twin), answer(model)) and torch.equal(twin.get_weights()[0], model.get_weights()[0])
    torch.manual_seed(3)
    model.drift_analog_weights(1e8)
    torch.manual_seed(3)
    twin.drift_analog_weights(1e8)  # of the same devices
    assert torch.allclose(answer(twin), answer(model), atol=1e-6)
    twin.train()
    assert torch.allclose(twin.get_weights()[0], torch.full((2, 3), 0.4), atol=1e-6)


@pytest.mark.parametrize("name", ["one chip", "own noise"])
def test_copies_and_pickles_keep_the_chip(name):
    model = CHIPS[name]()
    model.drift_analog_weights(1e5)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(answer(twin), answer(model))
        twin.set_weights(torch.zeros(2, 3))
        assert not answer(twin).any() and answer(model).any()


def test_a_model_in_training_mode_takes_the_chip_and_reads_it_in_evaluation_mode():
    model = CHIPS["one chip"]()
    model.drift_analog_weights(1e5)
    twin = AnalogLinear(3, 2, bias=False, rpu_config=noisy())
    twin.load_state_dict(model.state_dict())
    assert torch.allclose(answer(twin), torch.full((1, 2), 1.2), atol=1e-6)
    assert torch.equal(answer(twin.eval()), answer(model))


def test_a_state_without_a_chip_leaves_none():
    model = CHIPS["one chip"]()
    state = copy.deepcopy(model.state_dict())
    model.drift_analog_weights(1e5)
    model.load_state_dict(state)
    assert torch.allclose(answer(model), torch.full((1, 2), 1.2), atol=1e-6)


def test_a_state_from_before_there_was_such_a_parameter():
    model = linear(0.4, config(weight_scaling_omega=0.7))
    state = model.state_dict()
    old = state["analog_module.analog_tile_state"]
    old["arrays"]["state.w"] = state.pop("analog_module.shared_weights")
    twin = linear(0.1, config(weight_scaling_omega=0.7))
    assert not twin.load_state_dict(through_a_file(state)).missing_keys
    assert torch.allclose(answer(twin), torch.full((1, 2), 1.2), atol=1e-6)


def test_a_state_may_become_the_parameters_themselves():
    model, twin = linear(0.4, config()), linear(0.1, config())
    state = model.state_dict()
    twin.load_state_dict(state, assign=True)
    assert torch.allclose(answer(twin), torch.full((1, 2), 1.2), atol=1e-6)
    assert torch.allclose(state["analog_module.shared_weights"], torch.full((2, 3), 0.4))
    next(twin.parameters()).data.zero_()
    assert not answer(twin).any()


def test_averaged_states_are_the_average():
    states = [linear(value, config()).state_dict() for value in (0.2, 0.6)]
    for name in [name for name in states[0] if name.endswith("shared_weights")]:
        states[0][name] = (states[0][name] + states[1][name]) / 2
    model = linear(0.0, config())
    model.load_state_dict(states[0])
    assert torch.allclose(answer(model), torch.full((1, 2), 1.2), atol=1e-6)


def test_what_does_not_fit_is_said():
    model = CHIPS["own noise"]()
    model.program_analog_weights()
    with pytest.raises(RuntimeError, match=r"programmed by a noise model, .* with methods of its own"):
        linear(0.4, config(PCMLikeNoiseModel(), GlobalDriftCompensation(), max_output_size=1)).load_state_dict(
            model.state_dict()
        )
    with pytest.raises(RuntimeError, match=r"size mismatch for analog_module\.shared_weights"):
        AnalogLinear(4, 2, bias=False, rpu_config=config()).load_state_dict(CHIPS["one chip"]().state_dict())


def test_chips_of_a_whole_network():
    def network():
        return AnalogSequential(
            AnalogConv2d(1, 2, 2, rpu_config=noisy()), torch.nn.Flatten(), AnalogLinear(8, 3, rpu_config=noisy())
        ).eval()

    model, twin, x = network(), network(), torch.rand(2, 1, 3, 3)
    drift_analog_weights(model, 1e4)
    twin.load_state_dict(through_a_file(model.state_dict()))
    model.load_state_dict(copy.deepcopy(model.state_dict()))  # both at the same draw
    assert torch.equal(twin(x), model(x))


def test_a_drifted_tile_tells_one_factor_as_a_number():
    model = linear(0.5, config(PCMLikeNoiseModel(), GlobalDriftCompensation()))
    tile = next(model.analog_tiles())
    assert tile.alpha.shape == (1,) and float(tile.alpha) == 1.0
    drift_analog_weights(model, 1e5)
    assert tile.alpha.shape == () and f"{tile.alpha.numpy():.3f}" != "1.000"


def test_what_was_drawn_for_the_drift_is_told():
    tile = next(linear(0.5, config(PCMLikeNoiseModel())).analog_tiles())
    assert tile.drift_noise_parameters is None
    tile.drift_weights(1.0)
    exponents = tile.drift_noise_parameters
    assert [tuple(nu.shape) for nu in exponents] == [(2, 3)] * 2 and all(bool((nu > 0).all()) for nu in exponents)


def test_truth_values_may_be_numbers_0_and_1():
    made = linear(0.5, config(weight_scaling_columnwise=1.0)).analog_module.rpu_config
    assert made.mapping.weight_scaling_columnwise is True
    with pytest.raises(ConfigError, match="weight_scaling_columnwise"):
        linear(0.5, config(weight_scaling_columnwise=0.5))
