"""Presets by aihwkit's names: its values, and chips that can be made of each."""

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax.errors import ConfigError
from analogjax.physics import (
    ADC,
    DAC,
    BoundManagement,
    ConstantStep,
    LinearStep,
    NoiseManagement,
    Periphery,
    Pulses,
    SoftBoundsReference,
    Vector,
)
from analogjax.physics.presets import (
    PRESET_PERIPHERY,
    PRESET_PULSES,
    RERAM_ARRAY_HFO2,
    RERAM_ARRAY_OM,
    STANDARD_PERIPHERY,
)  # fmt: skip
from analogjax.tile import Mapping, create, update
from analogjax.tile.algorithms import ALGORITHMS, build_config
from analogjax.tile.presets import PARTS, PRESETS, preset, preset_part
from analogjax.tile.tile import Signal
from tests.golden.catalog import periphery
from tests.golden.cells import any_config, cell
from tests.suites import first_fast

# all that aihwkit 1.2.0 says of its presets and algorithms; what is not listed has the default of its class
_FACTS = json.loads((Path(__file__).parent / "aihwkit_presets.json").read_text())

# of aihwkit 1.2.0, fields that differ from the defaults of the class
_AIHWKIT = {
    "CapacitorPreset": (LinearStep, {
        "dw_min": 0.005, "dw_min_dtod": 0.1, "lifetime": 1e6, "lifetime_dtod": 0.3, "up_down_dtod": 0.06, "w_max": 1.0,
        "w_max_dtod": 0.07, "w_min": -1.0, "w_min_dtod": 0.07, "gamma_up": 0.05, "gamma_down": 0.05,
        "gamma_up_dtod": 0.01, "gamma_down_dtod": 0.01, "mult_noise": False,
    }),
    "EcRamPreset": (LinearStep, {
        "dw_min": 0.002, "dw_min_dtod": 0.1, "w_max": 1.1724, "w_max_dtod": 0.05, "w_min": -0.8276, "w_min_dtod": 0.05,
        "gamma_up": 0.1153, "gamma_down": 0.5085,
    }),
    "EcRamMOPreset": (LinearStep, {
        "dw_min": 2.8214e-4, "dw_min_dtod": 0.1, "dw_min_std": 2.0, "w_max": 1.1714, "w_max_dtod": 0.05,
        "w_min": -0.8286, "w_min_dtod": 0.05, "gamma_up": 0.4152, "gamma_down": 0.7342,
    }),
    "IdealizedPreset": (ConstantStep, {"dw_min": 0.0002, "up_down_dtod": 0.0, "w_max": 1.0, "w_min": -1.0}),
    "GokmenVlasovPreset": (ConstantStep, {"dw_min": 0.0016, "w_max": 1.0, "w_min": -1.0}),
    "ReRamSBPreset": (SoftBoundsReference, {
        "dw_min": 0.002, "w_max": 1.25, "w_min": -0.75, "mult_noise": False, "dw_min_std": 3.75,
        "w_max_dtod": 0.24, "w_min_dtod": 0.4, "write_noise_std": 56.0,
    }),
}  # fmt: skip


@pytest.mark.parametrize("name", _AIHWKIT)
def test_values_are_those_of_aihwkit(name):
    kind, values = _AIHWKIT[name]
    assert preset(name).device == kind(**values)
    config = preset(name)
    assert (config.forward.adc.bound, config.forward.adc.noise, config.update.desired_bl) == (20.0, 0.1, 31)
    assert config.backward == config.forward


def test_arrays_of_reram_have_the_values_of_aihwkit():
    common = {"corrupt_devices_range": 0.01, "dw_min_dtod_log_normal": True, "w_max": 1.0, "w_min": -1.0}
    common |= {"reference_std": 0.05, "subtract_symmetry_point": True}
    assert RERAM_ARRAY_OM == SoftBoundsReference(
        dw_min=0.0949, dw_min_dtod=0.7829, dw_min_std=0.4158, w_max_dtod=0.3499, w_min_dtod=0.5695,
        write_noise_std=1.4113, **common,
    )  # fmt: skip
    assert RERAM_ARRAY_HFO2 == SoftBoundsReference(
        dw_min=0.4622, dw_min_dtod=0.7125, dw_min_std=0.2174, w_max_dtod=0.4295, w_min_dtod=0.5990,
        write_noise_std=0.5841, **common,
    )  # fmt: skip


def test_converters_have_the_values_of_aihwkit():
    managed = {"noise_management": NoiseManagement(kind="AbsMax"), "bound_management": BoundManagement()}
    assert PRESET_PERIPHERY == Periphery(
        dac=DAC(res=0.007936507936507936), adc=ADC(res=0.00196078431372549, bound=20.0, noise=0.1), **managed
    )
    assert STANDARD_PERIPHERY == Periphery(
        dac=DAC(res=0.003937007874015748), adc=ADC(res=0.003937007874015748, bound=10.0, noise=0.04), **managed
    )
    assert PRESET_PULSES == Pulses(
        desired_bl=31, pulse_type="StochasticCompressed", update_bl_management=True, update_management=True
    )


