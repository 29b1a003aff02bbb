"""Constants and hidden weights of the crosspoints, set from outside; expected values are those of aihwkit 1.2.0."""

import copy
import io
from collections import OrderedDict

import numpy as np
import pytest
import torch
from aihwkit.exceptions import TileError
from aihwkit.nn import AnalogLinear
from aihwkit.optim import AnalogSGD
from aihwkit.simulator import configs as c
from aihwkit.simulator import presets

EXACT = {"dw_min_dtod": 0.0, "w_max_dtod": 0.0, "w_min_dtod": 0.0, "up_down_dtod": 0.0, "dw_min_std": 0.0}
STEP = c.ConstantStepDevice()
PAIR = c.ReferenceUnitCell([STEP])
SINGLE, CELL, DIGITAL = c.SingleRPUConfig, c.UnitCellRPUConfig, c.DigitalRankUpdateRPUConfig
NOISY = c.LinearStepDevice(write_noise_std=5.0)
CONFIGS = {
    "constant step": SINGLE(), "linear step": SINGLE(device=c.LinearStepDevice()), "written": SINGLE(device=NOISY),
    "soft bounds": SINGLE(device=c.SoftBoundsDevice()), "of pulses": SINGLE(device=c.SoftBoundsPmaxDevice()),
    "reference": presets.ReRamSBPreset(), "exponential": presets.ReRamESPreset(),
    "power": SINGLE(device=c.PowStepDevice()), "power reference": SINGLE(device=c.PowStepReferenceDevice()),
    "piecewise": SINGLE(device=c.PiecewiseStepDevice()), "leaky": presets.CapacitorPreset(),
    "restless": SINGLE(device=c.ConstantStepDevice(diffusion=0.1, reset=0.1, drift=c.DriftParameter(nu=0.1))),
    "vector": presets.EcRam4Preset(), "one sided": presets.PCMPreset(), "reference pair": CELL(device=PAIR),
    "transfer": presets.TikiTakaEcRamPreset(), "buffered": CELL(device=c.BufferedTransferCompound([STEP] * 3)),
    "chopped": presets.TTv2ReRamSBPreset(), "dynamic": presets.AGADIdealizedPreset(),
    "pairs": CELL(device=c.TransferCompound([PAIR, PAIR])), "mixed": presets.MixedPrecisionCapacitorPreset(),
    "mixed pair": presets.MixedPrecisionPCMPreset(), "mixed and written": DIGITAL(
        device=c.MixedPrecisionCompound(device=NOISY)
    ),
}  # fmt: skip


def layer_with(config, inputs=4, outputs=3, bias=False):
    return AnalogLinear(inputs, outputs, bias=bias, rpu_config=copy.deepcopy(config))


def trained(layer, steps=2, seed=0):
    x = torch.rand(2, layer.in_features, generator=torch.Generator().manual_seed(seed))
    optimizer = AnalogSGD(layer.parameters(), lr=0.5)
    for _ in range(steps):
        optimizer.zero_grad()
        layer(x).square().sum().backward()
        optimizer.step()
    return layer


def arrays(layer):
    return [np.array(leaf) for leaf in layer.analog_module.chips.leaves]


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("name", CONFIGS)
def test_there_and_back(name):
    layer, other = layer_with(CONFIGS[name]), layer_with(CONFIGS[name])
    shown, before, uses = layer.analog_module.get_hidden_parameters(), arrays(layer), layer.analog_module.chips.uses
    layer.analog_module.set_hidden_parameters(shown)
    assert same(arrays(layer), before) and layer.analog_module.chips.uses == uses
    other.analog_module.set_hidden_parameters(shown)
    theirs = other.analog_module.get_hidden_parameters()
    assert list(theirs) == list(shown) and all(torch.equal(theirs[key], shown[key]) for key in shown)
    if any(key.startswith("hidden_weights_") and not key.endswith("chi") for key in shown):
        assert torch.equal(other.get_weights()[0], layer.get_weights()[0])


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_a_layer_that_was_set_trains_and_is_saved(name):
    layer, other = layer_with(CONFIGS[name]), layer_with(CONFIGS[name])
    other.analog_module.set_hidden_parameters(trained(layer).analog_module.get_hidden_parameters())
    trained(other)
    file, third = io.BytesIO(), layer_with(CONFIGS[name])
    torch.save(other.state_dict(), file)
    third.load_state_dict(torch.load(io.BytesIO(file.getvalue())))
    mine, theirs = (one.analog_module.get_hidden_parameters() for one in (other, third))
    assert all(torch.equal(mine[key], theirs[key]) and torch.isfinite(mine[key]).all() for key in mine)


