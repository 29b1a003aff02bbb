"""Programmed chips follow new weights, travel in state dicts, and are made by methods of users if there are any."""

import copy
import io
import pickle
import types

import numpy as np
import pytest
import torch
from aihwkit.exceptions import ConfigError, ModuleError, TileError
from aihwkit.inference import (
    BaseDriftCompensation,
    BaseNoiseModel,
    GlobalDriftCompensation,
    PCMLikeNoiseModel,
    SinglePairConductanceConverter,
    StateIndependentNoiseModel,
    drift_analog_weights,
)
from aihwkit.inference.converter.base import BaseConductanceConverter
from aihwkit.nn import AnalogConv2d, AnalogLinear, AnalogLinearMapped, AnalogSequential
from aihwkit.simulator.configs import (
    InferenceRPUConfig,
    SingleRPUConfig,
    TorchInferenceRPUConfig,
    TorchInferenceRPUConfigIRDropT,
)

QUIET = {"prog_noise_scale": 0.0, "read_noise_scale": 0.0}


def config(noise_model=None, compensation=None, kind=InferenceRPUConfig, **mapping):
    made = kind()
    made.forward.is_perfect, made.drift_compensation = True, compensation
    made.noise_model = PCMLikeNoiseModel(**QUIET) if noise_model is None else noise_model
    for name, value in mapping.items():
        setattr(made.mapping, name, value)
    return made


def linear(value, made, layer=AnalogLinear):
    model = layer(3, 2, bias=False, rpu_config=made)
    model.set_weights(torch.full((2, 3), value))
    return model.eval()


def answer(model):
    return model(torch.ones(1, 3)).detach()


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
    made = config()
    model = linear(0.5, made)
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


class Halves(PCMLikeNoiseModel):
    def apply_programming_noise_to_conductance(self, g_target):
        return 0.5 * g_target


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


class EachOutput(GlobalDriftCompensation):
    """One factor for each output."""

    def readout(self, out_tensor):
        return out_tensor.abs().mean(dim=0).clamp(min=1e-4)


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
    model = linear(0.4, config(max_input_size=2, weight_scaling_omega=0.7))
    state = model.state_dict()
    old = state["analog_module.analog_tile_state"]
    old["arrays"]["tiles.state.w"] = torch.from_numpy(np.array(model.analog_module.tile.tiles.state.w))
    del state["analog_module.shared_weights"]
    twin = linear(0.1, config(max_input_size=2, weight_scaling_omega=0.7))
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


# Methods of users


class Steep(PCMLikeNoiseModel):
    def __init__(self, nu, **given):
        super().__init__(**given)
        self.nu = nu

    def generate_drift_coefficients(self, g_target):
        return torch.full_like(g_target, self.nu)


class StillSteeper(Steep):
    """Overrides nothing itself."""


class OnlyHalf(StateIndependentNoiseModel):
    def apply_drift_noise_to_conductance(self, g_prog, drift_noise_param, t_inference):
        return 0.5 * super().apply_drift_noise_to_conductance(g_prog, drift_noise_param, t_inference)


class Whole(PCMLikeNoiseModel):
    def apply_programming_noise(self, weights):
        assert weights.shape[0] <= 2
        return weights + 1.0, []

    def apply_drift_noise(self, weights, drift_noise_parameters, t_inference):
        return weights * (1.0 + t_inference)


class Plain(BaseNoiseModel):
    """Derived from the root alone."""

    def __init__(self, loss, g_converter=None):
        super().__init__(g_converter)
        self.loss = loss

    def apply_programming_noise_to_conductance(self, g_target):
        return g_target

    def apply_drift_noise_to_conductance(self, g_prog, drift_noise_param, t_inference):
        assert drift_noise_param is None
        return g_prog * self.loss**t_inference


class Shifted(BaseConductanceConverter):
    """One device for each weight."""

    def convert_to_conductances(self, weights):
        return [weights + 10.0], {"shift": 10.0}

    def convert_back_to_weights(self, conductances, params):
        return conductances[0] - params["shift"]


class Doubles(SinglePairConductanceConverter):
    def convert_back_to_weights(self, conductances, params):
        return 2 * super().convert_back_to_weights(conductances, params)


def patched():
    model = PCMLikeNoiseModel(**QUIET, drift_scale=0.0)
    model.generate_drift_coefficients = lambda g_target: torch.full_like(g_target, 0.5)
    return model


