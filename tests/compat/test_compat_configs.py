"""Configurations: aihwkit's defaults and printing, and checks of every field."""

import dataclasses
import json
import operator
from enum import Enum
from pathlib import Path

import pytest
import torch
from aihwkit import exceptions
from aihwkit.simulator import configs as c
from aihwkit.simulator.parameters.io import IOParametersIRDropT
from aihwkit.simulator.parameters.pre_post import InputRangeParameter
from aihwkit.simulator.parameters.runtime import RuntimeParameter

import analogjax
from analogjax import physics
from compat.flat_periphery import flat
from compat.whole_batch import WholeBatch

DEFAULTS = json.loads((Path(__file__).parent / "aihwkit_defaults.json").read_text())["classes"]


def described(value):
    if isinstance(value, Enum):
        return value.value
    return {"class": type(value).__name__} if dataclasses.is_dataclass(value) else value


@pytest.mark.parametrize("name", DEFAULTS)
def test_fields_order_and_defaults_are_those_of_aihwkit(name):
    made = getattr(c, name)()
    ours = {f.name: described(getattr(made, f.name)) for f in dataclasses.fields(made)}
    hidden = {"tile_class", "tile_array_class", "runtime"}
    ours = {key: value for key, value in ours.items() if key not in hidden}
    assert ours == DEFAULTS[name]
    assert list(ours) == list(DEFAULTS[name])


def test_printing_shows_what_differs():
    config = c.SingleRPUConfig(device=c.ConstantStepDevice(w_max_dtod=0, dw_min=0.002))
    config.forward.inp_res = 0.1
    assert str(config) == (
        "SingleRPUConfig(\n"
        "    runtime=RuntimeParameter(),\n"
        "    pre_post=PrePostProcessingParameter(input_range=InputRangeParameter(enable=False)),\n"
        "    mapping=MappingParameter(),\n"
        "    forward=IOParameters(inp_res=0.1),\n"
        "    backward=IOParameters(),\n"
        "    update=UpdateParameters(),\n"
        "    device=ConstantStepDevice(dw_min=0.002, w_max_dtod=0)\n"
        ")"
    )
    cell = c.VectorUnitCell(unit_cell_devices=[c.ConstantStepDevice(), c.SoftBoundsDevice(w_max=0.3)])
    assert str(cell) == (
        "VectorUnitCell(\n    unit_cell_devices=[\n        ConstantStepDevice(),\n"
        "        SoftBoundsDevice(w_max=0.3)\n    ]\n)"
    )
    assert str(c.IOParameters(is_perfect=True, inp_res=0.3)) == "IOParameters(is_perfect=True)"
    assert "drift=SimpleDriftParameter()" in str(c.FloatingPointRPUConfig())


def test_conversion_reaches_every_part():
    config = c.SingleRPUConfig(device=c.LinearStepDevice(gamma_up=0.2, drift=c.DriftParameter(nu=0.1)))
    config.forward.noise_management = c.NoiseManagementType.MAX
    config.update.pulse_type = c.PulseType.NONE_WITH_DEVICE
    config.mapping.max_input_size = 100
    native = config.to_native()
    assert native == analogjax.TileConfig(
        device=physics.LinearStep(gamma_up=0.2, drift=physics.Drift(nu=0.1)),
        forward=physics.Periphery(noise_management=physics.NoiseManagement(kind="Max")),
        update=physics.Pulses(pulse_type="NoneWithDevice"),
        mapping=analogjax.tile.Mapping(max_input_size=100),
    )
    assert c.SingleRPUConfig().to_native() == analogjax.TileConfig()


def test_unit_cells():
    policy = c.VectorUnitCellUpdatePolicy.SINGLE_RANDOM
    cell = c.VectorUnitCell([c.ConstantStepDevice(), c.SoftBoundsDevice()], update_policy=policy, gamma_vec=[1.0, 0.5])
    assert c.UnitCellRPUConfig(device=cell).to_native().device == physics.Vector(
        devices=(physics.ConstantStep(), physics.SoftBounds()), update_policy="SingleRandom", gamma_vec=(1.0, 0.5)
    )
    pair = c.ReferenceUnitCell([c.ConstantStepDevice()]).to_native()
    assert len(pair.devices) == 2 and pair.gamma_vec == (1.0, -1.0) and pair.update_policy.value == "SingleFixed"
    with pytest.raises(exceptions.ConfigError, match="UnitCell is not supported"):
        c.UnitCellRPUConfig().to_native()


