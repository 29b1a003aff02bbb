"""Pulses, one at a time, and what happens between them: weights of whole populations against aihwkit.

One array stands for the `n_tiles` chips of a case: their devices are independent, and no converter takes part, so the
devices of one tall chip are the same population. The columns keep their meaning (`perfect_bias`).
"""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax.tile import Signal, Tile, create, update
from tests.golden.catalog import cases, key_for, supported, tile_config, unsupported
from tests.golden.quirks import replays
from tests.golden.tolerance import Sample, Verdict, compare_correlation, compare_mean, compare_quantiles, compare_std

GROUP = "pulse_response"
REPLAYED = 84  # of 84; a change of the translation must say so here
ROWS = 960  # at least as many as the cases have (except a few), so that most of them share one shape
# what else of a configuration the pulse responses read
_READ_BY_PULSES = ("mult_noise", "A_up", "A_down", "gamma_up", "gamma_down", "a", "b", "dw_min_std_add")
_READ_BY_PULSES += ("dw_min_std_slope", "piecewise_up", "piecewise_down")
_CONSTANT_CELLS = {"decay_scales": 1.0, "diffusion_rates": 0.0, "reset_bias": 0.0, "drift_nu": 0.0}

# One of each law and of each kind of state; with one pulse per update the evaluation one by one must say the same.
SEQUENTIAL = (
    "constantstep_c2c0.5",
    "constantstep_bounds_c2c0.5",
    "linearstep_c2c0.5",
    "linearstep_add_c2c0.5",
    "softbounds_reverse_both",
    "softboundsreference_c2c0.5",
    "softboundsreference_mult_c2c0.5",
    "softboundsreference_population",
    "softbounds_write_noise",
    "expstep_complex_noise",
    "powstepreference_sp_population",
    "piecewise_write_noise",
)


def _decay(alpha):
    def act(tile: Tile, key: jax.Array) -> Tile:
        # aihwkit decays and diffuses in separate calls; `rest` does both, so the other one is switched off
        return _with_device(tile, diffusion=0.0).rest(key, alpha)

    return act


def _diffuse(tile: Tile, key: jax.Array) -> Tile:
    return _with_device(tile, lifetime=0.0).rest(key)


def _with_device(tile: Tile, **changes) -> Tile:
    return replace(tile, config=replace(tile.config, device=replace(tile.config.device, **changes)))


def _reset(probability):
    return lambda tile, key: tile.reset(key, probability)


def _age(dt):
    return lambda tile, key: tile.age(dt, key)


def _update(tile: Tile, key: jax.Array) -> Tile:
    x, d = jnp.full((1, tile.shape[1]), 0.5), jnp.full((1, tile.shape[0]), -0.3)
    return update(tile, Signal(x=x, d=d), 0.1, key=key)


# What the protocol text of each case says, in order
STEPS = {
    "decay_lifetime": [_decay(1.0)] * 6,
    "decay_lifetime_alpha0.5": [_decay(0.5)] * 6,
    "decay_lifetime_dtod_reset_bias": [_decay(1.0)] * 6,
    "diffusion": [_diffuse] * 8,
    "diffusion_dtod": [_diffuse] * 8,
    "reset_all": [_reset(1.0)] * 2,
    "reset_prob": [_reset(0.3)],
    "reset_softboundsreference_symmetrypoint": [_reset(1.0)],
    "set_weights_clips_to_bounds": [],
    "drift_simple": [_age(1.0), _age(9.0), _age(90.0)],
    "drift_spread": [_age(10.0), _age(90.0)],
    "drift_conductance_dependent": [_age(10.0), _age(90.0)],
    "ideal_reset": [_reset(1.0)],
    "ideal_decay_diffusion": [_decay(1.0), _diffuse] * 2,
    "floatingpoint_decay_diffusion": [_decay(1.0), _diffuse] * 2,
    "floatingpoint_drift": [_age(1.0), _age(9.0), _age(90.0)],
    "softbounds_write_noise_decay": [_decay(1.0)] * 4,
    "ideal_update": [_update] * 3,
}


def replay(name: str, sequential: bool = False) -> Verdict:
    """Replay one case and compare it."""
    case = cases(GROUP)[name]
    config = tile_config(case["config"])
    config = replace(config, update=replace(config.update, sequential=sequential))
    if "segments" not in case["inputs"]:
        return _housekeeping(case, config)
    return trajectory(case, config, share=not sequential)


def _fresh(case: dict, config, weights) -> tuple[Tile, jax.Array]:
    k_make, k_run = jax.random.split(key_for(case))
    outputs, inputs = case["inputs"]["shape_out_in"]
    rows = outputs * case["inputs"]["n_tiles"]
    shape = (max(rows, ROWS) if inputs == 50 else rows, inputs)
    with jax.disable_jit():  # a chip made once costs less operation by operation than its compilation
        tile = create(config, shape, k_make, jnp.broadcast_to(jnp.asarray(weights, jnp.float32), shape))
    return tile, k_run


