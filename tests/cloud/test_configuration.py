"""Configurations as data: every preset and every compound travels, and what does not fit is refused where it stands."""

import json
import math

import pytest

from analogjax import TileConfig
from analogjax.cloud.configuration import (
    CLASSES,
    any_config_from_json,
    any_config_to_json,
    config_from_json,
    config_to_json,
    expanded,
)
from analogjax.cloud.errors import DescriptionError
from analogjax.physics import (
    ADC,
    DAC,
    ConstantStep,
    ExpStep,
    Periphery,
    PiecewiseStep,
    PowStepReference,
    Pulses,
    SinglePair,
    SoftBoundsPmax,
    TimedCrossbar,
    Vector,
    tiki_taka,
)
from analogjax.physics.compounds import (
    MixedPrecision,
    OneSided,
    agad,
    c_ttv2,
    residual,
    ttv2,
)
from analogjax.physics.hardware_aware import (
    ColumnwiseRemap,
    Discretize,
    DropConnect,
    ExceptLastColumn,
    FixedClip,
    InputRange,
    ProgNoise,
)
from analogjax.tile import HardwareAware
from analogjax.tile.algorithms import ALGORITHMS, COUNTED, build_config
from analogjax.tile.presets import PRESETS, preset
from compat.whole_batch import WholeBatch

_PAIR = (ConstantStep(dw_min=0.002), ExpStep(b=0.1))
_REFERENCE = Vector(devices=_PAIR, update_policy="SingleFixed", gamma_vec=(1.0, -1.0))
_READ = Periphery(adc=ADC(bound=5.0), noise_management=None)
DEVICES = [
    PiecewiseStep(piecewise_up=(1.0, 0.5, 0.1), piecewise_down=(0.1, 0.5, 1.0)),
    PowStepReference(pow_gamma=1.5, n_estimation_steps=7, subtract_symmetry_point=True),
    SoftBoundsPmax(p_max=500, range_min=-0.5),
    _REFERENCE,
    OneSided(device=ExpStep(), refresh_every=3, refresh_forward=_READ, refresh_update=Pulses(desired_bl=7)),
    tiki_taka(devices=(*_PAIR, ConstantStep()), gamma_vec=(0.1, 0.2, 1.0), transfer_every_vec=(1.0, 2.0, 0.0)),
    tiki_taka(devices=(_REFERENCE, _REFERENCE), transfer_forward=_READ, transfer_update=Pulses(desired_bl=3)),
    ttv2(devices=_PAIR, thres_scale=2.0, transfer_lr_vec=(0.5, 1.0)),
    c_ttv2(devices=_PAIR, in_chop_prob=0.2, auto_scale=True, transfer_update=Pulses(desired_bl=2)),
    agad(devices=_PAIR, tail_weightening=20.0, buffer_cap=1.0, forget_buffer=False),
    residual(devices=_PAIR, warm_start=math.inf),
    *(build_config(name, ConstantStep(), n_devices=3 if name in COUNTED else 1).device for name in ALGORITHMS),
    MixedPrecision(device=OneSided(device=ConstantStep()), granularity_override=0.01, n_x_bins=8, stoc_round_d=False),
]


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_travels_by_its_name_and_in_full(name):
    config = preset(name)
    assert config_to_json(config) == {"preset": name} and config_from_json({"preset": name}) == config
    full = json.loads(json.dumps(expanded(name)))
    assert full["class"] == "TileConfig"
    again = config_from_json(full)
    assert again == config and hash(again) == hash(config)


@pytest.mark.parametrize("device", DEVICES, ids=lambda device: type(device).__name__)
def test_a_device_travels_with_all_that_it_is_made_of(device):
    config = TileConfig(device=device)
    assert config_from_json(json.loads(json.dumps(config_to_json(config), allow_nan=False))) == config


PAIR = SinglePair(g_max=20.0, g_min=1.5)
SPLIT = TimedCrossbar(mv_type="SplitMode", split_mode_bit_shift=4, g_converter=PAIR)
TIMED = [
    TileConfig(forward=Periphery(crossbar=TimedCrossbar())),
    TileConfig(forward=Periphery(crossbar=TimedCrossbar(ir_drop=0.0)), backward=Periphery(is_perfect=True)),
    TileConfig(forward=Periphery(dac=DAC(res=254), crossbar=SPLIT)),
    TileConfig(forward=Periphery(crossbar=TimedCrossbar(phys_input_size=96, segments=3), noise_management=None)),
    TileConfig(
        device=tiki_taka(devices=_PAIR, transfer_forward=Periphery(crossbar=TimedCrossbar(adc_quantization=False)))
    ),
]