@pytest.mark.parametrize(("field", "value"), [("dw_min", "x"), ("dw_min", True), ("perfect_bias", 1), ("w_max", None),
                                              ("drift", 0.1), ("construction_seed", 1.0)])  # fmt: skip
def test_types_are_checked(field, value):
    config = c.SingleRPUConfig(device=c.ConstantStepDevice(**{field: value}))
    with pytest.raises(exceptions.ConfigError, match=f"Expected type .* for field {field}"):
        config.to_native()


def test_a_whole_number_stands_for_a_float_and_never_a_bool():
    assert c.ConstantStepDevice(dw_min=1).to_native().dw_min == 1
    with pytest.raises(exceptions.ConfigError, match="desired_bl"):
        c.UpdateParameters(desired_bl=True).to_native()


def test_a_wrong_name_is_found_out():
    config = c.SingleRPUConfig()
    config.forward.inp_re = 3
    with pytest.raises(exceptions.ConfigError, match=r"'inp_re'. Wrong attribute name\? Did you mean 'inp_res'"):
        config.to_native()
    other = c.SingleRPUConfig()
    other.device.w_maxi = 1.0
    with pytest.raises(exceptions.ConfigError, match="Wrong attribute name"):
        other.to_native()


@pytest.mark.parametrize(
    "part", ["", "mapping", "runtime", "pre_post", "pre_post.input_range", "forward"], ids=lambda part: part or "itself"
)
def test_names_that_aihwkit_never_looks_at_are_pointed_out(part):
    config = c.TorchInferenceRPUConfigIRDropT()
    plain = config.to_native(3)
    view = operator.attrgetter(part)(config) if part else config
    view.learning = True
    with pytest.warns(UserWarning, match=f"{type(view).__name__} has no field 'learning', so that setting it changes"):
        assert config.to_native(3) == plain


def test_number_types_have_a_torch_type():
    types = [kind.as_torch() for kind in c.RPUDataType]
    assert types == [torch.float32, torch.float64, torch.float16]


def test_a_bool_is_a_number_where_aihwkit_does_not_check():
    config = c.InferenceRPUConfig()
    config.mapping.weight_scaling_omega, config.mapping.max_input_size = True, False
    mapping = config.to_native().mapping
    assert (mapping.weight_scaling_omega, mapping.max_input_size) == (1.0, 0)
    assert type(mapping.weight_scaling_omega) is float and type(mapping.max_input_size) is int
    config.mapping.digital_bias = 0
    assert config.to_native().mapping.digital_bias is False
    config.forward.is_perfect = 1
    with pytest.raises(exceptions.ConfigError, match="is_perfect of IOParameters, got 1"):
        config.to_native()


@pytest.mark.parametrize("part", ["modifier", "clip", "remap"])
def test_no_type_is_the_type_none(part):
    config = c.InferenceRPUConfig()
    view = getattr(config, part)
    view.type = None
    assert view.type.name == "NONE"
    assert type(view)(type=None).to_native() is view.to_native() is None


UNSUPPORTED = [
    (c.IOParameters, "bound_management", c.BoundManagementType.SHIFT), (c.ConstantStepDevice, "count_pulses", True),
]  # fmt: skip


PULSE_FIELDS = [
    *[("pulse_type", kind) for kind in c.PulseType], ("d_sparsity", True), ("x_res_implicit", 0.1),
    ("d_res_implicit", 0.2), ("res", 0.01), ("sto_round", True), ("um_grad_scale", 0.5),
]  # fmt: skip


@pytest.mark.parametrize(("field", "value"), PULSE_FIELDS)
def test_every_field_of_an_update_reaches_the_pulses(field, value):
    native = c.UpdateParameters(**{field: value}).to_native()
    # a statistic that changes no update
    seen = {} if field == "d_sparsity" else {field: getattr(value, "value", value)}
    assert native == physics.Pulses(**seen)


