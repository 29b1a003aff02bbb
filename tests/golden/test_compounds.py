"""Compounds under a fixed sequence of updates, with all that they hide, and a small regression, against aihwkit.

Each repetition is a fresh chip. Checkpoints are compared crosspoint by crosspoint while few numbers can have gone
apart; the late ones of random schedules by their overall mean and spread, as the data's own text advises.
"""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax.physics.compounds.mixed_precision import MixedState
from analogjax.physics.compounds.parts.cell import replaced
from analogjax.physics.compounds.parts.transfer import TransferState
from analogjax.tile import Signal, Tile, create, update
from tests.golden.catalog import cases, key_for
from tests.golden.cells import any_config, supported, unsupported
from tests.golden.quirks import replays
from tests.golden.tolerance import Sample, Verdict, compare_mean, compare_std, float_floor, list_floor

GROUP = "compounds"
REPLAYED = 78  # of 79, one of which holds the inputs of the others
CHIPS = 2000
SEQUENTIAL: tuple[str, ...] = ()
Z = 5.0  # standard errors, as hundreds of numbers are compared at once


def hidden(tile: Tile) -> dict[str, jax.Array]:
    """The hidden matrices under aihwkit's names."""
    state = tile.state
    if isinstance(state, MixedState):
        return {"hidden_weights_0": state.part.w, "hidden_weights_chi": state.chi}
    found = {f"hidden_weights_{k}": part.w for k, part in enumerate(getattr(state, "parts", ()))}
    if not isinstance(state, TransferState):
        return found
    found |= {f"buffered_FP_weight_{k}": buffer for k, buffer in enumerate(state.buffers)}
    if state.reference is not None:  # the dynamic one has one buffer, and calls it so
        found["buffered_FP_weight"] = found.pop("buffered_FP_weight_0")
        found |= {"running_mean_weight": state.reference.mean, "past_mean_weight": state.reference.past}
    return found


_QUICKLY = {"xla_llvm_disable_expensive_passes": True}  # compiled for one short run


@partial(jax.jit, static_argnames=("batch", "checkpoints"), compiler_options=_QUICKLY)
def _sequence(
    tiles: Tile, x: jax.Array, d: jax.Array, rate: jax.Array, keys: jax.Array, batch: int, checkpoints: tuple
):
    """The visible weight and hidden matrices of every chip at each checkpoint, `[C, R, O, I]`."""

    def step(tile: Tile, given: tuple) -> tuple[Tile, tuple]:
        x, d, n = given

        def one(tile: Tile, key: jax.Array) -> Tile:
            return update(tile, Signal(x=x, d=d), rate, key=jax.random.fold_in(key, n))

        tile = jax.vmap(one)(tile, keys)
        return tile, (jax.vmap(Tile.read)(tile), jax.vmap(hidden)(tile))

    number = x.shape[0] // batch
    chunks = x.reshape(number, batch, -1), d.reshape(number, batch, -1), jnp.arange(number)
    _, (visible, parts) = jax.lax.scan(step, tiles, chunks)
    at = jnp.asarray(checkpoints) // batch - 1
    return visible[at], jax.tree.map(lambda leaf: leaf[at], parts)


def replay(name: str, sequential: bool = False) -> Verdict:
    """Replay one case and compare it."""
    case = cases(GROUP)[name]
    return _regression(case) if "target_W" in case["inputs"] else _replay_sequence(case)


def _chips(case: dict, shape: tuple[int, int], w: float, number: int) -> Tile:
    config, k_make = any_config(case["config"]), jax.random.fold_in(key_for(case), 0)

    def make(key: jax.Array) -> Tile:
        made = create(config, shape, key, jnp.full(shape, w))
        return _with_reference(made, key) if case["case"] == "reference_set" else made

    return jax.jit(jax.vmap(make), compiler_options=_QUICKLY)(jax.random.split(k_make, number))


def _with_reference(tile: Tile, key: jax.Array) -> Tile:
    """The reference device set to 0.1, as the text of the case says."""
    cell = tile.config.device
    reference = cell.devices[1].write(tile.cells[1], jnp.full(tile.shape, 0.1), key)
    return replace(tile, state=cell.summed(replace(tile.state, parts=replaced(tile.state.parts, 1, reference))))


def _replay_sequence(case: dict) -> Verdict:
    inputs, observed, given = case["inputs"], case["observed"], cases(GROUP)["sequence_A"]["inputs"]
    tiles = _chips(case, tuple(inputs["shape_out_in"]), inputs["w_start"], CHIPS)
    keys = jax.random.split(jax.random.fold_in(key_for(case), 1), CHIPS)
    batch, checkpoints = inputs["batch"], tuple(observed["checkpoints"])
    last = max(checkpoints)
    x, d = (jnp.asarray(given[name])[:last] for name in ("x", "d"))
    rate = jnp.asarray(inputs["learning_rate"])
    visible, parts = _sequence(tiles, x, d, rate, keys, batch, checkpoints)
    verdict = Verdict()
    for what, ours, ref in [("visible", visible, observed["visible"])] + [
        (name, parts[name], ref) for name, ref in observed["hidden"].items()
    ]:
        _compare(verdict, what, np.asarray(ours, float), ref, case["reps"])
    return verdict