def _expanded(value):
    """The facts with the parts that they name."""
    if isinstance(value, list):
        return [_expanded(item) for item in value]
    if not isinstance(value, dict):
        return value
    rest = {key: _expanded(item) for key, item in value.items() if key != "part"}
    return (_FACTS["parts"][value["part"]] | rest) if "part" in value else rest


def _narrow(value):
    """Every number as float32 keeps it: aihwkit writes 0.4 as 0.39999999999999997."""
    if dataclasses.is_dataclass(value):
        return type(value).__name__, {
            field.name: _narrow(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if isinstance(value, tuple):
        return tuple(_narrow(item) for item in value)
    return float(np.float32(value)) if isinstance(value, float) else value


def test_all_of_aihwkits_training_presets_are_there_in_its_order():
    assert list(PRESETS) == list(_FACTS["configurations"]) and len(PRESETS) == 52
    assert set(PARTS) == set(_FACTS["parts"]) and len(PARTS) == 14


@pytest.mark.parametrize("name", _FACTS["configurations"])
def test_every_field_of_a_configuration_is_that_of_aihwkit(name):
    assert _narrow(preset(name)) == _narrow(any_config(_expanded(_FACTS["configurations"][name])))


@pytest.mark.parametrize("name", _FACTS["parts"])
def test_every_field_of_a_part_is_that_of_aihwkit(name):
    facts = _expanded(_FACTS["parts"][name])
    if facts["class"] == "UpdateParameters":
        expected = Pulses(**{key: value for key, value in facts.items() if key != "class"})
    else:
        expected = periphery(facts) if facts["class"] == "IOParameters" else cell(facts)
    assert _narrow(preset_part(name)) == _narrow(expected)


@pytest.mark.parametrize("name", _FACTS["algorithms"])
def test_every_field_for_an_algorithm_is_that_of_aihwkit(name):
    algorithm, _, number = name.partition(" ")
    made = build_config(
        algorithm.upper(), preset_part("EcRamPresetDevice"), PRESET_PERIPHERY, n_devices=int(number or 1)
    )
    assert _narrow(made) == _narrow(any_config(_expanded(_FACTS["algorithms"][name])))


def test_an_algorithm_keeps_the_mapping_and_what_it_does_not_know_is_told():
    mapping = Mapping(weight_scaling_omega=0.5)
    assert build_config("agad", ConstantStep(), mapping=mapping).mapping == mapping
    assert set(ALGORITHMS) == {name for name in _FACTS["algorithms"] if " " not in name} | {
        "residual",
        "rider",
        "e-rider",
    }
    made = build_config("residual", ConstantStep(), pulses=Pulses(desired_bl=7), n_devices=4)
    assert made.device.gammas == (0.125, 0.25, 0.5, 1.0) and made.device.writer.transfer_update.desired_bl == 7
    with pytest.raises(ConfigError, match=r"n_devices=1.*give 2 or more"):
        build_config("residual", ConstantStep())
    with pytest.raises(ConfigError, match=r"build_config\('adam'\).*known are sgd, tiki-taka"):
        build_config("adam", ConstantStep())
    with pytest.raises(ConfigError, match=r"n_devices=0"):
        build_config("sgd", ConstantStep(), n_devices=0)
    for name in ("agad", "ttv2", "mp"):
        with pytest.raises(ConfigError, match=r"n_devices=3\): has a fixed number of devices; leave n_devices out"):
            build_config(name, ConstantStep(), n_devices=3)


def test_cells_of_several_devices():
    cell = preset("Capacitor4Preset").device
    assert isinstance(cell, Vector) and cell.devices == (preset("CapacitorPreset").device,) * 4
    assert cell.update_policy == "SingleRandom"


_PLAIN = [name for name in PRESETS if f"{name}Device" in PARTS]


@pytest.mark.parametrize("name", first_fast(sorted([*_PLAIN, "TikiTakaReRamSBPreset"]), 3))
def test_chips_can_be_made_and_pulsed(key, name):
    tile = create(preset(name), (3, 4), key)
    signal = Signal(jnp.ones((1, 4)), jnp.full((1, 3), -1.0))
    moved = update(tile, signal, 0.1, key=jax.random.key(1))
    assert jnp.all(jnp.isfinite(moved.read())) and not jnp.array_equal(moved.read(), tile.read())


@pytest.mark.parametrize("name", first_fast(["TTv2EcRamPreset", "AGADCapacitorPreset", "MixedPrecisionPCMPreset"]))
def test_chips_that_collect_first_are_pulsed_or_remember(key, name):
    tile = create(preset(name), (3, 4), key)
    signal = Signal(jnp.ones((1, 4)), jnp.full((1, 3), -1.0))
    moved = update(tile, signal, 0.1, key=jax.random.key(1))
    assert jnp.all(jnp.isfinite(moved.read()))
    if name.startswith("Mixed"):
        assert jnp.allclose(moved.state.chi, -0.1)
    else:
        assert jnp.all(moved.state.parts[0].w != tile.state.parts[0].w)


def test_an_unknown_name_is_told_what_is_known():
    with pytest.raises(ConfigError, match="CapacitorPreset"):
        preset("TikiTakaUnobtainiumPreset")
    with pytest.raises(ConfigError, match=r"known are .*PCMPresetUnitCell"):
        preset_part("CapacitorPreset")
