"""Noise models, converters and compensations of users are asked, and ours can be asked by hand."""

import numpy as np
import pytest
import torch
from aihwkit.exceptions import ConfigError
from aihwkit.inference import (
    BaseDriftCompensation,
    BaseNoiseModel,
    GlobalDriftCompensation,
    PCMLikeNoiseModel,
    SinglePairConductanceConverter,
    StateIndependentNoiseModel,
)
from aihwkit.inference.converter.base import BaseConductanceConverter
from aihwkit.nn import AnalogLinear
from aihwkit.simulator.configs import TorchInferenceRPUConfigIRDropT

from tests.compat.chips import QUIET, EachOutput, Halves, answer, config, linear

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
        model.program_analog_weights(noise_model=Halves(**QUIET, drift_scale=0.0))
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
    timed.noise_model, timed.forward.is_perfect = PCMLikeNoiseModel(g_converter=Doubles()), True
    AnalogLinear(8, 2, rpu_config=timed)  # without a circuit
    timed.forward.is_perfect = False
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
    with pytest.raises(ConfigError, match=r"g_max=40.0 with a converter of g_max=25\.0"):
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
