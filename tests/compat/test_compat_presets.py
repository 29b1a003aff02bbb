"""Presets: aihwkit's names, the native values, and a clear word where the physics is not there."""

import copy
import pickle

import pytest
import torch
from aihwkit.nn import AnalogLinear
from aihwkit.optim import AnalogSGD
from aihwkit.simulator import configs as c
from aihwkit.simulator import presets
from aihwkit.simulator.presets import configs as preset_configs
from aihwkit.simulator.presets import devices
from aihwkit.simulator.presets.utils import PresetIOParameters, StandardIOParameters

from analogjax.physics import presets as native
from analogjax.tile.presets import PARTS, PRESETS, preset, preset_part

CELLS = ("TikiTaka", "TTv2", "ChoppedTTv2", "AGAD", "PCM")  # whose device is a unit cell, as is that of 2 and 4 devices


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_the_native_one(name):
    config = getattr(presets, name)()
    assert config.to_native() == preset(name)
    is_cell = name[-7] in "24" or name.startswith(CELLS)
    expected = c.UnitCellRPUConfig if is_cell else c.SingleRPUConfig
    expected = c.DigitalRankUpdateRPUConfig if name.startswith("MixedPrecision") else expected
    assert isinstance(config, expected) and config == getattr(presets, name)()
    assert getattr(preset_configs, name) is getattr(presets, name) and str(config).startswith(f"{name}(")
    for again in (copy.deepcopy(config), pickle.loads(pickle.dumps(config))):
        assert again == config and again is not config and again.to_native() == preset(name)


@pytest.mark.parametrize("name", PARTS)
def test_a_part_is_the_native_one(name):
    part = getattr(presets, name)()
    assert part.to_native() == preset_part(name) and part == getattr(presets, name)()
    assert pickle.loads(pickle.dumps(part)) == copy.deepcopy(part) == part


@pytest.mark.parametrize(
    ("device", "values"),
    [
        (devices.ReRamArrayOMPresetDevice, native.RERAM_ARRAY_OM),
        (devices.ReRamArrayHfO2PresetDevice, native.RERAM_ARRAY_HFO2),
        (devices.EcRamMOPresetDevice, native.EC_RAM_MO),
        (devices.ReRamESPresetDevice, native.RERAM_ES),
        (devices.PCMPresetDevice, native.PCM),
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
    chopped = presets.AGADEcRamPreset()
    chopped.device.transfer_forward.out_noise, chopped.device.in_chop_prob = 0.0, 0.25
    made = chopped.to_native().device
    assert made.reader.transfer_forward.adc.noise == 0.0 and made.chopper.in_chop_prob == 0.25
    assert presets.AGADEcRamPreset().to_native() == preset("AGADEcRamPreset")


# as aihwkit prints them
UNMANAGED = "bound_management=BoundManagementType.NONE, noise_management=NoiseManagementType.NONE"
PRINTED_CONFIG = f"""\
TTv2EcRamPreset(
    runtime=RuntimeParameter(),
    pre_post=PrePostProcessingParameter(input_range=InputRangeParameter(enable=False)),
    mapping=MappingParameter(),
    forward=PresetIOParameters(),
    backward=PresetIOParameters(),
    update=PresetUpdateParameters(desired_bl=100),
    device=ChoppedTransferCompound(
        unit_cell_devices=[
            EcRamPresetDevice(),
            EcRamPresetDevice()
        ],
        fast_lr=0.1,
        transfer_forward=PresetIOParameters({UNMANAGED}),
        transfer_update=PresetUpdateParameters(desired_bl=1, update_bl_management=False, update_management=False),
        in_chop_prob=0.0,
        auto_granularity=500,
        auto_scale=True
    )
)"""
PRINTED_CELL = """\
PCMPresetUnitCell(
    unit_cell_devices=[
        PCMPresetDevice(),
        PCMPresetDevice()
    ],
    refresh_forward=PresetIOParameters(),
    refresh_update=PresetUpdateParameters()
)"""


def test_printing_shows_what_differs():
    assert str(presets.TTv2EcRamPreset()) == PRINTED_CONFIG
    assert str(presets.PCMPresetUnitCell()) == PRINTED_CELL


# one of every kind of device, of which `make test` has some: each is a program of its own to compile
QUICK = ("ReRamESPreset", "PCMPreset", "AGADReRamSBPreset", "MixedPrecisionCapacitorPreset")
KINDS = (*QUICK, "Idealized2Preset", "TikiTakaEcRamPreset", "TTv2IdealizedPreset", "ChoppedTTv2CapacitorPreset")
SOME = tuple(dict.fromkeys((*KINDS, *PRESETS[::4])))


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in SOME]
)
def test_a_layer_of_every_preset_is_trained(name):
    torch.manual_seed(1)
    layer = AnalogLinear(4, 3, rpu_config=getattr(presets, name)())
    optimizer = AnalogSGD(layer.parameters(), lr=0.1)
    x = torch.rand(2, 4, requires_grad=True)
    for _ in range(2):
        optimizer.zero_grad()
        y = layer(x)
        y.square().sum().backward()
        optimizer.step()
    weight, _ = layer.get_weights()
    assert y.shape == (2, 3) and x.grad.shape == (2, 4) and x.grad.abs().sum() > 0
    assert torch.isfinite(weight).all() and torch.isfinite(y).all()


def test_all_of_aihwkits_presets_can_be_named():
    assert len(PRESETS) == 52 and set(PRESETS) | set(PARTS) <= set(vars(presets))


def test_the_preset_of_hardware_aware_training_trains():
    config = presets.StandardHWATrainingPreset()
    assert config == pickle.loads(pickle.dumps(config))
    layer = AnalogLinear(4, 3, rpu_config=config)
    optimizer, x = AnalogSGD(layer.parameters(), lr=0.1), torch.rand(16, 4)
    before = layer.get_weights()[0]
    for _ in range(2):
        optimizer.zero_grad()
        layer(x).square().sum().backward()
        optimizer.step()
    (tile,) = layer.analog_tiles()  # the preset limits the inputs of a chip, so it is an array of one, as in aihwkit
    assert not torch.equal(layer.get_weights()[0], before) and tile.input_range_update_idx.item() == 2
    assert layer.eval()(x).shape == (16, 3)
