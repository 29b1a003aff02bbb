"""Chips that are trained through their converters, and those that are read in time, against aihwkit's torch tiles.

`aihwkit_torch_tiles.json` holds what aihwkit 1.2.0 printed and computed; inputs are chosen without ties: no rounding of
float32 decides between two levels, or between two points of time.
"""

import copy
import dataclasses
import enum
import io
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from aihwkit.exceptions import AnalogBiasConfigError, ConfigError, TorchTileConfigError
from aihwkit.inference import PCMLikeNoiseModel, SinglePairConductanceConverter, drift_analog_weights
from aihwkit.nn import AnalogConv2d, AnalogLinear, AnalogSequential
from aihwkit.optim import AnalogSGD
from aihwkit.simulator import configs as c
from aihwkit.simulator import presets
from aihwkit.simulator.digital_low_precision import config_utils
from aihwkit.simulator.parameters import enums, pre_post, quantization
from aihwkit.simulator.tiles.array import TileModuleArray
from aihwkit.simulator.tiles.inference_torch import TorchInferenceTile

from analogjax import physics
from compat import tile_weights
from compat.whole_batch import WholeBatch
from tests.compat.descent import losses_of

MEASURED = json.loads((Path(__file__).parent / "aihwkit_torch_tiles.json").read_text())
KINDS = {
    "mv_type": enums.AnalogMVType, "noise_management": enums.NoiseManagementType,
    "bound_management": enums.BoundManagementType,
}  # fmt: skip
TIMED = c.TorchInferenceRPUConfigIRDropT
CONFIGS = (c.TorchInferenceRPUConfig, TIMED, c.QuantizedTorchInferenceRPUConfig, presets.FloatingPointPreset)


def tensor(values):
    return torch.tensor(values, dtype=torch.float32)


def material():
    return PCMLikeNoiseModel(g_converter=SinglePairConductanceConverter(g_max=20.0, g_min=1.0), g_max=20.0)


def configured(case):
    config = TIMED() if case["timed"] else c.TorchInferenceRPUConfig()
    for name, value in case["given"].items():
        setattr(config.forward, name, KINDS[name](value) if name in KINDS else value)
    config.mapping.max_input_size, config.mapping.weight_scaling_omega = case["max_input_size"], case["omega"]
    config.mapping.weight_scaling_columnwise = True
    if case["timed"]:
        config.noise_model = material()
    return config


def layer_of(case):
    w, b = tensor(case["w"]), tensor(case["b"])
    layer = AnalogLinear(w.shape[1], w.shape[0], rpu_config=configured(case))
    layer.set_weights(w, b)
    return layer


def close(ours, theirs, rtol=2e-6):
    """Up to a rounding error of the largest number."""
    theirs = np.asarray(theirs)
    return np.abs(ours.detach().numpy() - theirs).max() <= rtol * np.abs(theirs).max()


def named(name):
    modules = (c, quantization, presets, pre_post, config_utils)
    return next(getattr(module, name) for module in modules if hasattr(module, name))


@pytest.mark.parametrize("name", [name for name in MEASURED["text"] if name != "rounded"])
def test_configurations_print_as_in_aihwkit(name):
    ours = str(named(name)()).replace("compat.aihwkit", "aihwkit").splitlines()
    theirs = MEASURED["text"][name].splitlines()
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        # noise models print differently: theirs shows every number
        assert mine == other or (mine.strip().startswith("noise_model=PCMLike") and "noise_model=PCMLike" in other)


def described(value):
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, type):
        return value.__name__
    plain = value is None or isinstance(value, (bool, int, float, str, list))
    return value if plain else {"class": type(value).__name__}


@pytest.mark.parametrize("name", MEASURED["defaults"])
def test_fields_order_and_defaults_are_those_of_aihwkit(name):
    made, theirs = named(name)(), MEASURED["defaults"][name]
    values = {field.name: getattr(made, field.name) for field in dataclasses.fields(made)}
    # the class of arrays and dictionaries were not written down
    values = {key: value for key, value in values.items() if key != "tile_array_class" and not isinstance(value, dict)}
    ours = {key: described(value) for key, value in values.items()}
    assert ours == theirs and list(ours) == list(theirs)


@pytest.mark.parametrize("kind", CONFIGS)
def test_configurations_are_copied_and_pickled(kind):
    config = kind()
    config.mapping.max_output_size = 7
    for again in (copy.deepcopy(config), pickle.loads(pickle.dumps(config))):
        assert type(again) is kind and again == config and again.to_native(5) == config.to_native(5)
    assert config != kind()


