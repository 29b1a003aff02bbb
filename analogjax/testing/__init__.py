"""The test suites that analogjax's own devices, noise models and layers pass, for yours.

    import pytest
    from analogjax import testing

    @pytest.mark.parametrize("promise", testing.device(MyDevice(dw_min=0.01)))
    def test_my_device(promise):
        promise()

Without pytest: `testing.check(testing.device(MyDevice(dw_min=0.01)))`. Nothing here needs pytest.
"""

from collections.abc import Callable
from typing import Any

from analogjax.physics import PulsedDevice
from analogjax.testing import devices, layers, noise_models, pulsed_devices
from analogjax.testing.closeness import assert_close as assert_close
from analogjax.testing.closeness import assert_mean as assert_mean
from analogjax.testing.closeness import assert_same_bits as assert_same_bits
from analogjax.testing.closeness import assert_std as assert_std
from analogjax.testing.promise import Promise as Promise
from analogjax.testing.promise import check as check


def device(about: Any) -> list[Promise]:
    """Return the checks ("promises") for a device or compound, including those for pulsed devices if it is one.

    Args:
        about: The device, with plain numbers in its fields, with variation between crosspoints (such as
            `dw_min_dtod`), and any noise. Its step should be roughly a hundredth of its bounds, and weights of 0.1
            within them. A pulsed one has the field `dw_min_std`, and constants named `max_bound`, `min_bound`,
            `dwmin_up` and `dwmin_down`, as all that derive from `Nonlinear`, `ConstantStep` or `LinearStep` have.

    Returns:
        Promises: call each, or pass them to `check`. `costly` ones take seconds of compilation each.
    """
    pulsed = isinstance(about, PulsedDevice)
    cheap = devices.CHEAP + (pulsed_devices.CHEAP if pulsed else ())
    costly = devices.COSTLY + (pulsed_devices.COSTLY if pulsed else ())
    costly += () if hasattr(about, "devices") else devices.OF_SINGLE
    costly += () if hasattr(about, "schedule") else devices.OF_UNSCHEDULED
    return [Promise(one, about) for one in cheap] + [Promise(one, about, costly=True) for one in costly]


def layer(module: Any, x: Any, digital: Callable[[Any, Any, Any], Any]) -> list[Promise]:
    """Return the checks ("promises") for an analog layer.

    Args:
        module: A flax module with exact tiles: `FloatingPoint` devices and `Periphery(is_perfect=True)`.
        x: A batch that it accepts.
        digital: The expected result, `(weights, params, x) -> y`; `weights` are logical matrices, as in `tiles`.

    Returns:
        Promises, as those of `device`.
    """
    about = layers.About(module, x, digital)
    return [Promise(one, about, costly=True) for one in layers.PROMISES]


def noise_model(about: Any) -> list[Promise]:
    """Return the checks ("promises") for a noise model of inference, which needs some noise; otherwise as `device`."""
    return [Promise(one, about) for one in noise_models.PROMISES]