STEEP = (1 + 1e4 / 20.0) ** -0.2
MODELS = {
    "exponents": (lambda: Steep(0.2, **QUIET), STEEP),
    "of a grandparent": (lambda: StillSteeper(0.2, **QUIET), STEEP),
    "drift": (lambda: OnlyHalf(drift_scale=0.0, **QUIET), 0.5),
    "all of it": (Whole, (0.3 + 1.0) * (1 + 1e4) / 0.3),
    "the root": (lambda: Plain(0.9999), 0.9999**1e4),
    "the root, with a converter": (lambda: Plain(1.0, Shifted()), 1.0),
    "a converter": (lambda: PCMLikeNoiseModel(g_converter=Doubles(), drift_scale=0.0, **QUIET), 4.0),
    "a patched instance": (patched, (1 + 1e4 / 20.0) ** -0.5),
}


@pytest.mark.parametrize("cut", [0, 2])
@pytest.mark.parametrize("name", MODELS)
def test_methods_of_users_decide_about_the_chip(name, cut):
    make, factor = MODELS[name]
    model = linear(0.3, config(make(), max_input_size=cut))
    model.drift_analog_weights(1e4)
    assert torch.allclose(answer(model), torch.full((1, 2), 0.9 * factor), rtol=2e-3)


def test_a_method_that_is_replaced_on_the_class_itself_is_called(monkeypatch):
    monkeypatch.setattr(PCMLikeNoiseModel, "apply_programming_noise_to_conductance", lambda self, g: 0.25 * g)
    model = linear(0.4, config(PCMLikeNoiseModel(read_noise_scale=0.0, drift_scale=0.0)))
    model.program_analog_weights()
    assert torch.allclose(answer(model), torch.full((1, 2), 0.3), atol=1e-5)


class Twice(GlobalDriftCompensation):
    def apply(self, forward_output, ref_value):
        return 2 * super().apply(forward_output, ref_value)


class Ones(GlobalDriftCompensation):
    """Asks with one vector."""

    def get_readout_tensor(self, in_size):
        return torch.ones(1, in_size)

    def readout(self, out_tensor):
        assert out_tensor.shape[0] == 1
        return out_tensor.mean()


class Exact(BaseDriftCompensation):
    """Against what was to be written."""

    def init_baseline(self, tile):
        assert tile.tile.get_x_size() <= 3 and tile.tile.get_d_size() == 2
        assert torch.equal(tile.tile.get_weights(), tile.programmed_weights)
        return self.readout(tile._forward_drift_readout_tensor(True, exact_reference=True))

    def get_readout_tensor(self, in_size):
        return torch.eye(in_size)

    def readout(self, out_tensor):
        return out_tensor.abs().sum()


@pytest.mark.parametrize("cut", [0, 2])
@pytest.mark.parametrize(("kind", "factor"), [(Twice, 2.0), (Ones, 1.0), (EachOutput, 1.0), (Exact, 1.0)])
def test_compensations_of_users_are_asked(kind, factor, cut):
    model = linear(0.3, config(Steep(0.2, **QUIET), kind(), max_input_size=cut))
    for t in (1e4, 1e7):
        model.drift_analog_weights(t)
        assert torch.allclose(answer(model), torch.full((1, 2), 0.9 * factor), rtol=2e-3)
    if kind is Exact:  # what programming has lost comes back too
        model.analog_module.program_weights(noise_model=Halves(**QUIET, drift_scale=0.0))
        model.drift_analog_weights(0.0)
        assert torch.allclose(answer(model), torch.full((1, 2), 0.9), rtol=2e-3)


def test_each_output_has_its_own_factor_beside_a_scale_of_each():
    class Weak(Plain):
        def apply_drift_noise_to_conductance(self, g_prog, drift_noise_param, t_inference):
            return g_prog * torch.linspace(0.5, 0.25, g_prog.shape[0])[:, None]

    made = config(Weak(1.0), EachOutput(), weight_scaling_omega=0.5, weight_scaling_columnwise=True)
    model = linear(0.3, made)
    model.set_weights(torch.tensor([[0.1, 0.2, 0.3], [0.9, 0.6, 0.3]]))
    model.drift_analog_weights(1.0)
    assert torch.allclose(answer(model), torch.tensor([[0.6, 1.8]]), rtol=1e-4)


def test_what_methods_of_users_give_is_checked():
    class Flat(Plain):
        def apply_programming_noise(self, weights):
            return weights.reshape(-1), []

    class Many(GlobalDriftCompensation):
        def apply(self, forward_output, ref_value):
            return torch.ones(7)

    with pytest.raises(ConfigError, match=r"Flat\.apply_programming_noise\(\) gave \(6,\); it must give .*\(2, 3\)"):
        linear(0.3, config(Flat(1.0))).program_analog_weights()
    with pytest.raises(ConfigError, match=r"Many\.apply\(\) gave 7 factors; needs one, or one for each of the 2"):
        linear(0.3, config(compensation=Many())).drift_analog_weights(1.0)
    with pytest.raises(NotImplementedError, match="must define apply_programming_noise_to_conductance"):
        linear(0.3, config(BaseNoiseModel())).program_analog_weights()
    with pytest.raises(ConfigError, match="0 or more"):
        linear(0.3, config(Plain(1.0))).drift_analog_weights(-1.0)


