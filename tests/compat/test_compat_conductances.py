"""Converters, materials and compensations by aihwkit's names: by hand, compiled, and with methods of users."""

import copy
import pickle
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from aihwkit.exceptions import ArgumentError, ConfigError, FusionExportError, TileError
from aihwkit.inference import (
    CustomDriftPCMLikeNoiseModel,
    CustomPairConductanceConverter,
    DualPairConductanceConverter,
    GlobalDriftCompensation,
    HermesNoiseModel,
    NPairConductanceConverter,
    PCMLikeNoiseModel,
    ReRamCMONoiseModel,
    ReRamWan2022NoiseModel,
    SingleDeviceConductanceConverter,
    SinglePairConductanceConverter,
    StateIndependentNoiseModel,
)
from aihwkit.inference.compensation.drift import (
    GlobalDriftCompensationWithExactReference,
    PerColumnDriftCompensation,
)
from aihwkit.inference.converter.fusion import FusionConductanceConverter
from aihwkit.nn import AnalogConv2d, AnalogLinear, AnalogSequential
from aihwkit.simulator.configs import SingleRPUConfig
from aihwkit.utils.export import fusion_export, fusion_import

from analogjax import physics
from compat import torch_bridge
from tests.compat.chips import QUIET, answer, config, linear

TABLE = {"g_lst": [0.0, 10.0, 25.0], "nu_mean_lst": [0.2, 0.1, 0.05], "nu_std_lst": [0.0, 0.0, 0.0]}
V = [[0.0, 0.0, 25.0], [25.0, 0.0, 0.0]]
CONVERTERS = {
    "pair": (lambda: SinglePairConductanceConverter(30.0, 2.0), physics.SinglePair(g_max=30.0, g_min=2.0), 2),
    "dual": (lambda: DualPairConductanceConverter([1.0, 3.0]), physics.NPairs(f_lst=(1.0, 3.0)), 4),
    "three": (
        lambda: NPairConductanceConverter([1.0, 2.0, 4.0], g_min=1.0),
        physics.NPairs(f_lst=(1.0, 2.0, 4.0), g_min=1.0), 6,
    ),
    "table": (
        lambda: CustomPairConductanceConverter([1.0], V),
        physics.CustomPairs(f_lst=(1.0,), g_lst=((0.0, 0.0, 25.0), (25.0, 0.0, 0.0)), invertibility_test=False), 2,
    ),
    "fusion": (lambda: FusionConductanceConverter(20), physics.Fusion(g_max=20), 1),
    "single device": (lambda: SingleDeviceConductanceConverter(), physics.SingleDevice(), None),
}  # fmt: skip


