"""Inference of a trained network on drifting chips: the form of its results, reproduction, and what drift does."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax import AnalogLinear, Sequential, TileConfig, nn
from analogjax.data import Split
from analogjax.errors import AnalogError, ConfigError, NonFiniteError
from analogjax.experiments import Arrays, BasicInferencing, cross_entropy_loss, run_inference
from analogjax.physics import (
    ADC,
    ExactReference,
    Ideal,
    PCMLike,
    PerColumnCompensation,
    Periphery,
    ReRAMWan2022,
    State,
    StateIndependent,
)
from analogjax.tile import Mapping

EXACT = Periphery(adc=ADC(bound=0.0), is_perfect=True)
CONFIG = TileConfig(device=Ideal(), forward=EXACT, backward=EXACT, mapping=Mapping(max_input_size=10))
UNIFORM = StateIndependent(prog_noise_scale=0.0, read_noise_scale=0.0, drift_nu_std=0.0)  # nothing random
ITEMS = 23  # no whole number of batches
MODEL = Sequential(nn.flatten, AnalogLinear(12, CONFIG), jnp.tanh, AnalogLinear(3, CONFIG))


def scaled(tiles, factor):
    """The tiles with `factor` times their weights."""
    return jax.tree.map(
        lambda node: replace(node, w=factor * node.w) if isinstance(node, State) else node,
        tiles,
        is_leaf=lambda node: isinstance(node, State),
    )


@pytest.fixture(scope="module")
def experiment():
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (ITEMS, 4, 4), dtype=np.uint8)
    empty = Split(images[:1], np.zeros(1, np.int32))
    variables = nn.init(MODEL, jnp.zeros((1, 4, 4, 1)), jax.random.key(3))
    variables = nn.Variables(variables.params, scaled(variables.tiles, 8.0))
    x = jnp.asarray(((images / 255 - 0.4) / 0.3)[..., None], jnp.float32)
    labels = np.array(jnp.argmax(nn.apply(MODEL, variables, x, key=jax.random.key(0)), -1), np.int32)
    labels[:3] = (labels[:3] + 1) % 3  # so that 20 of 23 are right
    dataset = Arrays(empty, Split(images, labels), mean=(0.4,), std=(0.3,))
    return BasicInferencing(dataset, MODEL, variables, batch_size=5)


def entries(result, name):
    return np.array([entry[name] for entry in result["inference_runs"]["inference_results"]])


def test_the_result_has_aihwkits_form(experiment):
    seen = []
    result = run_inference(replace(experiment, inference_repeats=3), seed=1, on_repeat=seen.append)
    runs = result["inference_runs"]
    assert set(runs) == {"inference_repeat", "is_partial", "time_elapsed", "inference_results"}
    assert runs["inference_repeat"] == 3 and runs["is_partial"] is False and len(runs["inference_results"]) == 10
    names = {"t_inference", "avg_accuracy", "std_accuracy", "avg_error", "avg_loss"}
    assert all(set(entry) == names for entry in runs["inference_results"])
    assert all(type(value) is float for entry in runs["inference_results"] for value in entry.values())
    np.testing.assert_allclose(entries(result, "t_inference"), [0, *np.logspace(0, np.log10(86400.0), 9)])
    np.testing.assert_allclose(entries(result, "avg_error"), 100 - entries(result, "avg_accuracy"))
    assert [r["inference_runs"]["inference_repeat"] for r in seen] == [1, 2, 3]
    assert [r["inference_runs"]["is_partial"] for r in seen] == [True, True, False]
    spent = [r["inference_runs"]["time_elapsed"] for r in seen]
    assert 0 < spent[0] < spent[1] < spent[2] and seen[-1] == result


def test_statistics_are_those_of_the_repeats(experiment):
    seen = []
    run_inference(replace(experiment, inference_repeats=3), seed=1, on_repeat=seen.append)
    means = np.array([entries(r, "avg_accuracy") for r in seen])
    single = means * np.arange(1, 4)[:, None]
    single[1:] -= single[:-1].copy()
    counts = single * ITEMS / 100
    np.testing.assert_allclose(counts, np.round(counts), atol=1e-9)  # percent of whole numbers of items
    assert np.all(entries(seen[0], "std_accuracy") == 0)
    np.testing.assert_allclose(entries(seen[2], "std_accuracy"), single.std(0), atol=1e-6)


def test_the_seed_decides_and_more_repeats_leave_the_first_ones(experiment):
    def results(seed, repeats):
        seen = []
        run_inference(replace(experiment, inference_repeats=repeats), seed=seed, on_repeat=seen.append)
        return [r["inference_runs"]["inference_results"] for r in seen]

    three = results(1, 3)
    assert results(1, 2) == three[:2] and results(2, 2) != three[:2]


@pytest.mark.parametrize("batch_size", [1, 5, 100])
def test_without_noise_compensated_chips_are_the_digital_network(experiment, batch_size):
    exact = replace(experiment, noise_model=UNIFORM, batch_size=batch_size, inference_time=1e7)
    result = run_inference(exact, seed=1)
    np.testing.assert_allclose(entries(result, "avg_accuracy"), 100 * 20 / 23, rtol=1e-6)
    assert np.all(entries(result, "std_accuracy") == 0)
    split = experiment.dataset.test
    x = jnp.asarray(((split.images / 255 - 0.4) / 0.3)[..., None], jnp.float32)
    outputs = nn.apply(MODEL, experiment.variables, x, key=jax.random.key(0))
    expected = float(cross_entropy_loss(outputs, jnp.asarray(split.labels)).mean())
    np.testing.assert_allclose(entries(result, "avg_loss"), expected, rtol=1e-4)


def test_without_compensation_the_outputs_fade(experiment):
    last = 1e9
    faded = run_inference(
        replace(experiment, noise_model=UNIFORM, drift_compensation=False, inference_time=last), seed=1
    )
    x = jnp.asarray(((experiment.dataset.test.images / 255 - 0.4) / 0.3)[..., None], jnp.float32)
    factor = ((last + 20) / 20) ** -0.1
    weaker = nn.Variables(experiment.variables.params, scaled(experiment.variables.tiles, factor))
    outputs = nn.apply(MODEL, weaker, x, key=jax.random.key(0))
    expected = cross_entropy_loss(outputs, jnp.asarray(experiment.dataset.test.labels)).mean()
    np.testing.assert_allclose(entries(faded, "avg_loss")[-1], float(expected), rtol=1e-4)


def test_a_repeat_is_compiled_once(experiment):
    traced = []

    def loss(outputs, labels):
        traced.append(outputs.shape)
        return cross_entropy_loss(outputs, labels)

    run_inference(replace(experiment, loss_function=loss, inference_repeats=4), seed=1)
    assert traced == [(5, 3)]  # for four repeats of ten times of five batches


def test_only_the_first_items_are_read_where_asked(experiment):
    first = run_inference(replace(experiment, noise_model=UNIFORM), seed=1, max_elements=4)
    np.testing.assert_allclose(entries(first, "avg_accuracy"), 25.0)  # three of the first four are mislabelled


def test_another_device_gives_the_same_numbers(experiment):
    results = [run_inference(experiment, seed=1, device=name) for name in ("cpu:0", "cpu:1")]
    assert entries(results[0], "avg_accuracy").tolist() == entries(results[1], "avg_accuracy").tolist()
    np.testing.assert_allclose(entries(results[0], "avg_loss"), entries(results[1], "avg_loss"), rtol=1e-6)


def test_the_given_variables_stay_as_they_are(experiment):
    before = jax.tree.map(np.array, experiment.variables)
    run_inference(experiment, seed=1)
    assert all(jax.tree.leaves(jax.tree.map(np.array_equal, before, experiment.variables)))


def test_a_convolutional_network_drifts(key):
    model = Sequential(
        nn.AnalogConv2d(3, CONFIG, kernel_size=(3, 3)), jnp.tanh, lambda x: nn.max_pool(x, (2, 2)), nn.flatten,
        AnalogLinear(2, CONFIG),
    )  # fmt: skip
    split = Split(np.asarray(jax.random.normal(key, (6, 6, 6))), np.array([0, 1, 0, 1, 0, 1], np.int32))
    variables = nn.init(model, jnp.zeros((1, 6, 6, 1)), jax.random.key(1))
    result = run_inference(BasicInferencing(Arrays(split, split), model, variables, inference_repeats=1), seed=0)
    assert np.all(np.isfinite(entries(result, "avg_loss")))


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"dataset": 3}, "dataset=3"),
        ({"dataset": "nothing"}, "nothing"),
        ({"model": None}, "model=None"),
        ({"variables": None}, "variables=None"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"inference_repeats": 1.5}, "inference_repeats=1.5"),
        ({"inference_time": 0.5}, "inference_time=0.5"),
        ({"loss_function": 1}, "loss_function=1"),
        ({"noise_model": None}, "noise_model=None"),
    ],
)
def test_values_without_sense_are_refused(experiment, given, match):
    with pytest.raises(AnalogError, match=match):
        replace(experiment, **given)


def test_what_can_not_be_read_is_told(experiment):
    with pytest.raises(ConfigError, match="seed='a'"):
        run_inference(experiment, seed="a")
    nothing = Split(np.zeros((0, 4, 4), np.uint8), np.zeros(0, np.int32))
    with pytest.raises(ConfigError, match="no items"):
        run_inference(replace(experiment, dataset=Arrays(nothing, nothing)), seed=1)
    bad = Split(np.full((2, 4, 4), np.nan), np.zeros(2, np.int32))
    with pytest.raises(NonFiniteError, match="test split"):
        run_inference(replace(experiment, dataset=Arrays(bad, bad)), seed=1)
    spoilt = jax.tree.map(lambda leaf: leaf * np.nan, experiment.variables.params)
    with pytest.raises(NonFiniteError, match="chip 0 at t = 0 s"):
        run_inference(replace(experiment, variables=experiment.variables.replace(params=spoilt)), seed=1)


def test_the_default_material_is_pcm(experiment):
    assert BasicInferencing(experiment.dataset, MODEL, experiment.variables).noise_model == PCMLike()


def test_any_compensation_may_rescale_the_outputs(experiment):
    none, whole, columns, exact = (
        entries(run_inference(replace(experiment, noise_model=UNIFORM, drift_compensation=one), seed=1), "avg_loss")
        for one in (None, True, PerColumnCompensation(), ExactReference())
    )
    for one in (columns, exact):
        np.testing.assert_allclose(one, whole, rtol=1e-4)  # all of them restore what fades evenly
    assert abs(none[-1] - whole[-1]) > 0.01
    with pytest.raises(ConfigError, match=r"drift_compensation=3\): give True, False, or a compensation"):
        replace(experiment, drift_compensation=3)


def test_a_material_that_is_known_at_other_times_is_refused_at_once(experiment):
    with pytest.raises(ConfigError, match=r"BasicInferencing\(t=0.0\): ReRAMWan2022 is known at 1, 86400, 172800 s"):
        replace(experiment, noise_model=ReRAMWan2022())
