"""Pictures of devices and weights: what is drawn is looked at as numbers; steps to count are those of aihwkit 1.2.0."""

import sys

import matplotlib as mpl
import numpy as np
import pytest
import torch
from aihwkit.exceptions import ConfigError, TileError
from aihwkit.nn import AnalogLinear, AnalogSequential
from aihwkit.simulator.configs import (
    ConstantStepDevice,
    IdealDevice,
    InferenceRPUConfig,
    PowStepDevice,
    SingleRPUConfig,
    SoftBoundsDevice,
    SoftBoundsPmaxDevice,
    UnitCellRPUConfig,
)
from aihwkit.simulator.presets import (
    EcRamMOPresetDevice,
    PCMPresetDevice,
    PCMPresetUnitCell,
    ReRamArrayHfO2PresetDevice,
    ReRamESPresetDevice,
)
from aihwkit.simulator.tiles import AnalogTile
from aihwkit.utils import visualization, visualization_web

from analogjax.errors import MissingPackage

mpl.use("Agg")
plt = pytest.importorskip("matplotlib.pyplot")

ALIKE = {"dw_min_dtod": 0.0, "w_max_dtod": 0.0, "w_min_dtod": 0.0, "up_down_dtod": 0.0}
UP_AND_DOWN = np.repeat([1.0, -1.0], 6)


@pytest.fixture(autouse=True)
def nothing_stays_open():
    yield
    plt.close("all")


def noisy_tile(bias=False):
    torch.manual_seed(5)
    config = SingleRPUConfig(device=ConstantStepDevice(dw_min=0.02))
    config.update.desired_bl, config.update.update_bl_management, config.update.update_management = 1, False, False
    tile = AnalogTile(2, 3, config, bias=bias)
    tile.set_learning_rate(1.0)
    return tile


class TestResponse:
    @pytest.mark.parametrize("use_forward", [False, True])
    def test_all_pulses_at_once_are_those_of_calls_by_hand(self, use_forward):
        at_once, by_hand, trace = noisy_tile(), noisy_tile(), []
        for sign in UP_AND_DOWN.tolist():
            by_hand.update(-torch.ones(1, 3), sign * torch.ones(1, 2))
            trace.append((by_hand(torch.eye(3)).T if use_forward else by_hand.get_weights()[0]).detach().numpy())
        found = visualization.compute_pulse_response(at_once, UP_AND_DOWN, use_forward)
        np.testing.assert_allclose(found, np.stack(trace), atol=1e-6)
        # and so is what comes after
        after = [tile(torch.eye(3)).detach() for tile in (at_once, by_hand)]
        np.testing.assert_allclose(*after, atol=1e-6)

    def test_a_tile_with_a_bias_and_one_with_an_update_of_its_own_are_called(self, monkeypatch):
        tile = noisy_tile(bias=True)
        tile.set_weights(torch.zeros(2, 3), torch.tensor([5.0, -5.0]))
        trace = visualization.compute_pulse_response(tile, np.ones(2), use_forward=True)
        assert trace.shape == (2, 2, 3) and (trace[:, 0] > 4).all() and (trace[:, 1] < -4).all()

        class Twice(AnalogTile):
            def update(self, x_input, d_input):
                super().update(torch.cat([x_input] * 2), torch.cat([d_input] * 2))

        config = SingleRPUConfig(device=ConstantStepDevice(dw_min=0.01, dw_min_std=0.0, **ALIKE))
        config.update.desired_bl, config.update.update_bl_management, config.update.update_management = 1, False, False
        tile = Twice(1, 1, config)
        tile.set_learning_rate(1.0)
        tile.set_weights(torch.zeros(1, 1))
        np.testing.assert_allclose(visualization.compute_pulse_response(tile, np.ones(3)).ravel(), [0.02, 0.04, 0.06])

    def test_statistics_of_soft_bounds_are_their_law(self):
        device = SoftBoundsDevice(dw_min=0.01, w_max=0.5, w_min=-1.0, **ALIKE)
        tile = visualization.get_tile_for_plotting(SingleRPUConfig(device=device), 2, noise_free=True)
        assert tile.get_weights()[0].flatten().tolist() == [-1.0, -1.0]
        direction = np.repeat([1.0, -1.0], 400)
        trace = visualization.compute_pulse_response(tile, direction)
        nodes = np.linspace(-0.9, 0.4, 14)
        for up, law in ((True, 0.01 * (1 - nodes / 0.5)), (False, -0.01 * (1 + nodes))):
            mean, spread = visualization.compute_pulse_statistics(nodes, trace, direction, up)
            assert mean.shape == spread.shape == (14, 2, 1)
            # the kernel is 0.025 wide: it sees starts that far away, whose steps differ by its width times the slope
            np.testing.assert_allclose(mean[..., 0], np.stack([law, law], 1), rtol=0, atol=0.025 * 0.02)
            assert (spread < 2e-3).all()
        unknown, _ = visualization.compute_pulse_statistics(np.array([2.0, 2.1]), trace, direction, True)
        assert np.isnan(unknown).all()

    @pytest.mark.parametrize(
        ("device", "steps"),
        [
            (SoftBoundsDevice(), 1200), (PowStepDevice(), 2400), (SoftBoundsPmaxDevice(), 2000),
            (EcRamMOPresetDevice(), 7089), (PCMPresetDevice(), 62), (ReRamArrayHfO2PresetDevice(), 4),
            (ReRamESPresetDevice(), 1004),
        ],
    )  # fmt: skip
    def test_steps_over_the_range(self, device, steps):
        assert visualization.estimate_n_steps(SingleRPUConfig(device=device)) == steps

    def test_steps_of_what_has_no_range(self):
        assert visualization.estimate_n_steps(UnitCellRPUConfig(device=PCMPresetUnitCell())) == 1000
        with pytest.raises(ConfigError, match="IdealDevice has no range"):
            visualization.estimate_n_steps(SingleRPUConfig(device=IdealDevice()))