@pytest.mark.parametrize("config", TIMED)
def test_a_product_in_time_travels_with_its_conductances(config):
    sent = json.loads(json.dumps(any_config_to_json(config)))
    again = config_from_json(sent)
    assert again == config and hash(again) == hash(config)


def test_of_a_product_in_time_only_what_differs_is_sent():
    forward = Periphery(crossbar=TimedCrossbar(wire_resistance=0.3, g_converter=PAIR))
    assert config_to_json(TileConfig(forward=forward))["forward"] == {
        "class": "Periphery",
        "crossbar": {
            "class": "TimedCrossbar", "wire_resistance": 0.3,
            "g_converter": {"class": "SinglePair", "g_max": 20.0, "g_min": 1.5},
        },
    }  # fmt: skip


_TIMED = {"class": "TimedCrossbar"}
_READING = {"class": "Periphery"}


@pytest.mark.parametrize(
    ("old", "told"),
    [
        ({"class": "PeripheryIRDropT"}, "config.forward: class 'PeripheryIRDropT' is unknown; known are ADC"),
        (_READING | {"inp_res": 0.1}, "config.forward: Periphery has no field 'inp_res'; it has dac, crossbar, adc"),
        (_READING | {"noise_management": "None"}, "config.forward.noise_management: 'None' does not fit there"),
    ],
)
def test_a_description_of_before_the_parts_is_refused(old, told):
    with pytest.raises(DescriptionError) as caught:
        config_from_json({"class": "TileConfig", "forward": old})
    assert told in str(caught.value)


def test_a_part_that_is_left_out_travels():
    config = TileConfig(forward=Periphery(noise_management=None, bound_management=None))
    assert config_to_json(config)["forward"] == _READING | {"noise_management": None, "bound_management": None}
    assert config_from_json(config_to_json(config)) == config


def test_a_read_policy_of_ones_own_does_not_travel():
    config = TileConfig(forward=Periphery(bound_management=WholeBatch()))
    with pytest.raises(DescriptionError, match=r"forward.bound_management is a WholeBatch: an experiment"):
        config_to_json(config)


@pytest.mark.parametrize(
    ("forward", "told"),
    [
        ({"class": "SinglePair"}, "config.forward: a SinglePair does not fit there; give a Periphery."),
        ({"class": "Drift"}, "config.forward: a Drift does not fit there; give a Periphery."),
        ({"class": "Ideal"}, "config.forward: a Ideal does not fit there; give a Periphery."),
        (None, "config.forward: None does not fit there."),
        (25.0, "config.forward: 25.0 does not fit there."),
        (_READING | {"rows": 64}, "config.forward: Periphery has no field 'rows'; it has dac"),
        (_READING | {"dac": {"class": "ADC"}}, "config.forward.dac: a ADC does not fit there; give a DAC."),
        (_READING | {"dac": None}, "config.forward.dac: None does not fit there."),
        (_READING | {"dac": {"class": "DAC", "res": [1.0]}}, "config.forward.dac.res: a list does not fit there."),
        (_READING | {"adc": {"class": "ADC", "noise": -1}}, "config.forward.adc: ADC(noise=-1): needs"),
        (_READING | {"noise_management": _READING}, "a Periphery does not fit there; give a NoiseManagement."),
        (_READING | {"crossbar": {"class": "DAC"}}, "a DAC does not fit there; give a Crossbar or TimedCrossbar."),
        (_READING | {"crossbar": None}, "config.forward.crossbar: None does not fit there."),
    ],
)
def test_a_periphery_that_makes_no_sense_is_refused_where_it_stands(forward, told):
    with pytest.raises(DescriptionError) as caught:
        config_from_json({"class": "TileConfig", "forward": forward})
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("circuit", "told"),
    [
        ({"rows": 64}, "config.forward.crossbar: TimedCrossbar has no field 'rows'; it has mv_type"),
        ({"segments": 3}, "config.forward.crossbar: TimedCrossbar(segments=3): must divide"),
        ({"segments": 8.0}, "config.forward.crossbar.segments: needs a whole number, not 8.0"),
        ({"segments": 0}, "TimedCrossbar(segments=0): needs a whole number above 0"),
        ({"phys_input_size": 10**9}, "config.forward.crossbar.phys_input_size: a chip has at most 65536 rows"),
        ({"phys_input_size": True}, "config.forward.crossbar.phys_input_size: needs a whole number, not True"),
        ({"adc_quantization": 1}, "config.forward.crossbar.adc_quantization: needs true or false, not 1"),
        ({"adc_frequency": float("nan")}, "config.forward.crossbar.adc_frequency: needs a finite number, not nan"),
        ({"mv_type": "PosNegSeparate"}, "this circuit knows 'OnePass', 'SplitMode', 'BitWise'."),
        ({"mv_type": "Bits"}, "config.forward.crossbar.mv_type: 'Bits' is unknown; choose one of 'OnePass'"),
        ({"g_converter": 25.0}, "config.forward.crossbar.g_converter: 25.0 does not fit there."),
        ({"g_converter": None}, "config.forward.crossbar.g_converter: None does not fit there."),
        ({"g_converter": _TIMED}, "crossbar.g_converter: a TimedCrossbar does not fit there; give a Sin"),
        ({"g_converter": {"class": "Pair"}}, "config.forward.crossbar.g_converter: class 'Pair' is unknown"),
        ({"g_converter": {"class": "SinglePair", "g_max": 1.0, "g_min": 2.0}}, "SinglePair(g_max=1.0): needs"),
        ({"g_converter": {"class": "SinglePair", "g_max": "25"}}, "config.forward.crossbar.g_converter.g_max: needs a"),
    ],
)
def test_a_product_in_time_that_makes_no_sense_is_refused_where_it_stands(circuit, told):
    with pytest.raises(DescriptionError) as caught:
        config_from_json({"class": "TileConfig", "forward": _READING | {"crossbar": _TIMED | circuit}})
    assert told in str(caught.value)


