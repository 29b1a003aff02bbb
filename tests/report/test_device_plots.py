"""The data behind the plots of devices, the command that makes them, and every preset once."""

import sys

import numpy as np
import pytest

from analogjax import physics, random
from analogjax.cli import main
from analogjax.errors import ConfigError, MissingPackage
from analogjax.physics import presets
from analogjax.physics.compounds import MixedPrecision, OneSided, tiki_taka
from analogjax.report import plot_device
from analogjax.report.pulse_response import alternating, hidden_arrays, leaves, quiet, response, step_sizes
from analogjax.tile.presets import PRESETS, preset

CONSTANT = physics.ConstantStep(dw_min=0.02, up_down=0.2, w_max_dtod=0.0, w_min_dtod=0.0)
SOFT = physics.SoftBounds(dw_min=0.05, dw_min_dtod=0.1, up_down=0.1, w_max_dtod=0.0, w_min_dtod=0.0)


def test_a_response_spans_the_range_and_returns(key):
    signs, w = response(CONSTANT, 16, key)
    assert w.shape == (len(signs) + 1, 16) and np.all(w[0] == 0)
    assert w.max() == pytest.approx(0.6) and np.all(np.abs(w) <= 0.6 + 1e-6)
    assert w[len(signs) // 2].mean() > 0.5 and w[-1].mean() < -0.5


def test_steps_are_those_of_the_law_with_their_spread_n_200(key):
    steps = step_sizes(CONSTANT, 200, key)
    assert steps.up.shape == steps.down.shape == (41, 200)
    inside = steps.weights[:-3]  # a step up that would pass the bound is cut there
    np.testing.assert_allclose(np.nanmean(steps.up[: len(inside)]), 0.02, atol=4 * 0.3 * 0.02 / np.sqrt(200))
    np.testing.assert_allclose(np.nanmean(steps.down[3:]), 0.016, atol=4 * 0.3 * 0.02 / np.sqrt(200))
    soft = step_sizes(SOFT, 8, key)
    slope = np.nanmean(soft.up, 1)
    assert np.all(np.diff(slope[np.isfinite(slope)][:30]) < 0)


def test_alternating_pulses_lead_to_the_symmetry_point_n_64(key):
    still = physics.SoftBounds(
        dw_min=0.02, up_down=0.2, dw_min_std=0.0, dw_min_dtod=0.0, up_down_dtod=0.0, w_max_dtod=0.0, w_min_dtod=0.0
    )
    w = alternating(still, 4, key)
    # s (1 - w / b) = 0.8 s (1 + w / b)
    np.testing.assert_allclose(w[-1], 0.6 * 0.2 / 1.8, atol=0.02)
    assert w[0].mean() == pytest.approx(0.3)


def test_a_unit_cell_is_pulsed_as_a_whole_n_200(key):
    cell = physics.Vector(devices=(CONSTANT, CONSTANT), update_policy="SingleRandom")
    steps = step_sizes(cell, 200, key)
    # one of two, read as their mean; all points of the curve are of the same 200 crosspoints
    np.testing.assert_allclose(np.nanmean(steps.up[:-6]), 0.01, atol=4 * 0.3 * 0.01 / np.sqrt(200))
    pair = OneSided(device=presets.PCM)
    assert np.nanmin(step_sizes(pair, 8, key).weights) < 0 and leaves(pair) == (presets.PCM,)


def test_a_compound_shows_its_arrays_and_its_memory(key):
    transfer = hidden_arrays(tiki_taka(devices=(SOFT, SOFT)), physics.Pulses(), 3, key)
    assert list(transfer.arrays) == ["array 0", "array 1"] and not transfer.digital
    np.testing.assert_array_equal(transfer.visible, transfer.arrays["array 1"])
    half = len(transfer.signs) // 2
    assert transfer.visible[half - 1].mean() > 0.3 and transfer.visible[-1].mean() < -0.3
    mixed = hidden_arrays(MixedPrecision(device=SOFT), physics.Pulses(), 3, key)
    assert list(mixed.digital) == ["chi"] and np.abs(mixed.digital["chi"]).max() < 0.06


def test_one_key_one_plot(key):
    np.testing.assert_array_equal(response(SOFT, 3, random.key(1))[1], response(SOFT, 3, random.key(1))[1])
    assert np.any(response(SOFT, 3, random.key(1))[1] != response(SOFT, 3, random.key(2))[1])


def test_quiet_reaches_every_part():
    compound = tiki_taka(devices=(presets.RERAM_ES, MixedPrecision(device=SOFT).device))
    assert [part.dw_min_std for part in quiet(compound).devices] == [0.0, 0.0]
    assert quiet(presets.PCM_CELL).refresh_every == 0 and quiet(presets.PCM_CELL).device.dw_min_std == 0.0


def test_the_command_writes_a_picture(tmp_path, capsys):
    path = tmp_path / "soft.png"
    assert main(["devices", "plot", "softbounds", "--output", str(path)]) == 0
    assert path.read_bytes().startswith(b"\x89PNG") and capsys.readouterr().out.strip() == str(path)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["plot", "CapacitrPreset"], "did you mean CapacitorPreset? Known: ReRamESPreset, "),
        (["plot"], "needs one name"),
        (["plot", "SoftBounds", "--output", "/not/there/x.png"], "no folder"),
        (["SoftBounds", "--output", "x.png"], "goes with a plot"),
        (["SoftBounds", "ConstantStep"], "one name"),
        (["Ideel"], "did you mean Ideal?"),
    ],
)
def test_wrong_use_is_told_in_one_line(arguments, said, capsys):
    assert main(["devices", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error


def test_what_can_not_be_plotted_is_told(key, monkeypatch, tmp_path):
    with pytest.raises(ConfigError, match="Ideal: has no pulses"):
        plot_device(physics.Ideal(), tmp_path / "x.png", key=key)
    with pytest.raises(ConfigError, match="can't be written"):
        plot_device(SOFT, tmp_path / "x.nonsense", devices=4, key=key)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingPackage, match="pip install"):
        plot_device(SOFT, tmp_path / "x.png", key=key)


@pytest.mark.slow  # each is a program of its own to compile: one of every kind of device and of compound
@pytest.mark.parametrize("name", PRESETS[::5])
def test_every_preset_can_be_plotted(name, tmp_path, key):
    config = preset(name)
    plot_device(config.device, tmp_path / "x.png", pulses=config.update, devices=8, key=key)
    assert (tmp_path / "x.png").stat().st_size > 10_000