class TestDevicePlots:
    def test_the_overview(self):
        visualization.plot_device(ConstantStepDevice(dw_min=0.3), w_noise=0.1, n_steps=4, n_traces=2)
        noisy, quiet, up, down = plt.gcf().axes
        assert [len(axes.lines) for axes in (noisy, quiet, up, down)] == [2, 2, 2, 2]
        assert all(len(line.get_xdata()) == 1000 for line in noisy.lines)
        assert noisy.get_title() == "ConstantStepDevice" and quiet.get_title().endswith("(without cycle/read noise)")
        assert np.nanmin(up.lines[0].get_ydata()) >= 0 >= np.nanmax(down.lines[0].get_ydata())
        ends = [line.get_ydata().max() for line in quiet.lines]  # the devices are those of the noisy picture
        np.testing.assert_allclose(
            ends, [np.median(np.sort(line.get_ydata())[-200:]) for line in noisy.lines], atol=0.3
        )

    def test_the_compact_picture(self):
        device = ConstantStepDevice(dw_min=0.3, dw_min_std=0.0, **ALIKE)
        figure = visualization.plot_device_compact(device, n_steps=4, n_traces=2, w_init=0.0)
        middle, left, right = figure.axes
        assert [len(axes.lines) for axes in figure.axes] == [2, 2, 2]
        np.testing.assert_allclose(middle.lines[0].get_ydata()[:4], [0.3, 0.6, 0.6, 0.6], rtol=1e-5)
        assert left.get_xlabel() == "Up pulse size" and right.get_xlabel() == "Down pulse size"
        assert np.nanmax(left.lines[0].get_xdata()) == pytest.approx(0.3, rel=0.01)

        _, axes = plt.subplots()
        given = visualization.plot_device_compact(device, n_steps=4, n_traces=2, axes=axes, color="k", n_loops=1)
        assert given is axes and len(axes.lines) == 2 and axes.lines[0].get_color() == "k"
        assert len(axes.lines[0].get_xdata()) == 8

    def test_alternating_pulses_start_up_and_come_to_the_symmetry_point(self):
        device = SoftBoundsDevice(dw_min=0.2, dw_min_std=0.0, **ALIKE)
        visualization.plot_device_symmetry(device, n_pulses=60, n_traces=2, w_init=0.5)
        w = plt.gca().lines[0].get_ydata()
        assert len(w) == 60 and w[0] > 0.5 > w[1]
        assert abs(w[-2:].mean()) < 0.05
        assert plt.gca().get_ylim() == (-1, 1)

    def test_pictures_for_the_web(self, tmp_path, monkeypatch):
        monkeypatch.setattr(visualization_web, "DEVICES", {ConstantStepDevice: 4})
        with mpl.rc_context():
            visualization_web.save_plots_for_web(tmp_path, "svg")
        names = sorted(path.name for path in tmp_path.iterdir())
        assert names == ["constant_step_device-mini.svg", "constant_step_device.svg"]
        assert visualization_web.WEB_COLORS[0].lower() in (tmp_path / names[1]).read_text()
        assert "Pulse number" in (tmp_path / names[1]).read_text() or "<text" not in (tmp_path / names[0]).read_text()
        _, axes = plt.subplots()
        visualization_web.set_dark_style(axes)
        assert axes.plot([1, 2])[0].get_color() == visualization_web.WEB_COLORS[0]

    def test_without_matplotlib_the_message_says_what_to_install(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        with pytest.raises(MissingPackage, match=r'pip install "analogjax\[plot\]"'):
            visualization.plot_device_symmetry(ConstantStepDevice())
        # what draws nothing does not need it
        assert visualization.compute_pulse_response(noisy_tile(), np.ones(1)).shape == (1, 2, 3)


class TestWeightPlots:
    def test_drift(self):
        visualization.plot_weight_drift(
            t_inference_list=np.array([1.0, 1e6]), w_inits=np.array([0.8, -0.4]), n_repeats=9
        )
        low, high = (line.get_ydata() for line in plt.gca().lines)
        assert low[0] == pytest.approx(-0.4, abs=0.1) and high[0] == pytest.approx(0.8, abs=0.1)
        assert abs(low[1]) < abs(low[0]) and high[1] < high[0]
        assert len(plt.gca().collections) == 2 and plt.gca().get_xscale() == "log"

    def test_programming_errors_grow_with_time(self):
        w = np.linspace(-1, 1, 64, dtype=np.float32).reshape(8, 8)
        for label, t in (("now", None), ("later", 1e6)):
            axes = visualization.plot_programming_error(
                InferenceRPUConfig(), w_init=w, n_bins=5, label=label, t_inference=t
            )
        now, later = axes.get_legend_handles_labels()[0]
        assert axes.get_legend_handles_labels()[1] == ["now", "later"]
        np.testing.assert_allclose(now.lines[0].get_xdata(), [-0.75, -0.25, 0.25, 0.75])
        assert (later.lines[0].get_ydata()[[0, -1]] > 2 * now.lines[0].get_ydata()[[0, -1]]).all()
        assert 0 < now.lines[0].get_ydata().mean() < 10  # percent

    def test_an_empty_bin_is_a_gap(self):
        w = np.full((4, 4), 0.9, np.float32)
        axes = visualization.plot_programming_error(InferenceRPUConfig(), w_init=w, n_bins=3)
        assert np.isnan(axes.containers[0].lines[0].get_ydata()).tolist() == [True, False]

    def test_errors_of_a_model_leave_it_as_it_is(self):
        model = AnalogSequential(
            AnalogLinear(12, 10, rpu_config=InferenceRPUConfig()), AnalogLinear(10, 8, rpu_config=InferenceRPUConfig())
        ).eval()
        with pytest.raises(TileError, match="InferenceTile is not programmed"):
            visualization.plot_model_programming_error(model)
        model.program_analog_weights()
        model.drift_analog_weights(1e5)
        before = [tile.get_weights()[0] for tile in model.analog_tiles()]
        axes = visualization.plot_model_programming_error(model, n_bins=4, label="all")
        assert axes.get_legend_handles_labels()[1] == ["all"] and axes.get_xlim() == (-1, 1)
        drawn = axes.containers[0].lines[0].get_ydata()
        assert len(drawn) == 3 and (drawn > 0).all() and drawn.max() < 100
        for tile, weight in zip(model.analog_tiles(), before, strict=True):
            assert torch.equal(tile.get_weights()[0], weight)