def test_a_preset_that_was_changed_travels_in_full():
    config = TileConfig(device=preset("AGADEcRamPreset").device)
    sent = config_to_json(config)
    assert (
        sent["device"]["class"] == "Transfer"
        and [one["class"] for one in sent["device"]["devices"]] == ["LinearStep"] * 2
    )
    assert config_from_json(sent) == config


def _told(device: dict) -> str:
    with pytest.raises(DescriptionError) as caught:
        config_from_json({"class": "TileConfig", "device": device})
    return str(caught.value)


_STEP = {"class": "ConstantStep"}


@pytest.mark.parametrize(
    ("device", "told"),
    [
        ({"class": "Transfer"}, "config.device: "),
        ({"class": "Transfer", "devices": [_STEP]}, "needs two or more devices"),
        (
            {"class": "Transfer", "devices": _STEP},
            "config.device.devices: a ConstantStep does not fit there; give a list.",
        ),
        ({"class": "Transfer", "devices": [_STEP, 1.0]}, 'config.device.devices[1]: give {"class": NAME'),
        ({"class": "Transfer", "devices": [_STEP, {"class": "Pulses"}]}, "devices[1]: a Pulses does not fit there"),
        ({"class": "Transfer", "devices": [_STEP, _STEP], "gamma_vec": [_STEP, 1]}, "gamma_vec[0]: needs a finite"),
        ({"class": "Transfer", "devices": [_STEP, _STEP], "gamma_vec": [1.0]}, "one number for each of the 2 devices"),
        (
            {
                "class": "Transfer",
                "devices": [_STEP, _STEP],
                "reader": {"class": "Reader", "transfer_forward": {"class": "Pulses"}},
            },
            "transfer_forward: a Pulses does not fit there; give a Periphery",
        ),
        ({"class": "Transfer", "devices": [_STEP] * 3, "chopper": {"class": "Chopper"}}, "exactly two"),
        ({"class": "OneSided", "device": {"class": "Ideal"}}, "needs a pulsed device"),
        ({"class": "OneSided", "device": {"class": "Periphery"}}, "a Periphery does not fit there; give a Device"),
        ({"class": "OneSided", "device": _STEP, "refresh_every": 1.5}, "refresh_every: needs a whole number"),
        ({"class": "MixedPrecision", "granularity": 1.0}, "MixedPrecision has no field 'granularity'; it has device"),
        ({"class": "UnitCell"}, "class 'UnitCell' is unknown; known are ADC, BoundManagement, "),
        ({"class": "UpdatePolicy"}, "class 'UpdatePolicy' is unknown"),
    ],
)
def test_what_does_not_fit_is_refused_where_it_stands(device, told):
    assert told in _told(device)


