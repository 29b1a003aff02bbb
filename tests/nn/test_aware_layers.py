"""Hardware-aware layers: gradients, what happens after a step, fresh chips, programming, and what is refused."""

from dataclasses import replace

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from analogjax import nn, random
from analogjax.errors import ConfigError, NonFiniteError, ShapeError
from analogjax.nn.hardware_aware import HARDWARE
from analogjax.optim import PulsedSGD
from analogjax.physics import (
    ADC,
    DAC,
    Crossbar,
    GlobalCompensation,
    NoiseManagement,
    PCMLike,
    Periphery,
    SingleDevice,
    StateIndependent,
)
from analogjax.physics.hardware_aware import (
    AddNormal,
    ColumnwiseRemap,
    DropConnect,
    FixedClip,
    InputRange,
    LayerwiseRemap,
    MovingStdRange,
)
from analogjax.physics.inference import FreshChip
from analogjax.tile import HardwareAware, Mapping, Tile, TileArray, update

EXACT = Periphery(is_perfect=True)
CUT = Mapping(max_input_size=4, max_output_size=3, weight_scaling_omega=0.7)
NOISY = HardwareAware(modifier=AddNormal(std_dev=0.1), mapping=Mapping(weight_scaling_omega=1.0))
X = random.normal(random.key(0), (6, 7))


def layer(config, features=5, **more):
    return nn.AnalogLinear(features, config, **more)


def made(config, **more):
    module = layer(config, **more)
    return module, nn.init(module, X, random.key(1))


def trained_loss(module, variables, x=X):
    """Loss as a function of the parameters, in training."""

    def loss(params, x=x):
        y, collections = nn.apply_training(module, variables.replace(params=params), x, key=random.key(2))
        return jnp.sum(jnp.sin(y)), (y, collections)

    return loss


@pytest.mark.parametrize("mapping", [Mapping(), CUT], ids=["one_chip", "nine_chips"])
def test_without_noise_it_is_the_digital_layer(mapping):
    module, variables = made(HardwareAware(forward=EXACT, mapping=mapping))
    w, bias = variables.params["weight"], variables.params["bias"]
    (_, (y, _)), (dp, dx) = jax.value_and_grad(trained_loss(module, variables), (0, 1), has_aux=True)(
        variables.params, X
    )

    def digital(params, x):
        return jnp.sum(jnp.sin(jnp.matmul(x, params["weight"].T, precision="highest") + params["bias"]))

    expected, ex = jax.grad(digital, (0, 1))(variables.params, X)
    np.testing.assert_allclose(y, X @ w.T + bias, rtol=1e-5, atol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), (dp, dx), (expected, ex))


