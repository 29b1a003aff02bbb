"""What every device promises, for all of them: one table of devices, one test for each promise.

A device from elsewhere is tested by a file that says `globals().update(suite({"its-name": TheDevice(...)}))`.
"""

from dataclasses import fields, replace
from functools import cache
from types import FunctionType

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from analogjax import physics, random
from analogjax._pytree import is_static
from analogjax.errors import ConfigError
from analogjax.physics.devices.nonlinear import Nonlinear
from analogjax.physics.devices.pulsed import hidden
from analogjax.store import Checkpoints
from tests.tolerance import assert_close, assert_mean, assert_same_bits, assert_std, tolerance

O, I, B = 4, 6, 5  # noqa: E741 - the letters of the library
STEP = {"dw_min": 0.01}
PARTS = (physics.ConstantStep(**STEP), physics.SoftBounds(**STEP, write_noise_std=0.5))
DRIFT = physics.Drift(nu=0.1, nu_dtod=0.2, nu_std=0.1, w_noise_std=0.001)

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
PULSED = [name for name, device in DEVICES.items() if isinstance(device, physics.PulsedDevice)]
# Compiling takes most of the time: costly promises are checked for one device of each kind, the others under `slow`
CORE = ("ideal", "constant", "linear-write-noise", "reference", "vector-sequential")


def _costly(names):
    return [pytest.param(name, marks=() if name in CORE else pytest.mark.slow) for name in names]


every_device_slowly = pytest.mark.parametrize("name", _costly(DEVICES))
every_pulsed_device_slowly = pytest.mark.parametrize("name", _costly(PULSED))
every_device = every_device_slowly
every_pulsed_device = every_pulsed_device_slowly
FAST = physics.Pulses()
SEQUENTIAL = physics.Pulses(sequential=True)


@jax.jit
def make(device, key, w):
    k_cells, k_write = jax.random.split(key)
    cells = device.fabricate(w.shape, w.dtype, k_cells)
    return cells, device.write(cells, w, k_write)


@cache
def made(name, shape=(O, I), seed=1):
    w = jnp.linspace(-0.08, 0.08, shape[0] * shape[1], dtype=jnp.float32).reshape(shape)
    return make(DEVICES[name], random.key(seed), w)


@cache
def signal():
    k_x, k_d = jax.random.split(random.key(2))
    return random.normal(k_x, (B, I)), random.normal(k_d, (B, O))


def update(device, p, cells, state, x, d, lr, key):
    return device.update(p, cells, state, x, d, lr, key)


def housekeeping(device, cells, state, chosen, key):
    k_rest, k_reset, k_age = jax.random.split(key, 3)
    state = device.rest(cells, state, k_rest, 0.5)
    state = device.reset_cells(cells, state, chosen, k_reset)
    return device.age(cells, state, 2.0, k_age)


def life(device, cells, state, x, d, lr, key):
    """An update and everything that may come after it."""
    k_update, k_rest = jax.random.split(key)
    state = device.update(FAST, cells, state, x, d, lr, k_update)
    chosen = jnp.arange(O * I).reshape(O, I) % 5 == 0
    return housekeeping(device, cells, state, chosen, k_rest)


jit_update = jax.jit(update)
jit_life = jax.jit(life)


def inner(device, cells, state):
    """The single devices behind a state: (device, its cells, its state)."""
    if isinstance(device, physics.Vector):
        return list(zip(device.devices, cells, state.parts, strict=True))
    return [(device, cells, state)]


def assert_within_bounds(device, cells, state):
    for _, own, part in inner(device, cells, state):
        if "max_bound" in own:
            v = np.asarray(hidden(part) + own.get("reference", 0.0))
            slack = 2 * tolerance(v.dtype) * (np.abs(v) if "reference" in own else 0)  # adding it back rounds
            assert np.all(v <= np.asarray(own["max_bound"]) + slack)
            assert np.all(v >= np.asarray(own["min_bound"]) - slack)