@pytest.mark.parametrize("name", MEASURED["read"])
def test_reads_and_gradients_are_those_of_aihwkit(name):
    case = MEASURED["read"][name]
    layer, x = layer_of(case), tensor(case["x"]).requires_grad_()
    y = layer(x)
    y.backward(tensor(case["d"]))
    assert close(y, case["trained"])
    # the parameters are in units of the devices: a step by them moves the logical weights by the gradient of these
    scales = [torch.from_numpy(np.array(tile_weights.scales(tile.chips.tile))) for tile in layer.analog_tiles()]
    grads = [tile.shared_weights.grad * s for tile, s in zip(layer.analog_tiles(), scales, strict=True)]
    assert close(torch.cat(grads, 1), case["dw"])
    assert close(x.grad, case["dx"])
    assert close(layer.eval()(x.detach()), case["read"])


def test_a_step_of_the_optimizer_is_that_of_the_gradient():
    case = MEASURED["read"]["plain, two chips"]
    layer = layer_of(case)
    assert type(layer.analog_module) is TileModuleArray
    assert [type(tile) for tile in layer.analog_tiles()] == 2 * [TorchInferenceTile]
    optimizer = AnalogSGD(layer.parameters(), lr=0.25)
    optimizer.regroup_param_groups(layer)
    before, bias = layer.get_weights()
    layer(tensor(case["x"])).backward(tensor(case["d"]))
    optimizer.step()
    after, moved = layer.get_weights()
    assert close(before - after, 0.25 * np.asarray(case["dw"]), 1e-5)
    assert close(bias - moved, 0.25 * np.asarray(case["d"]).sum(0), 1e-5)


def test_the_circuit_of_a_layer():
    config = TIMED(noise_model=material())
    config.forward.ir_drop_segments, config.mapping.max_input_size = 4, 64
    pair = physics.SinglePair(g_max=20.0, g_min=1.0)
    circuit = physics.TimedCrossbar(segments=4, phys_input_size=64, g_converter=pair)
    expected = physics.Periphery(crossbar=circuit, bound_management=WholeBatch())
    native = config.to_native()
    assert native.forward == expected and native.backward == physics.Periphery(is_perfect=True)
    layer = AnalogLinear(10, 4, rpu_config=config)
    assert type(layer.analog_module) is TorchInferenceTile and layer.analog_module.chips.tile.config == native


def test_without_a_limit_a_chip_has_the_rows_of_its_layer():
    config = TIMED()
    config.mapping.max_input_size = config.mapping.max_output_size = 0
    assert config.to_native(24).forward.crossbar.phys_input_size == 24
    assert AnalogLinear(24, 4, rpu_config=config).analog_module.chips.tile.config.forward.crossbar.phys_input_size == 24
    with pytest.raises(ConfigError, match=r"as many rows as its layer has inputs; give them: to_native\(inputs\)"):
        config.to_native()


def test_rows_that_can_not_be_cut_into_segments_are_refused_where_the_wires_are_read():
    config = TIMED()
    config.mapping.max_input_size = 20
    layer = AnalogLinear(10, 4, rpu_config=config)
    assert layer(torch.ones(2, 10)).shape == (2, 4)  # training knows no wires
    with pytest.raises(ConfigError, match=r"ir_drop_segments=8\): must divide the rows.*gives it 20"):
        layer.eval()(torch.ones(2, 10))
    config.forward.ir_drop = 0.0
    assert AnalogLinear(10, 4, rpu_config=config).eval()(torch.ones(2, 10)).shape == (2, 4)


def test_wires_lose_voltage_in_evaluation_mode_only():
    config = TIMED()
    config.forward.out_noise, config.forward.ir_drop = 0.0, 500.0
    layer, x = AnalogLinear(16, 4, bias=False, rpu_config=config), torch.rand(3, 16)
    exact = x @ layer.get_weights()[0].T
    assert torch.allclose(layer(x), exact, atol=0.1) and not torch.allclose(layer.eval()(x), exact, atol=0.1)
    config.forward.ir_drop = 0.0
    lossless = AnalogLinear(16, 4, bias=False, rpu_config=config)
    lossless.set_weights(layer.get_weights()[0])
    assert torch.equal(lossless.eval()(x), layer.train()(x))