@pytest.mark.parametrize("mapping", [Mapping(), CUT], ids=["one_chip", "nine_chips"])
def test_no_derivative_is_taken_through_noise_converters_and_managements(mapping):
    forward = Periphery(adc=ADC(noise=0.3, nonlinearity=0.2), dac=DAC(noise=0.1), crossbar=Crossbar(ir_drop=1.0))
    module, variables = made(replace(NOISY, forward=forward, mapping=mapping), use_bias=False)

    def weighted(params, x):
        y, _ = nn.apply_training(module, variables.replace(params=params), x, key=random.key(3))
        return jnp.sum(y * D)

    D = random.normal(random.key(4), (6, 5))
    dp, dx = jax.grad(weighted, (0, 1))(variables.params, X)
    np.testing.assert_allclose(dp["weight"], D.T @ X, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(dx, D @ variables.params["weight"], rtol=1e-5, atol=1e-5)


def test_a_noisy_backward_pass_uses_the_weights_of_the_step():
    module, variables = made(replace(NOISY, forward=EXACT, noisy_backward=True), use_bias=False)
    D = jnp.eye(6, 5)

    def weighted(x):
        return jnp.sum(nn.apply_training(module, variables, x, key=random.key(3))[0] * D)

    seen = nn.apply_training(module, variables, jnp.eye(7), key=random.key(3))[0].T  # [O, I]
    np.testing.assert_allclose(jax.grad(weighted)(X)[:5], seen, rtol=1e-5, atol=1e-6)
    assert np.abs(seen - variables.params["weight"]).max() > 1e-3


def test_weights_are_disturbed_in_training_only():
    module, variables = made(replace(NOISY, forward=EXACT))
    exact = X @ variables.params["weight"].T + variables.params["bias"]
    read = nn.apply(module, variables, X, key=random.key(2))
    np.testing.assert_allclose(read, exact, rtol=1e-5, atol=1e-6)
    trained = [nn.apply_training(module, variables, X, key=random.key(n))[0] for n in (2, 3)]
    assert np.abs(trained[0] - exact).max() > 0.01 and np.abs(trained[0] - trained[1]).max() > 0.01
    always = layer(replace(NOISY, forward=EXACT, modify_in_evaluation=True))
    both = variables.replace(collections=nn.init(always, X, random.key(1)).collections)
    assert np.abs(nn.apply(always, both, X, key=random.key(2)) - exact).max() > 0.01


def test_the_modifier_acts_on_each_chip_in_its_own_units():
    """Its noise is relative to the largest weight of the chip, n = 2000 draws, within 4 standard errors."""
    module, variables = made(replace(NOISY, forward=EXACT, mapping=CUT), use_bias=False)
    run = jax.jit(
        jax.vmap(lambda key: nn.apply_training(module, variables, jnp.eye(7), key=key)[0].T)
    )  # fmt: skip
    seen, w = run(jax.random.split(random.key(5), 2000)), variables.params["weight"]
    expected = jnp.zeros_like(w)
    for rows in (slice(0, 3), slice(3, 5)):
        for columns in (slice(0, 4), slice(4, 7)):
            expected = expected.at[rows, columns].set(0.1 * jnp.abs(w[rows, columns]).max())
    assert np.all(np.abs(seen.std(0) / expected - 1) < 4 / np.sqrt(2 * 2000))
    assert np.all(np.abs(seen.mean(0) - w) < 4 * expected / np.sqrt(2000))


def test_after_a_step_weights_are_clipped_and_scales_follow():
    config = HardwareAware(forward=EXACT, clip=FixedClip(fixed_value=0.5), remap=LayerwiseRemap(), mapping=CUT)
    _, variables = made(config)
    w = 10 * variables.params["weight"]
    scale = variables.collections[HARDWARE]["tile"].scale
    params, collections = nn.after_step({**variables.params, "weight": w}, variables.collections)
    tile = collections[HARDWARE]["tile"]
    for k, rows in enumerate((slice(0, 3), slice(3, 5))):
        for n, columns in enumerate((slice(0, 4), slice(4, 7))):
            held = jnp.clip(w[rows, columns], -0.5 * scale[k, n], 0.5 * scale[k, n])
            np.testing.assert_allclose(params["weight"][rows, columns], held, rtol=1e-5)
            np.testing.assert_allclose(tile.scale[k, n], jnp.abs(held).max(), rtol=1e-5)
    chips = tile.chips(params["weight"])
    assert isinstance(chips, TileArray) and float(jnp.abs(chips.tiles.state.w).max()) == pytest.approx(1.0)
    np.testing.assert_allclose(chips.read(), params["weight"], rtol=1e-5, atol=1e-7)


def test_a_model_without_hardware_aware_layers_is_left_alone():
    module = nn.AnalogLinear(3)
    variables = nn.init(module, X, random.key(1))
    assert nn.after_step(variables.params, variables.collections) == (variables.params, variables.collections)


@pytest.mark.parametrize("fresh", [1, 3])
def test_fresh_chips_differ_in_every_step_and_share_the_batch(fresh):
    forward = Periphery(adc=ADC(noise=0.0, noise_std=0.0), crossbar=Crossbar(v_offset_std=0.5))
    module, variables = made(HardwareAware(forward=forward, fresh_chips=fresh), use_bias=False)
    x = jnp.tile(X[:1], (6, 1))  # one vector: items differ if their chips do
    first, again, other = (
        nn.apply_training(module, variables, x, key=random.key(n))[0] for n in (2, 2, 3)
    )  # fmt: skip
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3
    shares = np.asarray(first).reshape(fresh, 6 // fresh, 5)
    np.testing.assert_array_equal(shares, np.repeat(shares[:, :1], 6 // fresh, axis=1))
    assert len(np.unique(shares[:, 0], axis=0)) == fresh
    one, same = (nn.apply(module, variables, x, key=random.key(n)) for n in (2, 3))
    np.testing.assert_array_equal(one, same)  # the layer's own chip does not change


def test_the_last_fresh_chip_gets_what_is_left_of_the_batch():
    forward = Periphery(adc=ADC(noise=0.0), crossbar=Crossbar(v_offset_std=0.5))
    module, variables = made(HardwareAware(forward=forward, fresh_chips=4), use_bias=False)
    y = np.asarray(nn.apply_training(module, variables, jnp.tile(X[:1], (6, 1)), key=random.key(2))[0])
    assert [len(np.unique(y[a:b], axis=0)) for a, b in ((0, 2), (2, 4), (4, 6), (0, 6))] == [1, 1, 1, 3]


def test_the_input_range_starts_from_the_data_and_is_learned_then():
    given = InputRange(init_from_data=2, init_std_alpha=2.0, decay=0.0)
    module, variables = made(HardwareAware(forward=EXACT, input_range=given), use_bias=False)
    optimizer = optax.sgd(0.1)
    state, ranges, stds = optimizer.init(variables.params), [], []
    for n in range(4):
        x = random.normal(random.key(10 + n), (6, 7)) * (n + 1)
        gradient, (_, collections) = jax.grad(trained_loss(module, variables, x), has_aux=True)(variables.params)
        moves, state = optimizer.update(gradient, state)
        params, collections = nn.after_step(optax.apply_updates(variables.params, moves), collections)
        variables = variables.replace(params=params, collections=collections)
        ranges.append(float(params["input_range"]))
        stds.append(float(jnp.std(x, ddof=1)))
    np.testing.assert_allclose(ranges[:2], [2 * stds[0], stds[0] + stds[1]], rtol=1e-5)
    assert ranges[2] != ranges[1] and ranges[3] != ranges[2]  # the last batches have inputs beyond it


def test_inputs_are_clipped_and_the_gradient_of_the_range_is_that_of_its_rule():
    given = InputRange(init_value=0.5, init_from_data=0)
    module, variables = made(HardwareAware(forward=EXACT, input_range=given), use_bias=False)
    gradient, (y, _) = jax.grad(trained_loss(module, variables), has_aux=True)(variables.params)
    w = variables.params["weight"]
    np.testing.assert_allclose(y, jnp.clip(X, -0.5, 0.5) @ w.T, rtol=1e-5, atol=1e-6)
    d = jnp.cos(y)
    np.testing.assert_allclose(gradient["weight"], d.T @ jnp.clip(X, -0.5, 0.5), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(gradient["input_range"], given.gradient(X, d @ w, jnp.float32(0.5)), rtol=1e-4)
    fixed, own = made(HardwareAware(forward=EXACT, input_range=replace(given, learn=False)), use_bias=False)
    assert "input_range" not in own.params
    expected = jnp.clip(X, -0.5, 0.5) @ own.params["weight"].T
    np.testing.assert_allclose(nn.apply(fixed, own, X, key=random.key(1)), expected, rtol=1e-5, atol=1e-6)


def test_clipped_outputs_make_the_range_larger_where_that_is_asked_for():
    forward = Periphery(adc=ADC(bound=0.1, noise=0.0), dac=DAC(res=0.0), noise_management=None, bound_management=None)
    given = InputRange(init_value=5.0, init_from_data=0, decay=0.0, manage_output_clipping=True)
    module, variables = made(HardwareAware(forward=forward, input_range=given), use_bias=False)
    assert float(jax.grad(trained_loss(module, variables), has_aux=True)(variables.params)[0]["input_range"]) < 0


def test_the_running_input_scale_follows_the_batches():
    forward = Periphery(noise_management=NoiseManagement(kind="AverageAbsMax", decay=0.5))
    for mapping in (Mapping(), CUT):
        module, variables = made(HardwareAware(forward=forward, mapping=mapping))
        collections = nn.apply_training(module, variables, X, key=random.key(1))[1]
        average = collections[HARDWARE]["tile"].average
        assert average.shape == (() if mapping.grid(5, 7) == (1, 1) else (2, 2)) and np.all(average > 0)


@pytest.mark.parametrize("mapping", [Mapping(), CUT], ids=["one_chip", "nine_chips"])
@pytest.mark.parametrize("bias", [True, False], ids=["digital_bias", "analog_bias"])
def test_programmed_without_noise_it_is_the_trained_layer(mapping, bias):
    config = HardwareAware(
        forward=EXACT, mapping=replace(mapping, digital_bias=bias), input_range=InputRange(init_value=0.9)
    )
    module, variables = made(config)
    still = StateIndependent(prog_noise_scale=0.0, read_noise_scale=0.0, drift_scale=0.0)
    programmed = nn.program(variables, still, GlobalCompensation(), key=random.key(3))
    for t in (0.0, 1e5):
        read = programmed.drift(t, key=random.key(4))
        assert isinstance(read.tiles["tile"], Tile if mapping == Mapping() else TileArray)
        expected = nn.apply(module, variables, X, key=random.key(5))
        np.testing.assert_allclose(nn.apply(module, read, X, key=random.key(5)), expected, rtol=1e-4, atol=1e-5)


def test_drift_starts_from_the_programmed_state_each_time_and_needs_its_own_key():
    _, variables = made(NOISY)
    programmed = nn.program(variables, PCMLike(), key=random.key(3))
    once, again = (programmed.drift(1e6, key=random.key(4)) for _ in range(2))
    jax.tree.map(np.testing.assert_array_equal, once, again)
    fresh = programmed.drift(0.0, key=random.key(4))
    late, early = (jnp.abs(one.tiles["tile"].read()).mean() for one in (once, fresh))
    assert 0.3 < late / early < 0.8


def test_programmed_variables_can_be_read_and_not_trained_or_programmed_again():
    module, variables = made(NOISY)
    read = nn.program(variables, PCMLike(), key=random.key(3)).drift(1.0, key=random.key(4))
    assert "weight" not in read.params
    with pytest.raises(ConfigError, match="can't be trained"):
        nn.apply_training(module, read, X, key=random.key(5))
    with pytest.raises(ConfigError, match="programmed already"):
        nn.program(read, PCMLike(), key=random.key(6))
    with pytest.raises(ConfigError, match="no analog layer"):
        nn.program(nn.Variables({}, {}), PCMLike(), key=random.key(6))


def test_both_kinds_of_layers_live_in_one_model():
    """Pulses for one, gradients for the other, in one training step."""
    model = nn.Sequential(layer(NOISY, 8), jnp.tanh, nn.AnalogLinear(3))
    variables = nn.init(model, X, random.key(1))

    def loss(params, slots):
        y, collections = nn.apply_training(model, variables.replace(params=params), X, key=random.key(2), slots=slots)
        return jnp.sum(y**2), collections

    (gradients, signals), _ = jax.grad(loss, (0, 1), has_aux=True)(variables.params, nn.slots(model, variables, X))
    assert gradients["layers_0"]["weight"].shape == (8, 7) and "weight" not in gradients["layers_2"]
    pulsed = PulsedSGD(0.1)
    tiles, _ = pulsed.update(signals, pulsed.init(variables.tiles), variables.tiles, key=random.key(3))
    assert list(tiles) == ["layers_2"]
    programmed = nn.program(variables, PCMLike(), GlobalCompensation(), key=random.key(4))
    assert sorted(programmed.chips) == ["layers_0", "layers_2"]
    assert np.isfinite(nn.apply(model, programmed.drift(9.0, key=random.key(5)), X, key=random.key(6))).all()


def test_each_kind_refuses_what_trains_the_other():
    _, variables = made(NOISY)
    tile = variables.collections[HARDWARE]["tile"]
    with pytest.raises(ConfigError, match="optax optimiser"):
        update(tile, [], 0.1, key=random.key(0))
    pulsed = PulsedSGD(0.1)
    with pytest.raises(ConfigError, match="no pulsed devices"):
        pulsed.update({"tile": ()}, pulsed.init({}), {"tile": tile}, key=random.key(0))


class Stacked(linen.Module):
    """Three layers in a row, as one."""

    @linen.compact
    def __call__(self, x):
        once = linen.scan(
            lambda module, x, _: (module(x), None), variable_axes={"params": 0, "hardware": 0, "tiles": 0},
            split_rngs={"params": True, "analog": True}, length=3,
        )  # fmt: skip
        return once(layer(HardwareAware(forward=EXACT, clip=FixedClip(fixed_value=0.2)), 7), x, None)[0]


def test_stacked_layers_are_trained_clipped_and_programmed_one_by_one():
    module = Stacked()
    variables = nn.init(module, X, random.key(1))
    gradient = jax.grad(lambda p: trained_loss(module, variables)(p)[0])(variables.params)
    flat = jax.tree.leaves(gradient)
    assert any(leaf.shape == (3, 7, 7) for leaf in flat) and all(np.abs(leaf).max() > 0 for leaf in flat)
    params, _ = nn.after_step(variables.params, variables.collections)
    assert max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(params) if leaf.ndim == 3) == pytest.approx(0.2)
    read = nn.program(variables, FAINT, key=random.key(2)).drift(0.0, key=random.key(3))
    expected = nn.apply(module, variables, X, key=random.key(4))
    np.testing.assert_allclose(nn.apply(module, read, X, key=random.key(4)), expected, rtol=1e-3, atol=1e-4)


FAINT = StateIndependent(prog_noise_scale=0.0, read_noise_scale=0.0, drift_scale=0.0)


def test_conv_layers_take_the_configuration_too():
    conv = nn.AnalogConv2d(4, replace(NOISY, modifier=DropConnect(pdrop=0.5), fresh_chips=2), kernel_size=(3, 3))
    x = random.normal(random.key(0), (2, 6, 6, 2))
    variables = nn.init(conv, x, random.key(1))
    assert variables.params["weight"].shape == (4, 18)
    assert nn.apply_training(conv, variables, x, key=random.key(2))[0].shape == (2, 4, 4, 4)


def test_a_fresh_chip_has_the_noise_of_its_material():
    """Mean and deviation over 4000 chips are those of programming and drift, within 4 standard errors."""
    w, n = jnp.array([[0.5, -0.2], [1.0, 0.0]]), 4000
    material = PCMLike()
    chips = jax.vmap(lambda key: FreshChip(noise_model=material, t=100.0).modify(w, key))(
        jax.random.split(random.key(0), n)
    )
    other = jax.vmap(
        lambda a, b: material.drift(material.program(w, a), 100.0, b)
    )(*jax.random.split(random.key(1), (2, n)))  # fmt: skip
    error = np.sqrt((chips.var(0) + other.var(0)) / n)
    assert np.all(np.abs(chips.mean(0) - other.mean(0)) < 4 * error + 1e-9)
    assert np.all(np.abs(chips.std(0) - other.std(0)) < 4 * chips.std(0) / np.sqrt(n) + 1e-9)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"modifier": 0.1}, "modifier"),
        ({"clip": 2.5}, "clip"),
        ({"fresh_chips": -1}, "fresh_chips"),
        ({"fresh_chips": True}, "fresh_chips"),
        ({"fresh_chips": 2, "noisy_backward": True}, "noisy_backward"),
        ({"input_range": 3.0}, "input_range"),
        ({"forward": None}, "forward"),
    ],
)
def test_what_is_wrong_with_a_configuration_is_told(given, words):
    with pytest.raises(ConfigError, match=words):
        HardwareAware(**given)


