"""Presets: aihwkit's names, the native values, and a clear word where the physics is not there."""

import copy
import pickle

import pytest
import torch
from aihwkit.exceptions import ConfigError
from aihwkit.nn import AnalogLinear
from aihwkit.simulator import configs as c
from aihwkit.simulator import presets
from aihwkit.simulator.presets import devices
from aihwkit.simulator.presets.configs import NOT_SIMULATED
from aihwkit.simulator.presets.utils import PresetIOParameters, StandardIOParameters

from analogjax.physics import presets as native
from analogjax.tile.presets import PRESETS, preset

FAMILIES = ("TikiTaka", "TTv2", "ChoppedTTv2", "AGAD", "MixedPrecision")


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_the_native_one(name):
    config = getattr(presets, name)()
    assert config.to_native() == preset(name)
    expected = c.UnitCellRPUConfig if name[-7] in "24" else c.SingleRPUConfig
    assert isinstance(config, expected) and config == getattr(presets, name)()


@pytest.mark.parametrize(
    ("device", "values"),
    [
        (devices.ReRamArrayOMPresetDevice, native.RERAM_ARRAY_OM),
        (devices.ReRamArrayHfO2PresetDevice, native.RERAM_ARRAY_HFO2),
        (devices.EcRamMOPresetDevice, native.EC_RAM_MO),
    ],
)
def test_a_device_alone_is_the_native_one(device, values):
    assert device().to_native() == values
    assert device(dw_min=0.5).to_native().dw_min == 0.5


def test_parameters_have_the_native_values():
    assert PresetIOParameters().to_native() == native.PRESET_PERIPHERY
    assert StandardIOParameters().to_native() == native.STANDARD_PERIPHERY
    assert StandardIOParameters().out_noise == 0.04


def test_a_preset_can_be_changed_copied_and_pickled_and_each_one_is_its_own():
    one, other = presets.EcRamPreset(), presets.EcRamPreset()
    one.device.dw_min, one.forward.out_noise = 0.01, 0.0
    assert other == presets.EcRamPreset() and other.device.dw_min == native.EC_RAM.dw_min
    assert one.to_native().device.dw_min == 0.01 and one != other
    for copied in (copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        assert copied == one
    cell = presets.EcRam2Preset()
    cell.device.unit_cell_devices[0].dw_min = 0.5
    assert [device.dw_min for device in cell.device.unit_cell_devices] == [0.5, native.EC_RAM.dw_min]


def test_a_layer_is_made_from_a_preset():
    layer = AnalogLinear(4, 3, rpu_config=presets.Idealized2Preset())
    assert layer(torch.rand(2, 4)).shape == (2, 3)


def test_all_of_aihwkits_presets_can_be_named():
    assert len(PRESETS) + len(NOT_SIMULATED) == 52
    for family in FAMILIES:
        assert getattr(presets, f"{family}EcRamMOPreset").__name__ == f"{family}EcRamMOPreset"


@pytest.mark.parametrize(
    "kind",
    [presets.PCMPreset, presets.TikiTakaEcRamPreset, presets.MixedPrecisionIdealizedPreset, presets.ReRamES4Preset,
     presets.StandardHWATrainingPreset, presets.FloatingPointPreset],
)  # fmt: skip
def test_what_is_not_simulated_can_be_made_and_says_so_when_it_is_used(kind):
    config = kind()
    assert kind.__name__ in str(config)
    with pytest.raises(ConfigError, match=rf"{kind.__name__} is not simulated by this version.*CapacitorPreset"):
        AnalogLinear(4, 3, rpu_config=config)


@pytest.mark.parametrize("device", [presets.PCMPresetDevice, presets.ReRamESPresetDevice, presets.PCMPresetUnitCell])
def test_a_device_that_is_not_simulated_says_so_when_it_is_used(device):
    with pytest.raises(ConfigError, match=f"{device.__name__} is not simulated"):
        AnalogLinear(4, 3, rpu_config=c.SingleRPUConfig(device=device()))
