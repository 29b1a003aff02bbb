"""The noise of known devices comes back from their traces."""

from dataclasses import replace

import numpy as np
import pytest

from analogjax import physics
from analogjax.errors import ConfigError
from analogjax.fit import Trace, fit_noise
from analogjax.physics import presets
from tests.fit.pulse_traces import SIGNS, traces
from tests.fit.test_device_fits import CASES

_STEP = {"dw_min": 0.004, "dw_min_std": 0.3}
QUIET = {
    "linear": physics.LinearStep(**_STEP, gamma_up=0.5, gamma_down=0.3, up_down=0.1),  # runs into its bounds
    "reference": physics.SoftBoundsReference(**_STEP, mult_noise=False, reference_mean=0.1),
    "piecewise": replace(CASES["piecewise"][0], dw_min_std=0.5),
    "constant": physics.ConstantStep(**_STEP),
    "pcm": replace(presets.PCM, reset_dtod=0.0),  # its noise has a constant part, and one of the weight
}
NOISY = {
    "linear": replace(QUIET["linear"], write_noise_std=2.0),
    "pow": replace(CASES["pow"][0], write_noise_std=2.0, dw_min_std=0.5),
    "reram": presets.RERAM_ES,  # noise of 5 steps under write noise of 75
}


def agrees(fit, true):
    for name, value in fit.values.items():
        z = (value - getattr(true, name)) / fit.standard_errors[name]
        assert abs(z) < 3.5, (name, value, fit.standard_errors[name])
    assert fit.history[-1] == fit.history.min() and fit.history[-1] <= fit.history[0]


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n != "constant")) for n in QUIET])
def test_noise_of_single_pulses_n_3600(name):
    true = QUIET[name]
    fit = fit_noise(replace(true, dw_min_std=1.0), traces(true, seed=6))
    assert list(fit.values) == ["dw_min_std"] and 0 < fit.standard_errors["dw_min_std"] < 0.02 * true.dw_min_std
    agrees(fit, true)
    assert fit.device == replace(true, dw_min_std=fit.values["dw_min_std"])


@pytest.mark.slow
@pytest.mark.parametrize("name", NOISY)
def test_noise_of_pulses_and_of_what_is_read_n_3600(name):
    true = NOISY[name]
    fit = fit_noise(replace(true, dw_min_std=1.0), traces(true, seed=7))
    assert list(fit.values) == ["dw_min_std", "write_noise_std"]
    assert fit.standard_errors["write_noise_std"] < 0.05 * true.write_noise_std
    agrees(fit, true)


@pytest.mark.slow
def test_errors_are_as_wide_as_the_fits_scatter_n_24():
    true, few = QUIET["constant"], SIGNS[:100]
    z = []
    for seed in range(24):
        fit = fit_noise(true, traces(true, 100 + seed, 1, few))
        z.append(
            (np.log(fit.values["dw_min_std"]) - np.log(true.dw_min_std))
            / (fit.standard_errors["dw_min_std"] / fit.values["dw_min_std"])
        )
    assert 0.5 < np.std(z) < 1.6 and abs(np.mean(z)) < 4 / np.sqrt(24)  # chi-squared of 23: within 4 standard errors


def test_what_is_wrong_is_told():
    pulses = traces(QUIET["constant"], 8, 1, SIGNS[:20])
    with pytest.raises(ConfigError, match="ConstantStep has no write noise"):
        fit_noise(QUIET["constant"], pulses, write_noise=True)
    with pytest.raises(ConfigError, match="move nothing"):
        fit_noise(QUIET["constant"], Trace(signs=[1, 1, 1], weights=[0.1, 0.1, 0.1]))
    with pytest.raises(ConfigError, match="Ideal"):
        fit_noise(physics.Ideal(), pulses)