def test_sizes_are_checked():
    module, variables = made(NOISY, in_features=7)
    with pytest.raises(ShapeError, match="7 -> 5"):
        nn.apply(module, variables, X[:, :4], key=random.key(0))
    with pytest.raises(ConfigError, match="HardwareAware"):
        nn.init(nn.AnalogLinear(3, "fast"), X, random.key(0))


@pytest.mark.parametrize("mapping", [Mapping(), CUT], ids=["one_chip", "nine_chips"])
def test_fresh_chips_are_programmed_with_a_periphery_of_their_own(mapping):
    """Only offsets tell chips apart here; those of the layer itself stay."""
    forward = Periphery(adc=ADC(noise=0.0), crossbar=Crossbar(v_offset_std=0.5))
    module, variables = made(HardwareAware(forward=forward, mapping=mapping), use_bias=False)

    def read(seed, fresh):
        chip = nn.program(variables, FAINT, fresh=fresh, key=random.key(seed)).drift(0.0, key=random.key(9))
        return np.asarray(nn.apply(module, chip, X, key=random.key(9)))

    own = np.asarray(nn.apply(module, variables, X, key=random.key(9)))
    step = 0.02 * np.abs(own).max()  # of the converters, where weights differ in their last digit
    assert np.abs(read(1, False) - own).max() < step and np.abs(read(2, False) - own).max() < step
    assert np.abs(read(1, True) - own).max() > step and np.abs(read(1, True) - read(2, True)).max() > step