@every_device
def test_is_a_device(name):
    device = DEVICES[name]
    assert isinstance(device, physics.Device)
    assert device.granularity > 0 and isinstance(device.needs_rest, bool)


@pytest.mark.parametrize("p", [FAST, SEQUENTIAL], ids=["fast", "sequential"])
@every_device_slowly
def test_bounds_are_kept_under_many_pulses(name, p):
    device, (cells, state) = DEVICES[name], made(name)
    x, d = signal()
    for direction in (1, -1):  # a rate of 100 is hundreds of pulses in one direction
        moved = jit_update(device, p, cells, state, jnp.abs(x), direction * jnp.abs(d), jnp.float32(100), random.key(4))
        assert np.isfinite(moved.w).all()
        assert_within_bounds(device, cells, moved)


@every_pulsed_device
def test_counted_pulses_by_the_thousand_keep_the_bounds(name):
    device, (cells, state) = DEVICES[name], made(name)
    pulses = jax.jit(device.pulses)
    for up, down in ((10_000, 0), (0, 10_000), (10_000, 10_000)):
        moved = pulses(cells, state, jnp.full((O, I), up), jnp.full((O, I), down), random.key(4))
        assert np.isfinite(moved.w).all()
        assert_within_bounds(device, cells, moved)


@every_device_slowly
def test_nothing_happens_without_pulses(name):
    device, (cells, state) = DEVICES[name], made(name)
    x, d = signal()
    for p in (FAST, SEQUENTIAL):
        for other in ((x, 0 * d, 0.1), (0 * x, d, 0.1), (x, d, 0.0)):
            rest = jit_update(device, p, cells, state, other[0], other[1], jnp.float32(other[2]), random.key(4))
            if hasattr(state, "clock"):
                rest = replace(rest, clock=state.clock)
            assert_same_bits(rest, state)


@every_pulsed_device
def test_zero_sign_and_zero_counts_are_the_identity(name):
    device, (cells, state) = DEVICES[name], made(name)
    zero = jnp.zeros((O, I), jnp.int32)
    assert_same_bits(jax.jit(device.pulse)(cells, state, zero.astype(jnp.int8), random.key(4)), state)
    assert_same_bits(jax.jit(device.pulses)(cells, state, zero, zero, random.key(4)), state)


@every_pulsed_device
def test_only_the_pulsed_crosspoint_changes(name):
    device, (cells, state) = DEVICES[name], made(name)
    free = np.asarray(cells["max_bound"] > cells["min_bound"])
    where = tuple(np.argwhere(free)[1])
    one = jnp.zeros((O, I), jnp.int32).at[where].set(1)
    for moved in (
        jax.jit(device.pulse)(cells, state, one.astype(jnp.int8), random.key(4)),
        jax.jit(device.pulses)(cells, state, one, 0 * one, random.key(4)),
    ):
        changed = np.asarray(moved.w != state.w)
        assert changed[where] and changed.sum() == 1


# ---- one pulse, many pulses ----

SMALL = (2, 3)
N = 4096


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


def far_from_bounds(cells, w, reach):
    v = w + cells.get("reference", 0.0)
    return np.asarray((v + reach < cells["max_bound"]) & (v - reach > cells["min_bound"]))


@pytest.mark.parametrize("up", [True, False], ids=["up", "down"])
@every_pulsed_device
def test_one_pulse_follows_its_equation_n_4096(name, up):
    device, (cells, state) = DEVICES[name], made(name, SMALL)
    sign = jnp.full(SMALL, 1 if up else -1, jnp.int8)
    mean, std = expected_step(device, cells, hidden(state), up)
    free = far_from_bounds(cells, hidden(state), mean + 6 * std)
    assert free.sum() >= 3
    pulse = jax.jit(jax.vmap(lambda key: device.pulse(cells, state, sign, key)))
    after = pulse(jax.random.split(random.key(5), N))
    moved = np.asarray(hidden(after) - hidden(state), np.float64) * (1 if up else -1)
    assert_mean(moved[:, free], np.asarray(mean)[free], slack=1e-8)  # the weight itself is stored to 1e-8
    assert_std(moved[:, free], np.asarray(std)[free], slack=1e-8)
    if after.persistent is not None:
        seen = np.asarray(after.w - after.persistent)
        assert_mean(seen, 0.0)
        assert_std(seen, device.write_noise_std * device.dw_min)