@partial(jax.jit, compiler_options={"xla_llvm_disable_expensive_passes": True})  # compiled for one short run
def _pulse_many(tile: Tile, d: jax.Array, count: jax.Array, key: jax.Array) -> Tile:
    """`count` updates with x = 1 and the error `d` at every output, each of them one pulse per crosspoint."""
    signal = Signal(x=jnp.ones((1, tile.shape[1])), d=jnp.full((1, tile.shape[0]), d))
    device = tile.config.device
    rate = 1000 * getattr(device, "soft_bounds", device).dw_min
    return jax.lax.fori_loop(0, count, lambda i, t: update(t, signal, rate, key=jax.random.fold_in(key, i)), tile)


def _bare(tile: Tile) -> Tile:
    """The same chip, its configuration reduced to what pulses read (all else is in its cells), numbers as arrays.

    So cases of one law share one compilation. The evaluation one by one runs with the whole configuration.
    """
    device = tile.config.device
    device = getattr(device, "soft_bounds", device)  # the same device, with its numbers in the usual fields
    changes = {name: getattr(device, name) for name in _READ_BY_PULSES if hasattr(device, name)}
    for name in ("dw_min", "dw_min_std", "write_noise_std"):
        value = getattr(device, name, 0.0)
        changes |= {name: jnp.asarray(value)} if value else {name: 0.0} if hasattr(device, name) else {}
    return replace(tile, config=replace(tile.config, device=type(device)(**changes)))


def trajectory(case: dict, config, share: bool) -> Verdict:
    """Replay a case of single pulses and compare it; `share` one compilation among the devices of one law."""
    observed, n_tiles = case["observed"], case["inputs"]["n_tiles"]
    tile, key = _fresh(case, config, case["inputs"]["w_start"])
    tile = _bare(tile) if share else tile
    seen, persistent = [tile.state.w], [tile.state.persistent]
    for k, (start, stop) in enumerate(zip(observed["pulse"], observed["pulse"][1:], strict=False)):
        d = _direction(case["inputs"]["segments"], start, stop)
        tile = _pulse_many(tile, d, jnp.asarray(stop - start), jax.random.fold_in(key, k))
        seen.append(tile.state.w)
        persistent.append(tile.state.persistent)
    verdict, n = Verdict(), case["reps"]
    _compare(verdict, "w", _sample(seen), observed, n, n_tiles)
    if "persistent_mean" in observed:
        fields = ("mean", "std", "se_mean", "se_std", "quantiles")
        reference = {name: observed[f"persistent_{name}"] for name in fields}
        _compare(verdict, "persistent", _sample(persistent), reference, n, n_tiles)
    for name, reference in observed["device_parameters"].items():
        cell = tile.cells[name] if name in tile.cells else jnp.full((1,), _CONSTANT_CELLS[name])
        _compare(verdict, name, Sample(np.ravel(cell)), reference, reference["n"], n_tiles)
    if "device_parameters_corr_dwmin_up_down" in observed:
        up, down = tile.cells["dwmin_up"], tile.cells["dwmin_down"]
        compare_correlation(verdict, "dwmin", up, down, observed["device_parameters_corr_dwmin_up_down"], n)
    return verdict


def _direction(segments: list, start: int, stop: int) -> float:
    """d of the pulses `start` to `stop`, which all go the same way."""
    end = 0
    for way, count in segments:
        if end <= start and stop <= end + count:
            return {"up": -1.0, "down": 1.0}[way]
        end += count
    raise AssertionError(f"pulses {start} to {stop} cross segments {segments}")


def _housekeeping(case: dict, config) -> Verdict:
    starts, observed = np.asarray(case["inputs"]["w_start_values"]), case["observed"]
    inputs = case["inputs"]["shape_out_in"][1]
    column = np.arange(inputs) % len(starts)
    tile, key = _fresh(case, config, starts[column])
    steps = STEPS[case["case"]]
    seen = [tile.state.w]
    for k, act in enumerate(steps):
        # the device itself stays as configured; `_decay` and `_diffuse` change it for their one call
        tile = replace(act(tile, jax.random.fold_in(key, k)), config=config)
        seen.append(tile.state.w)
    assert len(observed["step"]) == len(seen)
    seen, verdict = np.stack([np.asarray(w) for w in seen], -1), Verdict()
    for k, reference in enumerate(observed["by_start_value"]):
        assert reference["w_start"] == starts[k]
        ours = Sample(seen[:, column == k].reshape(-1, seen.shape[-1]))
        _compare(verdict, f"w from {starts[k]:g}", ours, reference, reference["n"], case["inputs"]["n_tiles"])
    return verdict


def _sample(weights: list) -> Sample:
    return Sample(np.stack([np.ravel(w) for w in weights], -1))


def _compare(verdict: Verdict, what: str, ours: Sample, reference: dict, n: int, n_tiles: int) -> None:
    compare_mean(verdict, what, ours, reference, n_tiles)
    compare_std(verdict, what, ours, reference)
    compare_quantiles(verdict, what, ours, reference, n)


@pytest.mark.parametrize(("name", "sequential"), replays(GROUP, unsupported, 8, one_by_one=SEQUENTIAL))
def test_case(name: str, sequential: bool) -> None:
    replay(name, sequential).check()


def test_nothing_is_skipped_by_accident() -> None:
    assert len(supported(GROUP)) == REPLAYED
    assert set(STEPS) <= set(supported(GROUP)) and set(SEQUENTIAL) <= set(supported(GROUP))