def test_what_has_methods_of_its_own_is_not_compiled():
    for thing, named in (
        (Steep(0.1), r"Steep has its own generate_drift_coefficients\(\)"),
        (Doubles(), r"Doubles has its own convert_back_to_weights\(\)"), (Twice(), r"Twice has its own apply\(\)"),
        (PCMLikeNoiseModel(g_converter=Doubles()), "Doubles has its own"), (Plain(1.0), "Plain has its own"),
        (patched(), "PCMLikeNoiseModel has its own generate_drift_coefficients"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=named):
            thing.to_native()


def test_a_circuit_needs_conductances_that_are_compiled():
    timed = config(Steep(0.2, **QUIET), kind=TorchInferenceRPUConfigIRDropT)
    assert AnalogLinear(8, 2, rpu_config=timed)(torch.rand(1, 8)).shape == (1, 2)
    timed.noise_model = PCMLikeNoiseModel(g_converter=Doubles())
    with pytest.raises(ConfigError, match="Doubles has its own"):
        AnalogLinear(8, 2, rpu_config=timed)


# The methods themselves


@pytest.mark.parametrize("kind", [PCMLikeNoiseModel, StateIndependentNoiseModel])
def test_methods_called_by_hand_are_as_the_compiled_ones_n_40k(kind):
    n, w = 40_000, torch.tensor([[0.9, 0.5, 0.1, -0.4]]).repeat(10_000, 1)
    made = config(kind(t_read=1e-6, g_max=30.0))
    model = made.noise_model
    chip = AnalogLinear(4, 10_000, bias=False, rpu_config=made).eval()
    chip.set_weights(w)
    by_hand, nu = model.apply_programming_noise(w)
    chip.program_analog_weights()
    late = model.apply_drift_noise(by_hand, nu, 1e5)
    pairs = [(by_hand, chip.get_weights()[0])]
    chip.drift_analog_weights(1e5)
    pairs.append((late, chip.get_weights()[0]))
    pairs.append((model.apply_noise(w, 0.0), by_hand))
    for ours, theirs in pairs:
        for k in range(4):
            a, b = ours[:, k].double(), theirs[:, k].double()
            error = (a.std() ** 2 / len(a) + b.std() ** 2 / len(b)).sqrt()
            assert abs(a.mean() - b.mean()) < 5 * error
            assert abs(a.std() / b.std() - 1) < 5 / np.sqrt(n / 4)
    assert model.apply_noise(w, 1e5).shape == w.shape


def test_models_show_their_numbers_and_compare_by_them():
    model = PCMLikeNoiseModel(g_max=30.0)
    assert model.g_max == model.g_converter.g_max == 30.0 and model.prog_coeff[1] == 1.965
    assert "g_converter=SinglePairConductanceConverter(g_max=30.00, g_min=0.00), g_max=30.0" in str(model)
    assert model == PCMLikeNoiseModel(g_max=30.0) != PCMLikeNoiseModel() and str(Plain(0.5)).startswith("Plain(g_conv")
    assert Plain(0.5) == Plain(0.5) != Plain(0.6) and Shifted() == Shifted() and Exact() == Exact() != Ones()
    with pytest.raises(ConfigError, match=r"g_max=40.0 beside a converter of g_max=25\.0"):
        changed = PCMLikeNoiseModel()
        changed.g_max = 40.0
        changed.to_native()
    given = SinglePairConductanceConverter(g_max=40.0)
    assert PCMLikeNoiseModel(g_converter=given).g_converter is not given
    with pytest.raises(ValueError, match="got 1 conductances"):
        given.convert_back_to_weights([torch.ones(1)], {})


def test_a_subclass_may_remember_more_than_fields():
    class Tagged(PCMLikeNoiseModel):
        def __init__(self, tag):
            super().__init__(**QUIET, drift_scale=0.0)
            self.tag = tag

    model = linear(0.3, config(Tagged("mine")))
    model.drift_analog_weights(1e4)
    assert torch.allclose(answer(model), torch.full((1, 2), 0.9), atol=1e-5)
    wrong = Tagged("mine")
    wrong.drift_scal = 2.0
    with pytest.raises(ConfigError, match=r"Tagged has no field 'drift_scal'.*Did you mean 'drift_scale'"):
        wrong.to_native()


def test_hardware_aware_training_and_bound_methods():
    model = linear(0.3, config(patched()))
    assert isinstance(model.analog_module.rpu_config.noise_model.generate_drift_coefficients, types.FunctionType)
    with pytest.raises(TileError, match=r"model\.eval\(\)"):
        model.train().analog_module.drift_weights(1.0)