PATTERNS = {"20 up": [1] * 20, "20 down": [-1] * 20, "12 up, 8 down": [1, 1, -1, 1, -1] * 4}


def one_by_one(device, cells, state, signs, key):
    def step(state, part):
        sign, key = part
        return device.pulse(cells, state, jnp.full(state.w.shape, sign, jnp.int8), key), None

    return lax.scan(step, state, (signs, jax.random.split(key, len(signs))))[0]


def at_once(device, cells, state, signs, key):
    up, down = (jnp.full(state.w.shape, jnp.sum(signs == s), jnp.int32) for s in (1, -1))
    return device.pulses(cells, state, up, down, key)


def slopes(device, cells):
    if isinstance(device, physics.ConstantStep):
        return 0 * cells["dwmin_up"], 0 * cells["dwmin_down"]
    if isinstance(device, physics.SoftBoundsReference):
        return -cells["dwmin_up"] / cells["max_bound"], -cells["dwmin_down"] / cells["min_bound"]
    return cells["slope_up"], cells["slope_down"]


def commutator(device, cells, w):
    """What exchanging neighbours UP, DOWN does, and the slopes of both steps, for steps that hardly bend on the way."""
    if not isinstance(device, Nonlinear):
        k_up, k_down = slopes(device, cells)
        return k_up * cells["dwmin_down"] - k_down * cells["dwmin_up"], k_up, k_down
    v = w + cells.get("reference", 0.0)
    (up, k_up), (down, k_down) = (
        jax.jvp(lambda v, way=way: device.step(cells, v, jnp.asarray(way)), (v,), (jnp.ones_like(v),))
        for way in (True, False)
    )
    return 1.5 * (jnp.abs(k_up * down) + jnp.abs(k_down * up)), k_up, k_down


def order_bound(device, cells, signs, w=0.0):
    """How far the order of the pulses may move the mean: half of n_up n_dn commutators of an up and a down pulse.

    Exchanging neighbours UP, DOWN moves the weight by `k_up s_dn - k_dn s_up`; from one extreme order to the other
    there are `n_up n_dn` exchanges, and the flow lies in between. Later pulses shrink the difference, but
    let it grow where steps grow towards their bound (`1 + k_up > 1`, `1 - k_dn > 1`).
    """
    exchange, k_up, k_down = commutator(device, cells, w)
    n_up, n_down = signs.count(1), signs.count(-1)
    growth = jnp.maximum(1 + k_up, 1) ** n_up * jnp.maximum(1 - k_down, 1) ** n_down
    return np.asarray(n_up * n_down * jnp.abs(exchange) / 2 * growth)


@every_pulsed_device
def test_counted_pulses_agree_with_single_ones_n_4096(name):
    device, (cells, state) = DEVICES[name], made(name, SMALL)
    run = [
        jax.jit(jax.vmap(lambda signs, key, f=f: hidden(f(device, cells, state, signs, key)), in_axes=(None, 0)))
        for f in (at_once, one_by_one)
    ]
    spread = device.dw_min_std
    for seed, signs in enumerate(PATTERNS.values()):
        fast, single = (
            np.asarray(f(jnp.array(signs), k), np.float64)
            for f, k in zip(run, jax.random.split(random.key(10 + seed), (2, N)), strict=True)
        )
        reach = 20 * 2 * np.maximum(cells["dwmin_up"], cells["dwmin_down"]) * (1 + spread)
        free = far_from_bounds(cells, hidden(state), reach)
        fast, single, cell = fast[:, free], single[:, free], {k: v[free] for k, v in cells.items()}
        slope = np.maximum(*(np.abs(k) for k in commutator(device, cell, hidden(state)[free])[1:]))
        error = fast.mean(0) - single.mean(0)
        bound = order_bound(device, cell, signs, hidden(state)[free])
        se = np.sqrt((fast.var(0) + single.var(0)) / N)
        assert np.all(np.abs(error) <= 4 * se + bound + 1e-8), (signs, error / se, bound / se)
        # the documented error of the width is of the order of n k: once, here
        assert_std(fast, single.std(0), n_se=4 * np.sqrt(2), slack=len(signs) * slope * single.std(0))