IO_FIELDS = {
    "inp_bound": 1, "inp_noise": 0.1, "inp_res": 0.1, "inp_sto_round": True, "inp_asymmetry": 0.1, "out_bound": 3.0,
    "out_noise": 0.1, "out_noise_std": 0.1, "out_res": 0.1, "out_sto_round": True, "out_scale": 2.0,
    "out_asymmetry": 0.1, "out_nonlinearity": 0.1, "out_nonlinearity_std": 0.1, "slope_calibration": 0.5,
    "w_noise": 0.1, "w_noise_type": c.WeightNoiseType.PCM_READ, "ir_drop": 1.0, "ir_drop_g_ratio": 20.0,
    "v_offset_std": 0.1, "v_offset_w_min": 0.0, "r_series": 0.1, "w_read_asymmetry_dtod": 0.1, "nm_thres": 0.5,
    "mv_type": c.AnalogMVType.POS_NEG_SEPARATE_DIGITAL_SUM, "noise_management": c.NoiseManagementType.MAX,
    "bound_management": c.BoundManagementType.ITERATIVE_WORST_CASE, "max_bm_factor": 10, "max_bm_res": 0.1,
    "bm_test_negative_bound": False, "is_perfect": True,
}  # fmt: skip


@pytest.mark.parametrize("field", IO_FIELDS)
def test_every_field_of_a_product_reaches_the_periphery(field):
    value = IO_FIELDS[field]
    # without a type, aihwkit adds no noise of the weights
    with_it = {"w_noise_type": c.WeightNoiseType.PCM_READ} if field == "w_noise" else {}
    native = c.IOParameters(**{field: value} | with_it).to_native()
    # back under aihwkit's names, that one value differs and no other
    default, told = flat(physics.Periphery()), flat(native)
    assert told[field] == getattr(value, "value", value)
    assert {name for name in told if told[name] != default[name]} == {field, *with_it} - {"inp_bound"}  # must stay at 1


def test_every_field_is_tried():
    assert set(IO_FIELDS) == {field.name for field in dataclasses.fields(c.IOParameters)}


def test_products_without_management_and_exact_ones():
    off = c.IOParameters(
        noise_management=c.NoiseManagementType.NONE, bound_management=c.BoundManagementType.NONE, inp_bound=2.0
    )
    assert off.to_native() == physics.Periphery(
        dac=physics.DAC(bound=2.0), noise_management=None, bound_management=None
    )
    assert c.IOParameters(mv_type=c.AnalogMVType.IDEAL).to_native() == physics.Periphery(is_perfect=True)


def test_what_aihwkit_takes_without_effect_is_taken():
    assert c.IOParameters(w_noise=0.1).to_native() == physics.Periphery()
    assert c.IOParameters(ir_drop_g_ratio=0.0).to_native() == physics.Periphery()
    pairs = c.TorchInferenceRPUConfigIRDropT().noise_model.g_converter.to_native()
    circuit = IOParametersIRDropT(ir_drop=0.0, ir_drop_g_ratio=-2.0).circuit(4, pairs)
    assert not circuit.crossbar.ir_drop
    with pytest.raises(exceptions.ConfigError, match=r"ir_drop_g_ratio=0.0\): needs a ratio"):
        c.IOParameters(ir_drop=0.5, ir_drop_g_ratio=0.0).to_native()
    off = {"bound_management": c.BoundManagementType.NONE}
    assert c.IOParameters(max_bm_factor=-3, **off).to_native() == physics.Periphery(bound_management=None)
    with pytest.raises(exceptions.ConfigError, match="max_bm_factor=-3"):
        c.IOParameters(max_bm_factor=-3).to_native()


@pytest.mark.parametrize("name", ["max_input_size", "max_output_size", "weight_scaling_omega"])
def test_below_none_is_none(name):
    off, less = c.InferenceRPUConfig(), c.InferenceRPUConfig()
    setattr(off.mapping, name, 0)
    setattr(less.mapping, name, -7)
    assert less.to_native() == off.to_native()
    assert getattr(less.mapping, name) == -7  # as it was set


@pytest.mark.parametrize(("name", "value"), [("init_from_data", -1), ("decay", -0.5)])
def test_a_range_that_never_looks_at_data_may_say_so_below_0(name, value):
    assert InputRangeParameter(**{name: value}).to_native() == InputRangeParameter(**{name: 0}).to_native()