def test_a_layer_goes_on_with_what_was_set_as_the_other_one_does():
    layer, other = layer_with(CONFIGS["dynamic"]), layer_with(CONFIGS["dynamic"])
    trained(layer)
    other.load_state_dict(layer.state_dict())
    shown = other.analog_module.get_hidden_parameters()
    other.analog_module.set_hidden_parameters(OrderedDict((key, value.clone()) for key, value in shown.items()))
    assert same(arrays(trained(layer, 3)), arrays(trained(other, 3)))


def test_weights_are_held_within_the_bounds_that_are_set():
    layer = layer_with(SINGLE(device=c.ConstantStepDevice(**EXACT)), 3, 2)
    layer.set_weights(torch.tensor([[0.5, -0.5, 0.2], [0.1, -0.1, 0.3]]))
    shown = layer.analog_module.get_hidden_parameters()
    shown["max_bound"][:] = 0.25
    layer.analog_module.set_hidden_parameters(shown)
    assert torch.equal(layer.get_weights()[0], torch.tensor([[0.25, -0.5, 0.2], [0.1, -0.1, 0.25]]))
    shown["max_bound"][:] = 0.0  # the tensors stay the caller's
    assert torch.equal(layer.analog_module.get_hidden_parameters()["max_bound"], torch.full((2, 3), 0.25))


def test_weights_that_are_sums_follow_from_their_parts():
    pair = c.ReferenceUnitCell([c.ConstantStepDevice(**EXACT)] * 2)
    layer = layer_with(CELL(device=c.TransferCompound([pair, pair], gamma=0.1)))
    shown = layer.analog_module.get_hidden_parameters()
    for key, value in zip(("0_0", "1_0", "0_1", "1_1"), (0.47, 0.21, 0.58, 0.12), strict=True):
        shown[f"hidden_weights_{key}"][:] = value
    layer.analog_module.set_hidden_parameters(shown)
    after = layer.analog_module.get_hidden_parameters()
    sums = layer.get_weights()[0], after["hidden_weights_0"], after["hidden_weights_1"]
    for ours, expected in zip(sums, (0.486, 0.26, 0.46), strict=True):
        assert torch.allclose(ours, torch.full((3, 4), expected), atol=1e-6)


def test_buffers_are_set():
    for name, keys in (
        ("buffered", ("buffered_FP_weight_0", "buffered_FP_weight_1")), ("mixed", ("hidden_weights_chi",)),
        ("dynamic", ("buffered_FP_weight", "running_mean_weight", "past_mean_weight")),
    ):  # fmt: skip
        module = layer_with(CONFIGS[name]).analog_module
        shown = module.get_hidden_parameters()
        for n, key in enumerate(keys):
            shown[key] = shown[key] + 0.25 * (n + 1)
        module.set_hidden_parameters(shown)
        assert all(torch.equal(module.get_hidden_parameters()[key], shown[key]) for key in keys)


def test_new_persistent_weights_are_seen_with_write_noise():
    config = SINGLE(device=c.LinearStepDevice(write_noise_std=2.0, dw_min=0.01, **EXACT))
    layer = layer_with(config, 60, 50)
    shown, uses = layer.analog_module.get_hidden_parameters(), layer.analog_module.chips.uses
    old = layer.get_weights()[0]
    shown["persistent_weights"][:25] = 0.4
    layer.analog_module.set_hidden_parameters(shown)
    seen = layer.get_weights()[0]
    assert torch.equal(seen[25:], old[25:]) and layer.analog_module.chips.uses == uses + 1
    noise, n = (seen[:25] - 0.4) / 0.02, 25 * 60
    assert abs(noise.mean()) < 4 / n**0.5 and abs(noise.std() - 1) < 4 / (2 * n) ** 0.5
    config.device.apply_write_noise_on_set = False
    layer = layer_with(config, 60, 50)
    layer.analog_module.set_hidden_parameters(shown)
    assert torch.equal(layer.get_weights()[0][:25], shown["persistent_weights"][:25])