def test_input_ranges_are_calibrated_layer_by_layer():
    given = InputRange(init_value=0.1, init_from_data=5)
    noisy = HardwareAware(input_range=given)
    fixed = HardwareAware(input_range=replace(given, learn=False))
    model = nn.Sequential(layer(noisy, 4), jnp.tanh, layer(fixed, 3))
    variables = nn.init(model, X, random.key(1))
    batches = [X, 2 * X[:3]]
    found = nn.calibrate_input_ranges(model, variables, batches, key=random.key(2))
    own = variables.params["layers_0"]
    inner = [jnp.tanh(x @ own["weight"].T + own["bias"]) for x in batches]
    expected = [max(float(jnp.abs(x).max()) for x in seen) for seen in (batches, inner)]
    np.testing.assert_allclose(found.params["layers_0"]["input_range"], expected[0], rtol=1e-6)
    np.testing.assert_allclose(found.collections[HARDWARE]["layers_2"]["tile"].range_estimate, expected[1], rtol=1e-5)
    one = nn.calibrate_input_ranges(model, variables, [X], MovingStdRange(alpha=2.0), key=random.key(2))
    np.testing.assert_allclose(one.params["layers_0"]["input_range"], 2 * jnp.std(X, ddof=1), rtol=1e-6)
    # a calibrated range does not follow the data any more
    after = nn.apply_training(model, found, 5 * X, key=random.key(3))[1]
    assert after[HARDWARE]["layers_0"]["tile"].range_estimate == found.params["layers_0"]["input_range"]
    with pytest.raises(ConfigError, match="no batches"):
        nn.calibrate_input_ranges(model, variables, [], key=random.key(2))
    with pytest.raises(ConfigError, match="no layer has an input range"):
        nn.calibrate_input_ranges(layer(NOISY), made(NOISY)[1], [X], key=random.key(2))


