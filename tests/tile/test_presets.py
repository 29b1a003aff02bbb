"""Presets by aihwkit's names: its values, and chips that can be made of each."""

import jax
import jax.numpy as jnp
import pytest

from analogjax.errors import ConfigError
from analogjax.physics import ConstantStep, LinearStep, Periphery, Pulses, SoftBoundsReference, Vector
from analogjax.physics.presets import (
    PRESET_PERIPHERY,
    PRESET_PULSES,
    RERAM_ARRAY_HFO2,
    RERAM_ARRAY_OM,
    STANDARD_PERIPHERY,
)  # fmt: skip
from analogjax.tile import create, update
from analogjax.tile.presets import PRESETS, preset
from analogjax.tile.tile import Signal

# of aihwkit 1.2.0, fields that differ from the defaults of the class
_AIHWKIT = {
    "CapacitorPreset": (LinearStep, {
        "dw_min": 0.005, "dw_min_dtod": 0.1, "lifetime": 1e6, "lifetime_dtod": 0.3, "up_down_dtod": 0.06, "w_max": 1.0,
        "w_max_dtod": 0.07, "w_min": -1.0, "w_min_dtod": 0.07, "gamma_up": 0.05, "gamma_down": 0.05,
        "gamma_up_dtod": 0.01, "gamma_down_dtod": 0.01, "mult_noise": False,
    }),
    "EcRamPreset": (LinearStep, {
        "dw_min": 0.002, "dw_min_dtod": 0.1, "w_max": 1.1724, "w_max_dtod": 0.05, "w_min": -0.8276, "w_min_dtod": 0.05,
        "gamma_up": 0.1153, "gamma_down": 0.5085,
    }),
    "EcRamMOPreset": (LinearStep, {
        "dw_min": 2.8214e-4, "dw_min_dtod": 0.1, "dw_min_std": 2.0, "w_max": 1.1714, "w_max_dtod": 0.05,
        "w_min": -0.8286, "w_min_dtod": 0.05, "gamma_up": 0.4152, "gamma_down": 0.7342,
    }),
    "IdealizedPreset": (ConstantStep, {"dw_min": 0.0002, "up_down_dtod": 0.0, "w_max": 1.0, "w_min": -1.0}),
    "GokmenVlasovPreset": (ConstantStep, {"dw_min": 0.0016, "w_max": 1.0, "w_min": -1.0}),
    "ReRamSBPreset": (SoftBoundsReference, {
        "dw_min": 0.002, "w_max": 1.25, "w_min": -0.75, "mult_noise": False, "dw_min_std": 3.75,
        "w_max_dtod": 0.24, "w_min_dtod": 0.4, "write_noise_std": 56.0,
    }),
}  # fmt: skip


@pytest.mark.parametrize("name", _AIHWKIT)
def test_values_are_those_of_aihwkit(name):
    kind, values = _AIHWKIT[name]
    assert preset(name).device == kind(**values)
    config = preset(name)
    assert (config.forward.out_bound, config.forward.out_noise, config.update.desired_bl) == (20.0, 0.1, 31)
    assert config.backward == config.forward


def test_arrays_of_reram_have_the_values_of_aihwkit():
    common = {"corrupt_devices_range": 0.01, "dw_min_dtod_log_normal": True, "w_max": 1.0, "w_min": -1.0}
    common |= {"reference_std": 0.05, "subtract_symmetry_point": True}
    assert RERAM_ARRAY_OM == SoftBoundsReference(
        dw_min=0.0949, dw_min_dtod=0.7829, dw_min_std=0.4158, w_max_dtod=0.3499, w_min_dtod=0.5695,
        write_noise_std=1.4113, **common,
    )  # fmt: skip
    assert RERAM_ARRAY_HFO2 == SoftBoundsReference(
        dw_min=0.4622, dw_min_dtod=0.7125, dw_min_std=0.2174, w_max_dtod=0.4295, w_min_dtod=0.5990,
        write_noise_std=0.5841, **common,
    )  # fmt: skip


def test_converters_have_the_values_of_aihwkit():
    assert PRESET_PERIPHERY == Periphery(
        inp_res=0.007936507936507936, out_res=0.00196078431372549, out_bound=20.0, out_noise=0.1,
        bound_management="Iterative", noise_management="AbsMax",
    )  # fmt: skip
    assert STANDARD_PERIPHERY == Periphery(
        inp_res=0.003937007874015748, out_res=0.003937007874015748, out_bound=10.0, out_noise=0.04,
        bound_management="Iterative", noise_management="AbsMax",
    )  # fmt: skip
    assert PRESET_PULSES == Pulses(
        desired_bl=31, pulse_type="StochasticCompressed", update_bl_management=True, update_management=True
    )


def test_cells_of_several_devices():
    cell = preset("Capacitor4Preset").device
    assert isinstance(cell, Vector) and cell.devices == (preset("CapacitorPreset").device,) * 4
    assert cell.update_policy == "SingleRandom"


@pytest.mark.parametrize("name", [name for name in PRESETS if not name[-7].isdigit()])
def test_chips_can_be_made_and_pulsed(key, name):
    tile = create(preset(name), (3, 4), key)
    signal = Signal(jnp.ones((1, 4)), jnp.full((1, 3), -1.0))
    moved = update(tile, signal, 0.1, key=jax.random.key(1))
    assert jnp.all(jnp.isfinite(moved.read())) and not jnp.array_equal(moved.read(), tile.read())


def test_an_unknown_name_is_told_what_is_known():
    with pytest.raises(ConfigError, match="CapacitorPreset"):
        preset("TikiTakaEcRamPreset")
