"""`evaluate`: many chips at several times, in groups that fit into memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax import AnalogLinear, Digits, LocalRunner, Sequential, nn
from analogjax.data import DatasetError
from analogjax.errors import ConfigError, NonFiniteError
from analogjax.experiments import BasicInferencing, evaluate, evaluation, run_inference
from analogjax.experiments.memory import largest_array
from analogjax.physics import GlobalCompensation, PCMLike, Periphery, ReRAMWan2022
from analogjax.tile import HardwareAware, Mapping

CONFIG = HardwareAware(forward=Periphery(is_perfect=True), mapping=Mapping(max_input_size=40))
MODEL = Sequential(nn.flatten, AnalogLinear(8, CONFIG), jnp.tanh, AnalogLinear(10, CONFIG), jax.nn.log_softmax)
SOME = {"max_elements": 30, "times": (1.0, 1e6), "batch_size": 16}


@pytest.fixture(scope="module")
def variables():
    return nn.init(MODEL, jnp.ones((1, 8, 8, 1)), jax.random.key(0))


@pytest.fixture(scope="module")
def five(variables):
    return evaluate(MODEL, variables, Digits, chips=5, at_once=1, **SOME)


def test_each_chip_has_an_accuracy_and_a_loss_at_each_time(five):
    assert five.times == (1.0, 1e6) and five.accuracy.shape == five.loss.shape == (5, 2)
    counts = five.accuracy * 30
    np.testing.assert_allclose(counts, np.round(counts), atol=1e-9)
    assert len(np.unique(five.loss)) == 10


def test_groups_change_nothing_but_the_last_digits(variables, five):
    told = []
    grouped = evaluate(
        MODEL, variables, Digits, chips=5, at_once=2, on_chips=lambda r: told.append(len(r.loss)), **SOME
    )
    assert told == [2, 4, 5]
    np.testing.assert_allclose(grouped.loss, five.loss, rtol=1e-5)
    np.testing.assert_allclose(grouped.accuracy, five.accuracy, atol=1.1 / 30)


def test_more_chips_leave_the_first_ones(variables, five):
    two = evaluate(MODEL, variables, "digits", chips=2, at_once=1, **SOME)
    np.testing.assert_array_equal(two.loss, five.loss[:2])
    other = evaluate(MODEL, variables, Digits, chips=2, at_once=1, seed=1, **SOME)
    assert np.all(other.loss != two.loss)


def test_an_experiment_with_times_of_its_own_is_the_same_evaluation(variables):
    experiment = BasicInferencing(
        Digits, MODEL, variables, inference_repeats=2, t_inference=(1.0, 1e6), batch_size=16, drift_compensation=False
    )
    runs = LocalRunner().run(experiment, 30, seed=3)["inference_runs"]
    assert [entry["t_inference"] for entry in runs["inference_results"]] == [1.0, 1e6]
    same = evaluate(MODEL, variables, Digits, chips=2, compensation=None, fresh=False, at_once=1, seed=3, **SOME)
    np.testing.assert_allclose([entry["avg_loss"] for entry in runs["inference_results"]], same.loss.mean(0), rtol=1e-6)
    with pytest.raises(ConfigError, match="t_inference"):
        BasicInferencing(Digits, MODEL, variables, t_inference=(-1.0,))
    assert (
        run_inference(experiment, seed=3, max_elements=30)["inference_runs"]["inference_results"]
        == runs["inference_results"]
    )


def test_a_group_is_as_large_as_memory_allows_and_all_are_alike():
    class Accelerator:
        platform = "gpu"

    def size(chips, memory):
        once = evaluation._Evaluation(MODEL, lambda *_: 0.0, PCMLike(), None, 16, True)
        patched = pytest.MonkeyPatch()
        with patched.context() as patch:
            patch.setattr(evaluation, "largest_array", lambda *_: 1000)
            return evaluation._group(once, None, None, chips, memory, Accelerator())

    assert [size(100, 1e9), size(100, 60_000), size(100, 1), size(7, 24_000)] == [100, 10, 1, 4]


def test_the_largest_array_is_found_inside_of_loops():
    def inner(x):
        return jax.lax.map(lambda row: jnp.outer(row, row).sum(), x)

    assert largest_array(inner, jnp.ones((3, 50))) == 4 * 50 * 50


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"chips": 0}, "chips"), ({"chips": True}, "chips"), ({"times": ()}, "times"),
        ({"times": (1.0, -2.0)}, "times"), ({"times": "soon"}, "times"), ({"seed": 0.5}, "seed"),
        ({"batch_size": 0}, "batch_size"), ({"at_once": 0}, "at_once"), ({"noise_model": ReRAMWan2022()}, "known at"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_told(variables, given, words):
    with pytest.raises(ConfigError, match=words):
        evaluate(MODEL, variables, Digits, **({"times": (5.0,), "max_elements": 4} | given))


def test_missing_data_and_spoilt_variables_are_told(variables):
    with pytest.raises(DatasetError, match="Didgits"):
        evaluate(MODEL, variables, "Didgits", **SOME)
    spoilt = jax.tree.map(lambda leaf: leaf * jnp.nan if leaf.dtype == jnp.float32 else leaf, variables)
    with pytest.raises(NonFiniteError, match="chip 0 at t = 1 s"):
        evaluate(MODEL, spoilt, Digits, chips=1, compensation=GlobalCompensation(), **SOME)