def test_programmed_weights_are_read_through_the_circuit():
    config = TIMED(noise_model=PCMLikeNoiseModel(prog_noise_scale=0.0, read_noise_scale=0.0))
    config.forward.out_noise = 0.0
    layer, x = AnalogLinear(16, 4, rpu_config=config), torch.rand(3, 16)
    trained = layer.eval()(x)
    layer.program_analog_weights()
    assert torch.allclose(layer(x), trained, atol=1e-5)
    drift_analog_weights(layer, 1e7)
    faded = layer.get_weights()[0]
    assert not torch.allclose(layer(x), trained, atol=1e-3) and faded.abs().sum() > 0
    layer.train()
    assert not torch.equal(layer.get_weights()[0], faded)


def test_a_network_learns():
    torch.manual_seed(1)
    config = TIMED()
    config.forward.out_noise = 0.01
    model = AnalogSequential(
        AnalogConv2d(1, 2, 3, rpu_config=config), torch.nn.Flatten(), AnalogLinear(32, 3, rpu_config=config)
    )
    x, t = torch.rand(12, 1, 6, 6), torch.arange(12) % 3
    losses = losses_of(model, lambda: torch.nn.functional.cross_entropy(model(x), t), lr=0.3, steps=60)
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])
    assert model.eval()(x).shape == (12, 3)