WIDE = SINGLE(device=c.ConstantStepDevice(dw_min=0.001, w_max=5.0, w_min=-5.0, **EXACT))


def moved(layer):
    """How far one update of 0.05 * 0.7 * 0.8 moves the mean weight."""
    before = layer.get_weights()[0].mean()
    layer.analog_module.set_learning_rate(0.05)
    layer.analog_module.update(torch.full((1, 30), 0.7), torch.full((1, 40), -0.8))
    return float(layer.get_weights()[0].mean() - before)


def test_pulses_are_counted_with_the_steps_that_are_set():
    layer = layer_with(WIDE, 30, 40)
    shown = layer.analog_module.get_hidden_parameters()
    for key in ("dwmin_up", "dwmin_down"):
        shown[key] *= 10
    with pytest.warns(UserWarning, match=r"ConstantStep are 0.01 on average, and dw_min=0.001 was configured"):
        layer.analog_module.set_hidden_parameters(shown)
    # trains of 3 slots; each of 30 columns and 40 rows fires with p = sqrt(2.8 / 3), where both do there is a pulse
    p = (2.8 / 3) ** 0.5
    error = 0.01 * (3 * p**3 * (1 - p) * (1 / 30 + 1 / 40)) ** 0.5
    copied, loaded = copy.deepcopy(layer), layer_with(WIDE, 30, 40)
    loaded.load_state_dict(layer.state_dict())
    for one in (layer, copied, loaded):
        assert abs(moved(one) - 0.028) < 4 * error
        assert one.analog_module.chips.tile.config.device.dw_min == pytest.approx(0.01)
    layer.load_state_dict(layer_with(WIDE, 30, 40).state_dict())  # back to what was configured
    assert layer.analog_module.chips.tile.config.device.dw_min == 0.001 and abs(moved(layer) - 0.028) < 4 * error


def test_steps_of_parts_of_a_cell_are_told_apart():
    device = c.ConstantStepDevice(**EXACT)
    layer = layer_with(CELL(device=c.TransferCompound([device, device])))
    shown = layer.analog_module.get_hidden_parameters()
    shown["dwmin_up_1"] *= 3
    shown["dwmin_down_1"] *= 3
    with pytest.warns(UserWarning, match="0.003 on average"):
        layer.analog_module.set_hidden_parameters(shown)
    assert [part.dw_min for part in layer.analog_module.chips.tile.config.device.devices] == pytest.approx(
        [0.001, 0.003]
    )


def test_steps_within_the_configured_spread_change_no_count(recwarn):
    layer = layer_with(SINGLE(device=c.ConstantStepDevice(dw_min_dtod=0.3)), 30, 40)
    shown = layer.analog_module.get_hidden_parameters()
    for key in ("dwmin_up", "dwmin_down"):
        shown[key] *= 1.5
    layer.analog_module.set_hidden_parameters(shown)
    assert layer.analog_module.chips.tile.config.device.dw_min == 0.001 and len(recwarn) == 0