@pytest.mark.parametrize("huge", [10**309, -(10**400), 10**1000], ids=["309", "-400", "1000"])
@pytest.mark.parametrize(
    ("config", "told"),
    [
        (lambda n: {"device": {"class": "SoftBounds", "dw_min": n}}, "dw_min: needs a finite number"),
        (lambda n: {"forward": _READING | {"dac": {"class": "DAC", "res": n}}}, "res: needs a finite number"),
        (lambda n: {"mapping": {"class": "Mapping", "max_output_size": n}}, "max_output_size: needs a whole number"),
        (lambda n: {"device": {"class": "Transfer", "devices": [_STEP, _STEP], "gamma_vec": [n, 1]}}, "gamma_vec[0]"),
    ],
)
def test_numbers_beyond_all_floats_are_refused(config, told, huge):
    with pytest.raises(DescriptionError) as caught:
        config_from_json({"class": "TileConfig"} | config(huge))
    assert told in str(caught.value) and len(str(caught.value)) < 300


def test_whole_numbers_fit_into_those_of_the_machine():
    config_from_json({"class": "TileConfig", "mapping": {"class": "Mapping", "max_input_size": 2**31 - 1}})
    with pytest.raises(DescriptionError, match="max_input_size: a whole number is at most 2147483647"):
        config_from_json({"class": "TileConfig", "mapping": {"class": "Mapping", "max_input_size": 2**31}})


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"update": {"class": "Pulses", "desired_bl": 10**6}}, "config.update.desired_bl: a train has at most 4096"),
        ({"device": {"class": "Vector", "devices": [_STEP] * 1025}}, "config.device.devices: are 1025; at most 1024"),
        ({"device": _STEP | {"dw_min": 1e39}}, "dw_min: a number is at most 3.40282e+38 (float32) here, not 1e+39"),
        ({"device": {"class": "Vector", "devices": [_STEP], "gamma_vec": [-1e300]}}, "gamma_vec[0]: a number is at"),
        ({"device": {"class": "PowStepReference", "n_estimation_steps": 2**31 - 1}}, "at most 1000000 steps"),
        ({"device": _STEP | {"dw_min": "inf"}}, "ConstantStep(dw_min=inf): needs a finite number"),
        ({"device": _STEP | {"dw_min": "-inf"}}, "dw_min: needs a finite number, not '-inf'"),
        ({"update": {"class": "Pulses", "desired_bl": "inf"}}, "desired_bl: needs a whole number, not 'inf'"),
    ],
)
def test_numbers_that_no_chip_or_program_could_hold_are_refused(config, told):
    with pytest.raises(DescriptionError) as caught:
        config_from_json({"class": "TileConfig"} | config)
    assert told in str(caught.value)


def test_a_compound_of_compounds_without_end_is_refused():
    device = _STEP
    for _ in range(20):
        device = {"class": "Vector", "devices": [device]}
    assert "known are" in _told(device)


def test_nothing_but_parameter_classes_is_ever_made():
    assert {"Transfer", "OneSided", "Vector", "MixedPrecision", "ExpStep", "TileConfig"} <= set(CLASSES)
    assert all(hasattr(kind, "__dataclass_fields__") for kind in CLASSES.values())


@pytest.mark.parametrize(
    "config",
    [
        HardwareAware(clip=FixedClip(fixed_value=0.5), remap=ColumnwiseRemap(), fresh_chips=2),
        HardwareAware(modifier=ExceptLastColumn(modifier=Discretize(res=0.1)), input_range=InputRange(init_value=2.0)),
        HardwareAware(modifier=DropConnect(pdrop=0.1, modifier=ProgNoise(coeffs=(1.0, 2.0)))),
    ],
)
def test_hardware_aware_layers_come_back_and_are_not_sent(config):
    values = json.loads(json.dumps(any_config_to_json(config)))
    assert any_config_from_json(values) == config
    with pytest.raises(DescriptionError, match="is a HardwareAware; give a TileConfig"):
        config_from_json(values)
    with pytest.raises(DescriptionError, match="config is a HardwareAware"):
        config_to_json(config)


@pytest.mark.parametrize("field", ["modifier", "clip", "remap", "input_range"])
def test_parts_of_hardware_aware_layers_fit(field):
    with pytest.raises(DescriptionError, match=rf"config\.{field}: a Mapping does not fit there"):
        any_config_from_json({"class": "HardwareAware", field: {"class": "Mapping"}})