def test_only_what_follows_the_data_mixes_the_items_of_a_batch():
    average = Periphery(noise_management=NoiseManagement(kind="AverageAbsMax"))
    configs = (NOISY, HardwareAware(input_range=InputRange()), HardwareAware(forward=average))
    mixed = [nn.mixes_items(made(config)[1].collections) for config in configs]
    assert mixed == [False, True, True] and nn.mixes_items({"batch_stats": {}}) and not nn.mixes_items({})


def test_fresh_chips_of_unequal_sizes_know_their_smallest_weight():
    """A material of single devices maps the smallest weight of a chip to `g_min`: padding is none of them."""
    still = StateIndependent(g_converter=SingleDevice(), prog_noise_scale=0.0, read_noise_scale=0.0, drift_scale=0.0)
    module, variables = made(HardwareAware(forward=EXACT, modifier=FreshChip(noise_model=still), mapping=CUT))
    positive = {**variables.params, "weight": 1.0 + jnp.abs(variables.params["weight"])}
    variables = variables.replace(params=positive)
    seen = nn.apply_training(module, variables, X, key=random.key(3))[0]
    np.testing.assert_allclose(seen, nn.apply(module, variables, X, key=random.key(3)), rtol=1e-4, atol=1e-4)


def test_variables_of_another_configuration_are_refused_and_can_be_moved():
    module, variables = made(NOISY)
    other = layer(HardwareAware(forward=EXACT, mapping=CUT))
    for act in (nn.apply, nn.apply_training):
        with pytest.raises(ConfigError, match=r"another configuration[\s\S]*nn\.moved"):
            act(other, variables, X, key=random.key(2))
    read = nn.program(variables, FAINT, key=random.key(3)).drift(0.0, key=random.key(4))
    with pytest.raises(ConfigError, match="another configuration"):
        nn.apply(other, read, X, key=random.key(2))
    new = nn.moved(other, variables, X, key=random.key(5))
    np.testing.assert_array_equal(new.params["weight"], variables.params["weight"])
    expected = X @ variables.params["weight"].T + variables.params["bias"]
    np.testing.assert_allclose(nn.apply(other, new, X, key=random.key(2)), expected, rtol=1e-5, atol=1e-6)
    assert new.collections[HARDWARE]["tile"].scale.shape == (2, 2)
    with pytest.raises(ConfigError, match=r"is \(5,\), and the model needs"):
        nn.moved(layer(NOISY, 4), variables, X, key=random.key(5))
    with pytest.raises(ConfigError, match="pulsed layers"):
        nn.moved(nn.AnalogLinear(5), variables, X, key=random.key(5))
    # numbers that are swept are no other configuration
    swept = jax.vmap(
        lambda std: nn.apply_training(
            layer(replace(NOISY, modifier=AddNormal(std_dev=std))),
            nn.init(layer(replace(NOISY, modifier=AddNormal(std_dev=std))), X, random.key(1)), X, key=random.key(2),
        )[0]
    )  # fmt: skip
    assert swept(jnp.array([0.0, 0.5])).shape == (2, 6, 5) and module is not other