@pytest.mark.parametrize("name", CONVERTERS)
def test_converters_lead_back_and_are_the_native_ones(name):
    make, native, count = CONVERTERS[name]
    converter, w = make(), torch.randn(4, 7)
    g, params = converter.convert_to_conductances(w)
    assert (isinstance(g, torch.Tensor) and g.shape == w.shape) if count is None else len(g) == count
    assert torch.allclose(converter.convert_back_to_weights(g, params), w, atol=1e-5)
    assert converter.to_native() == native
    assert copy.deepcopy(converter) == converter == pickle.loads(pickle.dumps(converter)) and str(converter)
    if count is None:  # a list of rows is taken, too
        assert torch.allclose(converter.convert_back_to_weights(list(g), params), w, atol=1e-5)
    else:
        with pytest.raises(ValueError, match=f"got {count + 1} conductances"):
            converter.convert_back_to_weights([*g, g[0]], params)
    with pytest.raises(ValueError, match=r"needs .*(scale_ratio|original_weights)"):
        converter.convert_back_to_weights(g, {})
    double = converter.convert_to_conductances(w.double())[0]
    assert (double if count is None else double[0]).dtype == torch.float64


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: SinglePairConductanceConverter(5.0, 6.0), ValueError, "0 <= g_min < g_max"),
        (lambda: SingleDeviceConductanceConverter(5.0), ValueError, "g_min=9.0 to g_max=5.0"),
        (lambda: NPairConductanceConverter((1.0, 2.0)), ValueError, "must be a list"),
        (lambda: DualPairConductanceConverter([1.0]), ValueError, "two significances"),
        (lambda: CustomPairConductanceConverter([1.0], [[0.0, 1.0]]), ValueError, "two for each number"),
        (lambda: CustomPairConductanceConverter([1.0], [[0.0, 0, 9, 25], [25.0, 9, 0, 0]]), ArithmeticError, "lead"),
        (lambda: FusionConductanceConverter(41), ArgumentError, "from 10 to 40"),
        (lambda: HermesNoiseModel(num_devices=3), AssertionError, "1 or 2"),
        (lambda: HermesNoiseModel(num_devices=1, g_max=20.0), AssertionError, "measured up to 10.35"),
        (lambda: CustomDriftPCMLikeNoiseModel([1.0]), AssertionError, "give a dictionary"),
        (lambda: CustomDriftPCMLikeNoiseModel({"g_lst": [0.0, 25.0]}), AssertionError, "nu_std_lst"),
        (lambda: CustomDriftPCMLikeNoiseModel(TABLE | {"nu_std_lst": [0.0]}), AssertionError, "equal length"),
        (lambda: CustomDriftPCMLikeNoiseModel(TABLE | {"g_lst": [0.0, 25.0, 10.0]}), AssertionError, "ascending"),
        (lambda: CustomDriftPCMLikeNoiseModel(TABLE, g_max=30.0), ValueError, "does not cover"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_as_aihwkit_does(make, error, match):
    with pytest.raises(error, match=match):
        make()


MODELS = {
    "hermes": (HermesNoiseModel, physics.Hermes()),
    "hermes, one device": (
        lambda: HermesNoiseModel(num_devices=1, g_max=8.0),
        physics.Hermes(num_devices=1, g_converter=physics.SinglePair(g_max=8.0)),
    ),
    "hermes, coefficients": (lambda: HermesNoiseModel([0.5, 1.0]), physics.Hermes(prog_coeff=(0.5, 1.0))),
    "wan": (ReRamWan2022NoiseModel, physics.ReRAMWan2022()),
    "wan, own": (
        lambda: ReRamWan2022NoiseModel({60.0: [1.0], 2.0: [0.5, 0.25]}, coeff_g_max_reference=40.0),
        physics.ReRAMWan2022(times=(2.0, 60.0), coefficients=((0.5, 0.25), (1.0,)), coeff_g_max_reference=40.0),
    ),
    "cmo": (ReRamCMONoiseModel, physics.ReRAMCMO()),
    "cmo, 2 %": (
        lambda: ReRamCMONoiseModel(acceptance_range=2, g_max=50.0),
        physics.ReRAMCMO(prog_coeff=(0.0112185391, 0.01129027418), g_converter=physics.SingleDevice(g_max=50.0)),
    ),
    "table": (
        lambda: CustomDriftPCMLikeNoiseModel(TABLE, t_0=5.0),
        physics.PCMLike(
            exponents=physics.DriftTable(g=(0.0, 10.0, 25.0), nu_mean=(0.2, 0.1, 0.05), nu_std=(0.0, 0.0, 0.0)), t_0=5.0
        ),
    ),
    "dual": (
        lambda: StateIndependentNoiseModel(g_converter=DualPairConductanceConverter([1.0, 3.0])),
        physics.StateIndependent(g_converter=physics.NPairs(f_lst=(1.0, 3.0))),
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_materials_become_native_and_are_values(name):
    make, native = MODELS[name]
    assert make().to_native() == native
    assert make() == copy.deepcopy(make()) == pickle.loads(pickle.dumps(make())) and type(make()).__name__ in str(
        make()
    )


@pytest.mark.parametrize("name", MODELS)
def test_methods_called_by_hand_are_the_native_ones(name):
    make, native = MODELS[name]
    model, g = make(), 6.0 * torch.rand(3, 5) + 1.0
    t = 60.0 if name == "wan, own" else 86400.0

    def both(by_hand, natively):
        torch.manual_seed(7)
        ours = by_hand()
        torch.manual_seed(7)
        theirs = natively(torch_bridge.draw_key())
        assert torch.allclose(ours, torch.from_numpy(np.array(theirs)), rtol=1e-6)
        return ours

    given = jnp.asarray(g.numpy())
    both(lambda: model.apply_programming_noise_to_conductance(g), lambda key: native.write(given, key))
    if name.startswith("cmo"):  # nothing is drawn; aihwkit hands on the targets
        memory = model.generate_drift_coefficients(g)
        assert memory is g
    else:
        memory = both(lambda: model.generate_drift_coefficients(g), lambda key: native.remember(given, key))
    both(
        lambda: model.apply_drift_noise_to_conductance(g, memory, t),
        lambda key: native.read(given, jnp.asarray(memory.numpy()), t, key),
    )
    w = torch.rand(4, 7) - 0.5
    written, memory = model.apply_programming_noise(w)
    assert (
        written.shape == model.apply_drift_noise(written, memory, t).shape == w.shape == model.apply_noise(w, t).shape
    )
    assert not torch.equal(written, w) and (written - w).abs().mean() < 0.2


@pytest.mark.parametrize("name", MODELS)
def test_chips_of_every_material_drift(name):
    model = linear(0.4, config(MODELS[name][0](), GlobalDriftCompensation(), max_input_size=2))
    model.set_weights(torch.linspace(-0.5, 0.5, 6).reshape(2, 3))
    model.program_analog_weights()
    written = answer(model)
    model.drift_analog_weights(2.0 if name == "wan, own" else 86400.0)
    assert torch.isfinite(answer(model)).all() and not torch.equal(answer(model), written)


def test_times_of_a_material_are_told_as_aihwkit_does():
    model = linear(0.4, config(ReRamWan2022NoiseModel()))
    with pytest.raises(ArgumentError, match=r"t_inference=60.0: this material is known at \[1.0, 86400.0, 172800.0\]"):
        model.drift_analog_weights(60.0)
    with pytest.raises(ArgumentError, match=r"t_inference=5"):
        ReRamWan2022NoiseModel().apply_noise(torch.ones(2, 2), 5)
    model.drift_analog_weights(86400.0)
    assert torch.isfinite(answer(model)).all()


class Steeper(HermesNoiseModel):
    def generate_drift_coefficients(self, g_target):
        return 0.0 * super().generate_drift_coefficients(g_target) + 0.2


class Rows(SingleDeviceConductanceConverter):
    """Overrides something, so that it is asked."""

    def convert_back_to_weights(self, conductances, params):
        assert isinstance(conductances, list)  # of rows, as aihwkit hands them over
        return super().convert_back_to_weights(conductances, params)


def test_methods_of_users_are_called_for_new_materials_too():
    model = linear(0.3, config(Steeper(**QUIET)))
    model.drift_analog_weights(3e4 - 300.0)
    assert torch.allclose(answer(model), torch.full((1, 2), 0.9 * 100**-0.2), rtol=2e-3)
    made = ReRamCMONoiseModel(prog_noise_scale=0.0, read_noise_scale=0.0, drift_scale=0.0)
    made.g_converter = Rows()
    model = linear(0.3, config(made))
    model.set_weights(torch.tensor([[0.1, 0.2, 0.3], [-0.1, 0.4, 0.0]]))
    model.drift_analog_weights(100.0)
    assert torch.allclose(answer(model), torch.tensor([[0.6, 0.3]]), atol=1e-5)
    with pytest.raises(ConfigError, match=r"Rows has its own convert_back_to_weights\(\)"):
        made.to_native()


class Fading(PCMLikeNoiseModel):
    """The second output loses more than the first one."""

    def apply_drift_noise_to_conductance(self, g_prog, drift_noise_param, t_inference):
        return g_prog * torch.tensor([[0.5], [0.25]])


@pytest.mark.parametrize("cut", [0, 2])
@pytest.mark.parametrize("own", [False, True])
def test_compensations_of_columns_and_against_exact_answers(own, cut):
    def read(compensation, noise):
        model = linear(0.3, config(noise, compensation, max_input_size=cut))
        model.drift_analog_weights(1e5)
        return answer(model)

    fading = Fading(**QUIET) if own else PCMLikeNoiseModel(**QUIET)
    assert torch.allclose(read(PerColumnDriftCompensation(), fading), torch.full((1, 2), 0.9), rtol=0.2)
    if own:
        assert torch.allclose(read(PerColumnDriftCompensation(), fading), torch.full((1, 2), 0.9), rtol=1e-5)
        uneven = read(GlobalDriftCompensation(), fading)
        assert torch.allclose(uneven, torch.tensor([[1.2, 0.6]]), rtol=1e-5)
    # what programming has changed in the mean comes back with an exact reference only
    wrong = StateIndependentNoiseModel(prog_coeff=[4.0], read_noise_scale=0.0, drift_nu_std=0.0)
    w = torch.full((2, 3), 0.3)
    model = linear(0.3, config(wrong, GlobalDriftCompensationWithExactReference(), max_input_size=cut))
    model.drift_analog_weights(1e5)
    size = model.get_weights()[0].abs()
    factors = [float(tile.alpha) for tile in model.analog_tiles()]
    parts = (size,) if not cut else (size[:, :2], size[:, 2:])
    means = [float(part.mean() * factor) for part, factor in zip(parts, factors, strict=True)]
    assert all(abs(mean - 0.3) < 1e-5 for mean in means) and not torch.allclose(size, w, atol=1e-3)


def test_a_compensated_chip_of_columns_travels_in_the_state_dict():
    made = [linear(0.4, config(HermesNoiseModel(), PerColumnDriftCompensation(), max_input_size=2)) for _ in range(2)]
    made[0].drift_analog_weights(1e5)
    made[1].load_state_dict(made[0].state_dict())
    assert torch.equal(answer(made[1]), answer(made[0]))
    for one in made:
        torch.manual_seed(3)
        one.drift_analog_weights(1e7)
    assert torch.allclose(answer(made[1]), answer(made[0]), atol=1e-6)


# Files


@pytest.mark.parametrize("converter", [None, SinglePairConductanceConverter(10.0, 1.0)])
def test_exported_conductances_come_back(tmp_path, converter):
    made = config(max_input_size=3, weight_scaling_omega=0.5)
    model = AnalogSequential(
        AnalogLinear(5, 4, rpu_config=made), torch.nn.Tanh(), AnalogConv2d(1, 2, 2, rpu_config=config())
    )
    weights = [tuple(one.clone() for one in layer.get_weights()) for layer in model.analog_layers()]
    file = str(tmp_path / "chips.csv")
    by_layer, params, state = fusion_export(model, converter, file)
    assert {name: len(g) for name, g in by_layer.items()} == {
        "0": 20 * (1 + bool(converter)),
        "2": 8 * (1 + bool(converter)),
    }
    for given in (file, by_layer):
        for layer in model.analog_layers():
            layer.reset_parameters()
        assert fusion_import(given, model, params, state, converter) is model and not model.training
        for layer, (weight, bias) in zip(model.analog_layers(), weights, strict=True):
            assert torch.allclose(layer.get_weights()[0], weight, atol=1e-5) and torch.equal(
                layer.get_weights()[1], bias
            )
    assert Path(file).read_text().splitlines()[:3] == ["1,3", "AnalogLinear,AnalogConv2d", "20,8"]


def test_conductances_of_something_else_are_refused_and_change_nothing(tmp_path):
    model, other = linear(0.4, config()), AnalogLinear(4, 2, bias=False, rpu_config=config())
    file = str(tmp_path / "chips.csv")
    by_layer, params, _ = fusion_export(AnalogSequential(other), None, file)
    mine = AnalogSequential(model)
    with pytest.raises(FusionExportError, match="is of other layers; it begins with"):
        fusion_import(file, mine, params)
    with pytest.raises(FusionExportError, match="0 has 8 conductances, 2 more than its chips"):
        fusion_import(by_layer, mine, fusion_export(mine)[1])
    with pytest.raises(FusionExportError, match="can't be read"):
        fusion_import(str(tmp_path / "absent"), mine, params)
    with pytest.raises(FusionExportError, match="no conductances, or no parameters, of the layer 0"):
        fusion_import({}, mine, params)
    assert torch.equal(model.get_weights()[0], torch.full((2, 3), 0.4))
    with pytest.raises(TileError, match="InferenceRPUConfig"):
        fusion_export(AnalogSequential(AnalogLinear(3, 2, rpu_config=SingleRPUConfig())))