def _compare(verdict: Verdict, what: str, ours: np.ndarray, ref: dict, reps: int) -> None:
    """Mean and spread of each crosspoint over chips, at each checkpoint.

    Where hardly any chip of ours is away from the common value (at a bound, or not written to yet), a sample of `reps`
    does not tell the error of its own spread: there the second term of Bernstein's inequality is the floor,
    z^2 M / (3 reps) of the mean and z^2 M^2 / (3 reps) of the variance, with M the largest deviation.
    """
    for n in range(len(ours)):
        mean, std = np.asarray(ref["mean"][n], float), np.asarray(ref["std"][n], float)
        sample, middle = Sample(ours[n]), np.median(ours[n], axis=0)
        rounded = 5 * float_floor(mean)  # the data have five digits
        rare = np.mean(np.abs(ours[n] - middle) > rounded, axis=0) < Z**2 / reps
        largest = np.maximum(np.max(np.abs(ours[n] - mean), axis=0), std * np.sqrt(reps))
        floor = np.where(rare, Z**2 * largest / (3 * reps), 0.0) + rounded + list_floor(reps) * std
        se = np.sqrt(sample.se_mean**2 + np.maximum(std, sample.std) ** 2 / reps)
        verdict.add(f"{what} at checkpoint {n}, mean", sample.mean, mean, se, floor)
        # the fourth moment of ours tells the error of both spreads
        se = sample.se_std * np.sqrt(1 + sample.n / reps)
        floor = np.where(rare, np.sqrt(Z**2 / (3 * reps)) * largest, 0.0) + rounded + 0.01 * std
        verdict.add(f"{what} at checkpoint {n}, std", sample.std, std, se, floor)


@partial(jax.jit, static_argnames=("steps",), compiler_options=_QUICKLY)
def _trained(tiles: Tile, target: jax.Array, x: jax.Array, rate: jax.Array, keys: jax.Array, steps: tuple) -> jax.Array:
    """Root mean square error of the weights of each chip at the given steps, `[C, R]`."""

    def step(tiles: Tile, given: tuple) -> tuple[Tile, jax.Array]:
        x, n = given

        def one(tile: Tile, x: jax.Array, key: jax.Array) -> tuple[Tile, jax.Array]:
            k_forward, k_update, k_rest = jax.random.split(jax.random.fold_in(key, n), 3)
            y, _ = tile.forward(x, k_forward)
            new = update(tile, Signal(x=x, d=y - x @ target.T), rate, key=k_update).rest(k_rest)
            return new, jnp.sqrt(jnp.mean((new.read() - target) ** 2))

        return jax.vmap(one)(tiles, x, keys)

    _, errors = jax.lax.scan(step, tiles, (x, jnp.arange(x.shape[0])))
    begin = jnp.sqrt(jnp.mean((jax.vmap(Tile.read)(tiles) - target) ** 2, axis=(1, 2)))
    return jnp.concatenate([begin[None], errors])[jnp.asarray(steps)]


def _regression(case: dict) -> Verdict:
    inputs, observed, number = case["inputs"], case["observed"], 512
    target = jnp.asarray(inputs["target_W"])
    tiles = _chips(case, target.shape, 0.0, number)
    k_x, k_run = jax.random.split(jax.random.fold_in(key_for(case), 1))
    x = jax.random.uniform(k_x, (inputs["steps"], number, inputs["batch"], target.shape[1]), minval=-1, maxval=1)
    keys = jax.random.split(k_run, number)
    errors = _trained(tiles, target, x, jnp.asarray(inputs["learning_rate"]), keys, tuple(observed["step"]))
    verdict = Verdict()
    for n, (ours, ref) in enumerate(zip(np.asarray(errors, float), observed["rms_weight_error"], strict=True)):
        sample = Sample(ours)
        compare_mean(verdict, f"error at checkpoint {n}", sample, ref, ref["n"])
        if n > 0:  # a chip with a bad device is far from the others: 32 chips do not tell how uncertain their spread is
            se_ref = sample.se_std * np.sqrt(sample.n / ref["n"])
            compare_std(verdict, f"error at checkpoint {n}", sample, ref, se_ref=se_ref)
    return verdict


QUICK = {
    "vector_All", "onesided_no_refresh", "transfer_default_perfect_read", "transfer_rows", "buffered_default",
    "chopped_default", "dynamic_default", "mixedprec_default",
}  # fmt: skip


@pytest.mark.parametrize(("name", "sequential"), replays(GROUP, unsupported, always=QUICK))
def test_compound(name: str, sequential: bool) -> None:
    replay(name, sequential).check()


def test_no_compound_is_skipped_by_accident() -> None:
    assert len(supported(GROUP)) == REPLAYED