def test_columnwise_remapping_keeps_the_form_of_the_scales_from_the_start():
    for mapping in (Mapping(), CUT):
        module, variables = made(HardwareAware(forward=EXACT, remap=ColumnwiseRemap(), mapping=mapping))
        before = variables.collections[HARDWARE]["tile"].scale.shape
        after = nn.after_step(variables.params, variables.collections)[1][HARDWARE]["tile"].scale.shape
        assert before == after == ((5,) if mapping == Mapping() else (2, 2, 3))
        expected = X @ variables.params["weight"].T + variables.params["bias"]
        np.testing.assert_allclose(nn.apply(module, variables, X, key=random.key(2)), expected, rtol=1e-5, atol=1e-6)


def test_scales_of_stacked_layers_are_chosen_one_by_one():
    config = HardwareAware(forward=EXACT, remap=LayerwiseRemap(), mapping=Mapping(weight_scaling_omega=1.0))
    chips = jax.vmap(lambda key: nn.init(layer(config), X, key))(jax.random.split(random.key(1), 3))
    w = chips.params["weight"] * jnp.array([1.0, 10.0, 0.1])[:, None, None]
    for scale in (
        nn.with_weights(chips.collections, (), w)[HARDWARE]["tile"].scale,
        nn.after_step({**chips.params, "weight": w}, chips.collections)[1][HARDWARE]["tile"].scale,
    ):
        np.testing.assert_allclose(scale, jnp.abs(w).max((1, 2)), rtol=1e-5)


