"""Devices made of devices: what becomes of them natively, what they show, and configurations by algorithm."""

import copy
import dataclasses
import io
import json
from pathlib import Path

import pytest
import torch
from aihwkit import exceptions
from aihwkit.nn import AnalogLinear
from aihwkit.optim import AnalogSGD
from aihwkit.simulator import configs as c
from aihwkit.simulator import presets
from aihwkit.simulator.configs.compounds import DigitalRankUpdateCell
from aihwkit.simulator.configs.helpers import build_config

from analogjax import physics
from analogjax.physics import compounds
from analogjax.tile import algorithms
from analogjax.tile.presets import preset_part
from tests.physics.parts import with_field

ONE, TWO = c.ConstantStepDevice(dw_min=0.002), c.SoftBoundsDevice()
DEVICES = (physics.ConstantStep(dw_min=0.002), physics.SoftBounds())


def test_a_transfer():
    read, single = c.IOParameters(out_noise=0.0), c.UpdateParameters(desired_bl=1)
    cell = c.TransferCompound(
        [ONE, TWO], gamma_vec=[0.5, 1], transfer_every_vec=[2.0, 0.0], transfer_lr_vec=[0.1, 0.2], fast_lr=0.5,
        n_reads_per_transfer=2, transfer_columns=False, transfer_forward=read, transfer_update=single,
    )  # fmt: skip
    assert c.UnitCellRPUConfig(device=cell).to_native().device == compounds.tiki_taka(
        devices=DEVICES, gamma_vec=(0.5, 1), transfer_every_vec=(2.0, 0.0), transfer_lr_vec=(0.1, 0.2), fast_lr=0.5,
        n_reads_per_transfer=2, transfer_columns=False, transfer_forward=physics.Periphery(adc=physics.ADC(noise=0.0)),
        transfer_update=physics.Pulses(desired_bl=1),
    )  # fmt: skip
    # as in aihwkit, the second device stands for all that follow
    three = c.TransferCompound([ONE, TWO, c.IdealDevice()]).to_native()
    assert three.devices == (*DEVICES, DEVICES[1])
    with pytest.raises(exceptions.ConfigError, match="needs two or more devices"):
        c.TransferCompound([ONE]).to_native()
    with pytest.raises(exceptions.ConfigError, match=r"unit_cell_devices holds 3, which is no device"):
        c.TransferCompound([ONE, 3]).to_native()


@pytest.mark.parametrize(
    ("view", "native"),
    [(c.TransferCompound, compounds.tiki_taka), (c.BufferedTransferCompound, compounds.ttv2),
     (c.ChoppedTransferCompound, compounds.c_ttv2), (c.DynamicTransferCompound, compounds.agad)],
)  # fmt: skip
def test_a_transfer_has_the_native_defaults(view, native):
    assert view([ONE, TWO]).to_native() == native(devices=DEVICES)
    assert view([ONE, TWO], transfer_lr=0.5, transfer_every=3.0).to_native() == native(
        devices=DEVICES, transfer_lr=0.5, transfer_every=3.0
    )


@pytest.mark.parametrize(
    ("cell", "native"),
    [
        (c.TransferCompound([ONE, TWO], transfer_every=-1.0), compounds.tiki_taka(DEVICES, transfer_every=0.0)),
        (c.TransferCompound([ONE, TWO], transfer_every_vec=[2.0, -1.0]),
         compounds.tiki_taka(DEVICES, transfer_every_vec=(2.0, 0.0))),
        (c.TransferCompound([ONE, TWO], fast_lr=-1.0), compounds.tiki_taka(DEVICES, fast_lr=0.0)),
        (c.ChoppedTransferCompound([ONE, TWO], fast_lr=0.0, auto_scale=True), compounds.c_ttv2(DEVICES, fast_lr=0.0)),
        (c.ChoppedTransferCompound([ONE, TWO], buffer_granularity=-1.0, auto_granularity=-5.0),
         compounds.c_ttv2(DEVICES)),
        (c.ChoppedTransferCompound([ONE, TWO], transfer_every=-1.0, units_in_mbatch=True, transfer_every_vec=[1.0, 2]),
         compounds.c_ttv2(DEVICES, transfer_every=-1.0)),
        (c.ChoppedTransferCompound([c.VectorUnitCell([ONE, TWO]), TWO], transfer_every=-3.0),
         compounds.c_ttv2((physics.Vector(devices=DEVICES), DEVICES[1]), transfer_every=3.0,
                          transfer_every_vec=(1.0, 0.0))),
        (c.DynamicTransferCompound([ONE, TWO], buffer_cap=2.0), compounds.agad(DEVICES)),
        (c.DynamicTransferCompound([ONE, TWO], buffer_cap=2.0, forget_buffer=False),
         compounds.agad(DEVICES, buffer_cap=2.0, forget_buffer=False)),
        (c.DynamicTransferCompound([ONE, TWO], auto_granularity=9.0, transfer_every=0.0, transfer_every_vec=[2.0, 0]),
         compounds.agad(DEVICES, transfer_lr=0.0, transfer_every=0.0, transfer_every_vec=(2.0, 0))),
    ],
)  # fmt: skip
def test_what_aihwkit_takes_without_effect_is_taken(cell, native):
    assert cell.to_native() == native