def test_a_layer_is_saved_copied_and_pickled():
    case = MEASURED["read"]["one pass, two chips"]
    layer, file = layer_of(case).eval(), io.BytesIO()
    torch.save(layer.state_dict(), file)
    other = AnalogLinear(16, 4, rpu_config=configured(case)).eval()
    other.load_state_dict(torch.load(io.BytesIO(file.getvalue())))
    for again in (other, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert close(again(tensor(case["x"])), case["read"])


def test_noise_from_output_to_output_spreads_as_in_aihwkits_torch_tile():
    config = c.TorchInferenceRPUConfig()
    config.forward.out_noise, config.forward.out_noise_std = 0.1, 0.02
    config.mapping.max_input_size = config.mapping.max_output_size = 0
    torch.manual_seed(3)
    n = 4000
    frozen = AnalogLinear(2, n, rpu_config=config).analog_module.chips.tile.frozen_forward["out_noise"]
    # |1 + xi|, whatever out_noise_std: mean sqrt(2 / pi) e^-1/2 + erf(1 / sqrt 2), mean square 2
    mean = np.sqrt(2 / np.pi) * np.exp(-0.5) + 0.6826894921
    assert abs(np.mean(frozen) / 0.1 - mean) < 4 * np.sqrt((2 - mean**2) / n)


REFUSED = [
    ("forward", "mv_type", c.AnalogMVType.IDEAL), ("forward", "mv_type", c.AnalogMVType.SPLIT_MODE),
    ("forward", "bound_management", c.BoundManagementType.SHIFT),
    ("forward", "noise_management", c.NoiseManagementType.AVERAGE_ABS_MAX),
    ("forward", "noise_management", c.NoiseManagementType.ABS_MAX_NP_SUM),
    ("forward", "w_noise", 0.1), ("forward", "w_noise_type", c.WeightNoiseType.PCM_READ), ("forward", "ir_drop", 1.0),
    ("forward", "out_nonlinearity", 0.1), ("forward", "slope_calibration", 0.1), ("forward", "v_offset_std", 0.1),
    ("forward", "v_offset_w_min", 0.1), ("forward", "r_series", 0.1), ("forward", "w_read_asymmetry_dtod", 0.1),
    ("modifier", "type", c.WeightModifierType.POLY), ("modifier", "enable_during_test", True),
    ("modifier", "copy_last_column", True), ("modifier", "pdrop", 0.1),
    ("clip", "type", c.WeightClipType.AVERAGE_CHANNEL_MAX), ("remap", "remapped_wmax", 0.5),
    ("remap", "max_scale_range", 0.1), ("remap", "max_scale_ref", 0.1),
]  # fmt: skip


@pytest.mark.parametrize(("part", "name", "value"), REFUSED)
def test_what_aihwkits_torch_tile_lacks_is_refused(part, name, value):
    config = c.TorchInferenceRPUConfig()
    setattr(getattr(config, part), name, value)
    with pytest.raises(TorchTileConfigError, match=rf"\({name}=.*is not part of aihwkit's torch tile; leave it at its"):
        AnalogLinear(4, 3, rpu_config=config)


def test_more_that_is_refused():
    config = TIMED()
    config.forward.r_series = 0.1
    with pytest.raises(
        TorchTileConfigError, match=r"TorchInferenceRPUConfigIRDropT: IOParametersIRDropT\(r_series=0.1"
    ):
        AnalogLinear(4, 3, rpu_config=config)
    with pytest.raises(ConfigError, match=r"Expected type .*IOParametersIRDropT.* for field forward"):
        TIMED(forward=c.IOParameters()).to_native()
    with pytest.raises(ConfigError, match=r"simulator_tile_class=str\) is not supported"):
        c.TorchInferenceRPUConfig(simulator_tile_class=str).to_native()
    config = c.TorchInferenceRPUConfig()
    config.mapping.digital_bias = False
    with pytest.raises(AnalogBiasConfigError, match=r"hold no bias; set mapping\.digital_bias=True"):
        AnalogLinear(4, 3, rpu_config=config)
    assert AnalogLinear(4, 3, bias=False, rpu_config=config)(torch.ones(1, 4)).shape == (1, 3)
    config.modifier.type = c.WeightModifierType.ADD_NORMAL
    config.modifier.std_dev = "much"
    with pytest.raises(ConfigError, match="Expected type <class 'float'> for field std_dev"):
        AnalogLinear(4, 3, bias=False, rpu_config=config)


def test_an_old_name_of_no_modifier_disturbs_nothing():
    config = c.InferenceRPUConfig()
    config.modifier.type = c.WeightModifierType.COPY
    assert not config.trains_aware
    config.modifier.pdrop = 0.1
    assert config.trains_aware


def test_perfect_chips_of_any_size():
    config = presets.FloatingPointPreset()
    layer, x = AnalogLinear(700, 3, rpu_config=config), torch.rand(2, 700)
    weight, bias = layer.get_weights()
    assert layer.analog_tile_count() == 1 and torch.allclose(layer(x), x @ weight.T + bias, atol=1e-5)


@pytest.mark.parametrize("kind", ["InferenceRPUConfig", "TorchInferenceRPUConfig"])
def test_each_chip_of_a_matrix_has_a_range_of_inputs_of_its_own(kind):
    config = getattr(c, kind)()
    config.mapping.max_input_size = 3
    config.pre_post.input_range.enable, config.pre_post.input_range.init_from_data = True, 1
    config.pre_post.input_range.init_std_alpha = 2.0
    layer = AnalogLinear(6, 2, bias=False, rpu_config=config)
    x = torch.tensor([[1.0, -1.0, 1.0, 0.01, -0.01, 0.01], [-1.0, 1.0, -1.0, -0.01, 0.01, -0.01]])
    layer(x)
    tiles = dict(layer.named_analog_tiles())
    assert list(tiles) == ["analog_module.array.0.0", "analog_module.array.1.0"]
    for tile, part in zip(tiles.values(), x.split(3, 1), strict=True):
        assert torch.allclose(tile.input_range, 2 * part.std().reshape(1), rtol=1e-5)
    again = copy.deepcopy(layer)
    again.load_state_dict(layer.state_dict())
    assert [name for name, _ in again.named_analog_tiles()] == list(tiles)


@pytest.mark.parametrize(
    ("limits", "names"),
    [
        ((-1, -1), ["analog_module.array.0.0"]),
        ((0, 0), ["analog_module"]),
        ((0, 512), ["analog_module.array.0.0"]),  # as in aihwkit
        ((4, 3), ["analog_module"]),
        ((4, 2), ["analog_module.array.0.0", "analog_module.array.0.1"]),
    ],
)
def test_which_layers_have_arrays(limits, names):
    config = c.TorchInferenceRPUConfig()
    config.mapping.max_input_size, config.mapping.max_output_size = limits
    layer = AnalogLinear(4, 3, rpu_config=config)
    assert [name for name, _ in layer.named_analog_tiles()] == names
    quantized = c.QuantizedTorchInferenceRPUConfig(mapping=config.mapping)
    expected = quantized.tile_array_class if ".array" in names[0] else quantized.tile_class
    assert quantized.get_default_tile_module_class(3, 4) is expected


@pytest.mark.parametrize("res", [0.05, 30.0])
def test_managed_inputs_need_no_bound(res):
    """Inputs in [-1, 1] meet no bound of 1 either; the steps are those of the bound that was given."""
    config = c.TorchInferenceRPUConfig()
    config.forward.inp_bound, config.forward.inp_res = -2.0, res
    native = config.to_native().forward.dac
    assert native.bound == 1.0 and native.res == pytest.approx(2 * (res if res < 1 else 1 / res))
    config.forward.noise_management = c.NoiseManagementType.CONSTANT
    with pytest.raises(ConfigError, match="the bound of the DAC must be 1"):
        config.to_native()