@pytest.mark.parametrize("name", ["transfer", "written", "both"])
def test_several_chips(name):
    both = c.ChoppedTransferCompound([STEP, STEP], gamma=0.5)  # its weight depends on choppers of each chip
    config = copy.deepcopy(CONFIGS[name]) if name in CONFIGS else CELL(device=both)
    config.mapping.max_input_size, config.mapping.max_output_size = 3, 2
    layer, other = layer_with(config, 5, 3, bias=True), layer_with(config, 5, 3, bias=True)
    sizes = [(2, 3), (1, 3), (2, 2), (1, 2)]  # column by column
    for mine, theirs, size in zip(layer.analog_tiles(), other.analog_tiles(), sizes, strict=True):
        shown = mine.get_hidden_parameters()
        first = next(iter(shown))
        assert shown[first].shape == size
        theirs.set_hidden_parameters(shown)
        assert all(torch.equal(theirs.get_hidden_parameters()[key], shown[key]) for key in shown)
        with pytest.raises(TileError, match=rf"{first} has the shape \(3, 5\), and needs \({size[0]}, {size[1]}\)"):
            theirs.set_hidden_parameters(shown | {first: torch.ones(3, 5)})
    if name != "written":
        assert torch.equal(other.get_weights()[0], layer.get_weights()[0])


def changed(shown, **values):
    return OrderedDict((key, values.get(key, value)) for key, value in shown.items())


REFUSED = [
    (lambda shown: OrderedDict(list(shown.items())[:-1]), r"missing \['drift_nu'\], unknown \[\]"),
    (lambda shown: shown | {"slope_up": shown["max_bound"]}, r"missing \[\], unknown \['slope_up'\]"),
    (lambda shown: OrderedDict(reversed(shown.items())), "drift_nu comes where max_bound belongs; keep"),
    (lambda shown: list(shown.values()), "got list; give a dictionary"),
    (
        lambda shown: changed(shown, dwmin_up=shown["dwmin_up"].T),
        r"dwmin_up has the shape \(4, 3\), and needs \(3, 4\)",
    ),
    (lambda shown: changed(shown, min_bound=torch.tensor(1.0)), r"min_bound has the shape \(\), and needs \(3, 4\)"),
    (lambda shown: changed(shown, max_bound=shown["max_bound"] / 0), "max_bound has values that are not finite"),
    (
        lambda shown: changed(shown, dwmin_down=shown["dwmin_down"] * np.nan),
        "dwmin_down has values that are not finite",
    ),
    (lambda shown: changed(shown, dwmin_down="much"), "dwmin_down is no tensor of numbers"),
    (
        lambda shown: changed(shown, decay_scales=shown["decay_scales"] / 2),
        "decay_scales must be 1.0 everywhere.*lifetime",
    ),
    (
        lambda shown: changed(shown, diffusion_rates=shown["dwmin_up"]),
        "diffusion_rates must be 0.0 .* set diffusion of",
    ),
    (
        lambda shown: changed(shown, reset_bias=shown["dwmin_up"]),
        "reset_bias must be 0.0 .* set reset or reset_dtod of",
    ),
    (
        lambda shown: changed(shown, drift_nu=shown["dwmin_up"]),
        "drift_nu must be 0.0 everywhere.* set drift of Constant",
    ),
]


@pytest.mark.parametrize(("change", "told"), REFUSED, ids=[row[1][:24] for row in REFUSED])
def test_what_does_not_fit_is_refused_and_nothing_changes(change, told):
    layer = layer_with(SINGLE())
    before, uses = arrays(layer), layer.analog_module.chips.uses
    shown = layer.analog_module.get_hidden_parameters()
    with pytest.raises(TileError, match=told):
        layer.analog_module.set_hidden_parameters(change(shown))
    assert same(arrays(layer), before) and layer.analog_module.chips.uses == uses


def test_the_place_inside_a_cell_is_named():
    module = layer_with(CONFIGS["pairs"]).analog_module
    shown = module.get_hidden_parameters()
    with pytest.raises(TileError, match=r"reset_bias_1_0 must be 0\.0"):
        module.set_hidden_parameters(changed(shown, reset_bias_1_0=shown["max_bound_1_0"]))


def test_an_empty_dictionary_sets_nothing():
    for config in (SINGLE(), c.FloatingPointRPUConfig(), c.InferenceRPUConfig()):
        layer = layer_with(config)
        before = arrays(layer)
        layer.analog_module.set_hidden_parameters(OrderedDict())
        assert same(arrays(layer), before)
    with pytest.raises(TileError, match=r"unknown \['max_bound'\]"):
        layer.analog_module.set_hidden_parameters({"max_bound": torch.ones(3, 4)})