class NoNode:
    """Has the method, and is nothing that JAX can flatten."""

    def modify(self, w, key):
        return w

    def program(self, w, key):
        return w

    def drift(self, programmed, t, key):
        return programmed


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"modifier": AddNormal}, "modifier"), ({"modifier": NoNode()}, "pytree"), ({"clip": FixedClip}, "clip"),
        ({"remap": LayerwiseRemap}, "remap"), ({"noisy_backward": "no"}, "noisy_backward"),
        ({"modify_in_evaluation": 3}, "modify_in_evaluation"),
        ({"mapping": Mapping(weight_scaling_lr_compensation=True)}, "lr_compensation"),
    ],
)  # fmt: skip
def test_classes_and_what_is_no_node_are_no_parts(given, words):
    with pytest.raises(ConfigError, match=words):
        HardwareAware(**given)


@pytest.mark.parametrize("material", [PCMLike, NoNode(), None, "PCMLike"])
def test_materials_are_checked_before_anything_is_compiled(material):
    with pytest.raises(ConfigError, match="noise_model"):
        nn.program(made(NOISY)[1], material, key=random.key(0))


@pytest.mark.parametrize("t", [-1.0, np.inf, np.nan, "1d", None, True, jnp.array([1.0, 2.0])])
def test_times_are_finite_numbers(t):
    programmed = nn.program(made(NOISY)[1], PCMLike(), key=random.key(0))
    with pytest.raises(ConfigError, match="time"):
        programmed.drift(t, key=random.key(1))


def test_what_after_step_and_calibration_can_not_take_is_told():
    module, variables = made(replace(NOISY, input_range=InputRange()))
    read = nn.program(variables, PCMLike(), key=random.key(0)).drift(1.0, key=random.key(1))
    with pytest.raises(ConfigError, match="programmed"):
        nn.after_step(read.params, read.collections)
    with pytest.raises(ConfigError, match="as dicts"):
        nn.after_step(variables, variables.collections)
    with pytest.raises(ConfigError, match="programmed"):
        nn.calibrate_input_ranges(module, read, [X], key=random.key(2))
    with pytest.raises(ConfigError, match="batch 0 is of tuple"):
        nn.calibrate_input_ranges(module, variables, [(X, X)], key=random.key(2))
    with pytest.raises(NonFiniteError, match="batch 0"):
        nn.calibrate_input_ranges(module, variables, [X * jnp.nan], key=random.key(2))
    many = jax.vmap(lambda key: nn.init(module, X, key))(jax.random.split(random.key(1), 3))
    with pytest.raises(ConfigError, match="stack of layers"):
        nn.calibrate_input_ranges(module, many, [X], key=random.key(2))