@every_pulsed_device
def test_counted_pulses_of_one_direction_are_exact_or_nearly_so_without_noise(name):
    cells, state = made(name, SMALL)
    quiet = replace(DEVICES[name], dw_min_std=0.0)
    for signs in (PATTERNS["20 up"], PATTERNS["20 down"]):
        fast, single = (hidden(f(quiet, cells, state, jnp.array(signs), random.key(6))) for f in (at_once, one_by_one))
        if isinstance(quiet, Nonlinear):  # they leap: what `devices/leap.py` says, where steps bend
            np.testing.assert_allclose(fast - hidden(state), single - hidden(state), rtol=0.0034, atol=2e-6)
        else:
            assert_close(fast, single, factor=5)  # twenty roundings, one after the other


@every_pulsed_device
def test_the_order_of_pulses_matters_no_more_than_documented(name):
    cells, state = made(name, SMALL)
    quiet, worst = replace(DEVICES[name], dw_min_std=0.0), [1] * 10 + [-1] * 10
    fast = hidden(at_once(quiet, cells, state, jnp.array(worst), random.key(6)))
    for signs in (worst, worst[::-1]):
        single = hidden(one_by_one(quiet, cells, state, jnp.array(signs), random.key(6)))
        free = far_from_bounds(cells, hidden(state), 10 * 1.5 * np.maximum(cells["dwmin_up"], cells["dwmin_down"]))
        assert free.sum() >= 3
        off = np.abs(np.asarray(fast - single))[free]
        # devices without a closed form draw an order, which may be the other extreme; the flow is half-way
        extremes = 2 if isinstance(quiet, Nonlinear) else 1
        assert np.all(off <= extremes * order_bound(quiet, cells, signs, hidden(state))[free] + 1e-6), off


# ---- structure, transformations, randomness ----


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
@every_device
def test_shapes_dtypes_and_structure_never_change(name, dtype):
    device = DEVICES[name]
    with jax.enable_x64(dtype == "float64"):

        def shapes(key):
            k_cells, k_write, k_rest = jax.random.split(key, 3)
            cells = device.fabricate((O, I), jnp.dtype(dtype), k_cells)
            state = device.write(cells, jnp.zeros((O, I), dtype), k_write)
            x, d = jnp.ones((B, I), dtype), jnp.ones((B, O), dtype)
            chosen = jnp.ones((O, I), bool)
            return {
                "write": state,
                "update": device.update(FAST, cells, state, x, d, 0.1, k_rest),
                "sequential": device.update(SEQUENTIAL, cells, state, x, d, 0.1, k_rest),
                "rest": device.rest(cells, state, k_rest),
                "reset": device.reset_cells(cells, state, chosen, k_rest),
                "age": device.age(cells, state, 1.0, k_rest),
            }, cells

        states, cells = jax.eval_shape(shapes, random.key(0))
        for name, cell in cells.items():
            assert (cell.shape, cell.dtype) == ((O, I), jnp.dtype(dtype)), name
        assert states["write"].w.dtype == jnp.dtype(dtype)
        for what, state in states.items():
            assert jax.tree.structure(state) == jax.tree.structure(states["write"]), what
            for leaf, first in zip(jax.tree.leaves(state), jax.tree.leaves(states["write"]), strict=True):
                assert (leaf.shape, leaf.dtype) == (first.shape, first.dtype), what


