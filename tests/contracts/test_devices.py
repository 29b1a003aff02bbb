"""What every device promises (`analogjax.testing`), for all of ours; and the equations of their steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax import physics, pytree, random, testing
from analogjax.errors import ConfigError
from analogjax.physics import Nonlinear
from analogjax.physics.compounds.parts.fields import changed, flat
from analogjax.physics.devices.pulsed import hidden
from analogjax.store import Checkpoints
from analogjax.testing.devices import _lived, _one_life, made, signal
from analogjax.testing.pulsed_devices import SMALL, N, far_from_bounds
from tests.tolerance import assert_close, assert_mean, assert_same_bits, assert_std

STEP = {"dw_min": 0.01}
PARTS = (physics.ConstantStep(**STEP), physics.SoftBounds(**STEP, write_noise_std=0.5))
DRIFT = physics.Drift(nu=0.1, nu_dtod=0.2, nu_std=0.1, w_noise_std=0.001)
PAIR = (physics.SoftBounds(**STEP), physics.SoftBoundsReference(**STEP, reference_std=0.05))
LINES = {"units_in_mbatch": False, "transfer_every": 1.0}  # a line after each vector

DEVICES = {
    "ideal": physics.Ideal(diffusion=0.01, lifetime=20.0),
    "floating": physics.FloatingPoint(drift=physics.Drift(nu=0.1)),
    "constant": physics.ConstantStep(**STEP),
    "constant-resting": physics.ConstantStep(
        **STEP, diffusion=0.01, diffusion_dtod=0.3, lifetime=50.0, lifetime_dtod=0.3, reset=0.05, reset_dtod=0.02
    ),
    "constant-drift": physics.ConstantStep(**STEP, drift=DRIFT),
    "constant-corrupt": physics.ConstantStep(
        **STEP, corrupt_devices_prob=0.3, perfect_bias=True, enforce_consistency=False, dw_min_dtod_log_normal=True
    ),
    "linear": physics.LinearStep(**STEP, gamma_up=0.5, gamma_down=0.3, up_down=0.1),
    "linear-additive": physics.LinearStep(
        **STEP, gamma_up=0.5, gamma_down=0.3, mult_noise=False, mean_bound_reference=False, allow_increasing=True
    ),
    "linear-write-noise": physics.LinearStep(**STEP, write_noise_std=2.0, lifetime=50.0, drift=DRIFT),
    "soft": physics.SoftBounds(**STEP, up_down=-0.1),
    "soft-reverse": physics.SoftBounds(**STEP, reverse_up=True, reverse_down=True),
    "reference": physics.SoftBoundsReference(
        **STEP, subtract_symmetry_point=True, reference_std=0.05, slope_up_dtod=0.1, slope_down_dtod=0.1, up_down=0.1
    ),
    "reference-mult": physics.SoftBoundsReference(**STEP, mult_noise=True, write_noise_std=2.0, reference_mean=0.05),
    "exp-noisy": physics.ExpStep(
        **STEP, dw_min_std_add=0.004, dw_min_std_slope=0.02, write_noise_std=2.0, A_up=-1.2, gamma_up=5.0, a=-0.5
    ),
    "pow": physics.PowStep(**STEP, pow_gamma=1.7, pow_up_down_dtod=0.05, write_noise_std=2.0),
    "pow-reference": physics.PowStepReference(**STEP, pow_gamma=1.5, subtract_symmetry_point=True, reference_std=0.05),
    "piecewise": physics.PiecewiseStep(**STEP, piecewise_up=(1.4, 1.0, 0.6), piecewise_down=(0.4, 0.8, 1.6)),
    "vector-all": physics.Vector(devices=PARTS),
    "vector-fixed": physics.Vector(devices=PARTS, update_policy="SingleFixed", gamma_vec=(1.0, -1.0)),
    "vector-sequential": physics.Vector(devices=PARTS, update_policy="SingleSequential"),
    "vector-random": physics.Vector(devices=PARTS, update_policy="SingleRandom"),
}
COMPOUNDS = {
    "one-sided": physics.OneSided(device=PAIR[0], refresh_every=2, refresh_upper_thres=0.2, refresh_lower_thres=0.05),
    "mixed": physics.MixedPrecision(device=PAIR[0], n_x_bins=8),
    "tiki-taka": physics.tiki_taka(PAIR, **LINES, with_reset_prob=0.2),
    "tiki-taka-rows": physics.tiki_taka((*PAIR, PAIR[0]), **LINES, transfer_columns=False, gamma=0.5),
    "ttv2": physics.ttv2(PAIR, **LINES, thres_scale=0.1),
    "c-ttv2": physics.c_ttv2(PAIR, out_chop_prob=0.2, auto_scale=True, gamma=0.2),
    "agad": physics.agad(PAIR, in_chop_prob=0.5),
    "residual": physics.residual(PAIR, **LINES, warm_start=1.0),
    "rider": physics.rider(PAIR),
    "e-rider": physics.e_rider(PAIR, in_chop_prob=0.5),
}
# Compiling takes most of the time: costly promises are checked for one device of each kind, the others under `slow`
CORE = ("ideal", "constant", "linear-write-noise", "reference", "vector-sequential", "e-rider")


def _rows():
    for name, device in (DEVICES | COMPOUNDS).items():
        for promise in testing.device(device):
            fast = name in CORE or (not promise.costly and promise.check.__name__.startswith(("it_is_a", "shapes")))
            marks = () if fast else pytest.mark.slow
            yield pytest.param(promise, id=f"{name}-{promise.check.__name__}", marks=marks)


@pytest.mark.parametrize("promise", list(_rows()))
def test_promise(promise):
    promise()


@pytest.mark.parametrize(
    "name", [n if n == "e-rider" else pytest.param(n, marks=pytest.mark.slow) for n in COMPOUNDS if n[0] not in "om"]
)
def test_numbers_of_a_transfer_may_be_swept_or_are_refused(name):
    """An array in a field means the same as the number, unless the field decides what is compiled."""
    cell, swept, refused = COMPOUNDS[name], {}, set()
    for field, value in flat(cell).items():
        if type(value) is not float:
            continue
        try:
            changed(cell, **{field: jnp.float32(value)})
            swept[field] = jnp.float32(value)
        except ConfigError:
            refused.add(field)
    program = {
        "gamma",
        "transfer_every",
        "timescale",
        "in_chop_prob",
        "with_reset_prob",
        "sweeps",
    }  # decide what is compiled
    assert refused <= program and {"transfer_lr", "fast_lr"} <= set(swept)
    assert_close(_one_life(changed(cell, **swept), jnp.full((4, 6), 0.05)), _one_life(cell, jnp.full((4, 6), 0.05)))


def test_what_is_broken_is_told_by_its_name():
    class Deaf(physics.Ideal):
        def update(self, p, cells, state, x, d, lr, key):
            return physics.State(w=state.w + 0.01)

    with pytest.raises(AssertionError, match=r"Deaf\(\) breaks 'nothing_happens_without_pulses'"):
        testing.check(testing.device(pytree(Deaf)()))


EXACT = dict.fromkeys(("dw_min_std", "dw_min_dtod", "up_down_dtod", "w_max_dtod", "w_min_dtod"), 0.0)


class Nameless(physics.ConstantStep):
    """A device with a name of its own for its upper bounds."""

    def fabricate(self, shape, dtype, key):
        cells = super().fabricate(shape, dtype, key)
        return {"ceiling" if name == "max_bound" else name: value for name, value in cells.items()}


@pytest.mark.parametrize(
    ("about", "promise", "told"),
    [
        (physics.ConstantStep(**STEP, **EXACT), "another_key_is_another_chip", "give it some, such as dw_min_dtod"),
        (pytree(Nameless)(**STEP), "bounds_and_steps_are_known", "fabricate returns no max_bound"),
    ],
    ids=["no-variation", "nameless"],
)
def test_what_a_device_lacks_to_be_tested_is_told(about, promise, told):
    (chosen,) = (one for one in testing.device(about) if one.check.__name__.startswith(promise))
    with pytest.raises(AssertionError, match=told):
        chosen()


def test_what_is_no_object_is_refused():
    with pytest.raises(AssertionError, match=r"breaks 'it_is_a_device': .*give an object, such as SoftBounds\(\)"):
        testing.check(testing.device(physics.SoftBounds))
    with pytest.raises(AssertionError, match="methods or properties are missing: granularity, needs_rest, fabricate"):
        testing.check(testing.device("SoftBounds"))
    for wrong in (physics.SoftBounds(), [physics.SoftBounds()]):
        with pytest.raises(ConfigError, match=r"needs promises, such as those of testing.device"):
            testing.check(wrong)
    testing.check(testing.device(DEVICES["ideal"])[0])


def expected_step(device, cells, w, up):
    """Mean and standard deviation of one step by the equations of the module docstrings, without clipping."""
    s = cells["dwmin_up"] if up else cells["dwmin_down"]
    c = device.dw_min_std
    if isinstance(device, physics.ConstantStep):
        return s, c * s
    if isinstance(device, Nonlinear):
        # its `step` is the equation itself; tests/physics/devices has the equations again
        v = w + cells.get("reference", 0.0)
        mean = device.step(cells, v, jnp.asarray(up))
        return mean, device.spread(v, mean)
    if isinstance(device, physics.SoftBoundsReference):
        mean = s * (1 - (w + cells["reference"]) / (cells["max_bound"] if up else cells["min_bound"]))
    elif isinstance(device, physics.SoftBounds):
        high, low = cells["max_bound"], cells["min_bound"]
        if device.reverse_up:
            high, low = low - device.reverse_offset, high + device.reverse_offset
        mean = s * (1 - w / (high if up else low))
    else:
        mean = s + (cells["slope_up"] if up else cells["slope_down"]) * w
    return mean, c * jnp.abs(mean if device.mult_noise else s)


SINGLE = [name for name, device in DEVICES.items() if isinstance(device, physics.PulsedDevice)]


@pytest.mark.parametrize("up", [True, False], ids=["up", "down"])
@pytest.mark.parametrize("name", [n if n in CORE else pytest.param(n, marks=pytest.mark.slow) for n in SINGLE])
def test_one_pulse_follows_its_equation_n_4096(name, up):
    device, (cells, state) = DEVICES[name], made(DEVICES[name], SMALL)
    sign = jnp.full(SMALL, 1 if up else -1, jnp.int8)
    mean, std = expected_step(device, cells, hidden(state), up)
    free = far_from_bounds(cells, hidden(state), mean + 6 * std)
    assert free.sum() >= 3
    pulse = jax.jit(jax.vmap(lambda key: device.pulse(cells, state, sign, key)))
    after = pulse(jax.random.split(random.key(5), N))
    moved = np.asarray(hidden(after) - hidden(state), np.float64) * (1 if up else -1)
    assert_mean(moved[:, free], np.asarray(mean)[free], slack=1e-8)  # the weight itself is stored to 1e-8
    assert_std(moved[:, free], np.asarray(std)[free], slack=1e-8)


def test_checkpoints_return_every_bit(tmp_path):
    tree = {name: (made(device)[0], _lived(device)) for name, device in (DEVICES | COMPOUNDS).items() if name in CORE}
    store = Checkpoints(tmp_path)
    store.save(1, tree, {})
    again, _ = store.restore(jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), tree))
    assert_same_bits(again, tree)


@pytest.mark.parametrize("name", [name for name in DEVICES if "vector" in name])
def test_a_digital_update_of_a_unit_cell_is_refused(name):
    # it would not say how the devices of the cell share it, and the next pulse would undo it
    device, (cells, state) = DEVICES[name], made(DEVICES[name])
    exact = physics.Pulses(pulse_type="None")
    with pytest.raises(ConfigError, match="how its devices"):
        device.update(exact, cells, state, *signal(), jnp.float32(0.01), random.key(3))
