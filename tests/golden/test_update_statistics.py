"""Mean, spread and covariance of the weight change of one update call against aihwkit, counted and pulse by pulse."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import pytest

from analogjax.tile import Signal, Tile, create, update
from tests.golden.catalog import cases, key_for, supported, tile_config, unsupported
from tests.golden.quirks import replays
from tests.golden.tolerance import Sample, Verdict, compare_covariance, compare_exact, compare_mean, compare_std

GROUP = "update_statistics"
REPLAYED = 72  # of 72
REPETITIONS = 16000  # four times those of the reference, so that rare coincidences have a standard error
SEQUENTIAL = tuple(supported(GROUP))[::2]  # of each kind some: the order of pulses is the only thing that differs


@partial(jax.jit, compiler_options={"xla_llvm_disable_expensive_passes": True})  # compiled for one short run
def _changes(tile: Tile, signal: Signal, rate: jax.Array, keys: jax.Array) -> jax.Array:
    """The weight changes `[R, O, I]` of independent repetitions of one update."""
    return jax.vmap(lambda key: update(tile, signal, rate, key=key).read() - tile.read())(keys)


def replay(name: str, sequential: bool = False) -> Verdict:
    """Replay one case and compare it."""
    case = cases(GROUP)[name]
    inputs, observed = case["inputs"], case["observed"]
    config = tile_config(case["config"])
    config = replace(config, update=replace(config.update, sequential=sequential))
    x, d = jnp.asarray(inputs["x"]), jnp.asarray(inputs["d"])
    k_make, k_run = jax.random.split(key_for(case))
    shape = (d.shape[1], x.shape[1])
    # no case has differences between devices, so one chip stands for all
    with jax.disable_jit():  # a chip made once costs less operation by operation than its compilation
        tile = create(config, shape, k_make, jnp.full(shape, inputs["w_start"]))
    keys = jax.random.split(k_run, REPETITIONS)
    ours = Sample(_changes(tile, Signal(x=x, d=d), jnp.asarray(inputs["learning_rate"]), keys))
    verdict, reference = Verdict(), dict(observed["dW"])
    compare_mean(verdict, "dW", ours, reference, inputs["n_tiles"], se_ref=observed["per_tile_mean_se"])
    compare_std(verdict, "dW", ours, reference)
    if "cov" in observed:
        compare_covariance(verdict, "dW", Sample(ours.values.reshape(ours.n, -1)), observed["cov"], case["reps"])
    if not _is_stochastic(observed):
        compare_exact(verdict, "dW largest", ours.values.max(0), reference["mean"])
        compare_exact(verdict, "dW smallest", ours.values.min(0), reference["mean"])
    return verdict


def _is_stochastic(observed: dict) -> bool:
    return any(value > 0 for row in observed["dW"]["std"] for value in row)


@pytest.mark.parametrize(("name", "sequential"), replays(GROUP, unsupported, 6, one_by_one=SEQUENTIAL))
def test_case(name: str, sequential: bool) -> None:
    replay(name, sequential).check()


def test_nothing_is_skipped_by_accident() -> None:
    assert len(supported(GROUP)) == REPLAYED
