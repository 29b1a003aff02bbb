"""Parameters of known devices come back from their traces."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from analogjax import physics
from analogjax.errors import ConfigError, ShapeError
from analogjax.fit import Trace, fit_device
from tests.fit.pulse_traces import SIGNS, traces

_RANGE = ("w_max", "w_min")
_STEP = ("dw_min", "up_down")
# the true device; where the fit starts; what is fitted; whether the bounds are hard, hence seen as they are
CASES = {
    "linear": (
        physics.LinearStep(dw_min=0.005, gamma_up=0.5, gamma_down=0.3, up_down=0.1, w_max=0.7, w_min=-0.5),
        physics.LinearStep(), (*_STEP, "gamma_up", "gamma_down"), True,
    ),
    "soft": (physics.SoftBounds(dw_min=0.005, up_down=-0.1, w_max=0.7, w_min=-0.5), physics.SoftBounds(), _STEP, False),
    "exp": (
        physics.ExpStep(dw_min=0.01, up_down=0.1), physics.ExpStep(A_down=0.2, gamma_up=10.0, gamma_down=10.0),
        (*_STEP, "A_down", "gamma_up", "gamma_down"), True,
    ),
    "pow": (
        physics.PowStep(dw_min=0.02, pow_gamma=1.7, up_down=0.1, w_max=0.7, w_min=-0.5), physics.PowStep(),
        (*_STEP, "pow_gamma"), False,
    ),
    "piecewise": (
        physics.PiecewiseStep(dw_min=0.01, piecewise_up=(1.4, 1.0, 0.6), piecewise_down=(0.4, 0.8, 1.6)),
        physics.PiecewiseStep(dw_min=0.01, piecewise_up=(1.0,) * 3, piecewise_down=(1.0,) * 3),
        ("piecewise_up", "piecewise_down"), True,
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_noisy_pulses_give_the_parameters_back_n_3600(name):
    true, start, names, hard = CASES[name]
    fit = fit_device(start, traces(true, seed=1), names=names + _RANGE, match="increments")
    for one in names if hard else names + _RANGE:
        error = np.subtract(fit.values[one], getattr(true, one))
        assert np.all(np.abs(error) <= 3.5 * np.asarray(fit.standard_errors[one])), (one, fit.values[one], error)
        assert np.all(np.less(fit.standard_errors[one], np.inf))
    for one in _RANGE if hard else ():  # reached and held, so that rounding alone is left
        assert abs(fit.values[one] - getattr(true, one)) < 0.01 * true.dw_min
    noise = np.concatenate(fit.residuals)
    assert fit.rms == pytest.approx(np.sqrt(np.mean(noise**2))) and 0 < fit.rms < 2 * true.dw_min_std * true.dw_min
    assert fit.history[-1] == np.min(fit.history) and fit.history[-1] == pytest.approx(fit.rms**2, rel=1e-3)


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n != "linear")) for n in CASES])
def test_a_quiet_trajectory_gives_them_exactly(name):
    true, start, names, _ = CASES[name]
    fit = fit_device(start, traces(replace(true, dw_min_std=0.0), 2, 1), names=names + _RANGE)
    assert fit.rms < 1e-3 * true.dw_min and fit.standard_errors is None
    for one in names + _RANGE:
        np.testing.assert_allclose(fit.values[one], getattr(true, one), rtol=0.01)
        assert getattr(fit.device, one) == fit.values[one]  # plain numbers, ready to be used
    assert fit.device.dw_min_dtod == start.dw_min_dtod and fit.device.dw_min_std == start.dw_min_std


@pytest.mark.slow
def test_another_law_leaves_a_larger_residual():
    curved = traces(replace(CASES["pow"][0], pow_gamma=2.5, dw_min_std=0.1), seed=3)
    right, wrong = (
        fit_device(device, curved, names=(*_STEP, *_RANGE, *more), match="increments")
        for device, more in ((physics.PowStep(), ("pow_gamma",)), (physics.ConstantStep(), ()))
    )
    assert wrong.rms > 2 * right.rms


def test_one_input_one_fit_and_many_traces_of_any_length():
    true, start, names, _ = CASES["soft"]
    first, second = traces(true, 4, 2)
    short = Trace(signs=second.signs[:200], weights=second.weights[:200])  # its first pulse sets the start
    fits = [fit_device(start, [first, short], names=names, match="increments", steps=40) for _ in range(2)]
    assert fits[0].values == fits[1].values and [len(r) for r in fits[0].residuals] == [len(SIGNS), 199]
    assert len(fits[0].history) <= 41


@pytest.mark.slow
def test_what_the_traces_do_not_say_has_no_error_bar():
    up = traces(physics.ConstantStep(dw_min=0.001), 5, 1, np.ones(50, np.int8))  # never near a bound, never down
    fit = fit_device(physics.ConstantStep(w_max=0.6), up, names=("dw_min", "up_down"), match="increments")
    assert fit.values["dw_min"] == pytest.approx(0.001, rel=0.2)
    fit = fit_device(physics.LinearStep(), up, names=("dw_min", "gamma_down"), match="increments")
    assert fit.standard_errors["gamma_down"] == np.inf and fit.standard_errors["dw_min"] < 1e-3


def test_bounds_are_kept():
    true, start, names, _ = CASES["soft"]
    fit = fit_device(start, traces(true, 4, 1), names=names, bounds={"dw_min": (0.0, 0.004)}, match="increments")
    assert 0 < fit.values["dw_min"] <= 0.004  # its true step is larger: it ends on the bound, and not a rounding beyond


ONE = Trace(signs=[1, -1, 1], weights=[0.1, 0.0, 0.1], start=0.0)


@pytest.mark.parametrize(
    ("device", "trace", "options", "error", "said"),
    [
        (physics.SoftBounds(), ONE, {"names": ("dw",)}, ConfigError, "'dw' is not one of its numbers; it has dw_min"),
        (physics.SoftBounds(), ONE, {"names": "dw_min"}, ConfigError, "names=\\('dw_min',\\)"),
        (physics.SoftBounds(), ONE, {"names": ()}, ConfigError, "no name"),
        (physics.SoftBoundsPmax(), ONE, {}, ConfigError, "'dw_min' is not one .* p_max"),
        (physics.SoftBounds(), ONE, {"match": "best"}, ConfigError, "trajectory"),
        (physics.SoftBounds(), ONE, {"steps": 0}, ConfigError, "steps"),
        (physics.SoftBounds(), ONE, {"bounds": {"dw_min": (1.0, 0.5)}}, ConfigError, "no room"),
        (physics.Ideal(), ONE, {}, ConfigError, "no single pulses"),
        (physics.Vector(devices=(physics.SoftBounds(),)), ONE, {}, ConfigError, "the device inside it"),
        (physics.SoftBounds(), [], {}, ConfigError, "no trace"),
        (physics.SoftBounds(), [[0.1, 0.2]], {}, ConfigError, "trace 0 is a list"),
        (physics.SoftBounds(), [ONE, replace(ONE, signs=[1, 1])], {}, ShapeError, r"trace 1: signs \(2,\)"),
        (physics.SoftBounds(), replace(ONE, signs=[1, 2, 1]), {}, ConfigError, "np.sign"),
        (physics.SoftBounds(), replace(ONE, weights=[0.1, np.nan, 0.1]), {}, ConfigError, "not all finite"),
        (physics.SoftBounds(), replace(ONE, signs=[0, 0, 0]), {}, ConfigError, "too few"),
        (physics.SoftBounds(), replace(ONE, weights=[12.0, 10.0, 11.0]), {}, ConfigError, r"12, far .* \(g - middle\)"),
        (physics.SoftBounds(), replace(ONE, start=-9.0), {}, ConfigError, "raw conductances"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(device, trace, options, error, said):
    with pytest.raises(error, match=said):
        fit_device(device, trace, **options)


def test_weights_of_a_wide_device_are_fitted():
    wide = Trace(signs=[1, 1, -1, -1], weights=[11.0, 12.0, 11.0, 10.0], start=10.0)
    device = physics.ConstantStep(w_max=20.0, w_min=-20.0)
    assert fit_device(device, wide, names=("dw_min",), steps=30).values["dw_min"] == pytest.approx(1.0, rel=0.01)


def test_arrays_of_jax_will_do_as_traces():
    one = Trace(signs=jnp.asarray(ONE.signs), weights=jnp.asarray(ONE.weights), start=jnp.asarray(0.0))
    assert fit_device(physics.ConstantStep(w_max=1.0), one, names=("dw_min",), steps=5).values["dw_min"] > 0