def test_the_seed_of_a_device_inside_a_cell_counts_for_nothing():
    seeded = c.OneSidedUnitCell([c.SoftBoundsDevice(construction_seed=7)], construction_seed=2)
    with pytest.warns(UserWarning, match=r"SoftBoundsDevice\(construction_seed=7\): inside a OneSidedUnitCell"):
        made = seeded.to_native()
    assert made == c.OneSidedUnitCell([c.SoftBoundsDevice()], construction_seed=2).to_native()
    assert c.UnitCellRPUConfig(device=seeded).population_seed == 2


def test_a_remedy_is_in_aihwkits_words():
    with pytest.raises(exceptions.ConfigError, match=r"inp_bound=2.0.*noise_management=NoiseManagementType.NONE"):
        c.IOParameters(inp_bound=2.0).to_native()


def test_products_in_time():
    view = IOParametersIRDropT(ir_drop_segments=4, mv_type=c.AnalogMVType.SPLIT_MODE)
    circuit = physics.TimedCrossbar(segments=4, mv_type="SplitMode")
    expected = physics.Periphery(crossbar=circuit, bound_management=WholeBatch())
    assert in_time(view) == expected and view.ir_drop == 1.0
    with pytest.raises(exceptions.ConfigError, match=r"ir_drop_segments=3\): must divide the rows.*gives it 512"):
        IOParametersIRDropT(ir_drop_segments=3).check_rows(512)
    IOParametersIRDropT(ir_drop_segments=3, ir_drop=0.0).check_rows(512)
    with pytest.raises(exceptions.ConfigError, match=r"IOParametersIRDropT\(ir_drop_rs=-1.0\): needs a finite"):
        in_time(IOParametersIRDropT(ir_drop_rs=-1.0))
    with pytest.raises(exceptions.ConfigError, match=r"\(v_offset_std=0.1\): is not part of a crossbar"):
        in_time(IOParametersIRDropT(v_offset_std=0.1))
    with pytest.raises(exceptions.ConfigError, match=r"IOParameters\(mv_type=.*only a TimedCrossbar reads bits"):
        c.IOParameters(mv_type=c.AnalogMVType.BIT_WISE).to_native()


def in_time(view):
    return view.circuit(physics.TimedCrossbar().phys_input_size, physics.SinglePair())


def test_other_tiles_than_those_in_time_have_the_plain_wires_and_say_what_they_do_not_read():
    config = c.InferenceRPUConfig(forward=IOParametersIRDropT(ir_drop=0.5))
    assert config.to_native().forward == c.IOParameters(ir_drop=0.5).to_native()
    config.forward.ir_drop_rs = 0.35
    with pytest.warns(UserWarning, match="ir_drop_rs: only TorchInferenceRPUConfigIRDropT reads these"):
        assert config.to_native().forward == c.IOParameters(ir_drop=0.5).to_native()


@pytest.mark.parametrize(("view", "field", "value"), UNSUPPORTED, ids=[row[1] for row in UNSUPPORTED])
def test_what_is_not_supported_is_never_ignored(view, field, value):
    with pytest.raises(exceptions.ConfigError, match=rf"{view.__name__}\({field}=.* is not supported"):
        view(**{field: value}).to_native()


def test_unsupported_surroundings():
    config = c.SingleRPUConfig()
    config.pre_post.input_range.init_value = 0.0
    config.to_native()  # without `enable` it has no effect
    config.pre_post.input_range.enable = True
    with pytest.raises(exceptions.ConfigError, match=r"InputRangeParameter: InputRange\(init_value=0.0\)"):
        config.to_native()
    config = c.SingleRPUConfig(runtime=RuntimeParameter(data_type=c.RPUDataType.HALF))
    with pytest.raises(exceptions.ConfigError, match="data_type"):
        config.to_native()


def test_errors_of_the_physics_are_aihwkits_errors():
    with pytest.raises(exceptions.ConfigError, match=r"IOParameters\(inp_bound=2.0\): noise management .* must be 1"):
        c.IOParameters(inp_bound=2.0).to_native()
    with pytest.raises(exceptions.AihwkitException, match="w_max"):
        c.ConstantStepDevice(w_max=-1.0).to_native()


def test_a_simple_drift_is_a_drift():
    simple, full = (c.ConstantStepDevice(drift=kind(nu=0.3)) for kind in (c.SimpleDriftParameter, c.DriftParameter))
    assert simple.to_native() == full.to_native()
    assert c.ConstantStepDevice(drift=c.SimpleDriftParameter()).to_native() == c.ConstantStepDevice().to_native()