@pytest.mark.parametrize(
    ("field", "given"),
    [("gamma_vec", ["a", 1.0]), ("transfer_every_vec", [True, 0.0]), ("transfer_lr_vec", [None, 1.0])],
)
def test_what_is_in_a_list_is_checked(field, given):
    with pytest.raises(exceptions.ConfigError, match=rf"Expected type .*float.* for {field}\[0\] of TransferCompound"):
        c.TransferCompound([ONE, TWO], **{field: given}).to_native()


def test_one_sided_cells():
    refresh = c.UpdateParameters(desired_bl=7)
    cell = c.OneSidedUnitCell([ONE], refresh_every=4, copy_inverted=True, refresh_update=refresh)
    expected = compounds.OneSided(
        device=DEVICES[0], refresh_every=4, copy_inverted=True, refresh_update=physics.Pulses(desired_bl=7)
    )
    assert cell.to_native() == expected
    # as in aihwkit, a second device counts as one like the first
    cell.unit_cell_devices = [ONE, c.ConstantStepDevice()]
    assert cell.to_native() == expected
    for devices in ([], [ONE, TWO], [ONE] * 3):
        with pytest.raises(exceptions.ConfigError, match="give one device, or two of the same class"):
            c.OneSidedUnitCell(devices).to_native()
    with pytest.warns(DeprecationWarning, match="use OneSidedUnitCell"):
        old = c.DifferenceUnitCell([ONE])
    assert isinstance(old, c.OneSidedUnitCell) and old.to_native() == compounds.OneSided(device=DEVICES[0])


def test_mixed_precision():
    cell = c.MixedPrecisionCompound(device=ONE, granularity=0.01, n_x_bins=8, stoc_round_x=False, transfer_every=2)
    assert c.DigitalRankUpdateRPUConfig(device=cell).to_native().device == compounds.MixedPrecision(
        device=DEVICES[0], granularity_override=0.01, n_x_bins=8, stoc_round_x=False, transfer_every=2
    )
    pair = c.MixedPrecisionCompound(device=c.VectorUnitCell([ONE, ONE])).to_native()
    assert pair.device == physics.Vector(devices=(DEVICES[0],) * 2)
    with pytest.raises(exceptions.ConfigError, match="DigitalRankUpdateCell is not supported"):
        c.DigitalRankUpdateRPUConfig().to_native()
    fields = [(field.name, getattr(DigitalRankUpdateCell(), field.name)) for field in dataclasses.fields(cell)[:2]]
    assert fields == [("device", c.VectorUnitCell()), ("construction_seed", 0)]


def test_decay_and_diffusion_are_those_of_the_devices_inside():
    resting = c.ConstantStepDevice(lifetime=10.0)
    for cell in (c.TransferCompound([ONE, resting]), c.MixedPrecisionCompound(device=resting)):
        assert cell.requires_decay() and not cell.requires_diffusion()


def test_soft_bounds_by_pulses():
    assert c.SoftBoundsPmaxDevice(p_max=500).to_native() == physics.SoftBoundsPmax(p_max=500)
    with pytest.raises(exceptions.ConfigError, match=r"w_max.*follows from p_max"):
        c.SoftBoundsPmaxDevice(w_max=1.0).to_native()