def lived(name, key=None, lr=0.05):
    cells, state = made(name)
    return jit_life(DEVICES[name], cells, state, *signal(), jnp.float32(lr), random.key(7) if key is None else key)


@every_device_slowly
def test_jit_changes_nothing(name):
    cells, state = made(name)
    eager = life(DEVICES[name], cells, state, *signal(), jnp.float32(0.05), random.key(7))
    jax.tree.map(lambda a, b: assert_close(a, b, factor=4), eager, lived(name))  # fused multiply-adds, a few in a row


@every_device_slowly
def test_vmap_over_chips_is_a_loop(name):
    device, keys = DEVICES[name], jax.random.split(random.key(8), 3)
    cells, states = jax.vmap(lambda k: make(device, k, jnp.full((O, I), 0.05)))(keys)
    x, d = signal()

    def run(cells, state, key):
        return life(device, cells, state, x, d, jnp.float32(0.05), key)

    together = jax.jit(jax.vmap(run))(cells, states, keys)
    for chip in range(3):
        own = jax.tree.map(lambda leaf: leaf[chip], (cells, states))  # noqa: B023
        alone = jit_life(device, *own, x, d, jnp.float32(0.05), keys[chip])
        jax.tree.map(lambda a, b: assert_close(a[chip], b, factor=4), together, alone)  # noqa: B023


@every_device_slowly
def test_two_devices_compute_what_one_computes(name):
    mesh = Mesh(np.array(jax.devices()[:2]), ("rows",))

    def place(leaf):
        spec = PartitionSpec("rows") if leaf.ndim == 2 else PartitionSpec()
        return jax.device_put(leaf, NamedSharding(mesh, spec))

    cells, state = jax.tree.map(place, made(name))
    spread = jit_life(DEVICES[name], cells, state, *signal(), jnp.float32(0.05), random.key(7))
    assert len(spread.w.sharding.device_set) == 2
    jax.tree.map(lambda a, b: assert_close(a, b, factor=4), spread, lived(name))


@every_device
def test_traced_once_whatever_the_values(name):
    traces, (cells, state) = [], made(name)

    @jax.jit
    def run(device, cells, state, lr, key):
        traces.append(1)
        return jax.eval_shape(life, device, cells, state, *signal(), lr, key) and state

    for seed in range(3):
        run(DEVICES[name], cells, state, jnp.float32(seed), random.key(seed))
        run(replace(DEVICES[name]), cells, state, jnp.float32(seed), random.key(seed))
    assert len(traces) == 1


@every_device_slowly
def test_another_key_is_another_chip_and_another_update_if_anything_is_random(name):
    device, (cells, state) = DEVICES[name], made(name)
    x, d = signal()
    one, other = (jit_update(device, FAST, cells, state, x, d, jnp.float32(0.1), random.key(seed)).w for seed in (7, 8))
    exact = isinstance(device, (physics.Ideal, physics.FloatingPoint))
    assert np.array_equal(one, other) == exact
    first, second = (make(device, random.key(seed), state.w)[0] for seed in (1, 2))
    assert any(np.any(first[cell] != second[cell]) for cell in first) or exact


@pytest.mark.parametrize("name", ["constant", pytest.param("vector-random", marks=pytest.mark.slow)])
def test_any_typed_key_will_do(name):
    device = DEVICES[name]
    cells, state = make(device, jax.random.key(1), jnp.full((O, I), 0.05))
    after = jax.jit(life)(device, cells, state, *signal(), jnp.float32(0.05), jax.random.key(2))
    assert np.isfinite(after.w).all() and np.any(after.w != state.w)


