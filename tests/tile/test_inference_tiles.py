"""Tiles that are programmed and drift: one chip or an array of them, compensated or not."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax import AnalogLinear, Sequential, TileConfig, nn
from analogjax.errors import ConfigError
from analogjax.physics import (
    ADC,
    DAC,
    ExactReference,
    GlobalCompensation,
    Ideal,
    PCMLike,
    PerColumnCompensation,
    Periphery,
    Pulses,
    ReRAMCMO,
    ReRAMWan2022,
    StateIndependent,
    Vector,
)
from analogjax.physics.devices import ConstantStep, SoftBounds, SoftBoundsReference
from analogjax.tile import Mapping, ProgrammedTile, TileArray, create_array, drift, drift_all, mvm, program, program_all
from tests.suites import first_fast
from tests.tolerance import assert_close, assert_same_bits

EXACT = Periphery(adc=ADC(bound=0.0), is_perfect=True)
SHAPE, SPLIT = (3, 7), {"max_input_size": 5, "max_output_size": 2}  # 2 x 2 chips, padded in both directions
PLAIN = TileConfig(device=Ideal(), forward=EXACT, backward=EXACT)
SCALED = replace(PLAIN, mapping=Mapping(weight_scaling_omega=0.6, weight_scaling_columnwise=True))
ARRAY = replace(PLAIN, mapping=Mapping(**SPLIT))
SCALED_ARRAY = replace(PLAIN, mapping=Mapping(weight_scaling_omega=0.6, **SPLIT))
CONFIGS = [PLAIN, SCALED, ARRAY, SCALED_ARRAY]
UNIFORM = StateIndependent(prog_noise_scale=0.0, read_noise_scale=0.0, drift_nu_std=0.0)  # nothing random
LATE = 86400.0


@pytest.mark.parametrize("config", first_fast(CONFIGS))
def test_weights_fade_by_the_law_and_compensation_brings_them_back(key, config):
    tile = create_array(config, SHAPE, key)
    faded = drift(program(tile, UNIFORM, None, jax.random.key(1)), LATE, jax.random.key(2))
    assert type(faded) is type(tile)
    lost = ((LATE + 20) / 20) ** -0.1
    assert_close(faded.read(), lost * tile.read())
    kept = drift(program(tile, UNIFORM, GlobalCompensation(), jax.random.key(1)), LATE, jax.random.key(2))
    assert_close(kept.read(), tile.read())
    x = jax.random.normal(key, (4, SHAPE[1]))
    assert_close(mvm(kept, x, key=jax.random.key(3)), x @ tile.read().T)


@pytest.mark.parametrize("config", first_fast(CONFIGS))
def test_noise_is_drawn_for_each_chip_and_padding_stays_empty(key, config):
    noisy = replace(config, forward=Periphery(dac=DAC(noise=0.1)), device=ConstantStep())
    tile = create_array(noisy, SHAPE, key)
    programmed = program(tile, PCMLike(), GlobalCompensation(), jax.random.key(1))
    drifted = drift(programmed, LATE, jax.random.key(2))
    assert isinstance(programmed, ProgrammedTile)
    if not isinstance(tile, TileArray):
        assert programmed.baseline.shape == () and programmed.programmed.memory.shape == (2, *SHAPE)
        return
    assert programmed.baseline.shape == (2, 2) == drifted.tiles.scale.shape
    assert len(np.unique(drifted.tiles.scale)) == 4  # each chip has read its own factor
    nu = programmed.programmed.memory
    assert nu.shape == (2, 2, 2, 2, 4) and len(np.unique(nu)) == nu.size
    held = drifted.tiles.state.w
    assert jnp.all(held[1, :, 1, :] == 0) and jnp.all(held[:, 1, :, 3] == 0)
    assert jnp.sum(held != 0) <= 3 * 7 and jnp.sum(held != 0) > 15


def test_written_padding_does_not_count(key):
    # devices with write noise do not hold exactly nothing in the padding
    config = replace(ARRAY, device=SoftBoundsReference(write_noise_std=200.0))
    tile = create_array(config, SHAPE, key, jnp.full(SHAPE, 0.01))
    assert jnp.any(tile.tiles.state.w[1, :, 1, :] != 0)
    held = program(tile, UNIFORM, None, jax.random.key(1)).tile.tiles.state.w
    assert jnp.all(held[1, :, 1, :] == 0) and jnp.all(held[:, 1, :, 3] == 0)


def test_the_readout_sees_only_the_part_of_a_chip_that_is_used(key):
    # half of this chip is padding, read with much noise: it would halve the mean of |y|
    config = replace(ARRAY, forward=Periphery(adc=ADC(noise=1.0, bound=0.0, res=0.0)), mapping=Mapping(**SPLIT))
    tile = create_array(config, SHAPE, key, jnp.full(SHAPE, 0.5))
    baseline = jax.vmap(lambda key: program(tile, UNIFORM, GlobalCompensation(), key).baseline)(
        jax.random.split(jax.random.key(1), 400)
    )
    expected = np.sqrt(2 / np.pi) * np.exp(-0.125) + 0.5 * (1 - 2 * 0.30854)  # mean of |N(0.5, 1)|
    se = np.std(baseline, axis=0) / 20
    assert np.all(np.abs(np.mean(baseline, axis=0) - expected) < 4 * se)


@pytest.mark.parametrize("config", [ARRAY, PLAIN])
def test_padding_is_neither_the_smallest_nor_the_largest_weight(key, config):
    # of positive weights: an empty crosspoint would be the smallest, from which single devices count
    exact = ReRAMCMO(prog_noise_scale=0.0, read_noise_scale=0.0, drift_scale=0.0)
    w = jnp.linspace(1.0, 2.0, 21).reshape(SHAPE)
    programmed = program(create_array(config, SHAPE, key, w), exact, None, jax.random.key(1))
    assert_close(programmed.tile.read(), w, factor=8)
    assert_close(drift(programmed, LATE, jax.random.key(2)).read(), w, factor=8)
    noisy = replace(exact, prog_coeff=(0.1,), prog_noise_scale=1.0)
    many = jax.vmap(lambda key: program(create_array(config, SHAPE, key, w), noisy, None, key).tile.read())
    spread = np.std(many(jax.random.split(key, 500)) - w, axis=0)
    chips = [(slice(0, 3), slice(0, 7))] if config is PLAIN else [
        (slice(0, 2), slice(0, 4)), (slice(0, 2), slice(4, 7)), (slice(2, 3), slice(0, 4)), (slice(2, 3), slice(4, 7))
    ]  # fmt: skip
    for (rows, columns), width in zip(chips, [w[c].max() - w[c].min() for c in chips], strict=True):
        expected = 0.1 / (88.199997 - 9.0) * float(width)
        error = expected / np.sqrt(2 * 500 * spread[rows, columns].size)
        assert abs(np.sqrt(np.mean(spread[rows, columns] ** 2)) - expected) < 4 * error


@pytest.mark.parametrize("config", CONFIGS)
def test_outputs_that_fade_differently_have_factors_of_their_own(key, config):
    tile = create_array(config, SHAPE, key)
    material = StateIndependent(read_noise_scale=0.0, prog_noise_scale=0.0)  # exponents vary from device to device
    programmed = program(tile, material, PerColumnCompensation(), jax.random.key(1))
    late = drift(programmed, LATE, jax.random.key(2))
    assert late.read().shape == SHAPE
    unscaled = tile.tiles.state.w if isinstance(tile, TileArray) else tile.state.w
    factors = late.tiles.scale if isinstance(late, TileArray) else late.scale
    assert factors.shape == unscaled.shape[:-1]
    read = jnp.abs(late.read())
    if not isinstance(tile, TileArray):
        assert_close(read.mean(1), jnp.abs(tile.read()).mean(1), factor=4)
    else:
        for columns in (slice(0, 4), slice(4, 7)):
            assert_close(read[:, columns].mean(1), jnp.abs(tile.read())[:, columns].mean(1), factor=8)
    x = jax.random.normal(key, (4, SHAPE[1]))
    assert_close(mvm(late, x, key=jax.random.key(3)), x @ late.read().T, factor=4)


@pytest.mark.parametrize("config", [PLAIN, SCALED_ARRAY])
def test_an_exact_reference_makes_up_for_programming(key, config):
    tile = create_array(config, SHAPE, key)
    material = StateIndependent(prog_coeff=(0.0, 10.0), read_noise_scale=0.0, drift_nu_std=0.0)
    for compensation in (ExactReference(), ExactReference(compensation=PerColumnCompensation())):
        late = drift(program(tile, material, compensation, jax.random.key(1)), LATE, jax.random.key(2))
        for columns in (slice(0, 4), slice(4, 7)) if isinstance(tile, TileArray) else (slice(0, 7),):
            for rows in (slice(0, 2), slice(2, 3)) if isinstance(tile, TileArray) else (slice(0, 3),):
                ours, theirs = (jnp.abs(one.read()[rows, columns]).mean() for one in (late, tile))
                assert_close(ours, theirs, factor=8)


@pytest.mark.parametrize("device", first_fast([SoftBounds(), Vector(devices=(ConstantStep(), SoftBounds()))]))
def test_any_device_may_have_trained_the_weights(key, device):
    tile = create_array(TileConfig(device=device, forward=EXACT, backward=EXACT), SHAPE, key)
    programmed = program(tile, UNIFORM, None, jax.random.key(1))
    assert_close(programmed.tile.read(), tile.read())
    assert_close(drift(programmed, 0, jax.random.key(2)).read(), tile.read())


@pytest.mark.parametrize("config", first_fast([PLAIN, ARRAY]))
def test_one_key_gives_one_chip(key, config):
    tile = create_array(replace(config, forward=Periphery()), SHAPE, key)
    with jax.debug_key_reuse(True):
        programs = [program(tile, PCMLike(), GlobalCompensation(), jax.random.key(n)) for n in (1, 1, 2)]
        drift(programs[0], LATE, jax.random.key(3))
    assert_same_bits(programs[0], programs[1])
    reads = [drift(programs[0], LATE, jax.random.key(n)).read() for n in (3, 3, 4)]
    assert_same_bits(reads[0], reads[1])
    assert not jnp.array_equal(reads[0], reads[2])
    assert not jnp.array_equal(programs[0].tile.read(), programs[2].tile.read())


def test_many_chips_and_times_at_once(key):
    tile = create_array(PLAIN, SHAPE, key)
    times = jnp.array([0.0, 100.0, 1e6])

    def chip(key):
        k_program, k_drift = jax.random.split(key)
        programmed = program(tile, PCMLike(), None, k_program)
        return jax.vmap(lambda t: drift(programmed, t, k_drift).read())(times)

    read = jax.vmap(chip)(jax.random.split(jax.random.key(1), 50))
    size = jnp.abs(read).mean((0, 2, 3))
    assert read.shape == (50, 3, *SHAPE) and size[0] > size[1] > size[2]


def test_a_model_runs_on_drifted_tiles(key):
    model = Sequential(nn.flatten, AnalogLinear(5, ARRAY), jnp.tanh, AnalogLinear(2, SCALED))
    x = jax.random.normal(key, (6, 7))
    variables = nn.init(model, x, jax.random.key(1))
    programmed = program_all(variables.tiles, UNIFORM, GlobalCompensation(), jax.random.key(2))
    drifted = nn.Variables(variables.params, drift_all(programmed, LATE, jax.random.key(3)))
    assert jax.tree.structure(drifted) == jax.tree.structure(variables)
    expected = nn.apply(model, variables, x, key=jax.random.key(4))
    assert_close(nn.apply(model, drifted, x, key=jax.random.key(4)), expected)
    noisy = program_all(variables.tiles, PCMLike(), None, jax.random.key(2))
    faded = nn.Variables(variables.params, drift_all(noisy, 1e7, jax.random.key(3)))
    assert float(jnp.abs(nn.apply(model, faded, x, key=jax.random.key(4)) - expected).max()) > 0.01


def test_an_exact_pulse_setting_is_kept(key):
    tile = create_array(replace(PLAIN, update=Pulses(desired_bl=7)), SHAPE, key)
    assert drift(program(tile, PCMLike(), None, key), 1.0, jax.random.key(1)).config == tile.config


def test_what_makes_no_sense_is_refused(key):
    tile = create_array(PLAIN, SHAPE, key)
    with pytest.raises(ConfigError, match=r"drift\(t=-1"):
        drift(program(tile, PCMLike(), None, key), -1.0, jax.random.key(1))
    with pytest.raises(ConfigError, match=r"drift\(t=60.0\): ReRAMWan2022 is known at 1, 86400, 172800 s only"):
        drift(program(tile, ReRAMWan2022(), None, key), 60.0, jax.random.key(1))
    with pytest.raises(ConfigError, match="program_all"):
        program({"tile": tile}, PCMLike(), None, key)


@pytest.mark.parametrize("config", [SCALED, ARRAY])
def test_a_stack_of_chips_is_programmed_chip_by_chip(key, config):
    chips = jax.vmap(lambda k: create_array(config, SHAPE, k))(jax.random.split(key, 3))
    k_program, k_drift = jax.random.split(jax.random.key(1))
    faded = drift(program(chips, PCMLike(), GlobalCompensation(), k_program), LATE, k_drift)
    assert faded.stack == (3,) and faded.read().shape == (3, *SHAPE)
    for n in range(3):
        one = jax.tree.map(lambda leaf, n=n: leaf[n], chips)
        own = program(one, PCMLike(), GlobalCompensation(), jax.random.split(k_program, 3)[n])
        assert_close(faded.read()[n], drift(own, LATE, jax.random.split(k_drift, 3)[n]).read())