def test_tables():
    table = c.PiecewiseStepDevice(piecewise_up=[1.0, 0.5], piecewise_down=[0.5, 1])
    assert table.to_native() == physics.PiecewiseStep(piecewise_up=(1.0, 0.5), piecewise_down=(0.5, 1))
    with pytest.raises(exceptions.ConfigError, match="as many nodes as piecewise_up, 2"):
        c.PiecewiseStepDevice(piecewise_up=[1.0, 0.5]).to_native()
    with pytest.raises(exceptions.ConfigError, match=r"Expected type .* for field piecewise_up"):
        c.PiecewiseStepDevice(piecewise_up=1.0).to_native()


PULSED = (
    "max_bound",
    "min_bound",
    "dwmin_up",
    "dwmin_down",
    "decay_scales",
    "diffusion_rates",
    "reset_bias",
    "drift_nu",
)


def suffixed(*groups):
    return [f"{name}_{k}" for k, names in enumerate(groups) for name in (*PULSED, *names, "hidden_weights")]


SLOPES, REFERENCE = ("slope_up", "slope_down"), ("persistent_weights", "reference")
STEP = c.ConstantStepDevice()
PAIR = c.ReferenceUnitCell([STEP])
PAIR_OF_PAIRS = [f"{name}_{k}" for k in (0, 1) for name in (*suffixed((), ()), "hidden_weights")]
# names and order as aihwkit 1.2.0 gives them
HIDDEN = [
    (c.SingleRPUConfig(), [*PULSED]),
    (presets.ReRamESPreset(), [*PULSED, "persistent_weights"]),
    (c.SingleRPUConfig(device=c.PowStepReferenceDevice()), [*PULSED, "gamma_up", "gamma_down", "reference"]),
    (c.UnitCellRPUConfig(device=c.OneSidedUnitCell([STEP])), suffixed((), ())),
    (presets.TikiTakaEcRamPreset(), suffixed(SLOPES, SLOPES)),
    (presets.TTv2ReRamSBPreset(), [*suffixed(REFERENCE, REFERENCE), "buffered_FP_weight_0"]),
    (c.UnitCellRPUConfig(device=c.BufferedTransferCompound([STEP] * 3)),
     [*suffixed((), (), ()), "buffered_FP_weight_0", "buffered_FP_weight_1"]),
    (presets.AGADIdealizedPreset(),
     [*suffixed((), ()), "buffered_FP_weight", "running_mean_weight", "past_mean_weight"]),
    (presets.MixedPrecisionCapacitorPreset(), [*PULSED, *SLOPES, "hidden_weights_chi"]),
    (presets.MixedPrecisionPCMPreset(), [*suffixed((), ()), "hidden_weights_chi"]),
    (c.UnitCellRPUConfig(device=c.TransferCompound([PAIR, PAIR])), PAIR_OF_PAIRS),
    (c.FloatingPointRPUConfig(), []),
]  # fmt: skip


@pytest.mark.parametrize(("config", "names"), HIDDEN, ids=[type(row[0]).__name__ for row in HIDDEN])
def test_hidden_parameters_have_aihwkits_names_in_its_order(config, names):
    module = AnalogLinear(4, 3, bias=False, rpu_config=config).analog_module
    shown = module.get_hidden_parameters()
    assert list(shown) == names and all(value.shape == (3, 4) for value in shown.values())


def test_hidden_parameters_say_what_is_there():
    layer = AnalogLinear(4, 3, bias=False, rpu_config=presets.TikiTakaEcRamPreset())
    shown = layer.analog_module.get_hidden_parameters()
    assert torch.equal(shown["hidden_weights_1"], layer.get_weights()[0]) and not shown["hidden_weights_0"].any()
    assert (shown["decay_scales_0"] == 1).all() and not shown["diffusion_rates_1"].any()
    assert not torch.equal(shown["max_bound_0"], shown["max_bound_1"])
    leaky = AnalogLinear(4, 3, rpu_config=presets.CapacitorPreset()).analog_module.get_hidden_parameters()
    assert (leaky["decay_scales"] < 1).all()


def trained(layer, steps=3):
    optimizer = AnalogSGD(layer.parameters(), lr=0.5)
    for _ in range(steps):
        optimizer.zero_grad()
        layer(torch.ones(2, 4)).square().sum().backward()
        optimizer.step()
    return layer