def test_checkpoints_return_every_bit(tmp_path):
    tree = {name: (made(name)[0], lived(name)) for name in CORE}  # each kind of state
    store = Checkpoints(tmp_path)
    store.save(1, tree, {})
    again, _ = store.restore(jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), tree))
    assert_same_bits(again, tree)


def numbers(device):
    """The numeric fields of a device."""
    return {f.name: getattr(device, f.name) for f in fields(device) if type(getattr(device, f.name)) is float}


@pytest.mark.parametrize("only", ["lifetime", ""], ids=["lifetime", "all others"])
@pytest.mark.parametrize("name", _costly([name for name in DEVICES if "vector" not in name]))
def test_a_traced_number_means_the_same_as_a_plain_one(name, only):
    # the promise of _pytree: an array in a field sweeps it; its 0 must switch off what the number 0 switches off
    device, w = DEVICES[name], jnp.full((O, I), 0.05)
    chosen = {field: v for field, v in numbers(device).items() if (field == "lifetime") == bool(only)}
    swept = replace(device, **{field: jnp.float32(value) for field, value in chosen.items()})
    assert not any(is_static(getattr(swept, field)) for field in chosen)
    results = []
    for one in (device, swept):
        cells, state = make(one, random.key(1), w)
        results.append(jit_life(one, cells, state, *signal(), jnp.float32(0.05), random.key(7)).w)
    assert_close(results[1], results[0], factor=4)


@pytest.mark.parametrize("name", [name for name in DEVICES if "vector" in name])
def test_a_digital_update_of_a_unit_cell_is_refused(name):
    # it would not say how the devices of the cell share it, and the next pulse would undo it
    device, (cells, state) = DEVICES[name], made(name)
    exact = physics.Pulses(pulse_type="None")
    with pytest.raises(ConfigError, match="how its devices"):
        device.update(exact, cells, state, *signal(), jnp.float32(0.01), random.key(3))


@pytest.mark.parametrize("pulse_type", ["None", "NoneWithDevice"])
@every_pulsed_device
def test_digital_updates_move_along_the_gradient(name, pulse_type):
    device, (cells, state) = DEVICES[name], made(name)
    x, d = signal()
    moved = jit_update(
        device, physics.Pulses(pulse_type=pulse_type), cells, state, x, d, jnp.float32(0.1), random.key(3)
    )
    w = np.asarray(hidden(state))
    for own_x, own_d in zip(np.asarray(x), np.asarray(d), strict=True):
        w = w - np.float32(0.1) * np.outer(own_d, own_x)
        if pulse_type == "NoneWithDevice":
            w = np.clip(w, cells["min_bound"], cells["max_bound"])
    assert_close(hidden(moved), w, factor=2)


# ---- devices from elsewhere ----


def suite(devices):
    """The promises as tests of other devices, `{name: device}`: functions by their names, for a test file to adopt."""
    DEVICES.update(devices)
    tests = {name: test for name, test in globals().items() if name.startswith("test_")}
    adopted = {name: _about(test, devices) for name, test in tests.items()}
    return {name: test for name, test in adopted.items() if test is not None}


def _about(test, devices):
    """The test for `devices` instead of those of the table; None where it is about none of them."""
    copy, marks = FunctionType(test.__code__, test.__globals__, test.__name__, test.__defaults__), []
    for mark in getattr(test, "pytestmark", ()):
        if mark.args[:1] == ("name",):
            asked = [getattr(parameter, "values", (parameter,))[0] for parameter in mark.args[1]]
            pulsed = set(asked) <= set(PULSED) and len(asked) == len(PULSED)
            mine = [n for n, one in devices.items() if not pulsed or isinstance(one, physics.PulsedDevice)]
            if not mine or len(asked) < len(DEVICES) // 2:  # a promise of some kind of device only
                return None
            mark = pytest.mark.parametrize("name", mine).mark
        marks.append(mark)
    copy.pytestmark = marks
    return copy if any(mark.args[:1] == ("name",) for mark in marks) else None
