"""Fits of devices to pulse responses: known devices are found again; the model is checked against their law."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from aihwkit.exceptions import ArgumentError, ConfigError
from aihwkit.simulator.configs import ConstantStepDevice, SingleRPUConfig, SoftBoundsDevice
from aihwkit.utils.fitting import fit_measurements, model_response

from analogjax.errors import MissingPackage

PULSES = np.repeat([1.0, -1.0, 1.0], [30, 40, 20])


class Given(dict):
    """As much of `lmfit.Parameters` as the model needs."""

    def valuesdict(self):
        return {name: one.value for name, one in self.items()}


def given(**values):
    return Given({name: SimpleNamespace(value=value, vary=True) for name, value in values.items()})


def soft_bounds(start, pulses=PULSES, step=0.03, high=0.7, low=-0.5):
    """Weights before each pulse, by the law of the device."""
    w, found = start, []
    for sign in pulses:
        found.append(w)
        w += step * (1 - w / high) if sign > 0 else -step * (1 - w / low)
    return np.array(found)


def one_pulse(device):
    config = SingleRPUConfig(device=device)
    config.update.desired_bl, config.update.update_bl_management, config.update.update_management = 1, False, False
    return config


def calm(kind, **more):
    spreads = ("dw_min_std", "dw_min_dtod", "w_max_dtod", "w_min_dtod", "up_down_dtod")
    return kind(**dict.fromkeys(spreads, 0.0), **more)


class TestModel:
    def test_is_the_law_of_the_device(self, capsys):
        config, params = one_pulse(calm(SoftBoundsDevice)), given(dw_min=0.03, w_max=0.7, w_min=-0.5)
        measured = soft_bounds(-0.3)
        found = model_response(params, PULSES, measured, config, only_response=True)
        assert found.shape == (90, 1)
        np.testing.assert_allclose(found[:, 0], measured, atol=1e-5)
        assert (config.device.dw_min, config.device.w_max) == (0.03, 0.7)
        residuals = model_response(params, PULSES, measured + 0.25, config)
        assert float(capsys.readouterr().out) == pytest.approx(residuals.std())
        assert residuals.shape == (90,) and abs(residuals[0]) < 1e-6  # it starts where the measurement does

    def test_measurements_of_several_devices_have_weights(self):
        config, params = one_pulse(calm(SoftBoundsDevice)), given(dw_min=0.03, w_max=0.7, w_min=-0.5)
        short = PULSES[:50]
        measured = (
            np.stack([soft_bounds(-0.3) + 0.1, soft_bounds(0.2, -PULSES)], 1),
            np.stack([soft_bounds(0.0, short), soft_bounds(0.1, short) - 0.2], 1),
        )
        pulses = (np.stack([PULSES, -PULSES], 1), np.stack([short, short], 1))
        responses = model_response(params, pulses, measured, config, n_traces=2, verbose=False, only_response=True)
        assert [one.shape for one in responses] == [(90, 2), (50, 2)]
        np.testing.assert_allclose(responses[0][:, 1], measured[0][:, 1], atol=1e-5)
        plain = model_response(params, pulses, measured, config, verbose=False)
        assert plain.shape == (90 * 2 + 50 * 2,)
        weighted = model_response(params, pulses, measured, config, fit_weights=((2.0, 1.0), 3.0), verbose=False)
        np.testing.assert_allclose(weighted[:180].reshape(-1, 2), plain[:180].reshape(-1, 2) * [2, 1], atol=1e-6)
        np.testing.assert_allclose(weighted[180:], plain[180:] * 3, atol=1e-6)

    def test_a_parameter_that_is_none(self):
        with pytest.raises(ConfigError, match="ConstantStepDevice has no parameter 'slope'"):
            model_response(given(slope=1.0), PULSES, soft_bounds(0.0), one_pulse(ConstantStepDevice()))


class TestFit:
    def test_a_known_device_is_found_again(self, capsys):
        pytest.importorskip("lmfit")
        device, before = SoftBoundsDevice(), repr(SoftBoundsDevice())
        result, fitted, response = fit_measurements(
            {"dw_min": (0.01, 0.001, 0.1), "w_max": (1.0, 0.1, 2.0), "w_min": -0.5}, PULSES, soft_bounds(-0.3), device,
            verbose=True,
        )  # fmt: skip
        assert result.success and result.method == "Powell" and result.nvarys == 2
        assert result.params.valuesdict() == pytest.approx({"dw_min": 0.03, "w_max": 0.7, "w_min": -0.5}, rel=1e-3)
        assert (fitted.dw_min, fitted.w_max, fitted.w_min) == tuple(result.params.valuesdict().values())
        assert fitted.dw_min_std == fitted.w_max_dtod == 0.0  # the noise was suppressed, in a copy
        assert repr(device) == before
        np.testing.assert_allclose(response[:, 0], soft_bounds(-0.3), atol=1e-3)
        assert "[[Variables]]" in capsys.readouterr().out

    def test_a_configuration_keeps_its_update_and_noise(self):
        lmfit = pytest.importorskip("lmfit")
        config = one_pulse(ConstantStepDevice(dw_min_std=0.1))
        measured = 0.02 * np.concatenate([[0], np.cumsum(PULSES)[:-1]])
        params = lmfit.Parameters()
        params.add("dw_min", value=0.015, min=0.005, max=0.05)
        result, fitted, response = fit_measurements(
            params, (PULSES,), (measured,), config, suppress_device_noise=False, method="brute", Ns=4, n_traces=3
        )
        assert result.params["dw_min"].value == pytest.approx(0.02)  # of 0.005, 0.02, 0.035
        assert isinstance(fitted, SingleRPUConfig) and fitted.device.dw_min_std == 0.1 and fitted.update.desired_bl == 1
        assert isinstance(response, list) and response[0].shape == (90, 1)

    def test_what_is_given_wrongly(self):
        with pytest.raises(ArgumentError, match="for both, or for none"):
            fit_measurements({}, (PULSES,), PULSES, ConstantStepDevice())
        pytest.importorskip("lmfit")
        with pytest.raises(ArgumentError, match="give a dictionary"):
            fit_measurements(["dw_min"], PULSES, PULSES, ConstantStepDevice())
        with pytest.raises(ConfigError, match="no parameter 'slope'"):
            fit_measurements({"slope": 1.0}, PULSES, PULSES, ConstantStepDevice())

    def test_without_lmfit_the_message_says_what_to_install(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "lmfit", None)
        with pytest.raises(MissingPackage, match=r'pip install "analogjax\[fit\]"'):
            fit_measurements({"dw_min": 0.1}, PULSES, PULSES, ConstantStepDevice())