def test_a_compound_is_saved_with_all_that_it_remembers():
    config = presets.AGADIdealizedPreset()
    layer, other = (AnalogLinear(4, 3, rpu_config=copy.deepcopy(config)) for _ in range(2))
    trained(layer)
    saved = io.BytesIO()
    torch.save(layer.state_dict(), saved)
    other.load_state_dict(torch.load(io.BytesIO(saved.getvalue())))
    mine, theirs = (one.analog_module.get_hidden_parameters() for one in (layer, other))
    assert all(torch.equal(mine[name], theirs[name]) for name in mine) and mine["hidden_weights_0"].any()
    # a copy goes on as the original does
    again = copy.deepcopy(layer)
    ends = [trained(one).analog_module.get_hidden_parameters() for one in (layer, again)]
    assert torch.equal(*(end["hidden_weights_0"] for end in ends))


def test_a_seed_of_the_construction_decides_the_devices():
    def bounds(cell, kind=c.UnitCellRPUConfig):
        module = AnalogLinear(4, 3, rpu_config=kind(device=cell)).analog_module
        return next(iter(module.get_hidden_parameters().values()))

    for seeds in ((3, 3), (3, 4)):
        pairs = [bounds(c.TransferCompound([STEP, STEP], construction_seed=seed)) for seed in seeds]
        assert torch.equal(*pairs) == (seeds == (3, 3))
        inside = [c.MixedPrecisionCompound(device=c.ConstantStepDevice(construction_seed=seed)) for seed in seeds]
        pairs = [bounds(cell, c.DigitalRankUpdateRPUConfig) for cell in inside]
        assert torch.equal(*pairs) == (seeds == (3, 3))


_OURS = ("residual", "rider", "e-rider")  # not in aihwkit


@pytest.mark.parametrize("algorithm", [name for name in algorithms.ALGORITHMS if name not in _OURS])
def test_a_configuration_by_algorithm_is_the_native_one(algorithm):
    given = (algorithm.upper(), presets.EcRamPresetDevice, presets.PresetIOParameters, presets.PresetUpdateParameters)
    config = build_config(*given)
    native = [preset_part(kind.__name__) for kind in given[1:]]
    assert config.to_native() == algorithms.build_config(algorithm, *native)
    # objects are copied: none is shared by two places
    device, forward = presets.EcRamPresetDevice(dw_min=0.1), presets.PresetIOParameters(out_noise=0.3)
    other = c.build_config(algorithm, device, forward, mapping=c.MappingParameter(max_input_size=7))
    device.dw_min = forward.out_noise = 0.9
    assert other.forward.out_noise == 0.3 and other.forward is not other.backward and other.mapping.max_input_size == 7
    noisier = with_field(native[1], "adc.noise", 0.3)
    expected = algorithms.build_config(algorithm, dataclasses.replace(native[0], dw_min=0.1), noisier)
    assert other.to_native().device == expected.device and other.to_native().update == expected.update


def test_a_configuration_by_algorithm_has_its_class_and_seed():
    assert type(c.build_config("sgd", c.ConstantStepDevice, construction_seed=4)) is c.SingleRPUConfig
    several = c.build_config("sgd", c.ConstantStepDevice, n_devices=3, construction_seed=4)
    assert several.to_native().device == physics.Vector(
        devices=(physics.ConstantStep(),) * 3, update_policy="SingleRandom"
    )
    for algorithm in ("tt", "ttv2", "c-ttv2", "agad", "mp"):
        assert c.build_config(algorithm, c.ConstantStepDevice, construction_seed=4).population_seed == 4
    with pytest.raises(exceptions.ArgumentError, match="adam is not known; known are sgd"):
        c.build_config("adam", c.ConstantStepDevice)


def test_every_device_and_compound_is_compared_with_aihwkit():
    known = json.loads((Path(__file__).parent / "aihwkit_defaults.json").read_text())["classes"]
    made = {name for name, kind in vars(c).items() if name.endswith(("Device", "Cell", "Compound"))}
    assert made - set(known) == {"DifferenceUnitCell"}  # warns; has the fields of OneSidedUnitCell
